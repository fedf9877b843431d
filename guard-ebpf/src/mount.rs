//! Mounts.
//!
//! - `sb_mount`: `mount(2)`: new mounts, binds, remounts, propagation: judged by the place that
//!   is mounted on, which is the root of what is there when it is mounted already.
//! - `sb_umount`: judged by the root of what is unmounted.
//! - `move_mount`: the new calls (`fsmount`, `open_tree`): judged by the place.
//!
//! All of them let through what is done in a mount namespace that belongs to a user namespace of
//! the session's: the kernel keeps that from reaching the machine. `mount_setattr`, `fspick` and
//! `pivot_root` have no hook that sees the place; they need `CAP_SYS_ADMIN`, which `capable`
//! refuses.

use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use guard_ebpf::kernel::ProgramId;
use guard_ebpf::operation::Operation;
use guard_ebpf::record::FLAG_UNMOUNT;

use crate::access::{Arguments, Dentry, Mount, Path, Task};
use crate::file;
use crate::identity::session_of;
use crate::judge::{self, Act};

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
    on_path(&context, ProgramId::move_mount)
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
