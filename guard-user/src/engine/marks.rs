//! Marks of inodes, from the user side. aya has no type for inode storage: it is written through
//! the system call, by a descriptor of the file (`bpf(2)`, 5.10).

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use anyhow::{Context, Result};
use aya::maps::MapData;
use guard_ebpf::session::Mark;

use super::{Engine, load};

/// `BPF_MAP_UPDATE_ELEM`.
const UPDATE: libc::c_long = 2;

/// The arguments of `BPF_MAP_UPDATE_ELEM`, as in `union bpf_attr`.
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
    pub fn give(&self, session: u32, file: BorrowedFd<'_>) -> Result<()> {
        let map = MapData::from_pin(load::pin_directory().join("INODES"))
            .context("the marks cannot be opened")?;
        let key = file.as_raw_fd();
        let mark = Mark {
            given: session,
            ..Mark::default()
        };
        let element = Element {
            map: u32::try_from(map.fd().as_fd().as_raw_fd())?,
            reserved: 0,
            key: (&raw const key) as u64,
            value: (&raw const mark) as u64,
            flags: 0,
        };
        // SAFETY: the kernel reads the key and the value, which live until it returns, and as
        // much of the arguments as is said.
        let result = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                UPDATE,
                &raw const element,
                size_of::<Element>(),
            )
        };
        if result == 0 {
            Ok(())
        } else {
            Err(std::io::Error::last_os_error())
                .context("a file that the session is started with cannot be marked")
        }
    }
}
