//! Following a file, an executable or a cgroup down from its root, through the automaton.
//!
//! Nothing is copied but one name at a time, on the stack: scratch memory of the
//! processor's could be overwritten by another task's program in the middle of ours.
//! The way down is found by climbing from the leaf again for each name: two instructions
//! a step, and steps are few.

use aya_ebpf::helpers::generated::{bpf_loop, bpf_probe_read_kernel_str};
use guard_ebpf::abi::{COMM_LEN, MAX_DEPTH, NAME_MAX};
use guard_ebpf::automaton::DEAD;
use guard_ebpf::operation::Reason;
use guard_ebpf::policy::Policy;

use crate::access::{Dentry, KernfsNode, forget};
use crate::maps::ROWS;

/// What a walk needs: shared with the function that the kernel calls for each name.
struct Walk<Node> {
    leaf: Node,
    depth: u32,
    row: u16,
    policy: &'static Policy,
}

/// A node of a tree: has a name and a node above.
trait Node: Copy {
    /// The node above.
    fn up(self) -> Self;
    /// The name, a string in kernel memory.
    fn name(self) -> *const u8;
}

impl Node for Dentry {
    #[inline(always)]
    fn up(self) -> Self {
        self.parent()
    }

    #[inline(always)]
    fn name(self) -> *const u8 {
        Dentry::name(self)
    }
}

impl Node for KernfsNode {
    #[inline(always)]
    fn up(self) -> Self {
        // Only climbed as far as was counted before, or as far as there is something.
        self.parent().unwrap_or(self)
    }

    #[inline(always)]
    fn name(self) -> *const u8 {
        KernfsNode::name(self)
    }
}

/// Steps the automaton with a byte.
#[inline(always)]
fn step(policy: &Policy, row: u16, byte: u8) -> u16 {
    match ROWS.get(u32::from(row)) {
        Some(row_of) => row_of.step(policy.classes[byte as usize]),
        None => DEAD,
    }
}

/// One name on the way down: `/name`.
#[inline(always)]
fn descend<N: Node>(level: u32, walk: &mut Walk<N>) -> i64 {
    let mut node = walk.leaf;
    let climb = walk.depth.wrapping_sub(1).wrapping_sub(level);
    for step in 0..MAX_DEPTH {
        if step >= climb {
            break;
        }
        node = node.up();
    }
    let mut name = [0_u8; NAME_MAX + 1];
    // SAFETY: the buffer is as long as said; the source is checked by the kernel. What
    // cannot be read stays empty.
    unsafe {
        bpf_probe_read_kernel_str(
            name.as_mut_ptr().cast(),
            name.len() as u32,
            node.name().cast(),
        );
    }
    let mut row = step(walk.policy, walk.row, b'/');
    for &byte in &name {
        if byte == 0 {
            break;
        }
        row = step(walk.policy, row, byte);
    }
    walk.row = row;
    // A row that is never left ends the walk.
    i64::from(row == DEAD)
}

unsafe extern "C" fn descend_dentry(level: u32, walk: *mut Walk<Dentry>) -> i64 {
    // SAFETY: the walk that was given to `bpf_loop`.
    descend(level, unsafe { &mut *walk })
}

unsafe extern "C" fn descend_kernfs(level: u32, walk: *mut Walk<KernfsNode>) -> i64 {
    // SAFETY: the walk that was given to `bpf_loop`.
    descend(level, unsafe { &mut *walk })
}

/// How deep a file lies below the root of its file system. Refuses a file that is not
/// connected to it, and one that lies too deep.
#[inline(always)]
pub fn depth(leaf: Dentry) -> Result<u32, Reason> {
    let mut node = leaf;
    let mut depth = 0;
    for _ in 0..MAX_DEPTH {
        let parent = node.parent();
        if parent.address() == node.address() {
            break;
        }
        node = parent;
        depth += 1;
    }
    let depth = forget(depth);
    if depth >= MAX_DEPTH {
        Err(Reason::TooDeep)
    } else if leaf.super_block().root().address() == node.address() {
        Ok(depth)
    } else {
        Err(Reason::Disconnected)
    }
}

/// The row at which a file's path ends.
#[inline(always)]
pub fn file(policy: &'static Policy, start: u16, leaf: Dentry, depth: u32) -> u16 {
    if start == DEAD {
        return DEAD;
    }
    let mut walk = Walk {
        leaf,
        depth,
        row: start,
        policy,
    };
    // SAFETY: the function has the form that the helper (5.17) calls, and the walk outlives it.
    unsafe {
        bpf_loop(depth, descend_dentry as *mut _, (&raw mut walk).cast(), 0);
    }
    walk.row
}

/// The row at which a cgroup's path ends.
#[inline(always)]
pub fn cgroup(policy: &'static Policy, leaf: KernfsNode) -> u16 {
    let mut depth = 0;
    let mut node = leaf;
    for _ in 0..MAX_DEPTH {
        let Some(parent) = node.parent() else { break };
        node = parent;
        depth += 1;
    }
    let depth = forget(depth);
    let mut walk = Walk {
        leaf,
        depth,
        row: policy.cgroup_start,
        policy,
    };
    // SAFETY: as in `file`.
    unsafe {
        bpf_loop(depth, descend_kernfs as *mut _, (&raw mut walk).cast(), 0);
    }
    walk.row
}

/// The row at which a command name ends.
#[inline(always)]
pub fn name(policy: &Policy, comm: &[u8; COMM_LEN]) -> u16 {
    let mut row = policy.name_start;
    for &byte in comm {
        if byte == 0 {
            break;
        }
        row = step(policy, row, byte);
    }
    row
}
