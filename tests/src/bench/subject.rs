//! What the measured calls are done to: processes that ignore the signal, and files.

use std::fmt;
use std::fs;

use anyhow::{Context as _, ensure};
use nix::libc;
use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork, pause};

/// The session's workspace.
pub const WORKSPACE: &str = "/tmp/guard-bench";

/// A directory as deep, on a file system of the same kind, in which sessions delete nothing.
pub const ELSEWHERE: &str = "/run/guard-bench";

/// Has every program from here on lie at the same place in memory: how many page tables a fork
/// copies and how far a search goes depends on it.
pub fn lie_still() -> anyhow::Result<()> {
    // SAFETY: a flag of this process and of those that it starts.
    let result = unsafe { libc::personality(libc::ADDR_NO_RANDOMIZE as libc::c_ulong) };
    ensure!(result != -1, "{}", std::io::Error::last_os_error());
    Ok(())
}

/// Makes the directories.
pub fn prepare() -> anyhow::Result<()> {
    for place in [WORKSPACE, ELSEWHERE] {
        fs::create_dir_all(format!("{place}/a/b")).with_context(|| place.to_owned())?;
    }
    Ok(())
}

/// Waits until no program is left that was taken off its hook: the kernel does that after the last
/// descriptor of each is gone, one after the other, and whatever goes before everything else would
/// keep it from that.
pub fn wait_for_programs_to_go() -> anyhow::Result<()> {
    for _ in 0..600 {
        let symbols = fs::read_to_string("/proc/kallsyms")?;
        let is_program = |line: &str| line.contains(" bpf_prog_") && line.ends_with("[bpf]");
        if !symbols.lines().any(is_program) {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    anyhow::bail!("programs stay on their hooks")
}

/// A process that ignores SIGTERM and waits: ended when this goes.
pub struct Outsider(Pid);

impl Outsider {
    /// Starts one.
    pub fn start() -> anyhow::Result<Self> {
        // SAFETY: there is one thread.
        match unsafe { fork() }? {
            ForkResult::Child => loop {
                // SAFETY: no handler, nothing shared.
                let _ = unsafe { signal(Signal::SIGTERM, SigHandler::SigIgn) };
                pause();
            },
            ForkResult::Parent { child } => {
                // It has to run first.
                std::thread::sleep(std::time::Duration::from_millis(50));
                Ok(Self(child))
            }
        }
    }

    /// Its number.
    pub fn pid(&self) -> i32 {
        self.0.as_raw()
    }
}

impl fmt::Display for Outsider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Drop for Outsider {
    fn drop(&mut self) {
        // It is this process's child, and there until it is waited for.
        if kill(self.0, Signal::SIGKILL).is_ok() {
            let _ = waitpid(self.0, None);
        }
    }
}

/// Runs before everything else: what is woken meanwhile waits until this process does, and
/// is not counted.
pub fn go_first() -> anyhow::Result<()> {
    let priority = libc::sched_param { sched_priority: 1 };
    // SAFETY: this process, and a valid structure.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const priority) };
    ensure!(result == 0, "{}", std::io::Error::last_os_error());
    Ok(())
}
