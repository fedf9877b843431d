//! What the kernel stores with an object, from the user side. aya has no type for the storage of
//! inodes, sockets and tasks: it is read and written through the system call, by a descriptor of the
//! file (`bpf(2)`, 5.10) or the socket (5.2), or a pidfd (5.11).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use aya::Pod;

use super::call::{Element, LOOKUP_ELEMENT, UPDATE_ELEMENT, bpf};

/// What is stored with an object; none when nothing is. `room` is where it is put.
pub fn get<T: Pod>(
    map: BorrowedFd<'_>,
    object: BorrowedFd<'_>,
    mut room: T,
) -> io::Result<Option<T>> {
    match element(LOOKUP_ELEMENT, map, object, &mut room) {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        result => result.map(|()| Some(room)),
    }
}

/// Stores a value with an object.
pub fn set<T: Pod>(map: BorrowedFd<'_>, object: BorrowedFd<'_>, mut value: T) -> io::Result<()> {
    element(UPDATE_ELEMENT, map, object, &mut value)
}

fn element<T: Pod>(
    command: libc::c_long,
    map: BorrowedFd<'_>,
    object: BorrowedFd<'_>,
    value: &mut T,
) -> io::Result<()> {
    let key = object.as_raw_fd();
    let element = Element {
        map: map.as_raw_fd().unsigned_abs(),
        reserved: 0,
        key: (&raw const key) as u64,
        value: std::ptr::from_mut(value) as u64,
        flags: 0,
    };
    // SAFETY: the kernel reads the key and reads or writes the value, whose type is that of the
    // caller's map; both live until it returns.
    unsafe { bpf(command, &element) }.map(drop)
}
