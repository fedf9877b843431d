//! The files that a session is started with, to be written: whoever started it sent its output
//! there.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::raw::pidfd_getfd;

/// The regular files that a process has as its standard input, output and error, as far as they
/// can be written.
#[must_use]
pub fn of(process: BorrowedFd<'_>) -> Vec<OwnedFd> {
    (0..3)
        .filter_map(|number| pidfd_getfd(process, number).ok())
        .filter(is_output)
        .collect()
}

fn is_output(descriptor: &OwnedFd) -> bool {
    let is_file = descriptor
        .try_clone()
        .and_then(|descriptor| File::from(descriptor).metadata())
        .is_ok_and(|metadata| metadata.is_file());
    let can_be_written = fcntl(descriptor.as_fd(), FcntlArg::F_GETFL)
        .is_ok_and(|flags| OFlag::from_bits_retain(flags) & OFlag::O_ACCMODE != OFlag::O_RDONLY);
    is_file && can_be_written
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use nix::unistd::Pid;

    use super::*;
    use crate::session::raw::pidfd_open;

    #[test]
    fn files_that_can_be_written_are_outputs() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let log = File::create(&path).unwrap();
        let mut child = Command::new("/bin/sleep")
            .arg("60")
            .stdin(File::open("/proc/self/exe").unwrap())
            .stdout(log)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pidfd = pidfd_open(Pid::from_raw(child.id() as i32)).unwrap();
        let outputs = of(pidfd.as_fd());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(outputs.len(), 1);
    }
}
