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

mod text;

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_loop;
use guard_ebpf::abi::MAX_DEPTH;
use guard_ebpf::automaton::DEAD;
use guard_ebpf::operation::Reason;

pub use text::{abstract_name, command, endpoint, family, listening, name};

use crate::access::{Dentry, Entry, KernfsNode, Place, forget, untyped};
use text::walk_name;

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

impl Node for Place {
    const ASCEND: *const c_void = ascend_place as *const c_void;
    const DESCEND: *const c_void = descend_place as *const c_void;

    #[inline(always)]
    fn up(self) -> Self {
        self.parent()
    }

    #[inline(always)]
    fn name(self) -> u64 {
        Place::name(self)
    }

    #[inline(always)]
    fn address(self) -> u64 {
        Place::address(self)
    }
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

unsafe extern "C" fn ascend_place(_: u32, node: *mut Place) -> i64 {
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

unsafe extern "C" fn descend_place(level: u32, walk: *mut Walk<Place>) -> i64 {
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

/// The row at which the path of a place ends, from the start on its file system; none where that cannot
/// be said.
#[inline(always)]
pub fn place(slot: u32, leaf: Place, start: impl FnOnce(u32) -> u16) -> Option<u32> {
    let directory = leaf.parent();
    let mut node = directory;
    let seen = climb(&mut node, MAX_DEPTH + 1);
    if seen > MAX_DEPTH || directory.root() != node.address() {
        return None;
    }
    let depth = seen.wrapping_sub(u32::from(directory.address() == leaf.address()));
    let start = start(directory.device());
    Some(walk(slot, start, leaf.name(), directory, depth))
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
