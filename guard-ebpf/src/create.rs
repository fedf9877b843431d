//! Making files. Whose own they are then is the matter of `own.rs`.
//!
//! - `inode_create`, `inode_mkdir`, `inode_symlink`: judge the name that is made. Making is free
//!   where no rule says otherwise, but on file systems by which the kernel is controlled.
//! - `inode_mknod`: refuses nodes for devices too; the other kinds are like files.
//! - `inode_link`: judges a hard link as a way to write the file, and its name as one that is
//!   made.

use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use guard_ebpf::kernel::ProgramId;
use guard_ebpf::operation::{Facility, Operation};
use guard_ebpf::record::{FLAG_LINK, NO_NUMBER};

use crate::access::{Arguments, Dentry, Inode, S_IFBLK, S_IFCHR, Task};
use crate::file;
use crate::identity::session_of;
use crate::judge::{self, Act};
use crate::own;

/// Judges a name that is made, and remembers it. `brings` as in [`Act`].
#[inline(always)]
fn make(context: &LsmContext, program: ProgramId, brings: bool) -> i32 {
    match session_of(Task::current()) {
        0 => 0,
        session => {
            let dentry = Arguments::of(context, program).get(0);
            judge_making(session, brings, Dentry::from_argument(dentry))
        }
    }
}

/// Judges a session's making of a file. (Why it is a function of its own: see `signal::kill`.)
#[inline(never)]
fn judge_making(session: u32, brings: bool, dentry: Dentry) -> i32 {
    let act = Act {
        brings,
        ..Act::new(session, Operation::Create)
    };
    let verdict = file::new(act, dentry);
    if verdict == 0 {
        own::expect(dentry.entry());
    }
    verdict
}

/// Judges the making of files.
#[lsm(hook = "inode_create")]
pub fn inode_create(context: LsmContext) -> i32 {
    make(&context, ProgramId::inode_create, false)
}

/// Judges the making of directories.
#[lsm(hook = "inode_mkdir")]
pub fn inode_mkdir(context: LsmContext) -> i32 {
    make(&context, ProgramId::inode_mkdir, false)
}

/// Judges the making of symbolic links.
#[lsm(hook = "inode_symlink")]
pub fn inode_symlink(context: LsmContext) -> i32 {
    make(&context, ProgramId::inode_symlink, true)
}

/// Judges the making of nodes.
#[lsm(hook = "inode_mknod")]
pub fn inode_mknod(context: LsmContext) -> i32 {
    let session = session_of(Task::current());
    if session == 0 {
        return 0;
    }
    let arguments = Arguments::of(&context, ProgramId::inode_mknod);
    let kind = arguments.get(1) as u16 & 0o170_000;
    let device = arguments.get(2) as u32;
    let facility = match kind {
        S_IFBLK => Facility::Disks,
        // A character device of number 0 is no device: overlayfs marks what was removed so.
        S_IFCHR if device != 0 => Facility::Devices,
        _ => return judge_making(session, false, Dentry::from_argument(arguments.get(0))),
    };
    judge::machine(Act::on_machine(session, facility), NO_NUMBER, device)
}

/// Judges hard links.
#[lsm(hook = "inode_link")]
pub fn inode_link(context: LsmContext) -> i32 {
    match session_of(Task::current()) {
        0 => 0,
        session => judge_link(Arguments::of(&context, ProgramId::inode_link), session),
    }
}

/// Judges a session's hard link.
#[inline(never)]
fn judge_link(arguments: Arguments, session: u32) -> i32 {
    let act = Act {
        flags: FLAG_LINK,
        ..Act::new(session, Operation::Overwrite)
    };
    own::expect_nothing();
    let old = Dentry::from_argument(arguments.get(0));
    let linked = file::existing_apart(act, old);
    if linked != 0 {
        return linked;
    }
    let act = Act {
        brings: old.inode().is_some_and(Inode::leads_on),
        ..Act::new(session, Operation::Create)
    };
    file::new_apart(act, Dentry::from_argument(arguments.get(1)))
}
