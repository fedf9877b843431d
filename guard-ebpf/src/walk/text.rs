//! Stepping the automaton with texts: names, what stands for sockets, command lines.

use core::ffi::c_void;
use core::mem::MaybeUninit;

use aya_ebpf::helpers::generated::{bpf_loop, bpf_probe_read_kernel_str};
use guard_ebpf::abi::{COMM_LEN, COMMAND_LEN, NAME_MAX};
use guard_ebpf::automaton::DEAD;
use guard_ebpf::command::Command;
use guard_ebpf::policy::Policy;
use guard_ebpf::socket::digit;

use crate::access::{forget, untyped};
use crate::maps::{POLICIES, ROWS};

/// How many bytes of a name are looked at at a time.
const CHUNK: usize = 8;
/// Enough for the longest name.
const CHUNKS: u32 = NAME_MAX.div_ceil(CHUNK) as u32;

/// Steps the automaton with a byte.
#[inline(always)]
fn step(policy: &Policy, row: u16, byte: u8) -> u16 {
    match ROWS.get(u32::from(row)) {
        Some(row_of) => row_of.step(policy.classes[byte as usize]),
        None => DEAD,
    }
}

/// What stepping through a name needs: shared with the function that the kernel calls for each
/// part of it.
struct Naming {
    address: u64,
    slot: u32,
    row: u32,
}

/// Steps the automaton with a few bytes of a name; stops at its end.
unsafe extern "C" fn step_chunk(chunk: u32, naming: *mut Naming) -> i64 {
    // SAFETY: what was given to `bpf_loop`.
    let naming = unsafe { &mut *naming };
    let Some(policy) = POLICIES.get(naming.slot) else {
        naming.row = u32::from(DEAD);
        return 1;
    };
    // Not filled first: that would be a loop of its own.
    let mut bytes = MaybeUninit::<[u8; CHUNK + 1]>::uninit();
    // SAFETY: the buffer is as long as said, the NUL included; the source is checked by the
    // kernel. What cannot be read is filled with zeroes.
    let bytes = unsafe {
        let size = size_of_val(&bytes) as u32;
        let from = naming.address + u64::from(chunk) * CHUNK as u64;
        bpf_probe_read_kernel_str(bytes.as_mut_ptr().cast(), size, from as *const _);
        bytes.assume_init_ref()
    };
    let mut row = naming.row as u16;
    for &byte in &bytes[..CHUNK] {
        if byte == 0 {
            naming.row = u32::from(row);
            return 1;
        }
        row = step(policy, row, byte);
    }
    naming.row = u32::from(row);
    0
}

/// Steps the automaton of the policy in a slot with `/` and a name, given by its address.
///
/// A global function: the verifier looks at it once, and not again for every way that leads
/// here. Such a function takes and returns numbers only.
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn walk_name(slot: u32, row: u32, address: u64) -> u32 {
    let Some(policy) = POLICIES.get(slot) else {
        return u32::from(DEAD);
    };
    steps(slot, step(policy, row as u16, b'/'), address)
}

/// Steps the automaton of the policy in a slot, from where sockets begin, with `@` and the name
/// of a Unix socket of the abstract name space.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn walk_abstract(slot: u32, address: u64) -> u32 {
    let Some(policy) = POLICIES.get(slot) else {
        return u32::from(DEAD);
    };
    steps(slot, step(policy, policy.socket_start, b'@'), address)
}

#[inline(always)]
fn steps(slot: u32, row: u16, address: u64) -> u32 {
    let mut naming = Naming {
        address,
        slot,
        row: forget(u32::from(row)),
    };
    // SAFETY: the function has the form that the helper calls, and what it is given outlives it.
    unsafe {
        bpf_loop(
            CHUNKS,
            step_chunk as *mut c_void,
            (&raw mut naming).cast(),
            0,
        )
    };
    naming.row
}

/// The row at which what stands for an Internet socket ends (see [`guard_ebpf::socket`]), from another
/// row: the address in two words and the port, all in the order of the network.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn walk_endpoint(slot: u32, from: u32, low: u64, high: u64, port: u32) -> u32 {
    let Some(policy) = POLICIES.get(slot) else {
        return u32::from(DEAD);
    };
    let mut row = step(policy, from as u16, b':');
    for index in 0..18_u32 {
        let word = match index {
            0..8 => low,
            8..16 => high,
            _ => u64::from(port),
        };
        let byte = (word >> (index % 8 * 8)) as u8;
        row = step(policy, row, digit(byte >> 4));
        row = step(policy, row, digit(byte));
    }
    u32::from(row)
}

/// The row at which what stands for another kind of socket ends: its family.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn walk_family(slot: u32, family: u32) -> u32 {
    let Some(policy) = POLICIES.get(slot) else {
        return u32::from(DEAD);
    };
    let mut row = step(policy, policy.socket_start, b'#');
    row = step(policy, row, digit((family >> 4) as u8));
    u32::from(step(policy, row, digit(family as u8)))
}

/// Steps the automaton of the policy in a slot with a command name, given in two words.
/// A global function, like [`walk_name`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn walk_comm(slot: u32, low: u64, high: u64) -> u32 {
    let Some(policy) = POLICIES.get(slot) else {
        return u32::from(DEAD);
    };
    let mut row = policy.name_start;
    for index in 0..COMM_LEN as u32 {
        let word = if index < 8 { low } else { high };
        let byte = (word >> (index % 8 * 8)) as u8;
        if byte == 0 {
            break;
        }
        row = step(policy, row, byte);
    }
    u32::from(row)
}

/// What stepping through a command line needs: shared with the function that the kernel calls for each
/// part of it.
struct Line {
    /// Where the text stands.
    text: u64,
    length: u32,
    /// How many arguments are left.
    arguments: u32,
    slot: u32,
    row: u32,
    /// 1 when an argument has ended since the last byte that counted, and something stood before it.
    between: u32,
    /// 1 when something has counted.
    started: u32,
}

/// Steps the automaton with a byte of a command line; stops behind the last argument. (The same in
/// words that are easier to read: [`Command::joined`].) One at a time: hardly any policy asks, and every
/// program that can be asked has to be verified.
unsafe extern "C" fn step_line(index: u32, line: *mut Line) -> i64 {
    // SAFETY: what was given to `bpf_loop`.
    let line = unsafe { &mut *line };
    let Some(policy) = POLICIES.get(line.slot) else {
        return 1;
    };
    if line.arguments == 0 || index >= line.length {
        return 1;
    }
    let byte = untyped((line.text + u64::from(index)) as *const u8) as u8;
    if byte == 0 {
        line.arguments -= 1;
        line.between = line.started;
        return 0;
    }
    if line.between != 0 {
        line.row = step(policy, line.row as u16, b' ').into();
    }
    line.between = 0;
    line.started = 1;
    line.row = step(policy, line.row as u16, byte).into();
    0
}

/// The row at which the command line at an address ends; none when it is cut, or being written. A
/// global function: the verifier looks at it once.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn walk_command(slot: u32, command: u64) -> u32 {
    use core::mem::offset_of;
    let Some(policy) = POLICIES.get(slot) else {
        return u32::MAX;
    };
    let read = |place: usize| untyped((command + place as u64) as *const u8);
    let sequence = read(offset_of!(Command, sequence));
    let counts = read(offset_of!(Command, length));
    let mut line = Line {
        text: command + offset_of!(Command, text) as u64,
        length: counts as u32,
        arguments: (counts >> 32) as u32,
        slot,
        row: forget(policy.command_start.into()),
        between: forget(0),
        started: forget(0),
    };
    // SAFETY: the function has the form that the helper calls, and what it is given outlives it.
    unsafe {
        bpf_loop(
            COMMAND_LEN as u32,
            step_line as *mut c_void,
            (&raw mut line).cast(),
            0,
        )
    };
    // Helpers are calls: nothing is read before the text that is asked for after it.
    let is_whole =
        line.arguments == 0 && sequence & 1 == 0 && sequence == read(offset_of!(Command, sequence));
    if is_whole { line.row } else { u32::MAX }
}

/// The row at which the command line at an address ends; none when it is not known as a whole.
#[inline(always)]
pub fn command(slot: u32, command: u64) -> Option<u32> {
    match walk_command(slot, command) {
        u32::MAX => None,
        row => Some(row),
    }
}

/// The row at which a command name ends.
#[inline(always)]
pub fn name(slot: u32, comm: [u64; COMM_LEN / 8]) -> u32 {
    walk_comm(slot, comm[0], comm[1])
}

/// The row at which the name of a Unix socket of the abstract name space ends.
#[inline(always)]
pub fn abstract_name(slot: u32, address: u64) -> u32 {
    walk_abstract(slot, address)
}

/// The row at which an Internet socket ends.
#[inline(always)]
pub fn endpoint(policy: &Policy, slot: u32, address: [u64; 2], port: u32) -> u32 {
    let from = policy.socket_start.into();
    walk_endpoint(slot, from, address[0], address[1], port)
}

/// The row at which what a process listens at ends.
#[inline(always)]
pub fn listening(policy: &Policy, slot: u32, address: [u64; 2], port: u32) -> u32 {
    let from = policy.listening_start.into();
    walk_endpoint(slot, from, address[0], address[1], port)
}

/// The row at which a socket of another family ends.
#[inline(always)]
pub fn family(slot: u32, family: u32) -> u32 {
    walk_family(slot, family)
}
