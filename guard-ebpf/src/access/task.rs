//! Tasks, their namespaces and cgroups.

use aya_ebpf::helpers::generated::bpf_get_current_task_btf;
use guard_ebpf::abi::COMM_LEN;
use guard_ebpf::kernel::Field;

use super::{
    Binary, Cgroup, Cred, CssSet, Dentry, File, KernfsNode, Memory, MountNamespace, Namespaces,
    Task, UserNamespace, offset, untyped,
};

impl Task {
    /// The task that runs.
    #[inline(always)]
    pub fn current() -> Self {
        // SAFETY: the helper (5.11) always returns a valid task.
        Self(unsafe { bpf_get_current_task_btf() }.cast::<u8>())
    }

    /// The leader of its thread group.
    #[inline(always)]
    pub fn leader(self) -> Self {
        Self(self.read(Field::TaskGroupLeader))
    }

    /// The thread's number in the first pid namespace.
    #[inline(always)]
    pub fn tid(self) -> u32 {
        self.read(Field::TaskPid)
    }

    /// The process's number in the first pid namespace.
    #[inline(always)]
    pub fn pid(self) -> u32 {
        self.read(Field::TaskTgid)
    }

    /// When it started, in nanoseconds since boot.
    #[inline(always)]
    pub fn start(self) -> u64 {
        self.read(Field::TaskStart)
    }

    /// The number of its parent's process in the first pid namespace: who made it, or who took it
    /// over. (Read as numbers: see [`super::Entry`].)
    #[inline(always)]
    pub fn parent_pid(self) -> u32 {
        let parent = untyped(self.embedded(Field::TaskParent));
        untyped((parent + offset(Field::TaskTgid) as u64) as *const u8) as u32
    }

    /// Its command name, as two words.
    #[inline(always)]
    pub fn comm_words(self) -> [u64; COMM_LEN / 8] {
        let place = self.embedded(Field::TaskComm).cast::<u64>();
        // SAFETY: `comm` is 16 bytes long; as in `read`.
        unsafe {
            [
                core::ptr::read_volatile(place),
                core::ptr::read_volatile(place.add(1)),
            ]
        }
    }

    /// Its command name.
    #[inline(always)]
    pub fn comm(self) -> [u8; COMM_LEN] {
        // SAFETY: both are 16 bytes of plain integers.
        unsafe { core::mem::transmute(self.comm_words()) }
    }

    /// Its effective user in the first user namespace; the highest number when there is none.
    #[inline(always)]
    pub fn euid(self) -> u32 {
        match Cred::from_pointer(self.read(Field::TaskCred)) {
            Some(cred) => cred.read(Field::CredEuid),
            None => u32::MAX,
        }
    }

    /// Whether it is an ordinary user's, as the machine counts users, and lives in a user
    /// namespace that is not the first.
    #[inline(always)]
    pub fn is_confined(self) -> bool {
        // (Read as numbers: see [`super::Entry`].)
        let read = |address: u64, field| untyped((address + offset(field) as u64) as *const u8);
        let cred = untyped(self.embedded(Field::TaskCred));
        let namespace = read(cred, Field::CredUserNamespace);
        cred != 0
            && read(cred, Field::CredEuid) as u32 != 0
            && namespace != 0
            && read(namespace, Field::UserNamespaceLevel) as u32 != 0
    }

    /// Whether it may have the kernel spare it when memory runs out, or can come to: root has the
    /// capability among those that it can use, `CAP_SYS_RESOURCE`. In a user namespace of its own
    /// the kernel does not ask for that one: rootless containers try, and are refused anyway.
    #[inline(always)]
    pub fn may_prefer_itself(self) -> bool {
        const RESOURCE: u32 = 24;
        // (Read as numbers: see [`super::Entry`].)
        match untyped(self.embedded(Field::TaskCred)) {
            0 => true,
            cred => {
                // Two words of 32 bits before 6.3, one of 64 since: the same in memory.
                let read =
                    |address: u64, field| untyped((address + offset(field) as u64) as *const u8);
                let namespace = read(cred, Field::CredUserNamespace);
                read(cred, Field::CredPermitted) >> RESOURCE & 1 != 0
                    && (namespace == 0 || read(namespace, Field::UserNamespaceLevel) as u32 == 0)
            }
        }
    }

    /// The highest value that a resource limit of its process may be set to without a capability.
    #[inline(always)]
    pub fn hard_limit(self, resource: u32) -> u64 {
        /// `struct rlimit`: the soft limit, the hard limit.
        const LIMIT: u64 = 16;
        let signal: u64 = self.read(Field::TaskSignal);
        let limits = signal + offset(Field::SignalLimits) as u64;
        untyped((limits + u64::from(resource) * LIMIT + LIMIT / 2) as *const u8)
    }

    /// Its executable's dentry. Kernel threads and processes that have exited have none.
    #[inline(always)]
    pub fn executable(self) -> Option<Dentry> {
        let memory = Memory::from_pointer(self.read(Field::TaskMm))?;
        let file = File::from_pointer(memory.read(Field::MmExeFile))?;
        file.dentry()
    }

    /// The number of its cgroup (version 2). (Read as numbers: see [`super::Entry`].)
    #[inline(always)]
    pub fn cgroup_id(self) -> u64 {
        let read = |address: u64, field| untyped((address + offset(field) as u64) as *const u8);
        let set = untyped(self.embedded(Field::TaskCgroups));
        let node = read(read(set, Field::CssSetDefault), Field::CgroupKn);
        read(node, Field::KernfsId)
    }

    /// Its cgroup (version 2).
    #[inline(always)]
    pub fn cgroup(self) -> Option<KernfsNode> {
        let set = CssSet::from_pointer(self.read(Field::TaskCgroups))?;
        Cgroup::from_pointer(set.read(Field::CssSetDefault))?.node()
    }
}

impl Task {
    /// Whether it lives in a mount namespace that belongs to the machine: one whose user
    /// namespace is the first. In all others the kernel itself keeps what is mounted from
    /// being seen outside.
    #[inline(always)]
    pub fn mounts_for_all(self) -> bool {
        let Some(namespaces) = Namespaces::from_pointer(self.read(Field::TaskNamespaces)) else {
            return true;
        };
        let mount = MountNamespace(namespaces.read(Field::NamespacesMount));
        UserNamespace(mount.read(Field::MountNamespaceUser)).is_first()
    }
}

impl UserNamespace {
    /// Whether it is the first, whose capabilities hold for the whole machine.
    #[inline(always)]
    pub fn is_first(self) -> bool {
        self.read::<u32>(Field::UserNamespaceLevel) == 0
    }
}

impl Binary {
    /// Where its arguments begin, in the memory of the task that runs.
    #[inline(always)]
    pub fn place(self) -> u64 {
        self.read(Field::BinaryPlace)
    }

    /// Where the environment ends that stands behind the arguments.
    #[inline(always)]
    pub fn end(self) -> u64 {
        self.read(Field::BinaryEnd)
    }

    /// How many arguments it has.
    #[inline(always)]
    pub fn arguments(self) -> u32 {
        self.read(Field::BinaryArguments)
    }
}

impl Cgroup {
    /// Its node in cgroupfs.
    #[inline(always)]
    pub fn node(self) -> Option<KernfsNode> {
        KernfsNode::from_pointer(self.read(Field::CgroupKn))
    }
}

impl KernfsNode {
    /// Its number: the cgroup's, and the inode's of its directory.
    #[inline(always)]
    pub fn id(self) -> u64 {
        self.read(Field::KernfsId)
    }

    /// The node above; none for the root.
    #[inline(always)]
    pub fn parent(self) -> Option<Self> {
        Self::from_pointer(self.read(Field::KernfsParent))
    }

    /// The address of its name, a string in kernel memory. Read as a number: from 7.0 on the
    /// verifier gives the pointer a type of its own, which global functions do not take.
    #[inline(always)]
    pub fn name(self) -> u64 {
        untyped(self.embedded(Field::KernfsName))
    }
}
