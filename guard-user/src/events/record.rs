//! What the kernel tells, checked. [`super::decode`] makes it of bytes.

use super::event::How;
use guard_ebpf::operation::{Facility, Operation, Reason, Verdict};
use guard_ebpf::record::{ExecutableKey, Task};
use std::net::IpAddr;

/// A record, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// An operation on a process.
    Process {
        /// What happened.
        what: What,
        /// Who did it.
        actor: Task,
        /// To whom.
        target: Task,
    },
    /// An operation on a file.
    File {
        /// What happened.
        what: What,
        /// Who did it.
        actor: Task,
        /// To what.
        target: FileTarget,
    },
    /// An operation on a socket.
    Socket {
        /// What happened.
        what: What,
        /// Who did it.
        actor: Task,
        /// To what.
        target: SocketTarget,
    },
    /// An operation on the machine that no file stands for.
    Machine {
        /// What happened.
        what: What,
        /// Who did it.
        actor: Task,
        /// To what.
        target: MachineTarget,
    },
    /// The path of an executable that other records name by its key.
    Executable {
        /// The executable.
        key: ExecutableKey,
        /// Its path.
        path: FsPath,
    },
    /// The last task of a session has ended.
    Ended {
        /// The session.
        session: u32,
        /// When, in nanoseconds since boot.
        time: u64,
    },
}

/// What every operation has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct What {
    /// The operation.
    pub operation: Operation,
    /// What became of it.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// The rule's index, for [`Reason::Rule`], [`Reason::Limit`] and what is `under_rule`.
    pub rule: u8,
    /// Of what was granted: whether a rule refuses it, and not the want of one.
    pub under_rule: bool,
    /// The signal's number, for [`Operation::Signal`]; otherwise 0.
    pub signal: u8,
    /// The facility, for [`Operation::Machine`].
    pub facility: Option<Facility>,
    /// The session.
    pub session: u32,
    /// The policy.
    pub policy: u32,
    /// When, in nanoseconds since boot, suspend included.
    pub time: u64,
}

/// A file as the target of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileTarget {
    /// The inode's number; 0 when unknown.
    pub inode: u64,
    /// The file system's device number, `major << 20 | minor`.
    pub device: u32,
    /// Where the file lies on it.
    pub path: FsPath,
    /// Whether it is a directory.
    pub directory: bool,
    /// In which way, where the operation leaves that open.
    pub how: Option<How>,
}

/// A socket as the target of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketTarget {
    /// The address family (`AF_…`).
    pub family: u16,
    /// The type (`SOCK_…`).
    pub socktype: u16,
    /// Where it is.
    pub place: SocketPlace,
}

/// Where a socket is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SocketPlace {
    /// At an Internet address and port.
    Internet(IpAddr, u16),
    /// At a path on the file system with this device number.
    File(u32, FsPath),
    /// In the abstract name space.
    Abstract(Vec<u8>),
    /// At no place that can be told.
    Unknown,
}

/// The machine as the target of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MachineTarget {
    /// What of it.
    pub facility: Facility,
    /// The capability that was asked for (`CAP_…`).
    pub capability: Option<u32>,
    /// What else there is to say; what it counts depends on the facility.
    pub number: Option<u32>,
}

/// A path on one file system.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FsPath {
    /// From the root to the leaf, without a slash at either end; the root itself is empty.
    pub bytes: Vec<u8>,
    /// Whether its beginning is missing.
    pub truncated: bool,
}

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// Fewer bytes than the layout has.
    Short {
        /// How many there are.
        length: usize,
        /// How many there have to be.
        needed: usize,
    },
    /// A number that nothing stands for.
    Number {
        /// The field.
        field: &'static str,
        /// Its value.
        value: u32,
    },
    /// An operation on one kind of target in the record of another.
    Mismatch(Operation),
}

impl std::fmt::Display for RecordError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Short { length, needed } => {
                write!(f, "a record of {length} bytes where {needed} are needed")
            }
            Self::Number { field, value } => {
                write!(f, "a record whose {field} is {value}, which means nothing")
            }
            Self::Mismatch(operation) => {
                let name = operation.name();
                write!(f, "a record of {name} with a target of the wrong kind")
            }
        }
    }
}

impl std::error::Error for RecordError {}
