//! Trying to become somebody else before an attack.

use anyhow::{Context as _, bail};
use nix::errno::Errno;
use nix::libc;

use super::{Attempt, Words, attempt as attack};
use crate::support::agent::{SELF, Task};
use crate::support::raw::{self, c_string, call};
use crate::support::victim;

pub fn attempt(name: &str, words: &Words<'_>) -> anyhow::Result<Option<Attempt>> {
    Ok(Some(match name {
        "connect" => connect(words.text(0)?)?,
        "run" => run(words)?,
        "child-in-cgroup" => born_in(words.text(0)?, || Ok(Ok(0)))?,
        _ => return Ok(None),
    }))
}

/// Makes the attack, after the attempt that the task names. `answer` is where an attack that is
/// executed has to write.
pub fn become_other(task: &Task, answer: i32) -> anyhow::Result<Attempt> {
    let (how, argument) = task.via.split_once('=').unwrap_or((&task.via, ""));
    match how {
        "" => attack(task),
        "fork" => child(task),
        "thread" => {
            let task = task.clone();
            std::thread::spawn(move || attack(&task))
                .join()
                .unwrap_or_else(|_| bail!("the thread panicked"))
        }
        "setsid" => {
            call(libc::SYS_setsid, &[])?;
            attack(task)
        }
        "double-fork" => double_fork(task),
        "user-namespace" => match own_namespaces(0) {
            Ok(_) => attack(task),
            refused => Ok(refused),
        },
        "mount-namespace" => match own_namespaces(libc::CLONE_NEWNS) {
            Ok(_) => attack(task),
            refused => Ok(refused),
        },
        "pid-namespace" => match own_namespaces(libc::CLONE_NEWPID) {
            Ok(_) => child(task),
            refused => Ok(refused),
        },
        "setuid" => {
            victim::become_user(argument.parse()?)?;
            attack(task)
        }
        "exec" => execute(task, answer, false),
        "exec-in-thread" => execute(task, answer, true),
        "leave-cgroup" => {
            if let Err(errno) = leave_cgroup(argument) {
                return Ok(Err(errno));
            }
            ensure_in(argument)?;
            attack(task)
        }
        "child-in-cgroup" => born_in(argument, || attack(task)),
        _ => bail!("there is no way called {how}"),
    }
}

/// New namespaces, in a user namespace of its own where that is needed.
pub fn own_namespaces(flags: i32) -> Attempt {
    let user = if flags == 0 || !nix::unistd::geteuid().is_root() {
        libc::CLONE_NEWUSER
    } else {
        0
    };
    call(libc::SYS_unshare, &[(flags | user) as usize])
}

/// Lets a child do it, and passes on what came of it.
fn child(task: &Task) -> anyhow::Result<Attempt> {
    let child = raw::fork(|| raw::status_of(flat(attack(task))))?;
    Ok(raw::wait_errno(child))
}

/// An attack that could not be tried is a strange errno, so that no test takes it for a refusal.
fn flat(result: anyhow::Result<Attempt>) -> Attempt {
    result.unwrap_or(Err(Errno::EHWPOISON))
}

/// Lets a grandchild do it whose parent is gone.
fn double_fork(task: &Task) -> anyhow::Result<Attempt> {
    let (mut reader, writer) = std::io::pipe()?;
    let parent = raw::fork(|| {
        let _ = call(libc::SYS_setsid, &[]);
        let _ = raw::fork(|| {
            let own = std::process::id();
            // Until somebody else has become its parent.
            while parent_of_session_leader(own) {
                std::thread::yield_now();
            }
            let status = raw::status_of(flat(attack(task)));
            let _ = std::io::Write::write_all(&mut &writer, &[status as u8]);
            0
        });
        0
    })?;
    raw::wait(parent)?;
    drop(writer);
    let mut status = [0_u8; 1];
    std::io::Read::read_exact(&mut reader, &mut status).context("the grandchild said nothing")?;
    Ok(match status[0] {
        0 => Ok(0),
        errno => Err(Errno::from_raw(i32::from(errno))),
    })
}

/// Whether the parent of this process still is the leader of its session, who forked it.
fn parent_of_session_leader(_own: u32) -> bool {
    call(libc::SYS_getppid, &[]) == call(libc::SYS_getsid, &[0])
}

/// Executes this program anew for the attack, from the first thread or from another.
fn execute(task: &Task, answer: i32, in_thread: bool) -> anyhow::Result<Attempt> {
    // Not closed at execution.
    let descriptor = call(libc::SYS_dup, &[answer as usize])?;
    let mut strings = vec![
        c_string(SELF),
        c_string("attack"),
        c_string(&descriptor.to_string()),
        c_string(&task.name),
    ];
    strings.extend(task.arguments.iter().map(|word| c_string(word)));
    let execute = move || -> Errno {
        let mut pointers: Vec<usize> = strings.iter().map(|word| word.as_ptr() as usize).collect();
        pointers.push(0);
        let environment = [0_usize];
        let result = call(
            libc::SYS_execve,
            &[
                pointers[0],
                pointers.as_ptr() as usize,
                environment.as_ptr() as usize,
            ],
        );
        result.err().unwrap_or(Errno::UnknownErrno)
    };
    let errno = if in_thread {
        std::thread::spawn(execute)
            .join()
            .unwrap_or(Errno::UnknownErrno)
    } else {
        execute()
    };
    bail!("it could not be executed: {errno}")
}

/// Fails unless this process is in the cgroup.
fn ensure_in(directory: &str) -> anyhow::Result<()> {
    let own = std::fs::read_to_string("/proc/self/cgroup")?;
    let cgroup = own
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .context("no cgroup")?;
    anyhow::ensure!(
        directory.ends_with(cgroup.trim_end_matches('/')),
        "it is in {cgroup}"
    );
    Ok(())
}

/// Moves this process into another cgroup.
fn leave_cgroup(directory: &str) -> Attempt {
    let file = raw::open(&format!("{directory}/cgroup.procs"), libc::O_WRONLY)?;
    call(libc::SYS_write, &[file, b"0".as_ptr() as usize, 1])
}

/// Starts a child that is in another cgroup from its first moment (`CLONE_INTO_CGROUP`, 5.7), and
/// has it do something there.
fn born_in(directory: &str, act: impl Fn() -> anyhow::Result<Attempt>) -> anyhow::Result<Attempt> {
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    let cgroup = raw::open(directory, libc::O_PATH | libc::O_DIRECTORY)?;
    // struct clone_args, of eleven words.
    let mut arguments = [0_u64; 11];
    arguments[0] = CLONE_INTO_CGROUP;
    arguments[4] = libc::SIGCHLD as u64;
    arguments[10] = cgroup as u64;
    match call(
        libc::SYS_clone3,
        &[arguments.as_ptr() as usize, size_of_val(&arguments)],
    ) {
        Ok(0) => {
            let result = ensure_in(directory).and_then(|()| act());
            raw::exit(raw::status_of(flat(result)))
        }
        Ok(child) => Ok(raw::wait_errno(child as i32)),
        Err(errno) => Ok(Err(errno)),
    }
}

/// Asks the guard's server something. The value is the length of the answer; EPERM stands for
/// one that refuses.
fn connect(path: &str) -> anyhow::Result<Attempt> {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::os::unix::net::UnixStream;
    let mut stream = match UnixStream::connect(path) {
        Ok(stream) => stream,
        Err(error) => return Ok(Err(Errno::from_raw(error.raw_os_error().unwrap_or(0)))),
    };
    // Of no version of the protocol: who asks is looked at first, so that whoever is let in hears of
    // the version, and who is in a session of that.
    if let Err(error) = stream.write_all(b"{\"v\":0,\"body\":\"status\"}\n") {
        return Ok(Err(Errno::from_raw(error.raw_os_error().unwrap_or(0))));
    }
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    if line.is_empty() || line.contains("from inside a session") {
        return Ok(Err(Errno::EPERM));
    }
    Ok(Ok(line.len()))
}

/// Runs a program; the value is its exit status.
fn run(words: &Words<'_>) -> anyhow::Result<Attempt> {
    let status = std::process::Command::new(words.text(0)?)
        .args(&words.0[1..])
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .status()?;
    Ok(Ok(status.code().unwrap_or(255) as usize))
}
