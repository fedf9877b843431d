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
}

/// How many operations a layout has room for.
pub const MAX_OPERATIONS: usize = 16;

impl Operation {
    /// All operations, in the order of their numbers.
    pub const EVERY: [Self; 4] = [Self::Signal, Self::Trace, Self::Inspect, Self::Delete];

    /// The name, as in policies and events.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Signal => "signal",
            Self::Trace => "trace",
            Self::Inspect => "inspect",
            Self::Delete => "delete",
        }
    }

    /// The operation of a number, as records and counters hold it.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::EVERY.get(usize::from(number)).copied()
    }

    /// Whether its targets are processes (`to:` in a rule); otherwise they are files (`on:`).
    #[must_use]
    pub const fn is_on_process(self) -> bool {
        matches!(self, Self::Signal | Self::Trace | Self::Inspect)
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
}

impl Reason {
    /// All reasons, in the order of their numbers.
    pub const EVERY: [Self; 8] = [
        Self::Rule,
        Self::Default,
        Self::Own,
        Self::GuardProcess,
        Self::GuardPin,
        Self::Disconnected,
        Self::TooDeep,
        Self::Error,
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
        assert_eq!(Operation::from_number(200), None);
        assert!(Operation::EVERY.len() <= MAX_OPERATIONS);
    }
}
