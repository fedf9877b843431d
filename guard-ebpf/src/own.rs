//! Whose own a file is: the session's that made it, and what lies below.
//!
//! - `d_instantiate`: marks what was made as the session's own, and hands the mark of a directory
//!   down to what appears in it.
//! - `inode_free_security`: the mark lies with the inode, in memory. When the kernel drops an inode
//!   whose file is still there, the file is remembered in a table, from which it gets its mark
//!   back. It runs for every inode, whoever has it dropped: one look-up.
//!
//! Which way it fails: none of these hooks can refuse. What could not be marked, or not be
//! remembered (which is counted, and told with refusals that may be for that), is not the session's
//! own.

use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use guard_ebpf::kernel::ProgramId;
use guard_ebpf::places::{has_generations, magic};
use guard_ebpf::session::{EvictedKey, Label, Mark, Pending};

use crate::access::{Arguments, Dentry, Entry, Inode, Task};
use crate::identity::{add, counters, label_of};
use crate::maps::{EVICTED, INODES, MOUNTED};
use crate::report;

/// How long a file may take to appear after its making was let through, in nanoseconds. One that
/// takes longer is not the session's own.
const PATIENCE: u64 = 1_000_000_000;

/// Marks an inode as made by a session. Returns false when there is no memory for that.
#[inline(always)]
pub fn make(inode: Inode, session: u32) -> bool {
    mark(inode, session, 0)
}

#[inline(always)]
fn mark(inode: Inode, session: u32, inherited: u32) -> bool {
    let mark = Mark::default();
    match INODES.get_or_insert(inode, &mark) {
        Some(mark) => {
            mark.owner = session;
            mark.inherited = inherited;
            true
        }
        None => false,
    }
}

/// How an inode is a session's own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Own {
    /// It is not.
    Not,
    /// It lies in a directory that the session made; somebody else put it there. Rules that are
    /// about its place hold.
    Below,
    /// The session made it.
    Made,
}

/// How an inode is a session's own.
#[inline(always)]
pub fn of(inode: Inode, session: u32) -> Own {
    match INODES.get(inode) {
        Some(mark) if mark.owner == session && mark.inherited == 0 => Own::Made,
        Some(mark) if mark.owner == session => Own::Below,
        Some(mark) if mark.owner != 0 => Own::Not,
        _ if recall(inode, session) => Own::Made,
        _ => Own::Not,
    }
}

/// Whether an inode is a session's own.
#[inline(always)]
pub fn is_own(inode: Inode, session: u32) -> bool {
    of(inode, session) != Own::Not
}

/// The identity of a file, on file systems that tell one user of an inode's number from the next.
#[inline(always)]
fn identity(inode: Inode) -> Option<EvictedKey> {
    let (device, magic) = inode.file_system();
    has_generations(magic).then(|| EvictedKey {
        device,
        generation: inode.generation(),
        number: inode.number(),
    })
}

/// Gives an inode that was dropped from memory its mark back.
#[inline(always)]
fn recall(inode: Inode, session: u32) -> bool {
    let Some(key) = identity(inode) else {
        return false;
    };
    // SAFETY: a value that is written once.
    if unsafe { EVICTED.get(key) } != Some(&session) {
        return false;
    }
    if make(inode, session) {
        let _ = EVICTED.remove(key);
    }
    true
}

/// Remembers what is a session's own.
#[lsm(hook = "inode_free_security")]
pub fn inode_free_security(context: LsmContext) -> i32 {
    let argument = Arguments::of(&context, ProgramId::inode_free_security).get(0);
    let inode = Inode::from_argument(argument);
    if let Some(mark) = INODES.get(inode)
        && mark.owner != 0
        && mark.inherited == 0
        && inode.links() != 0
    {
        remember(inode, mark.owner);
    }
    0
}

/// Remembers a file that goes from memory and not from its file system, while its session is
/// there.
#[inline(never)]
fn remember(inode: Inode, owner: u32) {
    let Some(counters) = counters(owner) else {
        return;
    };
    match identity(inode) {
        Some(key) => {
            if EVICTED.insert(key, owner, 0).is_err() {
                add(&mut counters.forgotten, 1);
            }
        }
        None if can_be_lost(inode, owner) => {
            add(&mut counters.unidentified, 1);
        }
        None => {}
    }
}

/// Whether the file of an inode without an identity can be there without it, and is its maker's by
/// its mark only. What lies in memory goes with its inode, and file systems that a session mounted
/// are its own as a whole.
#[inline(always)]
fn can_be_lost(inode: Inode, owner: u32) -> bool {
    let (device, magic) = inode.file_system();
    // SAFETY: a value that is written once.
    !matches!(magic, magic::TMPFS | magic::RAMFS) && unsafe { MOUNTED.get(device) } != Some(&owner)
}

/// Whether a file that is not known to be a session's own may be one whose mark was lost.
#[inline(always)]
pub fn is_doubtful(inode: Inode, session: u32) -> bool {
    if INODES.get(inode).is_some_and(|mark| mark.owner != 0) {
        return false;
    }
    counters(session).is_some_and(|counters| match identity(inode) {
        Some(_) => counters.forgotten != 0,
        None => counters.unidentified != 0 && can_be_lost(inode, session),
    })
}

/// Remembers that the task that runs is about to make a file.
#[inline(always)]
pub fn expect(made: Entry) {
    if let Some(label) = label_of(Task::current()) {
        label.pending[1] = label.pending[0];
        label.pending[0] = Pending {
            dentry: made.dentry.address(),
            parent: made.directory.address(),
            name: made.dentry.name_hash(),
            time: report::now(),
        };
    }
}

/// Nothing is expected of the task that runs any more: what it does next makes a name appear for
/// a file that is there already.
#[inline(always)]
pub fn expect_nothing() {
    if let Some(label) = label_of(Task::current()) {
        label.pending = [Pending::default(); 2];
    }
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
    let entry = dentry.entry();
    let mut session = 0;
    if let Some(label) = label_of(Task::current()) {
        session = label.session;
        // A pseudo terminal appears when its master is opened, by whoever opens it, and never by
        // a look-up.
        if is_expected(label, entry) || entry.super_block().magic() == magic::DEVPTS {
            make(inode, session);
            return 0;
        }
    }
    inherit(entry, inode, session);
    0
}

/// Whether a file appears whose making was let through. It is expected no more then.
///
/// `open(O_CREAT)` asks for leave to make a file before it has looked whether there is one, and
/// the look-up has the same name appear, in the same dentry. But then no look-up finds the dentry
/// yet, and where a file is made one does: it had stood for a name that does not exist.
#[inline(always)]
fn is_expected(label: &mut Label, entry: Entry) -> bool {
    let Entry { dentry, directory } = entry;
    let address = dentry.address();
    let place = if label.pending[0].dentry == address {
        0
    } else if label.pending[1].dentry == address {
        1
    } else {
        return false;
    };
    let pending = &mut label.pending[place];
    let matches = pending.parent == directory.address()
        && pending.name == dentry.name_hash()
        && !dentry.is_unhashed()
        && report::now().wrapping_sub(pending.time) < PATIENCE;
    *pending = Pending::default();
    matches
}

/// What lies in a directory that is a session's own is its own too, whoever put it there. A file
/// with further names may lie elsewhere as well, and is not. `session` is that of the task that
/// runs, or 0: a directory that was dropped from memory is only recalled for its own.
#[inline(always)]
fn inherit(entry: Entry, inode: Inode, session: u32) {
    if entry.directory.address() == entry.dentry.address() {
        return;
    }
    let Some(directory) = entry.directory.inode() else {
        return;
    };
    let owner = match INODES.get(directory) {
        Some(mark) if mark.owner != 0 => mark.owner,
        _ if session != 0 && recall(directory, session) => session,
        _ => return,
    };
    if inode.links() != 1 && !inode.is_directory() {
        return;
    }
    // What it is already, it stays: another name of a directory, or what was made and dropped from
    // memory.
    if of(inode, owner) == Own::Not {
        mark(inode, owner, 1);
    }
}
