//! Mounts.
//!
//! - `sb_mount`: `mount(2)`: new mounts, binds, remounts, propagation: judged by the place that
//!   is mounted on, which is the root of what is there when it is mounted already.
//! - `sb_umount`: judged by the root of what is unmounted.
//! - `move_mount`: the new calls (`fsmount`, `open_tree`): judged by the place.
//! - `sb_kern_mount`: refuses nothing; tells which file systems a session mounts in a user namespace
//!   of its own.
//! - `sb_delete`: refuses nothing; what was known of a file system by its device number goes with
//!   it, whoever unmounts it: the next one may get the number.
//!
//! All of them let through what is done in a mount namespace that belongs to a user namespace of
//! the session's: the kernel keeps that from reaching the machine. `mount_setattr`, `fspick` and
//! `pivot_root` have no hook that sees the place; they need `CAP_SYS_ADMIN`, which `capable`
//! refuses.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_loop;
use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use guard_ebpf::abi::MAX_POLICIES;
use guard_ebpf::automaton::StartKey;
use guard_ebpf::kernel::ProgramId;
use guard_ebpf::operation::Operation;
use guard_ebpf::record::FLAG_UNMOUNT;

use crate::access::{Arguments, Dentry, Mount, Path, SuperBlock, Task};
use crate::file;
use crate::identity::session_of;
use crate::judge::{self, Act};
use crate::maps::{MOUNTED, STARTS};

/// The session of the task that runs, when its mounts are seen by the whole machine; else 0.
#[inline(always)]
fn session_on_machine() -> u32 {
    let current = Task::current();
    let session = session_of(current);
    if session != 0 && current.mounts_for_all() {
        session
    } else {
        0
    }
}

/// Judges what is done to a place. (Why it is a function of its own: see `signal::kill`.)
#[inline(never)]
fn judge_place(session: u32, flags: u8, place: Dentry) -> i32 {
    let act = Act {
        flags,
        ..Act::new(session, Operation::Mount)
    };
    file::place(act, place)
}

/// Judges mounting on a path.
#[inline(always)]
fn on_path(context: &LsmContext, program: ProgramId) -> i32 {
    let session = session_on_machine();
    if session == 0 {
        return 0;
    }
    match Path::from_argument(Arguments::of(context, program).get(0)).dentry() {
        Some(place) => judge_place(session, 0, place),
        None => judge::EPERM,
    }
}

/// Judges mounting and remounting.
#[lsm(hook = "sb_mount")]
pub fn sb_mount(context: LsmContext) -> i32 {
    on_path(&context, ProgramId::sb_mount)
}

/// Judges moving and attaching mounts.
#[lsm(hook = "move_mount")]
pub fn move_mount(context: LsmContext) -> i32 {
    let session = session_of(Task::current());
    if session == 0 {
        return 0;
    }
    // What `fsmount` mounts comes to no other hook.
    let from = Arguments::of(&context, ProgramId::move_mount).get(1);
    if let Some(file_system) = Path::from_argument(from).super_block() {
        take(file_system, session);
    }
    on_path(&context, ProgramId::move_mount)
}

/// Takes a file system that a session mounts in a user namespace of its own for its own.
#[lsm(hook = "sb_kern_mount")]
pub fn sb_kern_mount(context: LsmContext) -> i32 {
    let session = session_of(Task::current());
    if session != 0 {
        let argument = Arguments::of(&context, ProgramId::sb_kern_mount).get(0);
        take(SuperBlock::from_argument(argument), session);
    }
    0
}

/// A file system that is mounted in a user namespace other than the first shows nothing but what
/// the session brings: what lies below an overlay is judged again where it lies. One that could
/// not be remembered is not the session's own.
#[inline(always)]
fn take(file_system: SuperBlock, session: u32) {
    if file_system.is_confined() {
        let _ = MOUNTED.insert(file_system.device(), session, 0);
    }
}

/// Forgets a file system: its number may be given to another.
#[lsm(hook = "sb_delete")]
pub fn sb_delete(context: LsmContext) -> i32 {
    let argument = Arguments::of(&context, ProgramId::sb_delete).get(0);
    let mut device = SuperBlock::from_argument(argument).device();
    let _ = MOUNTED.remove(device);
    // SAFETY: the function has the form that the helper (5.17) calls, and the number outlives it.
    unsafe {
        bpf_loop(
            MAX_POLICIES,
            forget_start as *mut c_void,
            (&raw mut device).cast(),
            0,
        )
    };
    0
}

/// Forgets where a policy's automaton starts on a file system.
unsafe extern "C" fn forget_start(slot: u32, device: *mut u32) -> i64 {
    // SAFETY: what was given to `bpf_loop`.
    let device = unsafe { *device };
    let _ = STARTS.remove(StartKey { slot, device });
    0
}

/// Judges unmounting.
#[lsm(hook = "sb_umount")]
pub fn sb_umount(context: LsmContext) -> i32 {
    let session = session_on_machine();
    if session == 0 {
        return 0;
    }
    let mount = Mount::from_argument(Arguments::of(&context, ProgramId::sb_umount).get(0));
    judge_place(session, FLAG_UNMOUNT, mount.root())
}
