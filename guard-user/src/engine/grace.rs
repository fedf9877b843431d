//! A grace period: when it is over, every program that ran when it began has ended, and nobody looks
//! any more at what was taken out of a map before.

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use anyhow::{Context as _, Result};

use super::call::{CREATE_MAP, Element, UPDATE_ELEMENT, bpf};

/// `BPF_MAP_TYPE_ARRAY`.
const ARRAY: u32 = 2;
/// `BPF_MAP_TYPE_ARRAY_OF_MAPS`.
const ARRAY_OF_MAPS: u32 = 12;

/// What a map is made of, as in `union bpf_attr`.
#[repr(C)]
struct Made {
    kind: u32,
    key: u32,
    value: u32,
    entries: u32,
    flags: u32,
    inner: u32,
}

/// Waits until every program that runs now has ended. All of guard's run inside RCU's read side.
///
/// Who changes an array of maps waits for that (`maybe_wait_bpf_programs`, 4.20). `membarrier(2)` does
/// it too, but not on a machine with one processor: there it returns at once, although a program may be
/// in the middle where the kernel can be preempted (6.18 and later as Debian builds it).
pub(super) fn grace_period() -> Result<()> {
    wait().context("the programs that run can't be waited for")
}

fn wait() -> io::Result<()> {
    let inner = make(ARRAY, 0)?;
    let outer = make(ARRAY_OF_MAPS, inner.as_raw_fd().unsigned_abs())?;
    let (key, value) = (0_u32, inner.as_raw_fd());
    let element = Element {
        map: outer.as_raw_fd().unsigned_abs(),
        reserved: 0,
        key: (&raw const key) as u64,
        value: (&raw const value) as u64,
        flags: 0,
    };
    // SAFETY: both maps have keys and values of four bytes, which live until it returns.
    unsafe { bpf(UPDATE_ELEMENT, &element) }.map(drop)
}

fn make(kind: u32, inner: u32) -> io::Result<OwnedFd> {
    let made = Made {
        kind,
        key: 4,
        value: 4,
        entries: 1,
        flags: 0,
        inner,
    };
    // SAFETY: the arguments point to nothing; the descriptor is new, and nobody else's.
    unsafe { bpf(CREATE_MAP, &made).map(|descriptor| OwnedFd::from_raw_fd(descriptor)) }
}
