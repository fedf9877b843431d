//! The names and numbers by which the two sides find each other.

/// Version of everything that is pinned: maps, layouts, programs. A pin directory of
/// another version is never adopted. Raise it with every change of a layout.
pub const ABI_VERSION: u32 = 8;

/// The size of `comm` in the kernel (`TASK_COMM_LEN`), the terminating NUL included.
pub const COMM_LEN: usize = 16;

/// How many sessions there can be at once. A power of two.
pub const MAX_SESSIONS: u32 = 64;

/// How many compiled policies there can be at once: each session has one in force and,
/// while an edit is put in force, the one before.
pub const MAX_POLICIES: u32 = 128;

/// How many rows the automata of all policies share (`ROWS`).
///
/// Their numbers have 16 bits. The default policy takes some 1,900 of them for each session.
pub const MAX_ROWS: u32 = 65_535;

/// How many rows one policy's automaton can have: none takes the room of all others.
pub const MAX_POLICY_ROWS: u32 = 16_384;

/// How many (policy, file system) pairs can have a starting row (`STARTS`).
pub const MAX_STARTS: u32 = 16_384;

/// How many tasks can carry a label on kernels whose task storage can fail (before 6.2).
pub const MAX_TASKS: u32 = 65_536;

/// How many names of sessions all policies together can ask for (`NAMED`).
pub const MAX_NAMED: u32 = 4096;

/// How many bytes of a command line are kept. Of a longer one nothing is known.
pub const COMMAND_LEN: usize = 2048;

/// How far up a process's ancestors are looked at; of one that has more, they are not known.
pub const MAX_ANCESTORS: u32 = 64;

/// How many descriptors of a process are looked at for sockets; of one with room for more, what it
/// listens at is not known.
pub const MAX_DESCRIPTORS: u32 = 65_536;

/// How many open files can have had their signal owner set by a session (`OWNERS`).
pub const MAX_OWNERS: u32 = 16_384;

/// At how many places (address and port) sessions can listen at once (`LISTENERS`); of more, those
/// that were longest not connected to are not known to be their own.
pub const MAX_LISTENERS: u32 = 4096;

/// How many System V IPC objects can be the own of sessions (`IPC_OBJECTS`).
pub const MAX_IPC_OBJECTS: u32 = 4096;

/// How many file systems sessions can have mounted in user namespaces of their own (`MOUNTED`).
/// What is beyond that is not their own.
pub const MAX_MOUNTED: u32 = 4096;

/// How many addresses of the host's own are told apart (`ADDRESSES`). Nodes of Kubernetes have one
/// for each service.
pub const MAX_ADDRESSES: u32 = 16_384;

/// In place of an address of the host's own: any may be. `ADDRESSES` has room for it besides.
pub const ANY_ADDRESS: [u8; 16] = [0xff; 16];

/// How many grants there can be at once, of all sessions (`GRANTS`).
pub const MAX_GRANTS: u32 = 1024;

/// How many executables are remembered whose path has been told. A power of two.
pub const MAX_EXECUTABLES: u32 = 1024;

/// How many files of sessions' own are remembered whose inodes the kernel has dropped from memory
/// (`EVICTED`). What is beyond that is nobody's own any more, which is counted. The table takes
/// memory (some 100 bytes each) only for those that there are.
pub const MAX_EVICTED: u32 = 262_144;

/// The size of the ring buffer in bytes.
pub const RING_BYTES: u32 = 4 << 20;

/// How many directories deep a path may lie. Deeper paths are refused to sessions.
///
/// `PATH_MAX` (4096) allows 2048 components of one character; the deepest tree that
/// ordinary software is known to make is gnulib's `getcwd` test with about 460.
pub const MAX_DEPTH: u32 = 1024;

/// The longest file name of any Linux file system (`NAME_MAX`), in bytes.
pub const NAME_MAX: usize = 255;

/// The highest signal number (`_NSIG`).
pub const MAX_SIGNAL: u32 = 64;
