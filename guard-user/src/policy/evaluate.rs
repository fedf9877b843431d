//! What a compiled policy says of a target, computed as the kernel does: the same rows, the
//! same decision. For `guard check`, `guard explain` and the tests.

use std::net::IpAddr;

use guard_ebpf::automaton::Row;
use guard_ebpf::bits::{Bits, MAX_CLAUSES};
use guard_ebpf::decision::{Candidates, Decision, Matched, decide};
use guard_ebpf::operation::{Facility, Operation, Reason, Verdict};
use guard_ebpf::policy::{Selector, several};
use guard_ebpf::session;
use guard_ebpf::socket::{digit, endpoint};

use super::compile::guards_ancestors;
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
    /// What only some policies ask for.
    pub further: Further,
}

/// What only some policies ask for of a process. What is not known fits every rule that refuses, and
/// none that lets through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Further {
    /// What it was executed with: the arguments with a space between them.
    pub command: Option<Vec<u8>>,
    /// The executables of its ancestors, as in [`ProcessFacts::executable`]; those that have none are
    /// left out.
    pub ancestors: Option<Vec<(u32, Vec<u8>)>>,
    /// Where it listens.
    pub listens: Option<Vec<(IpAddr, u16)>>,
    /// The name of its session; none for one that belongs to none.
    pub session: Option<String>,
}

/// A file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileFacts {
    /// The file system's device number, `major << 20 | minor`.
    pub device: u32,
    /// The path from that file system's root.
    pub path: Vec<u8>,
    /// Whether it is a directory. Of what is made: whether it brings what lies below it, as a
    /// directory does that is moved there, and a symbolic link.
    pub is_directory: bool,
    /// Whether the session made it. (What others put into a directory that it made is spared the
    /// refusal for want of a rule, and no other.)
    pub is_own: bool,
}

/// A socket that isn't the session's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketFacts {
    /// One with a file.
    File(FileFacts),
    /// A Unix socket of the abstract name space.
    Abstract(Vec<u8>),
    /// An Internet socket.
    Internet {
        /// The address.
        address: IpAddr,
        /// The port.
        port: u16,
        /// Whether a connection to it is free where no rule says otherwise: the address is not
        /// one of this host's, or what is sent is a datagram.
        is_free: bool,
    },
    /// One of another family (`AF_…`).
    Other(u8),
}

impl Compiled {
    /// Decisions on what a program does: its executable, as in [`ProcessFacts::executable`], or one
    /// that no rule names.
    #[must_use]
    pub fn by(&self, executable: Option<(u32, &[u8])>) -> Decider<'_> {
        let row = match executable {
            Some((device, path)) => self.run(self.start(device).actor, without_root(path)),
            // No glob matches the root of a file system.
            None => self.run(self.policy.elsewhere.actor, b""),
        };
        Decider {
            compiled: self,
            actor: row.matches,
        }
    }

    /// Whether it asks for a kind of thing of anything.
    #[must_use]
    pub fn asks_for(&self, kind: Selector) -> bool {
        !self.policy.uses[kind as usize].is_empty()
    }

    /// Whether a rule about an operation asks for what only some policies ask for ([`Further`]).
    #[must_use]
    pub fn asks_further(&self, operation: Operation) -> bool {
        let about = self.policy.operations[operation as usize];
        let mut kinds = Selector::EVERY.into_iter();
        kinds.any(|kind| {
            kind.can_be_unknown() && !self.policy.uses[kind as usize].and(about).is_empty()
        })
    }

    /// The rules that are about a process, whatever is done to it, by whomever, and whichever of them
    /// decides.
    pub fn about_process(&self, facts: &ProcessFacts) -> impl Iterator<Item = u8> {
        let clauses = self.policy.operations.iter();
        let clauses = clauses.fold(Bits::NONE, |all, &some| all.or(some));
        let mut left = Candidates::from_bits(clauses);
        left.narrow(&self.policy, Selector::Path, Bits::NONE);
        let matched = self.by(None).on(facts);
        for kind in Selector::EVERY.into_iter().filter(|kind| kind.fits(true)) {
            if kind != Selector::Actor {
                left.narrow(&self.policy, kind, matched.0[kind as usize]);
            }
        }
        let left = left.bits();
        (0..MAX_CLAUSES)
            .filter(move |&clause| !left.and(Bits::one(clause)).is_empty())
            .map(|clause| self.policy.clause_rule[clause])
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

/// Decisions of a policy on what one program does.
#[derive(Clone, Copy, Debug)]
pub struct Decider<'policy> {
    compiled: &'policy Compiled,
    /// The clauses that the program satisfies.
    actor: Bits,
}

impl Decider<'_> {
    /// The policy that decides.
    pub(crate) const fn policy(&self) -> &Compiled {
        self.compiled
    }

    /// What a target satisfies, of which nothing is known yet.
    fn matched(self) -> Matched {
        let mut matched = Matched::default();
        matched.set(Selector::Actor, self.actor);
        matched
    }

    /// Decides on an operation on a process. `signal` counts for [`Operation::Signal`] only.
    #[must_use]
    pub fn on_process(self, operation: Operation, signal: u32, facts: &ProcessFacts) -> Decision {
        decide(&self.compiled.policy, operation, signal, &self.on(facts))
    }

    /// What a process satisfies.
    fn on(self, facts: &ProcessFacts) -> Matched {
        let mut matched = self.matched();
        let row = if let Some((device, path)) = &facts.executable {
            self.compiled
                .run(self.compiled.start(*device).executable, without_root(path))
        } else {
            let unknown = self.compiled.policy.unknown[Selector::Executable as usize];
            &self.compiled.rows[usize::from(unknown)]
        };
        matched.set(Selector::Executable, row.matches);
        let name = self
            .compiled
            .run(self.compiled.policy.name_start, &facts.name);
        matched.set(Selector::Name, name.matches);
        let user = self
            .compiled
            .users
            .iter()
            .find(|(uid, _)| *uid == facts.uid);
        let others = self.compiled.policy.other_users;
        matched.set(Selector::User, user.map_or(others, |(_, bits)| *bits));
        let cgroup = self.compiled.run(
            self.compiled.policy.cgroup_start,
            without_root(&facts.cgroup),
        );
        matched.set(Selector::Cgroup, cgroup.matches);
        self.further(&facts.further, &mut matched);
        matched
    }

    /// What a process satisfies of what only some policies ask for.
    fn further(self, facts: &Further, matched: &mut Matched) {
        let compiled = self.compiled;
        let policy = &compiled.policy;
        let unknown = |kind: Selector| {
            let row = policy.unknown[kind as usize];
            compiled.rows[usize::from(row)].matches
        };
        let all_of = |any: Bits, rows: Vec<&Row>| {
            let none = (Bits::NONE, Bits::NONE);
            let (fits, excepted) = rows.iter().fold(none, |(fits, excepted), row| {
                (fits.or(row.matches), excepted.or(row.ancestors))
            });
            several(any, fits, excepted)
        };
        let command = facts.command.as_ref().map(|command| {
            let end = compiled.run(policy.command_start, command);
            end.matches
        });
        let ancestors = facts.ancestors.as_ref().map(|ancestors| {
            let ends = ancestors.iter().map(|(device, path)| {
                let start = compiled.start(*device).ancestor;
                compiled.run(start, without_root(path))
            });
            all_of(policy.any_ancestors, ends.collect())
        });
        let listening = facts.listens.as_ref().map(|listens| {
            let ends = listens.iter().map(|(address, port)| {
                let text = endpoint(octets(*address), *port);
                compiled.run(policy.listening_start, &text)
            });
            all_of(policy.any_listening, ends.collect())
        });
        let session = match &facts.session {
            None => policy.no_session,
            Some(name) => {
                let name = session::name(name.as_bytes());
                let named = compiled.sessions.iter().find(|(other, _)| *other == name);
                named.map_or(policy.other_sessions, |(_, clauses)| *clauses)
            }
        };
        for (kind, clauses) in [
            (Selector::Command, command),
            (Selector::Ancestor, ancestors),
            (Selector::Listening, listening),
            (Selector::Session, Some(session)),
        ] {
            matched.set(kind, clauses.unwrap_or_else(|| unknown(kind)));
        }
    }

    /// Decides on an operation on a file.
    #[must_use]
    pub fn on_file(self, operation: Operation, facts: &FileFacts) -> Decision {
        self.at_path(operation, 0, facts)
    }

    /// Decides on the use of a facility of the machine: through a file, or without one.
    #[must_use]
    pub fn on_machine(self, facility: Facility, file: Option<&FileFacts>) -> Decision {
        let (operation, detail) = (Operation::Machine, facility.detail());
        match file {
            Some(facts) => self.at_path(operation, detail, facts),
            None => decide(&self.compiled.policy, operation, detail, &self.matched()),
        }
    }

    /// Decides on a connection to a socket.
    #[must_use]
    pub fn on_socket(self, facts: &SocketFacts) -> Decision {
        let text = match facts {
            SocketFacts::File(file) => return self.at_path(Operation::Connect, 0, file),
            SocketFacts::Abstract(name) => {
                let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
                [b"@", name].concat()
            }
            SocketFacts::Internet { address, port, .. } => {
                endpoint(octets(*address), *port).to_vec()
            }
            SocketFacts::Other(family) => vec![b'#', digit(family >> 4), digit(*family)],
        };
        let mut matched = self.matched();
        let row = self.compiled.run(self.compiled.policy.socket_start, &text);
        matched.set(Selector::Path, row.matches);
        let decision = decide(&self.compiled.policy, Operation::Connect, 0, &matched);
        match facts {
            SocketFacts::Internet { is_free: true, .. } if decision.reason == Reason::Default => {
                Decision {
                    verdict: Verdict::Allow,
                    ..decision
                }
            }
            _ => decision,
        }
    }

    /// Decides on an operation on what lies at a path.
    fn at_path(self, operation: Operation, detail: u32, facts: &FileFacts) -> Decision {
        let row = self.compiled.run(
            self.compiled.start(facts.device).path,
            without_root(&facts.path),
        );
        let mut clauses = row.matches;
        if facts.is_directory && guards_ancestors(operation) {
            clauses = clauses.xor(row.ancestors);
        }
        let mut matched = self.matched();
        matched.set(Selector::Path, clauses);
        let decision = decide(&self.compiled.policy, operation, detail, &matched);
        if facts.is_own && decision.yields {
            return Decision {
                verdict: Verdict::Allow,
                ..Decision::deny(Reason::Own)
            };
        }
        decision
    }
}

/// An address as automata have it.
fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// The kernel's form of a path: the root is the empty string.
fn without_root(path: &[u8]) -> &[u8] {
    if path == b"/" { b"" } else { path }
}
