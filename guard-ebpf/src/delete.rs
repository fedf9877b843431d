//! Removing files and directories.
//!
//! - `inode_unlink`, `inode_rmdir`: also reached through overlayfs, nfsd and message
//!   queues. Judge the name that goes.
//! - `inode_rename`: judges the name that goes as a removal, and the one that is replaced
//!   too; a name that is new is judged as one that is made. An exchange calls it twice, the
//!   second time with the sides swapped.
//!
//! A file is judged by its path from the root of its file system, as the kernel has it:
//! bind mounts, symbolic links, `..` and a changed root do not change it.

use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use guard_ebpf::kernel::ProgramId;
use guard_ebpf::operation::Operation;
use guard_ebpf::record::FLAG_RENAME;

use crate::access::{Arguments, Dentry, Inode, Task};
use crate::connect;
use crate::file;
use crate::identity::session_of;
use crate::judge::Act;

/// The act of deleting.
#[inline(always)]
fn delete(session: u32, flags: u8) -> Act {
    Act {
        flags,
        ..Act::new(session, Operation::Delete)
    }
}

/// Judges `unlink` and `rmdir`.
#[inline(always)]
fn remove(context: &LsmContext, program: ProgramId) -> i32 {
    match session_of(Task::current()) {
        0 => 0,
        session => judge_removal(Arguments::of(context, program), session),
    }
}

/// Judges a session's removal. (Why it is a function of its own: see `signal::kill`.)
#[inline(never)]
fn judge_removal(arguments: Arguments, session: u32) -> i32 {
    file::existing(delete(session, 0), Dentry::from_argument(arguments.get(0)))
}

/// Judges the removal of files.
#[lsm(hook = "inode_unlink")]
pub fn inode_unlink(context: LsmContext) -> i32 {
    remove(&context, ProgramId::inode_unlink)
}

/// Judges the removal of directories.
#[lsm(hook = "inode_rmdir")]
pub fn inode_rmdir(context: LsmContext) -> i32 {
    remove(&context, ProgramId::inode_rmdir)
}

/// Judges renaming.
#[lsm(hook = "inode_rename")]
pub fn inode_rename(context: LsmContext) -> i32 {
    match session_of(Task::current()) {
        0 => 0,
        session => judge_renaming(Arguments::of(&context, ProgramId::inode_rename), session),
    }
}

/// Judges a session's renaming.
#[inline(never)]
fn judge_renaming(arguments: Arguments, session: u32) -> i32 {
    let old = Dentry::from_argument(arguments.get(0));
    let moved = connect::judge_move(session, old);
    if moved != 0 {
        return moved;
    }
    let away = file::existing_apart(delete(session, FLAG_RENAME), old);
    if away != 0 {
        return away;
    }
    let over = Dentry::from_argument(arguments.get(1));
    if !over.exists() {
        let act = Act {
            brings: old.inode().is_some_and(Inode::leads_on),
            ..Act::new(session, Operation::Create)
        };
        return file::new_apart(act, over);
    }
    file::existing_apart(delete(session, FLAG_RENAME), over)
}
