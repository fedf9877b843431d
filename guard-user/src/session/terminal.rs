//! The terminal that a session is started on, as the kernel knows it.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use super::raw::pidfd_getfd;

/// The device number (`major << 20 | minor`) of the terminal that a process has as its standard
/// input, output or error, whichever comes first; `None` when none of them is one.
///
/// It is asked of the descriptors themselves (`TIOCGDEV`, Linux 2.6.32): a path could be made to
/// lead elsewhere, and `/dev/tty` is another device for everybody.
#[must_use]
pub fn of(process: BorrowedFd<'_>) -> Option<u32> {
    (0..3).find_map(|number| {
        let descriptor = pidfd_getfd(process, number).ok()?;
        device(descriptor.as_fd())
    })
}

fn device(descriptor: BorrowedFd<'_>) -> Option<u32> {
    let mut device = 0_u32;
    // SAFETY: the call writes one integer of 32 bits, which lives across it, or fails.
    let result = unsafe { libc::ioctl(descriptor.as_raw_fd(), libc::TIOCGDEV, &raw mut device) };
    (result == 0).then(|| decoded(device))
}

/// A device number as user space has it (`new_encode_dev`), as the kernel has it inside.
fn decoded(device: u32) -> u32 {
    let major = (device >> 8) & 0xfff;
    let minor = (device & 0xff) | ((device >> 12) & 0xf_ff00);
    major << 20 | minor
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::raw::pidfd_open;
    use nix::unistd::Pid;
    use std::process::{Command, Stdio};

    #[test]
    fn numbers_are_those_of_the_kernel() {
        // pts/3, pts/300 (0x12c) and ttyS1, as stat(2) shows them.
        assert_eq!(decoded(0x0000_8803), 0x0880_0003);
        assert_eq!(decoded(0x0010_882c), 0x0880_012c);
        assert_eq!(decoded(0x0000_0441), 0x0040_0041);
    }

    #[test]
    fn the_first_that_is_a_terminal_is_found() {
        let pty = nix::pty::openpty(None, None).unwrap();
        let expected = device(pty.slave.as_fd()).unwrap();
        assert_eq!(expected >> 20, 136);
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
            assert_eq!(of(pidfd.as_fd()), device);
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}
