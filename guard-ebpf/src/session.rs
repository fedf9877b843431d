//! Sessions, labels and counters, as the kernel holds them.

use crate::abi::{COMM_LEN, MAX_POLICIES, MAX_SESSIONS};
use crate::operation::{MAX_OPERATIONS, Verdict};

/// What every task of a session carries (`LABELS`, or `TASKS` before 6.2). It never comes
/// off by itself.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Label {
    /// The session's number; 0 is none.
    pub session: u32,
    /// Unused, zero.
    pub reserved: u32,
    /// What this task is about to make, so that it becomes the session's own when it is there.
    /// Two, since overlayfs makes one file while it makes another.
    pub pending: [Pending; 2],
}

/// A file that is about to be made. The address alone could be another's by the time that a
/// file appears there, if this one was never made: so the name belongs to it, and the time.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// The address of the dentry; 0 for none.
    pub dentry: u64,
    /// The address of the directory's dentry.
    pub parent: u64,
    /// The hash and the length of the name.
    pub name: u64,
    /// When it was begun: nanoseconds since boot.
    pub time: u64,
}

/// Where a session lies in `SESSIONS` and `COUNTERS`: its number is chosen so that no other
/// session lies there. An array costs a program a tenth of what a hash table does.
#[must_use]
#[inline(always)]
pub const fn place(session: u32) -> u32 {
    session & (MAX_SESSIONS - 1)
}

/// A session: an element of `SESSIONS`. Of two versions of one, only the slot's lowest byte
/// differs, so that a change of policy is one step.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// The session's number; 0 where there is none. Never used again on this engine.
    pub id: u32,
    /// The slot of the policy in force.
    pub slot: u32,
    /// What stands for its name ([`name`]).
    pub name: u64,
}

/// What stands for the name of a session.
#[must_use]
pub const fn name(name: &[u8]) -> u64 {
    crate::grant::rule(name)
}

/// In place of a session: the process is one of the guard's own.
pub const GUARD: u32 = u32::MAX;

/// What is known of an inode (`INODES`, inode storage).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// The session that made the file, whose own it is; 0 for none.
    pub owner: u32,
    /// For files in `/proc/PID`: the session of the process, or [`GUARD`]; 0 for none.
    pub process: u32,
    /// The session that was started with the file as its standard output or error, or on the
    /// terminal; 0 for none. It may write through that descriptor, and not open the file for
    /// writing; the terminal it may open.
    pub given: u32,
    /// 1 when the owner did not make the file, and it is its own for lying in a directory that it
    /// made; 0 otherwise.
    pub inherited: u32,
    /// The session (high) and the policy (low) that were last found to let the file be
    /// written; in one word, so that it is read and written in one step.
    pub writable: u64,
}

/// A file of a session's own whose inode the kernel has dropped from memory: the key of
/// `EVICTED`, whose value is the session. Numbers of inodes are used again, and then with
/// another generation.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EvictedKey {
    /// The device number of the file system, `major << 20 | minor`.
    pub device: u32,
    /// The inode's generation.
    pub generation: u32,
    /// Its number.
    pub number: u64,
}

/// Where a session listens: the key of `LISTENERS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortKey {
    /// The address of the kernel's `struct net`.
    pub namespace: u64,
    /// The address, as it stands in memory: IPv6, or IPv4 mapped into it.
    pub address: [u64; 2],
    /// The port, in the host's order.
    pub port: u64,
}

/// How many sockets are remembered that a session listens with at one place (`SO_REUSEPORT`).
pub const LISTENED: usize = 8;

/// With what a session listens: an element of [`Listener::sockets`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listening {
    /// The address of the kernel's `struct sock`; 0 for none. It may be another socket's by now.
    pub socket: u64,
    /// The socket's cookie, which no other socket ever has.
    pub cookie: u64,
}

/// Who listens at a place: the value of `LISTENERS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listener {
    /// The session.
    pub session: u32,
    /// Zero.
    pub reserved: u32,
    /// With what.
    pub sockets: [Listening; LISTENED],
}

/// How many verdicts the counters have room for.
pub const VERDICTS: usize = 4;

/// The place in [`Counters::verdicts`], behind the verdicts, of what was refused to callers
/// that asked not to be audited (`PTRACE_MODE_NOAUDIT`): `ps` reading `/proc/PID/stat` is
/// shown zeroes, and nothing failed that anybody could see. It makes no record.
pub const QUIET: usize = 3;

/// What a session did: an element of `COUNTERS`. The kernel only ever adds to it; the user
/// side sets it to zero before the session starts.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// The tasks (threads too) that carry the session's label now.
    pub tasks: u64,
    /// For each operation and verdict, how often. An operation on the session's own is not
    /// counted.
    pub verdicts: [[u64; VERDICTS]; MAX_OPERATIONS],
    /// For each operation, the records that were lost because the ring buffer was full.
    pub lost: [u64; MAX_OPERATIONS],
    /// Refusals for [`crate::operation::Reason::Error`] or
    /// [`crate::operation::Reason::TooDeep`].
    pub errors: u64,
    /// Processes that were moved into the session and could not be labelled.
    pub unlabelled: u64,
    /// Files of its own that could not be remembered when the kernel dropped their inodes, since
    /// as many were as there is room for: they are protected from it now.
    pub forgotten: u64,
    /// The same, since their file system does not tell one user of an inode's number from the next.
    pub unidentified: u64,
}

impl Counters {
    /// How often an operation got a verdict.
    #[must_use]
    pub fn count(&self, operation: crate::operation::Operation, verdict: Verdict) -> u64 {
        self.verdicts[operation as usize][verdict as usize]
    }
}

/// How many rules of a policy can have a limit. A power of two.
pub const MAX_LIMITS: usize = 8;

/// How far a session has come with one limit. `SPENT` has [`MAX_LIMITS`] of them for each session;
/// the user side sets them to zero.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// When the first one of those that count was let through, in seconds since boot (high), and
    /// how many there were (low); in one word, so that it changes in one step.
    pub window: u64,
    /// Whether the limit was exceeded: 0 or 1. Then nothing more is let through by this rule.
    pub exceeded: u32,
    /// Zero.
    pub reserved: u32,
}

/// Who set the signal owner of an open file: the value of `OWNERS`, whose key is the
/// address of the kernel's `struct file`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// The session.
    pub session: u32,
    /// The process, as the kernel's first pid namespace numbers it.
    pub pid: u32,
    /// The thread.
    pub tid: u32,
    /// The effective user.
    pub uid: u32,
    /// The command name.
    pub comm: [u8; COMM_LEN],
}

const _: () = {
    assert!(MAX_SESSIONS.is_power_of_two() && MAX_POLICIES <= 256);
    assert!(size_of::<Label>() == 72);
    assert!(size_of::<Mark>() == 24);
    assert!(size_of::<PortKey>() == 32);
    assert!(size_of::<Listener>() == 8 + 16 * LISTENED);
    assert!(size_of::<Session>() == 16);
    assert!(size_of::<Counters>() == 8 * (1 + MAX_OPERATIONS * VERDICTS + MAX_OPERATIONS + 4));
    assert!(size_of::<EvictedKey>() == 16);
    assert!(size_of::<Owner>() == 32);
    assert!(size_of::<Spent>() == 16 && MAX_LIMITS.is_power_of_two());
};
