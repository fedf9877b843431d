//! Modes, owners, times, extended attributes, access lists and sizes.
//!
//! - `inode_setattr`: a new size is judged as writing, all else as attributes. What the kernel
//!   itself changes while a file is written (`ATTR_FORCE`) goes through. A size that is set through a
//!   descriptor is judged like what is written through it: `open(O_TRUNC)` was judged before.
//! - `inode_setxattr`, `inode_removexattr`, `inode_set_acl` and `inode_remove_acl` (6.2; before
//!   that, access lists are extended attributes), `inode_file_setattr` (6.17): judged as
//!   attributes.

use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use guard_ebpf::kernel::ProgramId;
use guard_ebpf::operation::Operation;

use crate::access::{Arguments, Attributes, Dentry, Task};
use crate::file;
use crate::identity::session_of;
use crate::judge::Act;
use crate::write::{FMODE_WRITE, was_let_write};

/// `ATTR_SIZE`.
const SIZE: u32 = 1 << 3;
/// `ATTR_FORCE`: the kernel's own doing.
const FORCE: u32 = 1 << 9;
/// `ATTR_FILE`: through a descriptor.
const FILE: u32 = 1 << 13;

/// Judges sizes, modes, owners and times.
#[lsm(hook = "inode_setattr")]
pub fn inode_setattr(context: LsmContext) -> i32 {
    let session = session_of(Task::current());
    if session == 0 {
        return 0;
    }
    let arguments = Arguments::of(&context, ProgramId::inode_setattr);
    let attributes = Attributes::from_argument(arguments.get(1));
    let valid = attributes.valid();
    if valid & (SIZE | FILE) == SIZE | FILE
        && attributes.file_mode() & FMODE_WRITE != 0
        && let Some(inode) = Dentry::from_argument(arguments.get(0)).inode()
        && was_let_write(session, inode)
    {
        return 0;
    }
    let operation = if valid & SIZE != 0 {
        Operation::Overwrite
    } else if valid & FORCE != 0 {
        return 0;
    } else {
        Operation::Attributes
    };
    judge(session, operation, arguments)
}

/// Judges a session's change. (Why it is a function of its own: see `signal::kill`.)
#[inline(never)]
fn judge(session: u32, operation: Operation, arguments: Arguments) -> i32 {
    file::existing(
        Act::new(session, operation),
        Dentry::from_argument(arguments.get(0)),
    )
}

/// Judges a change of attributes.
#[inline(always)]
fn attributes(context: &LsmContext, program: ProgramId) -> i32 {
    match session_of(Task::current()) {
        0 => 0,
        session => judge(
            session,
            Operation::Attributes,
            Arguments::of(context, program),
        ),
    }
}

/// Judges extended attributes.
#[lsm(hook = "inode_setxattr")]
pub fn inode_setxattr(context: LsmContext) -> i32 {
    attributes(&context, ProgramId::inode_setxattr)
}

/// Judges the removal of extended attributes.
#[lsm(hook = "inode_removexattr")]
pub fn inode_removexattr(context: LsmContext) -> i32 {
    attributes(&context, ProgramId::inode_removexattr)
}

/// Judges access control lists.
#[lsm(hook = "inode_set_acl")]
pub fn inode_set_acl(context: LsmContext) -> i32 {
    attributes(&context, ProgramId::inode_set_acl)
}

/// Judges the removal of access control lists.
#[lsm(hook = "inode_remove_acl")]
pub fn inode_remove_acl(context: LsmContext) -> i32 {
    attributes(&context, ProgramId::inode_remove_acl)
}

/// Judges flags of files.
#[lsm(hook = "inode_file_setattr")]
pub fn inode_file_setattr(context: LsmContext) -> i32 {
    attributes(&context, ProgramId::inode_file_setattr)
}
