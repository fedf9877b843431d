//! Marks of inodes, from the user side. aya has no type for inode storage: it is read and written
//! through the system call, by a descriptor of the file (`bpf(2)`, 5.10).

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result};
use aya::maps::MapData;
use guard_ebpf::session::{EvictedKey, Mark};

use super::shared::Shared;
use super::{Engine, load};
use crate::explain::Whose;
use crate::system::files;

/// `BPF_MAP_LOOKUP_ELEM`.
const LOOKUP: libc::c_long = 1;
/// `BPF_MAP_UPDATE_ELEM`.
const UPDATE: libc::c_long = 2;

/// The arguments of both, as in `union bpf_attr`.
#[repr(C)]
struct Element {
    map: u32,
    reserved: u32,
    key: u64,
    value: u64,
    flags: u64,
}

impl Engine {
    /// Lets a session go on writing to a file that it is started with, through the descriptor
    /// that it has: its standard output, sent to a file by whoever started it.
    ///
    /// A file can be given to one session at a time. When another one that lives has it, it keeps
    /// it, and is returned.
    pub fn give(&self, session: u32, file: BorrowedFd<'_>) -> Result<Option<u32>> {
        let map = MapData::from_pin(load::pin_directory().join("INODES"))
            .context("the marks cannot be opened")?;
        let map = map.fd().as_fd();
        let found =
            mark(map, file).context("the mark of a file that the session is started with")?;
        let sessions = self.sessions()?;
        let lives = |id: u32| sessions.iter().any(|(other, ..)| *other == id);
        match given(found, session, lives) {
            Ok(mark) => set_mark(map, file, mark)
                .context("a file that the session is started with cannot be marked")
                .map(|()| None),
            Err(holder) => Ok(Some(holder)),
        }
    }
}

impl Engine {
    /// Whose own a file is.
    pub fn whose(&self, file: BorrowedFd<'_>) -> Result<Whose> {
        let map = MapData::from_pin(load::pin_directory().join("INODES"))
            .context("the marks cannot be opened")?;
        let found = mark(map.fd().as_fd(), file).context("the mark of a file cannot be read")?;
        Ok(match found {
            Mark { owner: 0, .. } => match self.remembered(file)? {
                Some(owner) => Whose::Remembered(owner),
                None => Whose::Nobody,
            },
            Mark {
                owner,
                inherited: 0,
                ..
            } => Whose::Made(owner),
            Mark { owner, .. } => Whose::Below(owner),
        })
    }

    /// The session that made a file which the kernel has dropped from memory since. Only whoever
    /// may open the file can tell it from others that had its number (`FS_IOC_GETVERSION`).
    fn remembered(&self, file: BorrowedFd<'_>) -> Result<Option<u32>> {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let metadata = fs::metadata(&path)?;
        if !metadata.is_file() && !metadata.is_dir() {
            return Ok(None);
        }
        let Ok(generation) = files::generation(Path::new(&path)) else {
            return Ok(None);
        };
        let device = metadata.dev();
        let key = EvictedKey {
            device: guard_ebpf::places::device(libc::major(device), libc::minor(device)),
            generation,
            number: metadata.ino(),
        };
        match self.maps.evicted.get(&Shared(key), 0) {
            Ok(owner) => Ok(Some(owner)),
            Err(aya::maps::MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(error).context("the files that are remembered cannot be read"),
        }
    }
}

/// The mark of a file that is given to a session, with everything else that it says. The session
/// that has the file when that one lives.
fn given(found: Mark, session: u32, lives: impl Fn(u32) -> bool) -> Result<Mark, u32> {
    if found.given != 0 && found.given != session && lives(found.given) {
        return Err(found.given);
    }
    Ok(Mark {
        given: session,
        ..found
    })
}

fn mark(map: BorrowedFd<'_>, file: BorrowedFd<'_>) -> io::Result<Mark> {
    let mut mark = Mark::default();
    match element(LOOKUP, map, file, &raw mut mark) {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(Mark::default()),
        result => result.map(|()| mark),
    }
}

/// What the programs write into the mark meanwhile is lost: that the file may be written, which
/// they find out once more.
fn set_mark(map: BorrowedFd<'_>, file: BorrowedFd<'_>, mut mark: Mark) -> io::Result<()> {
    element(UPDATE, map, file, &raw mut mark)
}

fn element(
    command: libc::c_long,
    map: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    value: *mut Mark,
) -> io::Result<()> {
    let key = file.as_raw_fd();
    let element = Element {
        map: map.as_raw_fd().unsigned_abs(),
        reserved: 0,
        key: (&raw const key) as u64,
        value: value as u64,
        flags: 0,
    };
    // SAFETY: the kernel reads the key and reads or writes the value, which is a mark of the
    // caller's as the map has them; both live until it returns. It reads as much of the arguments
    // as is said.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            &raw const element,
            size_of::<Element>(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_given_without_losing_what_else_is_known_of_it() {
        let found = Mark {
            owner: 3,
            writable: 4 << 32 | 5,
            ..Mark::default()
        };
        let mark = given(found, 7, |_| true).unwrap();
        assert_eq!(mark, Mark { given: 7, ..found });
        assert_eq!(given(mark, 7, |_| true), Ok(mark), "twice");
        assert_eq!(given(mark, 8, |id| id == 7), Err(7), "while that one lives");
        assert_eq!(given(mark, 8, |_| false), Ok(Mark { given: 8, ..found }));
    }
}
