//! Processes to be attacked: they wait, in a process group of their own, for what comes.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use nix::errno::Errno;
use nix::libc;

use super::cases::until;
use super::process;
use super::raw;

/// How long a signal that was sent may take to show.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long one that was refused is given to show all the same. Signals are queued before the
/// sender's call returns, so this only has to be longer than a turn of the scheduler.
const SETTLE: Duration = Duration::from_millis(15);

/// What a victim is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Waits with all signals at their defaults.
    Plain,
    /// The same with a second thread.
    Threads,
    /// Dies of SIGURG too, which is ignored by default.
    Urgent,
    /// Is stopped.
    Stopped,
    /// Is the first process of a pid namespace.
    NamespaceInit,
}

/// What an attack does to its victim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It dies.
    Dies,
    /// It stops.
    Stops,
    /// It goes on.
    Continues,
}

/// A process of the test's own, outside every session.
#[derive(Debug)]
pub struct Victim {
    /// Its pid.
    pub pid: i32,
    kind: Kind,
    start: u64,
}

impl Victim {
    /// Starts one as this user.
    pub fn spawn(kind: Kind, uid: u32) -> anyhow::Result<Self> {
        let pid = start(kind, uid)?;
        Ok(Self {
            pid,
            kind,
            start: process::start(pid)?,
        })
    }

    /// Fails unless it is as it was, with no signal waiting for it.
    pub fn ensure_whole(&self) -> anyhow::Result<()> {
        std::thread::sleep(SETTLE);
        let state = process::state(self.pid).context("it is gone")?;
        let expected = if self.kind == Kind::Stopped { 'T' } else { 'S' };
        ensure!(state == expected, "its state is {state}");
        ensure!(process::start(self.pid)? == self.start, "it is another");
        for field in ["SigPnd:", "ShdPnd:"] {
            let pending = process::status_field(self.pid, field).unwrap_or_default();
            ensure!(
                u64::from_str_radix(&pending, 16) == Ok(0),
                "{field} {pending}"
            );
        }
        let traced = process::status_field(self.pid, "TracerPid:");
        ensure!(traced.as_deref() == Some("0"), "its tracer is {traced:?}");
        Ok(())
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = raw::call(libc::SYS_kill, &[self.pid as usize, libc::SIGKILL as usize]);
        let _ = raw::wait(self.pid);
    }
}

/// Starts a victim, a child of whoever calls.
pub fn start(kind: Kind, uid: u32) -> anyhow::Result<i32> {
    let mut ends = [0_i32; 2];
    raw::call(
        libc::SYS_pipe2,
        &[ends.as_mut_ptr() as usize, libc::O_CLOEXEC as usize],
    )?;
    let [reader, writer] = ends.map(|end| end as usize);
    let pid = if kind == Kind::NamespaceInit {
        let flags = libc::CLONE_NEWPID | libc::SIGCHLD;
        // Without a stack of its own this is a fork.
        let fork = |flags: i32| raw::call(libc::SYS_clone, &[flags as usize, 0, 0, 0, 0]);
        // Who lacks the capability on the host, as sessions do, has it in a user namespace.
        let forked = match fork(flags) {
            Err(Errno::EPERM) => fork(flags | libc::CLONE_NEWUSER),
            forked => forked,
        };
        match forked? {
            0 => raw::exit(live(kind, uid, writer)),
            pid => pid as i32,
        }
    } else {
        raw::fork(|| live(kind, uid, writer))?
    };
    raw::call(libc::SYS_close, &[writer])?;
    let mut byte = [0_u8; 1];
    let read = raw::call(libc::SYS_read, &[reader, byte.as_mut_ptr() as usize, 1]);
    raw::call(libc::SYS_close, &[reader])?;
    if read != Ok(1) {
        let status = raw::wait(pid);
        bail!("a victim did not come up: {read:?}, {status:?}");
    }
    if kind == Kind::Stopped {
        raw::call(libc::SYS_kill, &[pid as usize, libc::SIGSTOP as usize])?;
    }
    let wanted = if kind == Kind::Stopped { 'T' } else { 'S' };
    ensure!(
        until(PATIENCE, || process::state(pid) == Some(wanted)),
        "a victim did not come to rest"
    );
    Ok(pid)
}

/// Whether an attack's effect shows within a few seconds.
pub fn shows(pid: i32, effect: Effect) -> bool {
    until(PATIENCE, || match (effect, process::state(pid)) {
        (Effect::Dies, None | Some('Z' | 'X')) | (Effect::Stops, Some('T')) => true,
        (Effect::Continues, state) => state.is_some_and(|state| state != 'T'),
        _ => false,
    })
}

/// A victim's life.
fn live(kind: Kind, uid: u32, ready: usize) -> i32 {
    let _ = raw::call(libc::SYS_setpgid, &[0, 0]);
    for signal in 1..32 {
        let handler = if kind == Kind::Urgent && signal == libc::SIGURG {
            nix::sys::signal::SigHandler::Handler(leave)
        } else {
            nix::sys::signal::SigHandler::SigDfl
        };
        if let Ok(signal) = nix::sys::signal::Signal::try_from(signal) {
            // SAFETY: the handler only leaves the process. KILL and STOP can't be set.
            let _ = unsafe { nix::sys::signal::signal(signal, handler) };
        }
    }
    let null = raw::open("/dev/null", libc::O_RDWR).unwrap_or(0);
    let _ = raw::call(libc::SYS_dup3, &[null, 0, 0]);
    // What the parent had open must not stay open with us.
    let _ = raw::call(libc::SYS_dup3, &[ready, 3, 0]);
    raw::close_from(4);
    if become_user(uid).is_err() {
        return 1;
    }
    // Debuggers of the same user may look at a process that has changed its user only then.
    let _ = raw::call(libc::SYS_prctl, &[libc::PR_SET_DUMPABLE as usize, 1]);
    if kind == Kind::Threads {
        std::thread::spawn(rest);
    }
    if kind == Kind::NamespaceInit {
        let _ = raw::fork(rest_forever);
    }
    let _ = raw::call(libc::SYS_write, &[3, b"x".as_ptr() as usize, 1]);
    raw::close_from(3);
    rest();
    0
}

fn rest_forever() -> i32 {
    rest();
    0
}

fn rest() {
    loop {
        let _ = raw::call(libc::SYS_pause, &[]);
    }
}

extern "C" fn leave(_: i32) {
    raw::exit(0)
}

/// Becomes another user, groups and all.
pub fn become_user(uid: u32) -> Result<(), Errno> {
    if nix::unistd::geteuid().as_raw() == uid {
        return Ok(());
    }
    let id = uid as usize;
    raw::call(libc::SYS_setgroups, &[0, 0])?;
    raw::call(libc::SYS_setresgid, &[id, id, id])?;
    raw::call(libc::SYS_setresuid, &[id, id, id])?;
    Ok(())
}
