//! Which processes of a session still live.

use std::fs;
use std::path::Path;

/// Those of some processes that live. Zombies, which only wait to be noticed by their
/// parent, don't count, unless only their first thread has ended and others go on.
pub fn living(proc: &Path, pids: &[u32]) -> Vec<u32> {
    pids.iter()
        .copied()
        .filter(|&pid| is_living(proc, pid))
        .collect()
}

fn is_living(proc: &Path, pid: u32) -> bool {
    let Ok(stat) = fs::read(proc.join(pid.to_string()).join("stat")) else {
        return false;
    };
    match state(&stat) {
        None => false,
        // The first thread is listed until the last one has ended, and counted with them.
        Some(b'Z' | b'X' | b'x') => threads(&stat) > 1,
        Some(_) => true,
    }
}

/// The state in `/proc/PID/stat`: the field after the command name.
fn state(stat: &[u8]) -> Option<u8> {
    fields(stat).next()?.first().copied()
}

/// How many threads there are: field 20.
fn threads(stat: &[u8]) -> u64 {
    fields(stat)
        .nth(20 - 3)
        .and_then(|field| std::str::from_utf8(field).ok()?.parse().ok())
        .unwrap_or(0)
}

/// The fields behind the command name, which is in parentheses and may hold any of them itself.
fn fields(stat: &[u8]) -> impl Iterator<Item = &[u8]> {
    let end = stat.iter().rposition(|&byte| byte == b')');
    let rest = end.map_or(&[][..], |end| &stat[end + 1..]);
    rest.split(u8::is_ascii_whitespace)
        .filter(|field| !field.is_empty())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use nix::unistd::{ForkResult, Pid, fork};
    use std::io::{PipeWriter, Write};
    use std::os::fd::{AsFd, AsRawFd, OwnedFd};

    use crate::session::raw::{pidfd_open, pidfd_send_signal};

    /// A process of two threads, the first of which ends when it is told to. The other one goes on
    /// until it is killed, at the latest when this is dropped.
    pub(crate) struct Headless {
        pub(crate) pid: Pid,
        pidfd: OwnedFd,
        go: PipeWriter,
    }

    impl Headless {
        pub(crate) fn new() -> Self {
            let (wait, go) = std::io::pipe().unwrap();
            let mut stack = vec![0_u128; 1 << 10];
            // SAFETY: the child calls nothing that takes a lock.
            match unsafe { fork() }.unwrap() {
                ForkResult::Parent { child } => Self {
                    pid: child,
                    pidfd: pidfd_open(child).unwrap(),
                    go,
                },
                ForkResult::Child => {
                    let top = stack.as_mut_ptr_range().end;
                    // SAFETY: the second thread has a stack of its own, which is never freed, and
                    // the first one touches nothing of its afterwards.
                    unsafe {
                        let thread = libc::clone(pause, top.cast(), THREAD, std::ptr::null_mut());
                        let mut byte = 0_u8;
                        libc::read(wait.as_raw_fd(), (&raw mut byte).cast(), 1);
                        if thread > 0 {
                            libc::syscall(libc::SYS_exit, 0);
                        }
                        libc::_exit(1)
                    }
                }
            }
        }

        /// Has the first thread end.
        pub(crate) fn behead(&mut self) {
            self.go.write_all(b"!").unwrap();
            while state(&self.stat()) != Some(b'Z') {
                std::thread::yield_now();
            }
        }

        fn stat(&self) -> Vec<u8> {
            fs::read(format!("/proc/{}/stat", self.pid)).unwrap()
        }
    }

    impl Drop for Headless {
        fn drop(&mut self) {
            // It may have been waited for already, and its number be another's.
            let _ = pidfd_send_signal(self.pidfd.as_fd(), libc::SIGKILL);
            let _ = nix::sys::wait::waitpid(self.pid, None);
        }
    }

    const THREAD: libc::c_int = libc::CLONE_VM
        | libc::CLONE_THREAD
        | libc::CLONE_SIGHAND
        | libc::CLONE_FS
        | libc::CLONE_FILES;

    extern "C" fn pause(_: *mut libc::c_void) -> libc::c_int {
        loop {
            // SAFETY: waits for signals, for which the process has no handlers.
            unsafe { libc::pause() };
        }
    }

    #[test]
    fn the_state_stands_behind_the_name_whatever_is_in_it() {
        assert_eq!(state(b"7 (a) Z 1"), Some(b'Z'));
        assert_eq!(state(b"7 (a) R (b)) S 1"), Some(b'S'));
        assert_eq!(state(b"7 (a"), None);
        assert_eq!(state(b"7 (a)"), None);
    }

    #[test]
    fn zombies_and_those_that_are_gone_are_left_out() {
        let proc = tempfile::tempdir().unwrap();
        for (pid, stat) in [("1", "1 (a) S 0"), ("2", "2 (b) Z 1"), ("3", "3 (c) R 1")] {
            fs::create_dir(proc.path().join(pid)).unwrap();
            fs::write(proc.path().join(pid).join("stat"), stat).unwrap();
        }
        assert_eq!(living(proc.path(), &[1, 2, 3, 4]), [1, 3]);
    }

    #[test]
    fn a_process_without_its_first_thread_lives_until_the_last_has_ended() {
        let mut child = Headless::new();
        child.behead();
        let pid = child.pid.as_raw() as u32;
        let proc = Path::new("/proc");
        assert_eq!(living(proc, &[pid]), [pid]);
        pidfd_send_signal(child.pidfd.as_fd(), libc::SIGKILL).unwrap();
        while threads(&child.stat()) > 1 {
            std::thread::yield_now();
        }
        assert_eq!(living(proc, &[pid]), [0; 0]);
    }
}
