//! Writing to files, and using devices.
//!
//! - `file_open`: judges opening a file that exists for writing, whatever is then done with the
//!   descriptor, and opening a device at all. A file that this very call has made is marked as
//!   the session's own.
//! - `file_permission`: judges each write, for descriptors that were inherited, received or
//!   opened before a policy changed. What was found before is remembered with the inode.
//! - `mmap_file`: judges shared mappings of descriptors that can be written: what is written
//!   through them later comes to no hook.
//! - `file_receive`: judges devices that arrive as descriptors; files are judged when they are
//!   written.
//! - `file_fcntl`: judges leases and delegations: who opens the file, or makes something in the
//!   directory, then waits for the session to give them up.
//! - `file_lock`: judges locks that shut others out: a descriptor for reading is enough for one.

use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use guard_ebpf::kernel::ProgramId;
use guard_ebpf::operation::Operation;
use guard_ebpf::places::magic;
use guard_ebpf::session::Mark;

use crate::access::{Arguments, Dentry, File, Inode, S_IFBLK, S_IFCHR, S_IFDIR, S_IFREG, Task};
use crate::file;
use crate::identity::session_of;
use crate::judge::{self, Act};
use crate::maps::INODES;
use crate::own;

/// `FMODE_WRITE`.
pub const FMODE_WRITE: u32 = 2;
/// `FMODE_CREATED`: this very call has made the file.
const FMODE_CREATED: u32 = 0x10_0000;
/// `__O_TMPFILE`: a file without a name was made.
const O_TMPFILE: u32 = 0o20_000_000;
/// `MAY_WRITE` and `MAY_APPEND`.
const MAY_WRITE: u32 = 2 | 8;
/// `MAP_TYPE`, of which `MAP_SHARED` and `MAP_SHARED_VALIDATE` have the lowest bit.
const MAP_SHARED: u32 = 1;
/// `F_WRLCK`, also for `flock(LOCK_EX)`.
const WRITE_LOCK: u32 = 1;

/// Judges opening.
#[lsm(hook = "file_open")]
pub fn file_open(context: LsmContext) -> i32 {
    match session_of(Task::current()) {
        0 => 0,
        session => {
            let file = Arguments::of(&context, ProgramId::file_open).get(0);
            judge_opening(session, File::from_argument(file))
        }
    }
}

/// Judges a session's opening of a file. (Why it is a function of its own: see `signal::kill`.)
#[inline(never)]
fn judge_opening(session: u32, file: File) -> i32 {
    let Some(dentry) = file.dentry() else {
        return judge::EPERM;
    };
    let Some(inode) = file.inode() else {
        return judge::EPERM;
    };
    // A message queue is opened with whatever flags the caller gave: those alone say nothing.
    let is_nameless = file.flags() & O_TMPFILE != 0 && inode.links() == 0 && dentry.is_unhashed();
    if file.mode() & FMODE_CREATED != 0 || is_nameless {
        own::make(inode, session);
        return 0;
    }
    match inode.kind() {
        S_IFBLK | S_IFCHR => file::device_node(session, inode, dentry),
        S_IFDIR => 0,
        _ if file.mode() & FMODE_WRITE == 0 => 0,
        _ => judge_writing(session, inode, dentry),
    }
}

/// What is remembered of a file that a session was found to be let write under a policy.
#[inline(always)]
const fn writable(session: u32, policy: u32) -> u64 {
    (session as u64) << 32 | policy as u64
}

/// Judges writing to a file; what was let through is remembered.
#[inline(always)]
fn judge_writing(session: u32, inode: Inode, dentry: Dentry) -> i32 {
    // Before it is judged: what one policy lets be written is not to count under the next.
    let before = judge::policy_of(session).map(|(policy, _)| policy.id);
    let outcome = file::with_inode(Act::new(session, Operation::Overwrite), inode, dentry);
    let verdict = outcome.returned();
    // What may be written in procfs depends on who writes, and not on the file alone.
    if verdict == 0
        && (outcome.is_for_all() || outcome.is_granted())
        && inode.file_system().1 != magic::PROC
        && let Some(policy) = before
    {
        let mark = Mark::default();
        if let Some(mark) = INODES.get_or_insert(inode, &mark) {
            mark.writable = writable(session, policy);
        }
    }
    verdict
}

/// What is known of a file, with what its mark says of the session where it was found to be let write
/// it under its policy.
#[inline(always)]
fn known(session: u32, inode: Inode) -> Option<(&'static Mark, u64)> {
    let (policy, _) = judge::policy_of(session)?;
    Some((INODES.get(inode)?, writable(session, policy.id)))
}

/// Whether a session was found to be let write a file under its policy.
#[inline(always)]
pub fn was_let_write(session: u32, inode: Inode) -> bool {
    known(session, inode).is_some_and(|(mark, writable)| mark.writable == writable)
}

/// The same, or was started with it.
#[inline(always)]
fn may_write(session: u32, inode: Inode) -> bool {
    known(session, inode)
        .is_some_and(|(mark, writable)| mark.writable == writable || mark.given == session)
}

/// Judges what is about to be written through a descriptor.
#[inline(never)]
fn judge_descriptor(session: u32, file: File) -> i32 {
    let Some(inode) = file.inode() else {
        return judge::EPERM;
    };
    let Some(dentry) = file.dentry() else {
        return judge::EPERM;
    };
    match inode.kind() {
        S_IFREG if may_write(session, inode) => 0,
        S_IFREG => judge_writing(session, inode, dentry),
        S_IFBLK => file::device_node(session, inode, dentry),
        // Pipes, sockets, terminals and other devices: whoever gave the descriptor away meant
        // it to be used.
        _ => 0,
    }
}

/// Judges writing.
#[lsm(hook = "file_permission")]
pub fn file_permission(context: LsmContext) -> i32 {
    let arguments = Arguments::of(&context, ProgramId::file_permission);
    if arguments.get(1) as u32 & MAY_WRITE == 0 {
        return 0;
    }
    match session_of(Task::current()) {
        0 => 0,
        session => judge_descriptor(session, File::from_argument(arguments.get(0))),
    }
}

/// Judges shared mappings.
#[lsm(hook = "mmap_file")]
pub fn mmap_file(context: LsmContext) -> i32 {
    let arguments = Arguments::of(&context, ProgramId::mmap_file);
    if arguments.get(1) as u32 & MAP_SHARED == 0 || arguments.is_null(0) {
        return 0;
    }
    let session = session_of(Task::current());
    let file = File::from_argument(arguments.get(0));
    // Newer verifiers (7.1) know that it can be null, and do not see the check above.
    if session == 0 || file.pointer().is_null() || file.mode() & FMODE_WRITE == 0 {
        return 0;
    }
    judge_descriptor(session, file)
}

/// Judges received devices.
#[lsm(hook = "file_receive")]
pub fn file_receive(context: LsmContext) -> i32 {
    let session = session_of(Task::current());
    if session == 0 {
        return 0;
    }
    let file = File::from_argument(Arguments::of(&context, ProgramId::file_receive).get(0));
    judge_received(session, file)
}

/// Judges a descriptor that a session receives.
#[inline(never)]
fn judge_received(session: u32, file: File) -> i32 {
    let Some(dentry) = file.dentry() else {
        return judge::EPERM;
    };
    let Some(inode) = file.inode() else {
        return judge::EPERM;
    };
    match inode.kind() {
        S_IFBLK | S_IFCHR => file::device_node(session, inode, dentry),
        _ => 0,
    }
}

/// Judges a delegation: who makes or removes something in the directory waits for the session.
#[inline(never)]
fn judge_delegation(session: u32, file: File) -> i32 {
    match (file.inode(), file.dentry()) {
        (Some(inode), Some(dentry)) => {
            file::with_inode(Act::new(session, Operation::Overwrite), inode, dentry).returned()
        }
        _ => judge::EPERM,
    }
}

/// Judges locks.
#[lsm(hook = "file_lock")]
pub fn file_lock(context: LsmContext) -> i32 {
    let session = session_of(Task::current());
    if session == 0 {
        return 0;
    }
    let arguments = Arguments::of(&context, ProgramId::file_lock);
    if arguments.get(1) as u32 != WRITE_LOCK {
        return 0;
    }
    judge_descriptor(session, File::from_argument(arguments.get(0)))
}

/// Judges leases and delegations.
#[lsm(hook = "file_fcntl")]
pub fn file_fcntl(context: LsmContext) -> i32 {
    /// `F_SETLEASE`, and `F_UNLCK`, which gives one up.
    const SET_LEASE: u32 = 1024;
    const UNLOCK: u32 = 2;
    /// `F_SETDELEG` (6.19), also of directories. Whether it gives one up stands in the caller's
    /// memory.
    const SET_DELEGATION: u32 = 1040;
    let session = session_of(Task::current());
    if session == 0 {
        return 0;
    }
    let arguments = Arguments::of(&context, ProgramId::file_fcntl);
    let file = File::from_argument(arguments.get(0));
    match arguments.get(1) as u32 {
        SET_LEASE if arguments.get(2) as u32 != UNLOCK => judge_descriptor(session, file),
        SET_DELEGATION => judge_delegation(session, file),
        _ => 0,
    }
}
