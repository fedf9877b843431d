//! Reading files whose names others may have a say in: a pipe must not make who reads it wait, a
//! device must not be opened at all, and neither must what is swapped in at the last moment.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

/// The bytes of an ordinary file of at most so many. Whatever else is there is an error, and so is
/// a file that somebody holds a lease on.
pub fn read_ordinary(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    // What is found is held on to and looked at before it is opened in earnest (`open(2)`,
    // `O_PATH`), so that it can't be another by then.
    let found: OwnedFd = open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
    let metadata = File::from(found.try_clone()?).metadata()?;
    if metadata.is_dir() {
        return Err(io::Error::other("it is a directory"));
    }
    if !metadata.is_file() {
        return Err(io::Error::other("it is not an ordinary file"));
    }
    let again = format!("/proc/self/fd/{}", found.as_raw_fd());
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let file = File::from(open(again.as_str(), flags, Mode::empty())?);
    let mut bytes = Vec::new();
    // It may grow while it is read, and files of the kernel's own say that they are empty.
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other(format!(
            "it is larger than {} MiB",
            most >> 20
        )));
    }
    Ok(bytes)
}

/// Which of the files that had its inode's number one after the other a file or directory is
/// (`FS_IOC_GETVERSION`). An error where the file system does not say.
pub fn generation(path: &Path) -> io::Result<u32> {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let file: OwnedFd = open(path, flags, Mode::empty())?;
    let mut generation = 0_u32;
    // SAFETY: the kernel writes four bytes (of a `long`, on all file systems that know it, but for
    // the type's name).
    let known = unsafe {
        libc::ioctl(
            file.as_raw_fd(),
            libc::FS_IOC_GETVERSION,
            &raw mut generation,
        )
    };
    if known == 0 {
        Ok(generation)
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    const MOST: u64 = 1 << 20;

    #[test]
    fn nothing_but_an_ordinary_file_is_read_and_nothing_is_waited_for() {
        let base = tempfile::tempdir().unwrap();
        let at = |name: &str| base.path().join(name);
        std::fs::write(at("file"), "text").unwrap();
        symlink("file", at("link")).unwrap();
        nix::unistd::mkfifo(&at("pipe"), Mode::S_IRWXU).unwrap();
        symlink("/dev/zero", at("device")).unwrap();
        assert_eq!(read_ordinary(&at("file"), MOST).unwrap(), b"text");
        assert_eq!(read_ordinary(&at("link"), MOST).unwrap(), b"text");
        for (name, why) in [
            ("pipe", "it is not an ordinary file"),
            ("device", "it is not an ordinary file"),
            ("", "it is a directory"),
        ] {
            let error = read_ordinary(&at(name), MOST).unwrap_err();
            assert_eq!(error.to_string(), why);
        }
        let error = read_ordinary(&at("none"), MOST).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_file_that_is_too_large_is_not_read() {
        let base = tempfile::tempdir().unwrap();
        let file = base.path().join("file");
        File::create(&file).unwrap().set_len(MOST).unwrap();
        assert_eq!(read_ordinary(&file, MOST).unwrap().len() as u64, MOST);
        File::create(&file).unwrap().set_len(MOST + 1).unwrap();
        let error = read_ordinary(&file, MOST).unwrap_err();
        assert_eq!(error.to_string(), "it is larger than 1 MiB");
    }
}
