//! Records: what the kernel tells the user side through the ring buffer.
//!
//! Every record begins with a [`Header`], whose `kind` says what follows. Paths are
//! written from the leaf to the root, each name followed by a NUL: `file\0dir\0top\0`. The
//! user side turns them round and puts the mount point in front. A path that does not fit
//! has lost the end at the root, and says so in a flag. A name that could not be read is
//! empty; a length beyond the buffer means its end.

use crate::abi::{COMM_LEN, NAME_MAX};

/// What a record is about.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An operation on a process: a [`ProcessRecord`].
    Process = 1,
    /// An operation on a file: a [`FileRecord`].
    File = 2,
    /// The path of an executable that later records name by device and inode: an
    /// [`ExecutableRecord`].
    Executable = 3,
    /// The last task of a session has ended: a [`Header`] alone.
    Ended = 4,
    /// An operation on a socket: a [`SocketRecord`].
    Socket = 5,
    /// An operation on the machine that no file stands for: a [`MachineRecord`].
    Machine = 6,
}

/// [`Header::flags`]: the path was longer than [`PATH_ROOM`] and its end at the root is
/// missing.
pub const FLAG_TRUNCATED: u8 = 1;
/// [`Header::flags`]: the file is a directory.
pub const FLAG_DIRECTORY: u8 = 2;
/// [`Header::flags`]: the file was to be renamed away or replaced, not unlinked.
pub const FLAG_RENAME: u8 = 4;
/// [`Header::flags`]: a hard link to the file was to be made.
pub const FLAG_LINK: u8 = 8;
/// [`Header::flags`]: the socket is of the abstract name space, and the path is its name.
pub const FLAG_ABSTRACT: u8 = 16;
/// [`Header::flags`]: the file was to be unmounted.
pub const FLAG_UNMOUNT: u8 = 32;
/// [`Header::flags`]: what was granted is refused by the rule in [`Header::rule`], and not for the
/// want of one.
pub const FLAG_UNDER_RULE: u8 = 64;

/// How much of a path a record surely holds, in bytes.
pub const PATH_ROOM: usize = 512;

/// The size of a record's path buffer: the last name may reach beyond [`PATH_ROOM`].
pub const PATH_BUFFER: usize = PATH_ROOM + NAME_MAX + 1;

/// What every record begins with.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// [`Kind`].
    pub kind: u8,
    /// [`crate::operation::Operation`].
    pub operation: u8,
    /// [`crate::operation::Verdict`].
    pub verdict: u8,
    /// [`crate::operation::Reason`].
    pub reason: u8,
    /// The rule's index in the policy, for [`crate::operation::Reason::Rule`] and
    /// [`crate::operation::Reason::Limit`]; for [`crate::operation::Reason::Grant`] with
    /// [`FLAG_UNDER_RULE`].
    pub rule: u8,
    /// The signal's number, for [`crate::operation::Operation::Signal`]; the number of the
    /// [`crate::operation::Facility`], for [`crate::operation::Operation::Machine`].
    pub detail: u8,
    /// `FLAG_…`.
    pub flags: u8,
    /// Zero.
    pub reserved: u8,
    /// The session's number.
    pub session: u32,
    /// The policy's [`crate::policy::Policy::id`].
    pub policy: u32,
    /// When: nanoseconds since boot, suspend included (`CLOCK_BOOTTIME`).
    pub time: u64,
}

/// An executable, by what the kernel calls it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ExecutableKey {
    /// The inode's number; 0 when the task has no executable (kernel threads, zombies).
    pub inode: u64,
    /// The file system's device number, `major << 20 | minor`.
    pub device: u32,
    /// Zero.
    pub reserved: u32,
}

/// A task, as actor or target.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Task {
    /// The process, as the first pid namespace numbers it (`tgid`).
    pub pid: u32,
    /// The thread.
    pub tid: u32,
    /// The effective user, as the first user namespace numbers it.
    pub uid: u32,
    /// The process that it was a child of at that moment; of actors only, 0 when unknown.
    pub parent: u32,
    /// When the process started: nanoseconds since boot, suspend included. With the pid it
    /// names one process for good.
    pub start: u64,
    /// Its executable.
    pub executable: ExecutableKey,
    /// Its cgroup (version 2), which is also the inode number of its directory.
    pub cgroup: u64,
    /// The thread's command name, up to a NUL.
    pub comm: [u8; COMM_LEN],
}

/// An operation on a process.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessRecord {
    /// What happened.
    pub header: Header,
    /// Who did it.
    pub actor: Task,
    /// To whom.
    pub target: Task,
}

/// An operation on a file.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileRecord {
    /// What happened.
    pub header: Header,
    /// Who did it.
    pub actor: Task,
    /// The file's inode number; 0 when unknown.
    pub inode: u64,
    /// The file system's device number, `major << 20 | minor`.
    pub device: u32,
    /// How many bytes of `path` there are.
    pub length: u32,
    /// The path, from the leaf to the root of the file system.
    pub path: [u8; PATH_BUFFER],
}

/// An operation on a socket.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketRecord {
    /// What happened.
    pub header: Header,
    /// Who did it.
    pub actor: Task,
    /// The address family (`AF_…`).
    pub family: u16,
    /// The type of the socket (`SOCK_…`).
    pub kind: u16,
    /// The port, in the host's order; 0 for sockets without one.
    pub port: u16,
    /// Zero.
    pub reserved: u16,
    /// The address: IPv6, or IPv4 mapped into it (`::ffff:a.b.c.d`); zero for others.
    pub address: [u8; 16],
    /// How many bytes of `path` there are: of a socket with a file its path, of an abstract
    /// one ([`FLAG_ABSTRACT`]) its name; 0 for others.
    pub length: u32,
    /// The device number of the file's file system.
    pub device: u32,
    /// The path, from the leaf to the root of the file system, or the name.
    pub path: [u8; PATH_BUFFER],
}

/// [`MachineRecord::number`]: there is none.
pub const NO_NUMBER: u32 = u32::MAX;

/// An operation on the machine that no file stands for.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MachineRecord {
    /// What happened.
    pub header: Header,
    /// Who did it.
    pub actor: Task,
    /// The capability that was asked for (`CAP_…`), or [`NO_NUMBER`].
    pub capability: u32,
    /// What else there is to say: the ioctl's command, the `bpf` command, the IPC object's
    /// number, the device's number; or [`NO_NUMBER`].
    pub number: u32,
}

/// The path of an executable.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecutableRecord {
    /// `kind` and `flags`; the rest is zero.
    pub header: Header,
    /// The executable.
    pub executable: ExecutableKey,
    /// How many bytes of `path` there are.
    pub length: u32,
    /// Zero.
    pub reserved: u32,
    /// The path, from the leaf to the root of the file system.
    pub path: [u8; PATH_BUFFER],
}

/// What the iterator over all tasks writes for each process that belongs to a session.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// The process, as the first pid namespace numbers it.
    pub pid: u32,
    /// Its session.
    pub session: u32,
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<Member>() == 8);
    assert!(size_of::<Header>() == 24);
    assert!(size_of::<ExecutableKey>() == 16);
    assert!(size_of::<Task>() == 64);
    assert!(offset_of!(Task, start) == 16);
    assert!(offset_of!(Task, comm) == 48);
    assert!(size_of::<ProcessRecord>() == 24 + 64 + 64);
    assert!(offset_of!(FileRecord, path) == 24 + 64 + 16);
    assert!(size_of::<FileRecord>() == 104 + PATH_BUFFER);
    assert!(size_of::<ExecutableRecord>() == 48 + PATH_BUFFER);
    assert!(offset_of!(SocketRecord, path) == 24 + 64 + 32);
    assert!(size_of::<SocketRecord>() == 120 + PATH_BUFFER);
    assert!(size_of::<MachineRecord>() == 24 + 64 + 8);
    assert!(PATH_BUFFER.is_multiple_of(8));
};
