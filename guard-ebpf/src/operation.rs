//! What an actor can do to a target, and what becomes of it.

/// What is done, in the policy's vocabulary.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// Sending a signal other than 0, in any way.
    Signal = 0,
    /// Taking control of a process: attaching a debugger, writing its memory, taking its
    /// descriptors (`PTRACE_MODE_ATTACH`), or being traced by it (`PTRACE_TRACEME`).
    Trace = 1,
    /// Looking into a process: its environment, memory map, descriptors, root and
    /// namespaces (`PTRACE_MODE_READ`).
    Inspect = 2,
    /// Removing a file or directory, renaming it away, or replacing it.
    Delete = 3,
    /// Limiting a process: its resource limits, priority, scheduling, processors, I/O
    /// priority, and where its memory lies.
    Limit = 4,
    /// Changing what is in a file that exists: writing, truncating, mapping it to be written,
    /// locking it for others, and hard links to it, by which it could be written later.
    Overwrite = 5,
    /// Changing a file's mode, owner, times, extended attributes, access lists and flags.
    Attributes = 6,
    /// Making a file, directory, link or node where there was none.
    Create = 7,
    /// Connecting to a socket that is not the session's own.
    Connect = 8,
    /// Mounting, unmounting and moving mounts in a mount namespace of the machine's.
    Mount = 9,
    /// Using what the whole machine shares: see [`Facility`].
    Machine = 10,
}

/// How many operations a layout has room for.
pub const MAX_OPERATIONS: usize = 16;

impl Operation {
    /// All operations, in the order of their numbers.
    pub const EVERY: [Self; 11] = [
        Self::Signal,
        Self::Trace,
        Self::Inspect,
        Self::Delete,
        Self::Limit,
        Self::Overwrite,
        Self::Attributes,
        Self::Create,
        Self::Connect,
        Self::Mount,
        Self::Machine,
    ];

    /// The name, as in policies and events.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Signal => "signal",
            Self::Trace => "trace",
            Self::Inspect => "inspect",
            Self::Delete => "delete",
            Self::Limit => "limit",
            Self::Overwrite => "overwrite",
            Self::Attributes => "attributes",
            Self::Create => "create",
            Self::Connect => "connect",
            Self::Mount => "mount",
            Self::Machine => "machine",
        }
    }

    /// The operation of a number, as records and counters hold it.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::EVERY.get(usize::from(number)).copied()
    }

    /// Whether its targets are processes (`to:` in a rule).
    #[must_use]
    pub const fn is_on_process(self) -> bool {
        matches!(
            self,
            Self::Signal | Self::Trace | Self::Inspect | Self::Limit
        )
    }

    /// Whether its targets are files (`on:` in a rule). [`Operation::Machine`] can have one.
    #[must_use]
    pub const fn is_on_file(self) -> bool {
        matches!(
            self,
            Self::Delete
                | Self::Overwrite
                | Self::Attributes
                | Self::Create
                | Self::Mount
                | Self::Machine
        )
    }
}

macro_rules! facilities {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal $word:literal, $because:literal;)*) => {
        /// What the whole machine shares, for [`Operation::Machine`].
        #[repr(u8)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Facility {
            $($(#[doc = $doc])+ $name = $number,)*
        }

        impl Facility {
            /// All facilities, in the order of their numbers.
            pub const EVERY: &'static [Self] = &[$(Self::$name),*];

            /// The name, as in policies and events.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// What a session could do with it: the reason why it is refused, as a clause.
            #[must_use]
            pub const fn because(self) -> &'static str {
                match self { $(Self::$name => $because,)* }
            }
        }
    };
}

facilities! {
    /// `reboot(2)` and `kexec` (`CAP_SYS_BOOT`).
    Reboot = 1 "reboot", "restarting the machine ends everything on it";
    /// Loading and removing kernel modules (`CAP_SYS_MODULE`).
    Modules = 2 "modules", "a kernel module can do anything, and removing one takes its devices away";
    /// Writing files of procfs that belong to no process: `/proc/sys`, `sysrq-trigger`.
    Settings = 3 "settings", "the kernel's settings hold for every process, and some of them start programs or stop the machine";
    /// Writing files in `/proc/PID` of processes that are not the session's own.
    Processes = 4 "processes", "these files change how a process that the session did not start is run, and which one is killed when memory runs out";
    /// Writing files of sysfs and efivarfs, and raw hardware access (`CAP_SYS_RAWIO`).
    Hardware = 5 "hardware", "devices that are removed, reset or put to sleep are gone for every process";
    /// Writing files of debugfs, tracefs, securityfs, configfs and other file systems that are
    /// the kernel's own.
    Kernel = 6 "kernel", "these files change the kernel and the code of running programs";
    /// Writing files of cgroup file systems, and starting processes in another cgroup.
    Cgroups = 7 "cgroups", "a cgroup can be killed, frozen and starved as a whole, and the session's own holds its limits";
    /// `bpf(2)` (`CAP_BPF`).
    Bpf = 8 "bpf", "a BPF program can signal any process and undo guard's";
    /// `perf_event_open(2)` (`CAP_PERFMON`).
    Perf = 9 "perf", "a performance event can kill the process that it counts in";
    /// Opening block devices, and making nodes for them.
    Disks = 10 "disks", "writing to a disk destroys the file system on it";
    /// Opening character devices other than those that only ever serve their caller, and making
    /// nodes for them.
    Devices = 11 "devices", "a device serves every process, and some of them reset, type or restart";
    /// Opening terminals that are not the session's, and typing into any.
    Terminals = 12 "terminals", "what is typed into a terminal is run by whoever sits there";
    /// Setting the time (`CAP_SYS_TIME`).
    Time = 13 "time", "a jump of the clock breaks leases, certificates and databases";
    /// Configuring the host's network (`CAP_NET_ADMIN`).
    Network = 14 "network", "interfaces, routes and firewalls serve every process";
    /// What `CAP_SYS_ADMIN` allows on the host.
    Administration = 15 "administration", "this capability mounts, unmounts, swaps off and shuts file systems down, and much else that cannot be told apart";
    /// Raising its own priority above others (`CAP_SYS_NICE`, its own `oom_score_adj`).
    Priority = 16 "priority", "who is preferred starves the others, or has them killed when memory runs out";
    /// The audit system and the kernel's log (`CAP_AUDIT_CONTROL`, `CAP_SYSLOG`).
    Audit = 17 "audit", "records of what happened would be lost";
    /// What weakens the machine's security (`CAP_MAC_ADMIN`, `CAP_MAC_OVERRIDE`,
    /// `CAP_SYS_PACCT`, `CAP_CHECKPOINT_RESTORE`).
    Security = 18 "security", "it would weaken what protects the machine";
    /// System V IPC objects that are not the session's own.
    Ipc = 19 "ipc", "shared memory, semaphores and queues hold the state of the programs that made them";
    /// Operations on a file system as a whole.
    FileSystems = 20 "file-systems", "this stops, shrinks or empties a file system under everything that uses it";
}

/// Where facilities begin among the details of operations: what lies below are signals. See
/// [`crate::policy::Policy::details`].
pub const FACILITIES: u32 = 64;

impl Facility {
    /// The facility of a number, as records hold it.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::EVERY
            .get(usize::from(number).checked_sub(1)?)
            .copied()
    }

    /// The detail by which a policy narrows [`Operation::Machine`].
    #[must_use]
    #[inline(always)]
    pub const fn detail(self) -> u32 {
        FACILITIES + self as u32
    }
}

/// What became of an operation.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    /// It went through.
    Allow = 0,
    /// It was refused.
    Deny = 1,
    /// It went through and was recorded, or would have been refused but for `mode: audit`.
    Audit = 2,
}

impl Verdict {
    /// All verdicts, in the order of their numbers.
    pub const EVERY: [Self; 3] = [Self::Allow, Self::Deny, Self::Audit];

    /// The name, as in policies and events.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Audit => "audit",
        }
    }

    /// The verdict of a number, as records and counters hold it.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::EVERY.get(usize::from(number)).copied()
    }
}

/// Why a verdict is what it is.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// A rule of the policy, or a built-in one that was compiled into it, matched first.
    Rule = 0,
    /// No rule matched, and the target is not the session's own.
    Default = 1,
    /// The target is the session's own.
    Own = 2,
    /// The target is one of the guard's processes. No policy can lift this.
    GuardProcess = 3,
    /// The target lies in bpffs, where the engine is pinned. No policy can lift this.
    GuardPin = 4,
    /// The file is not connected to the root of its file system (`open_by_handle_at`), so
    /// nothing can be said about where it lies.
    Disconnected = 5,
    /// The file lies deeper than [`crate::abi::MAX_DEPTH`] directories.
    TooDeep = 6,
    /// The session or its policy could not be found: the engine fails to the safe side.
    Error = 7,
    /// The rule lets it through no more: its limit is exceeded.
    Limit = 8,
    /// The rule in question refuses it, or none allows it, and a person has let the session do just
    /// this (`guard allow`).
    Grant = 9,
    /// As [`Self::Default`], and the file may be the session's own all the same: marks of its files
    /// were lost when the kernel dropped them from memory, and this may be one of them.
    Forgotten = 10,
}

impl Reason {
    /// All reasons, in the order of their numbers.
    pub const EVERY: [Self; 11] = [
        Self::Rule,
        Self::Default,
        Self::Own,
        Self::GuardProcess,
        Self::GuardPin,
        Self::Disconnected,
        Self::TooDeep,
        Self::Error,
        Self::Limit,
        Self::Grant,
        Self::Forgotten,
    ];

    /// The name, as in events.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rule => "rule",
            Self::Default => "default",
            Self::Own => "own",
            Self::GuardProcess => "guard-process",
            Self::GuardPin => "guard-pin",
            Self::Disconnected => "disconnected",
            Self::TooDeep => "too-deep",
            Self::Error => "error",
            Self::Limit => "limit",
            Self::Grant => "grant",
            Self::Forgotten => "forgotten",
        }
    }

    /// The reason of a number, as records hold it.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::EVERY.get(usize::from(number)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lead_back_to_what_they_stand_for() {
        for operation in Operation::EVERY {
            assert_eq!(Operation::from_number(operation as u8), Some(operation));
        }
        for verdict in Verdict::EVERY {
            assert_eq!(Verdict::from_number(verdict as u8), Some(verdict));
        }
        for reason in Reason::EVERY {
            assert_eq!(Reason::from_number(reason as u8), Some(reason));
        }
        for &facility in Facility::EVERY {
            assert_eq!(Facility::from_number(facility as u8), Some(facility));
            assert!((facility.detail() as usize) < crate::policy::DETAILS);
        }
        assert_eq!(Facility::from_number(0), None);
        assert_eq!(Operation::from_number(200), None);
        assert!(Operation::EVERY.len() <= MAX_OPERATIONS);
    }
}
