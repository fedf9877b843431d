//! Waiting for processes as process 1 has to, and ending all of them.

use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// Where programs are, in both images.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How a process came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It exited with this status.
    Exit(i32),
    /// This signal killed it.
    Signal(i32),
    /// It was still running at its deadline, and was killed.
    Deadline,
}

impl Ended {
    /// As a shell has it: 128 and more is a signal, 124 is what timeout(1) exits with.
    pub fn status(self) -> i32 {
        match self {
            Self::Exit(status) => status,
            Self::Signal(signal) => 128 + signal,
            Self::Deadline => 124,
        }
    }
}

/// Waits for `child` and reaps whatever else ends meanwhile: orphans are this process's.
///
/// `meanwhile` is called every few milliseconds.
pub fn wait(
    child: &Child,
    deadline: Duration,
    mut meanwhile: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<Ended> {
    let child = Pid::from_raw(child.id() as i32);
    let start = Instant::now();
    let mut late = false;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, _, _))
                if pid == child && late =>
            {
                return Ok(Ended::Deadline);
            }
            Ok(WaitStatus::Exited(pid, status)) if pid == child => return Ok(Ended::Exit(status)),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => {
                return Ok(Ended::Signal(signal as i32));
            }
            Ok(WaitStatus::StillAlive) => {
                if !late && start.elapsed() > deadline {
                    late = true;
                    kill(child, Signal::SIGKILL)?;
                }
                meanwhile()?;
                sleep(Duration::from_millis(2));
            }
            // Somebody else's end, or an interruption: look again. EINVAL is nix's word for the
            // end by a real-time signal, which it has no name for; such a process is reaped.
            Ok(_) | Err(Errno::EINTR | Errno::EINVAL) => {}
            Err(error) => return Err(error).context("failed to wait"),
        }
    }
}

/// Reaps for a while: what was killed a moment ago takes time to go.
pub fn settle(
    time: Duration,
    mut meanwhile: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let start = Instant::now();
    while start.elapsed() < time {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) | Err(_) => {
                meanwhile()?;
                sleep(Duration::from_millis(2));
            }
            Ok(_) => {}
        }
    }
    meanwhile()
}

/// Kills every other process of the machine and waits until they are gone, for 2 s at most: a
/// process that cannot be killed must not hold up the next test.
pub fn end_everything() {
    let start = Instant::now();
    let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
    while start.elapsed() < Duration::from_secs(2) {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Err(Errno::ECHILD) => break,
            Ok(WaitStatus::StillAlive) => {
                // A process that was being created when the signal went round.
                let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
                sleep(Duration::from_millis(2));
            }
            _ => {}
        }
    }
}
