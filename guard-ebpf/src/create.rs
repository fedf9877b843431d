//! Making files, and whose own they are.
//!
//! - `inode_create`, `inode_mkdir`, `inode_symlink`: judge the name that is made. Making is free
//!   where no rule says otherwise, but on file systems by which the kernel is controlled.
//! - `inode_mknod`: refuses nodes for devices too; the other kinds are like files.
//! - `inode_link`: judges a hard link as a way to write the file, and its name as one that is
//!   made.
//! - `d_instantiate`: marks what was made as the session's own, and hands the mark of a directory
//!   down to what appears in it. It cannot refuse; what could not be marked is not the session's
//!   own.

use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use guard_ebpf::kernel::ProgramId;
use guard_ebpf::operation::{Facility, Operation};
use guard_ebpf::record::{FLAG_LINK, NO_NUMBER};
use guard_ebpf::session::{Label, Pending};

use crate::access::{Arguments, Dentry, Inode, S_IFBLK, S_IFCHR, Task};
use crate::file;
use crate::identity::{label_of, session_of};
use crate::judge::{self, Act};
use crate::report;

/// How long a file may take to appear after its making was let through, in nanoseconds. One that
/// takes longer is not the session's own.
const PATIENCE: u64 = 1_000_000_000;

/// Judges a name that is made, and remembers it.
#[inline(always)]
fn make(context: &LsmContext, program: ProgramId) -> i32 {
    match session_of(Task::current()) {
        0 => 0,
        session => {
            let dentry = Arguments::of(context, program).get(0);
            judge_making(session, Dentry::from_argument(dentry))
        }
    }
}

/// Judges a session's making of a file. (Why it is a function of its own: see `signal::kill`.)
#[inline(never)]
fn judge_making(session: u32, dentry: Dentry) -> i32 {
    let verdict = file::new(Act::new(session, Operation::Create), dentry);
    if verdict == 0 {
        expect(dentry);
    }
    verdict
}

/// Remembers that the task that runs is about to make a file.
#[inline(always)]
fn expect(dentry: Dentry) {
    if let Some(label) = label_of(Task::current()) {
        label.pending[1] = label.pending[0];
        label.pending[0] = Pending {
            dentry: dentry.address(),
            parent: dentry.parent().address(),
            name: dentry.name_hash(),
            time: report::now(),
        };
    }
}

/// Judges the making of files.
#[lsm(hook = "inode_create")]
pub fn inode_create(context: LsmContext) -> i32 {
    make(&context, ProgramId::inode_create)
}

/// Judges the making of directories.
#[lsm(hook = "inode_mkdir")]
pub fn inode_mkdir(context: LsmContext) -> i32 {
    make(&context, ProgramId::inode_mkdir)
}

/// Judges the making of symbolic links.
#[lsm(hook = "inode_symlink")]
pub fn inode_symlink(context: LsmContext) -> i32 {
    make(&context, ProgramId::inode_symlink)
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
        _ => return judge_making(session, Dentry::from_argument(arguments.get(0))),
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
    let linked = file::existing(act, Dentry::from_argument(arguments.get(0)));
    if linked != 0 {
        return linked;
    }
    file::new(
        Act::new(session, Operation::Create),
        Dentry::from_argument(arguments.get(1)),
    )
}

/// Marks what was made, and what lies in a directory that is a session's own.
#[lsm(hook = "d_instantiate")]
pub fn d_instantiate(context: LsmContext) -> i32 {
    let arguments = Arguments::of(&context, ProgramId::d_instantiate);
    let dentry = Dentry::from_argument(arguments.get(0));
    let inode = Inode::from_argument(arguments.get(1));
    // A look-up that found nothing. (Newer verifiers know that there may be none, and do not see
    // the first check; older ones take the second for needless.)
    if arguments.is_null(1) || inode.pointer().is_null() {
        return 0;
    }
    if let Some(label) = label_of(Task::current()) {
        // A pseudo terminal appears when its master is opened, by whoever opens it, and never by
        // a look-up.
        if is_expected(label, dentry) || file::is_of_terminals(dentry) {
            file::make_own(inode, label.session);
            return 0;
        }
    }
    inherit(dentry, inode);
    0
}

/// Whether a file appears whose making was let through. It is expected no more then.
#[inline(always)]
fn is_expected(label: &mut Label, dentry: Dentry) -> bool {
    let address = dentry.address();
    let place = if label.pending[0].dentry == address {
        0
    } else if label.pending[1].dentry == address {
        1
    } else {
        return false;
    };
    let pending = &mut label.pending[place];
    let matches = pending.parent == dentry.parent().address()
        && pending.name == dentry.name_hash()
        && report::now().wrapping_sub(pending.time) < PATIENCE;
    *pending = Pending::default();
    matches
}

/// What lies in a directory that is a session's own is its own too, whoever put it there. A file
/// with further names may lie elsewhere as well, and is not.
#[inline(always)]
fn inherit(dentry: Dentry, inode: Inode) {
    let parent = dentry.parent();
    if parent.address() == dentry.address() {
        return;
    }
    let Some(directory) = parent.inode() else {
        return;
    };
    let owner = file::owner(directory);
    if owner != 0 && (inode.links() == 1 || inode.is_directory()) {
        file::make_own(inode, owner);
    }
}
