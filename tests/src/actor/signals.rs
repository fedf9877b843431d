//! Sending signals in every way that there is.

use anyhow::{Context as _, bail};
use nix::errno::Errno;
use nix::libc;

use super::{Attempt, Words};
use crate::support::raw::{self, call};

/// `FIOSETOWN` and `SIOCSPGRP`: owners of sockets.
const FIOSETOWN: usize = 0x8901;
const SIOCSPGRP: usize = 0x8902;
/// Commands of `fcntl` (fcntl.h of the kernel).
const F_SETSIG: i32 = 10;
const F_SETOWN_EX: i32 = 15;
const F_SETLEASE: i32 = 1024;
const F_NOTIFY: i32 = 1026;
/// `DN_CREATE`: files that are made in a directory.
const DN_CREATE: usize = 4;

pub fn attempt(name: &str, words: &Words<'_>) -> anyhow::Result<Option<Attempt>> {
    Ok(Some(match name {
        "kill" => call(libc::SYS_kill, &[words.word(0)?, words.word(1)?]),
        "tkill" => call(libc::SYS_tkill, &[words.word(0)?, words.word(1)?]),
        "tgkill" => call(
            libc::SYS_tgkill,
            &[words.word(0)?, words.word(1)?, words.word(2)?],
        ),
        "sigqueue" => {
            let info = information(words.number(1)? as i32);
            call(
                libc::SYS_rt_sigqueueinfo,
                &[words.word(0)?, words.word(1)?, info.as_ptr() as usize],
            )
        }
        "tgsigqueue" => {
            let info = information(words.number(2)? as i32);
            call(
                libc::SYS_rt_tgsigqueueinfo,
                &[
                    words.word(0)?,
                    words.word(1)?,
                    words.word(2)?,
                    info.as_ptr() as usize,
                ],
            )
        }
        "pidfd" => pidfd(words.word(0)?, words.word(1)?, words.word(2)?),
        "owner" => owner(words.text(0)?, words.number(1)? as i32, words.word(2)?),
        "urgent" => urgent(words.word(0)?)?,
        "lease" => lease(words.word(0)?, words.word(1)?)?,
        "notify" => notify(words.word(0)?, words.word(1)?)?,
        "storm" => storm(words.word(0)?, words.word(1)?, words.word(2)?)?,
        "flood" => Ok(flood(words.word(0)?, words.word(1)?, words.word(2)?)),
        "children-and-all" => children_and_all(words.word(0)?)?,
        _ => return Ok(None),
    }))
}

/// What `rt_sigqueueinfo` wants: a signal that says that it was queued.
fn information(signal: i32) -> [u32; 32] {
    let mut information = [0; 32];
    information[0] = signal as u32;
    information[2] = libc::SI_QUEUE as u32;
    information[4] = std::process::id();
    information[5] = nix::unistd::getuid().as_raw();
    information
}

fn pidfd(pid: usize, signal: usize, flags: usize) -> Attempt {
    let descriptor = call(libc::SYS_pidfd_open, &[pid, 0])?;
    call(libc::SYS_pidfd_send_signal, &[descriptor, signal, 0, flags])
}

/// Makes an open file send a signal to whom it likes.
fn owner(how: &str, target: i32, signal: usize) -> Attempt {
    let mut ends = [0_i32; 2];
    call(
        libc::SYS_socketpair,
        &[
            libc::AF_UNIX as usize,
            libc::SOCK_STREAM as usize,
            0,
            ends.as_mut_ptr() as usize,
        ],
    )?;
    let [file, other] = ends.map(|end| end as usize);
    let fcntl = |command: i32, word: usize| call(libc::SYS_fcntl, &[file, command as usize, word]);
    fcntl(F_SETSIG, signal)?;
    let extended = |kind: i32, id: i32| {
        let owner = [kind, id];
        fcntl(F_SETOWN_EX, owner.as_ptr() as usize)
    };
    match how {
        "process" => fcntl(libc::F_SETOWN, target as usize)?,
        "group" => fcntl(libc::F_SETOWN, -target as usize)?,
        "ex-thread" => extended(0, target)?,
        "ex-process" => extended(1, target)?,
        "ex-group" => extended(2, target)?,
        "fiosetown" => call(
            libc::SYS_ioctl,
            &[file, FIOSETOWN, (&raw const target) as usize],
        )?,
        "siocspgrp" => call(
            libc::SYS_ioctl,
            &[file, SIOCSPGRP, (&raw const target) as usize],
        )?,
        _ => return Err(Errno::EINVAL),
    };
    fcntl(libc::F_SETFL, libc::O_ASYNC as usize)?;
    call(libc::SYS_write, &[other, b"x".as_ptr() as usize, 1])
}

/// Has a connection's urgent data signal somebody: SIGURG, whatever else is asked for.
fn urgent(target: usize) -> anyhow::Result<Attempt> {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd as _;
    let listener = TcpListener::bind("127.0.0.1:0").context("no listener")?;
    let sender = TcpStream::connect(listener.local_addr()?).context("no connection")?;
    let (receiver, _) = listener.accept()?;
    let receiver = receiver.as_raw_fd() as usize;
    if let Err(errno) = call(
        libc::SYS_fcntl,
        &[receiver, libc::F_SETOWN as usize, target],
    ) {
        return Ok(Err(errno));
    }
    let sender = sender.as_raw_fd() as usize;
    let sent = call(
        libc::SYS_sendto,
        &[
            sender,
            b"!".as_ptr() as usize,
            1,
            libc::MSG_OOB as usize,
            0,
            0,
        ],
    );
    // The data has to have come in before the sockets are closed.
    let mut byte = [0_u8; 1];
    let mut events = [receiver as u32, libc::POLLPRI as u32];
    let _ = call(libc::SYS_poll, &[events.as_mut_ptr() as usize, 1, 1000]);
    let _ = call(
        libc::SYS_recvfrom,
        &[
            receiver,
            byte.as_mut_ptr() as usize,
            1,
            libc::MSG_OOB as usize,
            0,
            0,
        ],
    );
    Ok(sent)
}

/// A file of the attacker's own in a place where it may have some.
fn scratch(what: &str) -> String {
    format!("/tmp/{what}-{}", std::process::id())
}

/// Has the kernel announce the end of a lease to somebody.
fn lease(target: usize, signal: usize) -> anyhow::Result<Attempt> {
    let path = scratch("lease");
    std::fs::write(&path, "x")?;
    let result = (|| {
        let file = raw::open(&path, libc::O_RDONLY)?;
        let fcntl =
            |command: i32, word: usize| call(libc::SYS_fcntl, &[file, command as usize, word]);
        fcntl(F_SETLEASE, libc::F_RDLCK as usize)?;
        fcntl(libc::F_SETOWN, target)?;
        fcntl(F_SETSIG, signal)?;
        // Breaks the lease; whoever opens is told to come back later.
        match raw::open(&path, libc::O_WRONLY | libc::O_NONBLOCK) {
            Err(Errno::EWOULDBLOCK) => Ok(0),
            Ok(_) => Err(Errno::ENOLCK),
            Err(errno) => Err(errno),
        }
    })();
    Ok(result)
}

/// Has a directory tell somebody of a new file.
fn notify(target: usize, signal: usize) -> anyhow::Result<Attempt> {
    let path = scratch("notify");
    std::fs::create_dir_all(&path)?;
    let result = (|| {
        let directory = raw::open(&path, libc::O_RDONLY | libc::O_DIRECTORY)?;
        let fcntl =
            |command: i32, word: usize| call(libc::SYS_fcntl, &[directory, command as usize, word]);
        fcntl(F_SETSIG, signal)?;
        fcntl(F_NOTIFY, DN_CREATE)?;
        fcntl(libc::F_SETOWN, target)?;
        raw::open(&format!("{path}/new"), libc::O_CREAT | libc::O_WRONLY)
    })();
    Ok(result)
}

/// Many threads that fork at once, each child killing, each thread too. The value is how many
/// attempts were anything else than refused.
fn storm(target: usize, threads: usize, rounds: usize) -> anyhow::Result<Attempt> {
    let kill = move || call(libc::SYS_kill, &[target, libc::SIGKILL as usize]) == Err(Errno::EPERM);
    let workers: Vec<_> = (0..threads)
        .map(|_| {
            std::thread::spawn(move || -> Result<usize, Errno> {
                let mut gone_through = 0;
                for _ in 0..rounds {
                    // The child makes system calls and nothing else.
                    let child = raw::fork(|| i32::from(!kill()))?;
                    gone_through += usize::from(!kill());
                    gone_through += usize::from(raw::wait(child)? != 0);
                }
                Ok(gone_through)
            })
        })
        .collect();
    let mut all = 0;
    for worker in workers {
        match worker.join() {
            Ok(Ok(count)) => all += count,
            Ok(Err(errno)) => bail!("a fork or a wait failed: {errno}"),
            Err(_) => bail!("a thread of the attacker panicked"),
        }
    }
    Ok(Ok(all))
}

/// Starts a few children, then kills everything that can be killed but this process. The value
/// is how many of the children died.
fn children_and_all(count: usize) -> anyhow::Result<Attempt> {
    let mut children = Vec::new();
    for _ in 0..count {
        children.push(raw::fork(|| {
            loop {
                let _ = call(libc::SYS_pause, &[]);
            }
        })?);
    }
    if let Err(errno) = call(libc::SYS_kill, &[usize::MAX, libc::SIGKILL as usize]) {
        return Ok(Err(errno));
    }
    let mut died = 0;
    for child in children {
        died += usize::from(raw::wait(child)? == 128 + libc::SIGKILL);
    }
    Ok(Ok(died))
}

/// Sends as many signals as fast as it can. The value is how many were refused.
fn flood(target: usize, signal: usize, count: usize) -> usize {
    (0..count)
        .filter(|_| call(libc::SYS_kill, &[target, signal]) == Err(Errno::EPERM))
        .count()
}
