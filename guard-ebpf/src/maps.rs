//! The maps. Which side writes which: the kernel writes labels, counters, owners and
//! records; the user side writes sessions, policies and what belongs to them, and makes
//! and removes a session's counters.

use core::ptr::{null, null_mut};

use aya_ebpf::bindings::bpf_map_type::{
    BPF_MAP_TYPE_INODE_STORAGE, BPF_MAP_TYPE_SK_STORAGE, BPF_MAP_TYPE_TASK_STORAGE,
};
use aya_ebpf::bindings::{BPF_F_NO_PREALLOC, BPF_LOCAL_STORAGE_GET_F_CREATE};
use aya_ebpf::btf_maps::{Array, HashMap, LruHashMap, RingBuf};
use aya_ebpf::helpers::generated::{
    bpf_inode_storage_get, bpf_sk_storage_get, bpf_task_storage_get,
};
use aya_ebpf::macros::btf_map;
use guard_ebpf::abi::{
    MAX_ADDRESSES, MAX_EVICTED, MAX_EXECUTABLES, MAX_GRANTS, MAX_IPC_OBJECTS, MAX_LISTENERS,
    MAX_MOUNTED, MAX_NAMED, MAX_OWNERS, MAX_POLICIES, MAX_ROWS, MAX_SESSIONS, MAX_STARTS,
    MAX_TASKS, RING_BYTES,
};
use guard_ebpf::automaton::{Row, Start, StartKey};
use guard_ebpf::bits::Bits;
use guard_ebpf::command::{Command, EarlierKey};
use guard_ebpf::grant::{Grant, GrantKey};
use guard_ebpf::policy::{NameKey, Policy, UserKey};
use guard_ebpf::record::ExecutableKey;
use guard_ebpf::session::{
    Counters, EvictedKey, Label, Listener, MAX_LIMITS, Mark, Owner, PortKey, Session, Spent,
};

use crate::access::{Inode, Sock, Task};

/// A map in the storage of tasks (5.11), inodes (5.10) or sockets (for LSM programs 5.11): aya-ebpf
/// has types for some of them, which do not take what the verifier knows of a hook's arguments.
#[repr(C)]
pub struct Storage<const KIND: usize, T> {
    r#type: *const [i32; KIND],
    key: *const i32,
    value: *const T,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; BPF_F_NO_PREALLOC as usize],
}

// SAFETY: it describes a map; nobody ever reads it.
unsafe impl<const KIND: usize, T> Sync for Storage<KIND, T> {}

impl<const KIND: usize, T> Storage<KIND, T> {
    const fn new() -> Self {
        Self {
            r#type: null(),
            key: null(),
            value: null(),
            max_entries: null(),
            map_flags: null(),
        }
    }
}

macro_rules! storage {
    ($kind:ident, $structure:ty, $helper:ident) => {
        impl<T> Storage<{ $kind as usize }, T> {
            /// What is stored.
            #[inline(always)]
            pub fn get(&self, object: $structure) -> Option<&'static mut T> {
                self.call(object, null_mut(), 0)
            }

            /// Stores a value where there is none; none when there is no memory for it.
            #[inline(always)]
            pub fn get_or_insert(&self, object: $structure, value: &T) -> Option<&'static mut T> {
                self.call(
                    object,
                    core::ptr::from_ref(value).cast_mut(),
                    u64::from(BPF_LOCAL_STORAGE_GET_F_CREATE),
                )
            }

            #[inline(always)]
            fn call(
                &self,
                object: $structure,
                value: *mut T,
                flags: u64,
            ) -> Option<&'static mut T> {
                let map = core::ptr::from_ref(self).cast_mut().cast();
                // SAFETY: the verifier knows both pointers; the result is null or a value,
                // which stays until the program ends.
                unsafe {
                    $helper(map, object.pointer().cast(), value.cast(), flags)
                        .cast::<T>()
                        .as_mut()
                }
            }
        }
    };
}

storage!(BPF_MAP_TYPE_TASK_STORAGE, Task, bpf_task_storage_get);
storage!(BPF_MAP_TYPE_INODE_STORAGE, Inode, bpf_inode_storage_get);
storage!(BPF_MAP_TYPE_SK_STORAGE, Sock, bpf_sk_storage_get);

/// The label of each task of a session.
#[unsafe(link_section = ".maps")]
#[unsafe(no_mangle)]
pub static LABELS: Storage<{ BPF_MAP_TYPE_TASK_STORAGE as usize }, Label> = Storage::new();

/// The same before 6.2, by the address of the task: there task storage can fail to answer
/// when another look-up was interrupted on the same processor. Preallocated.
#[btf_map]
pub static TASKS: HashMap<u64, Label, { MAX_TASKS as usize }> = HashMap::new();

/// Whether command lines are kept: 0 or 1. Set once a policy asks for them, and never taken back.
#[btf_map]
pub static KEPT: Array<u32, 1> = Array::new();

/// What each process was executed with, by its leader.
#[unsafe(link_section = ".maps")]
#[unsafe(no_mangle)]
pub static COMMANDS: Storage<{ BPF_MAP_TYPE_TASK_STORAGE as usize }, Command> = Storage::new();

/// The same before 6.2, by the address of the leader (as with `TASKS`). Not preallocated: mostly
/// nobody asks.
#[btf_map]
pub static COMMAND_TABLE: HashMap<
    u64,
    Command,
    { MAX_TASKS as usize },
    { BPF_F_NO_PREALLOC as usize },
> = HashMap::new();

/// The same of processes that have not executed anything since command lines are kept. Written by the
/// user side.
#[btf_map]
pub static EARLIER: HashMap<
    EarlierKey,
    Command,
    { MAX_TASKS as usize },
    { BPF_F_NO_PREALLOC as usize },
> = HashMap::new();

/// What is known of inodes: whose own they are, whose process they show, who may write them.
#[unsafe(link_section = ".maps")]
#[unsafe(no_mangle)]
pub static INODES: Storage<{ BPF_MAP_TYPE_INODE_STORAGE as usize }, Mark> = Storage::new();

/// The session that each of its sockets belongs to.
#[unsafe(link_section = ".maps")]
#[unsafe(no_mangle)]
pub static SOCKETS: Storage<{ BPF_MAP_TYPE_SK_STORAGE as usize }, u32> = Storage::new();

/// Where sessions listen. What is pushed out by others is not known to be a session's own.
#[btf_map]
pub static LISTENERS: LruHashMap<PortKey, Listener, { MAX_LISTENERS as usize }> = LruHashMap::new();

/// The host's own addresses: IPv6, or IPv4 mapped into it.
#[btf_map]
pub static ADDRESSES: HashMap<[u8; 16], u32, { MAX_ADDRESSES as usize + 1 }> = HashMap::new();

/// The System V IPC objects that sessions made, by the address of the kernel's permissions.
#[btf_map]
pub static IPC_OBJECTS: HashMap<u64, u32, { MAX_IPC_OBJECTS as usize }> = HashMap::new();

/// The session that each file belongs to that the kernel has dropped from memory. Not
/// preallocated: mostly there are none.
#[btf_map]
pub static EVICTED: HashMap<
    EvictedKey,
    u32,
    { MAX_EVICTED as usize },
    { BPF_F_NO_PREALLOC as usize },
> = HashMap::new();

/// The file systems that sessions mounted in user namespaces of their own: the device number to
/// the session.
#[btf_map]
pub static MOUNTED: HashMap<u32, u32, { MAX_MOUNTED as usize }> = HashMap::new();

/// The sessions by [`guard_ebpf::session::place`].
#[btf_map]
pub static SESSIONS: Array<Session, { MAX_SESSIONS as usize }> = Array::new();

/// What each session did.
#[btf_map]
pub static COUNTERS: Array<Counters, { MAX_SESSIONS as usize }> = Array::new();

/// How far each session has come with the limits of its policy's rules.
#[btf_map]
pub static SPENT: Array<[Spent; MAX_LIMITS], { MAX_SESSIONS as usize }> = Array::new();

/// What people have let sessions do although a rule refuses it. Written by the user side, but for how
/// often each was used.
#[btf_map]
pub static GRANTS: HashMap<GrantKey, Grant, { MAX_GRANTS as usize }> = HashMap::new();

/// How many grants each session has: mostly none, and then nobody looks for one.
#[btf_map]
pub static GRANTED: Array<u32, { MAX_SESSIONS as usize }> = Array::new();

/// The sessions' cgroups: the cgroup's number to the session's.
#[btf_map]
pub static CGROUPS: HashMap<u64, u32, { MAX_SESSIONS as usize * 4 }> = HashMap::new();

/// The guard's own processes: the pid to its start in clock ticks since boot.
#[btf_map]
pub static GUARDS: HashMap<u32, u64, 1024> = HashMap::new();

/// The policies by slot.
#[btf_map]
pub static POLICIES: Array<Policy, { MAX_POLICIES as usize }> = Array::new();

/// The rows of all policies' automata. Row 0 matches nothing.
#[btf_map]
pub static ROWS: Array<Row, { MAX_ROWS as usize }> = Array::new();

/// Where the automata start, by policy and file system.
#[btf_map]
pub static STARTS: HashMap<StartKey, Start, { MAX_STARTS as usize }> = HashMap::new();

/// The clauses that ask for a user, by policy and user.
#[btf_map]
pub static USERS: HashMap<UserKey, Bits, 4096> = HashMap::new();

/// The clauses that ask for a session, by policy and name.
#[btf_map]
pub static NAMED: HashMap<NameKey, Bits, { MAX_NAMED as usize }> = HashMap::new();

/// Who set the owner of an open file, for files whose last setter was in a session.
#[btf_map]
pub static OWNERS: HashMap<u64, Owner, { MAX_OWNERS as usize }> = HashMap::new();

/// The executables whose path has been told, each at one place that its key gives. Of two at
/// the same place the one before is forgotten: then it is told again.
#[btf_map]
pub static EXECUTABLES: Array<ExecutableKey, { MAX_EXECUTABLES as usize }> = Array::new();

/// The records.
#[btf_map]
pub static RECORDS: RingBuf<(), { RING_BYTES as usize }> = RingBuf::new();
