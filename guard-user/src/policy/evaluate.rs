//! What a compiled policy says of a target, computed as the kernel does: the same rows, the
//! same decision. For `guard check`, `guard explain` and the tests.

use guard_ebpf::automaton::Row;
use guard_ebpf::bits::Bits;
use guard_ebpf::decision::{Decision, Matched, decide};
use guard_ebpf::operation::Operation;
use guard_ebpf::policy::Selector;

use super::compiled::Compiled;

/// A process that isn't the session's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessFacts {
    /// Its executable: the file system's device number (`major << 20 | minor`) and the path
    /// from that file system's root. None for kernel threads.
    pub executable: Option<(u32, Vec<u8>)>,
    /// Its command name: up to 15 bytes.
    pub name: Vec<u8>,
    /// Its effective user.
    pub uid: u32,
    /// Its cgroup (version 2), from the root of the hierarchy.
    pub cgroup: Vec<u8>,
}

/// A file that isn't the session's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileFacts {
    /// The file system's device number, `major << 20 | minor`.
    pub device: u32,
    /// The path from that file system's root.
    pub path: Vec<u8>,
    /// Whether it is a directory.
    pub is_directory: bool,
}

impl Compiled {
    /// Decides on an operation on a process. `signal` counts for [`Operation::Signal`] only.
    #[must_use]
    pub fn on_process(&self, operation: Operation, signal: u32, facts: &ProcessFacts) -> Decision {
        let mut matched = Matched::default();
        if let Some((device, path)) = &facts.executable {
            let row = self.run(self.start(*device).executable, without_root(path));
            matched.set(Selector::Executable, row.matches);
        }
        let name = self.run(self.policy.name_start, &facts.name);
        matched.set(Selector::Name, name.matches);
        let user = self.users.iter().find(|(uid, _)| *uid == facts.uid);
        matched.set(Selector::User, user.map_or(Bits::NONE, |(_, bits)| *bits));
        let cgroup = self.run(self.policy.cgroup_start, without_root(&facts.cgroup));
        matched.set(Selector::Cgroup, cgroup.matches);
        decide(&self.policy, operation, signal, &matched)
    }

    /// Decides on an operation on a file.
    #[must_use]
    pub fn on_file(&self, operation: Operation, facts: &FileFacts) -> Decision {
        let row = self.run(self.start(facts.device).path, without_root(&facts.path));
        let mut clauses = row.matches;
        if facts.is_directory {
            clauses = clauses.or(row.ancestors);
        }
        let mut matched = Matched::default();
        matched.set(Selector::Path, clauses);
        decide(&self.policy, operation, 0, &matched)
    }

    fn start(&self, device: u32) -> guard_ebpf::automaton::Start {
        let listed = self.starts.iter().find(|(known, _)| *known == device);
        listed.map_or(self.policy.elsewhere, |(_, start)| *start)
    }

    fn run(&self, start: u16, text: &[u8]) -> &Row {
        let end = text.iter().fold(start, |row, &byte| {
            self.rows[usize::from(row)].step(self.policy.classes[usize::from(byte)])
        });
        &self.rows[usize::from(end)]
    }
}

/// The kernel's form of a path: the root is the empty string.
fn without_root(path: &[u8]) -> &[u8] {
    if path == b"/" { b"" } else { path }
}
