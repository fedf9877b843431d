//! Marks of inodes and sockets, from the user side.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result};
use aya::maps::MapData;
use guard_ebpf::session::{EvictedKey, Mark};

use super::shared::Shared;
use super::{Engine, load, storage};
use crate::explain::Whose;
use crate::system::files;

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
    /// Marks a socket that listens as a session's own, so that it and no other may connect.
    pub fn give_socket(&self, session: u32, socket: BorrowedFd<'_>) -> Result<()> {
        let map = MapData::from_pin(load::pin_directory().join("SOCKETS"))
            .context("the marks of sockets cannot be opened")?;
        storage::set(map.fd().as_fd(), socket, session)
            .context("the session's socket cannot be marked")
    }

    /// The session that has made a socket; none for others.
    pub fn maker_of(&self, socket: BorrowedFd<'_>) -> Option<u32> {
        let map = MapData::from_pin(load::pin_directory().join("SOCKETS")).ok()?;
        storage::get(map.fd().as_fd(), socket, 0_u32).ok()?
    }

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
    let found = storage::get(map, file, Shared(Mark::default()))?;
    Ok(found.map_or_else(Mark::default, |Shared(mark)| mark))
}

/// What the programs write into the mark meanwhile is lost: that the file may be written, which
/// they find out once more.
fn set_mark(map: BorrowedFd<'_>, file: BorrowedFd<'_>, mark: Mark) -> io::Result<()> {
    storage::set(map, file, Shared(mark))
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
