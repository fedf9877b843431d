//! One operation through an `io_uring` (5.1).

use nix::errno::Errno;
use nix::libc;

use super::Attempt;
use crate::support::raw::call;

/// `IORING_ENTER_GETEVENTS`: wait for what was handed in.
const GET_EVENTS: usize = 1;
/// What is mapped: enough for one entry of each queue.
const LENGTH: usize = 4096;
/// Where the entries are mapped (`IORING_OFF_SQES`).
const ENTRIES: usize = 0x1000_0000;

/// Makes a ring, hands one entry in and waits for it. `words` are the entry's descriptor, offset
/// (or second address), address, length and flags.
pub fn once(operation: u8, words: &[usize]) -> anyhow::Result<Attempt> {
    // struct io_uring_params, 120 bytes; the offsets of the queues stand at its end.
    let mut params = [0_u32; 30];
    let ring = match call(libc::SYS_io_uring_setup, &[1, params.as_mut_ptr() as usize]) {
        Ok(ring) => ring,
        Err(errno) => return Ok(Err(errno)),
    };
    let map = |offset: usize| {
        call(
            libc::SYS_mmap,
            &[
                0,
                LENGTH,
                (libc::PROT_READ | libc::PROT_WRITE) as usize,
                libc::MAP_SHARED as usize,
                ring,
                offset,
            ],
        )
    };
    // From 5.4 on both queues are in one mapping; the entries have their own.
    let (queues, entries) = (map(0)?, map(ENTRIES)?);
    let place = |offset: u32| (queues + offset as usize) as *mut u32;
    let (sq_tail, sq_array, cq_head, cq_tail, cqes) = (
        place(params[11]),
        place(params[16]),
        place(params[20]),
        place(params[21]),
        (queues + params[25] as usize) as *const i32,
    );
    let word = |at: usize| words.get(at).copied().unwrap_or(0);
    let mut entry = [0_u8; 64];
    entry[0] = operation;
    entry[4..8].copy_from_slice(&(word(0) as u32).to_le_bytes());
    entry[8..16].copy_from_slice(&word(1).to_le_bytes());
    entry[16..24].copy_from_slice(&word(2).to_le_bytes());
    entry[24..28].copy_from_slice(&(word(3) as u32).to_le_bytes());
    entry[28..32].copy_from_slice(&(word(4) as u32).to_le_bytes());
    // SAFETY: the kernel has mapped both areas, and says itself where in them things lie.
    unsafe {
        std::ptr::copy_nonoverlapping(entry.as_ptr(), entries as *mut u8, entry.len());
        sq_array.write_volatile(0);
        sq_tail.write_volatile(sq_tail.read_volatile() + 1);
    }
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
    if let Err(errno) = call(libc::SYS_io_uring_enter, &[ring, 1, 1, GET_EVENTS, 0, 0]) {
        return Ok(Err(errno));
    }
    // SAFETY: as above; an entry is two words of user data, the result, and flags.
    let (count, result) = unsafe {
        (
            cq_tail
                .read_volatile()
                .wrapping_sub(cq_head.read_volatile()),
            cqes.add(2).read_volatile(),
        )
    };
    anyhow::ensure!(count == 1, "{count} entries were completed");
    Ok(if result < 0 {
        Err(Errno::from_raw(-result))
    } else {
        Ok(result as usize)
    })
}
