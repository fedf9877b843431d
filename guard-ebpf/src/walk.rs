//! Following a file, an executable or a cgroup down from its root, through the automaton.
//!
//! Nothing is copied but one name at a time, on the stack: scratch memory of the
//! processor's could be overwritten by another task's program in the middle of ours.
//! The way down is found by climbing from the leaf again for each name.
//!
//! Every loop is the kernel's `bpf_loop` (5.17). Before 6.6 the verifier looks at the
//! function that is called as if it were called once: what it shares with its caller must
//! be unknown when it is called first ([`forget`]), or checks that only matter later would
//! be removed as dead code.

use core::ffi::c_void;
use core::mem::MaybeUninit;

use aya_ebpf::helpers::generated::{bpf_loop, bpf_probe_read_kernel_str};
use guard_ebpf::abi::{COMM_LEN, MAX_DEPTH, NAME_MAX};
use guard_ebpf::automaton::DEAD;
use guard_ebpf::operation::Reason;
use guard_ebpf::policy::Policy;
use guard_ebpf::socket::digit;

use crate::access::{Dentry, Entry, KernfsNode, forget, untyped};
use crate::maps::{POLICIES, ROWS};

/// What a walk needs: shared with the function that the kernel calls for each name.
struct Walk<Node> {
    /// Where the leaf's name stands.
    name: u64,
    /// The node above the leaf.
    above: Node,
    depth: u32,
    slot: u32,
    row: u32,
}

/// A node of a tree: has a name and a node above.
trait Node: Copy {
    /// [`ascend`], for `bpf_loop`.
    const ASCEND: *const c_void;
    /// [`descend`], for `bpf_loop`.
    const DESCEND: *const c_void;

    /// The node above; the top is its own.
    fn up(self) -> Self;
    /// The address of the name, a string in kernel memory.
    fn name(self) -> u64;
    /// The address, as an identity.
    fn address(self) -> u64;
}

impl Node for Dentry {
    const ASCEND: *const c_void = ascend_dentry as *const c_void;
    const DESCEND: *const c_void = descend_dentry as *const c_void;

    #[inline(always)]
    fn up(self) -> Self {
        self.parent()
    }

    #[inline(always)]
    fn name(self) -> u64 {
        Dentry::name(self)
    }

    #[inline(always)]
    fn address(self) -> u64 {
        Dentry::address(self)
    }
}

impl Node for KernfsNode {
    const ASCEND: *const c_void = ascend_kernfs as *const c_void;
    const DESCEND: *const c_void = descend_kernfs as *const c_void;

    #[inline(always)]
    fn up(self) -> Self {
        self.parent().unwrap_or(self)
    }

    #[inline(always)]
    fn name(self) -> u64 {
        KernfsNode::name(self)
    }

    #[inline(always)]
    fn address(self) -> u64 {
        KernfsNode::address(self)
    }
}

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
extern "C" fn walk_name(slot: u32, row: u32, address: u64) -> u32 {
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

/// The row at which what stands for an Internet socket ends (see [`guard_ebpf::socket`]): the
/// address in two words and the port, all in the order of the network.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn walk_endpoint(slot: u32, low: u64, high: u64, port: u32) -> u32 {
    let Some(policy) = POLICIES.get(slot) else {
        return u32::from(DEAD);
    };
    let mut row = step(policy, policy.socket_start, b':');
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

/// One step up; stops at a node that is above itself.
#[inline(always)]
fn ascend<N: Node>(node: &mut N) -> i64 {
    let above = node.up();
    if above.address() == node.address() {
        return 1;
    }
    *node = above;
    0
}

unsafe extern "C" fn ascend_dentry(_: u32, node: *mut Dentry) -> i64 {
    // SAFETY: the node that was given to `bpf_loop`.
    ascend(unsafe { &mut *node })
}

unsafe extern "C" fn ascend_kernfs(_: u32, node: *mut KernfsNode) -> i64 {
    // SAFETY: the node that was given to `bpf_loop`.
    ascend(unsafe { &mut *node })
}

/// Climbs so many steps, or to the top. Returns how many nodes were looked at: one more than
/// the steps that were made, when it came to the top.
#[inline(always)]
fn climb<N: Node>(node: &mut N, steps: u32) -> u32 {
    // SAFETY: the function has the form that the helper calls, and the node outlives it.
    unsafe {
        bpf_loop(
            steps,
            N::ASCEND.cast_mut(),
            core::ptr::from_mut(node).cast(),
            0,
        ) as u32
    }
}

/// Where the name stands of the node so many steps above a leaf.
#[inline(always)]
fn name_above<N: Node>(leaf: u64, above: N, steps: u32) -> u64 {
    if steps == 0 {
        return leaf;
    }
    let mut node = above;
    if steps != 1 {
        climb(&mut node, steps.wrapping_sub(1));
    }
    node.name()
}

/// One name on the way down: `/name`.
#[inline(always)]
fn descend<N: Node>(level: u32, walk: &mut Walk<N>) -> i64 {
    let steps = walk.depth.wrapping_sub(1).wrapping_sub(level);
    let name = name_above(walk.name, walk.above, steps);
    walk.row = walk_name(walk.slot, walk.row, name);
    // A row that is never left ends the walk.
    i64::from(walk.row == u32::from(DEAD))
}

unsafe extern "C" fn descend_dentry(level: u32, walk: *mut Walk<Dentry>) -> i64 {
    // SAFETY: the walk that was given to `bpf_loop`.
    descend(level, unsafe { &mut *walk })
}

unsafe extern "C" fn descend_kernfs(level: u32, walk: *mut Walk<KernfsNode>) -> i64 {
    // SAFETY: the walk that was given to `bpf_loop`.
    descend(level, unsafe { &mut *walk })
}

/// The row at which the names from the top down to a leaf end. `name` is where the leaf's stands.
#[inline(always)]
fn walk<N: Node>(slot: u32, start: u16, name: u64, above: N, depth: u32) -> u32 {
    let mut walk = Walk {
        name,
        above,
        depth,
        slot,
        row: forget(u32::from(start)),
    };
    // SAFETY: as in `climb`.
    unsafe { bpf_loop(depth, N::DESCEND.cast_mut(), (&raw mut walk).cast(), 0) };
    walk.row
}

/// How deep a file lies below the root of its file system. Refuses a file that is not
/// connected to it, and one that lies too deep.
#[inline(always)]
pub fn depth(leaf: Entry) -> Result<u32, Reason> {
    let Entry { dentry, directory } = leaf;
    let mut node = directory;
    // As many as there are names from the directory up to the root, with that: the leaf's depth,
    // unless it is the root itself.
    let seen = climb(&mut node, MAX_DEPTH + 1);
    if seen > MAX_DEPTH {
        Err(Reason::TooDeep)
    } else if directory.super_block().root().address() == node.address() {
        Ok(seen.wrapping_sub(u32::from(directory.address() == dentry.address())))
    } else {
        Err(Reason::Disconnected)
    }
}

/// The first word of the name of the directory so many steps above a file.
#[inline(always)]
pub fn word_above(leaf: Entry, steps: u32) -> u64 {
    untyped(name_above(leaf.dentry.name(), leaf.directory, steps) as *const u8)
}

/// The row at which a file's path ends.
#[inline(always)]
pub fn file(slot: u32, start: u16, leaf: Entry, depth: u32) -> u32 {
    walk(slot, start, leaf.dentry.name(), leaf.directory, depth)
}

/// How deep a cgroup lies. None for one that lies too deep.
#[inline(always)]
pub fn cgroup_depth(leaf: KernfsNode) -> Option<u32> {
    let mut node = leaf;
    let seen = climb(&mut node, MAX_DEPTH + 1);
    if seen > MAX_DEPTH {
        None
    } else {
        Some(seen.wrapping_sub(1))
    }
}

/// The row at which a cgroup's path ends.
#[inline(always)]
pub fn cgroup(slot: u32, start: u16, leaf: KernfsNode, depth: u32) -> u32 {
    walk(slot, start, leaf.name(), leaf.up(), depth)
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
pub fn endpoint(slot: u32, address: [u64; 2], port: u32) -> u32 {
    walk_endpoint(slot, address[0], address[1], port)
}

/// The row at which a socket of another family ends.
#[inline(always)]
pub fn family(slot: u32, family: u32) -> u32 {
    walk_family(slot, family)
}
