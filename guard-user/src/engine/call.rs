//! `bpf(2)` itself, for what aya has no way to.

use std::io;

/// `BPF_MAP_CREATE`.
pub(super) const CREATE_MAP: libc::c_long = 0;
/// `BPF_MAP_LOOKUP_ELEM`.
pub(super) const LOOKUP_ELEMENT: libc::c_long = 1;
/// `BPF_MAP_UPDATE_ELEM`.
pub(super) const UPDATE_ELEMENT: libc::c_long = 2;

/// The arguments of both, as in `union bpf_attr`.
#[repr(C)]
pub(super) struct Element {
    pub map: u32,
    pub reserved: u32,
    pub key: u64,
    pub value: u64,
    pub flags: u64,
}

/// Makes the call: a number, or a descriptor.
///
/// # Safety
/// The arguments are of the form that the command takes, and what they point to lives until the call
/// returns.
pub(super) unsafe fn bpf<T>(command: libc::c_long, arguments: &T) -> io::Result<i32> {
    // SAFETY: the kernel reads as much of the arguments as is said; the rest is the caller's to know.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(arguments),
            size_of::<T>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // `int` in the kernel.
    Ok(result as i32)
}
