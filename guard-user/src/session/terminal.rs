//! The terminal that a session is started on.

use std::io::IsTerminal;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::raw::pidfd_getfd;

/// The terminal that a process has as its standard input, output or error, whichever comes first;
/// `None` when none of them is one.
///
/// A descriptor, and no number: terminals that are closed leave their numbers to others. And none
/// that is found by a path, which could be made to lead elsewhere.
#[must_use]
pub fn of(process: BorrowedFd<'_>) -> Option<OwnedFd> {
    (0..3)
        .filter_map(|number| pidfd_getfd(process, number).ok())
        .find(|descriptor| descriptor.is_terminal() && !is_everybodys(descriptor.as_fd()))
}

/// Whether it is `/dev/tty`, which is another terminal for everybody.
fn is_everybodys(descriptor: BorrowedFd<'_>) -> bool {
    let device = nix::sys::stat::fstat(descriptor).map_or(0, |status| status.st_rdev);
    device == nix::sys::stat::makedev(5, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::raw::pidfd_open;
    use nix::sys::stat::fstat;
    use nix::unistd::Pid;
    use std::process::{Command, Stdio};

    #[test]
    fn the_first_that_is_a_terminal_is_found() {
        let pty = nix::pty::openpty(None, None).unwrap();
        let expected = fstat(&pty.slave).unwrap().st_rdev;
        for (error, device) in [
            (Stdio::from(pty.slave.try_clone().unwrap()), Some(expected)),
            (Stdio::null(), None),
        ] {
            let mut child = Command::new("/bin/sleep")
                .arg("60")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(error)
                .spawn()
                .unwrap();
            let pidfd = pidfd_open(Pid::from_raw(child.id() as i32)).unwrap();
            let found = of(pidfd.as_fd()).map(|terminal| fstat(&terminal).unwrap().st_rdev);
            child.kill().unwrap();
            child.wait().unwrap();
            assert_eq!(found, device);
        }
    }
}
