//! Whether a session may do something, and why: asked of the policy that is in force, through the
//! decision that the kernel's programs make.

mod exposure;
pub(crate) mod facts;
mod further;
mod grantable;
mod knowledge;
mod question;
mod shown;
mod told;

use std::net::IpAddr;
use std::os::fd::AsFd as _;

use anyhow::{Result, bail};
use guard_ebpf::decision::{self, Decision};
use guard_ebpf::grant::GrantKey;
use guard_ebpf::operation::{Facility, Operation, Reason, Verdict};
use guard_ebpf::places::magic;
use guard_ebpf::policy::Limit;

use crate::policy::compiled::{Compiled, RuleInfo};
use crate::policy::evaluate::{Decider, FileFacts, ProcessFacts, SocketFacts};
use crate::policy::ruleset::at_most;
use crate::system::mounts::Mounts;

pub use exposure::{Exposure, Owner, Signals, exposures};
pub use knowledge::{Knowledge, Nothing, Whose};
pub use question::{Answer, Question, Target};

pub use facts::processes;
use facts::{Found, Kind};
use grantable::Subject;
use told::Told;

/// Answers a question about a session: its policy, what its rules are called, and its number.
pub fn answer(
    question: &Question,
    policy: &Compiled,
    rules: &[RuleInfo],
    session: u32,
    known: &dyn Knowledge,
) -> Result<Answer> {
    let mut told = told(question, policy, session, known)?;
    if let Ok(key) = told.key(question, rules, session)
        && known.granted(session).contains(&key)
    {
        told.under_rule = matches!(told.decision.reason, Reason::Rule | Reason::Limit);
        told.decision = Decision {
            rule: told.decision.rule,
            ..allowed(Reason::Grant)
        };
    }
    Ok(told.worded(question, rules))
}

/// The answer, without what was granted before, and what a grant for just this has as its key.
pub fn refusal(
    question: &Question,
    policy: &Compiled,
    rules: &[RuleInfo],
    session: u32,
    known: &dyn Knowledge,
) -> Result<(Answer, Result<GrantKey>)> {
    let told = told(question, policy, session, known)?;
    let key = told.key(question, rules, session);
    Ok((told.worded(question, rules), key))
}

fn told(
    question: &Question,
    policy: &Compiled,
    session: u32,
    known: &dyn Knowledge,
) -> Result<Told> {
    let mounts = Mounts::read()?;
    let actor = question
        .by
        .as_deref()
        .map(|path| facts::place(&mounts, path))
        .transpose()?;
    let by = policy.by(actor.as_ref().map(|(device, path)| (*device, &path[..])));
    let asked = Asked {
        question,
        by,
        session,
        known,
        mounts: &mounts,
    };
    let mut told = asked.told()?;
    let limit = limit_of(told.decision, policy);
    told.decision = within_limits(told.decision, policy, session, known);
    told.limit = limit.map(|(_, Limit { count, seconds })| at_most(count, seconds));
    Ok(told)
}

/// The limit of the rule that lets something through, if it has one: which of the policy's, and what it
/// says.
fn limit_of(decision: Decision, policy: &Compiled) -> Option<(u8, Limit)> {
    let limit = policy.policy.limited.get(usize::from(decision.rule))?;
    let limit = limit.checked_sub(1).filter(|_| decision.limited)?;
    Some((limit, *policy.policy.limits.get(usize::from(limit))?))
}

/// The decision when its rule's limit is exceeded, if it has one and it is.
fn within_limits(
    decision: Decision,
    policy: &Compiled,
    session: u32,
    known: &dyn Knowledge,
) -> Decision {
    match limit_of(decision, policy) {
        Some((limit, _)) if known.has_exceeded(session, limit) => {
            decision::exceeded(&policy.policy, decision.rule)
        }
        _ => decision,
    }
}

/// The decision on a process, with what holds beside the rules.
fn on_process(
    by: Decider<'_>,
    (operation, signal): (Operation, u32),
    process: &ProcessFacts,
    (is_own, is_guard): (bool, bool),
) -> Decision {
    // Signal 0 only asks whether it is there.
    if is_own || (operation == Operation::Signal && signal == 0) {
        return allowed(Reason::Own);
    }
    let decision = by.on_process(operation, signal, process);
    if is_guard && decision.verdict != Verdict::Deny {
        return Decision::deny(Reason::GuardProcess);
    }
    decision
}

struct Asked<'a> {
    question: &'a Question,
    by: Decider<'a>,
    session: u32,
    known: &'a dyn Knowledge,
    mounts: &'a Mounts,
}

fn allowed(reason: Reason) -> Decision {
    Decision {
        verdict: Verdict::Allow,
        ..Decision::deny(reason)
    }
}

impl Asked<'_> {
    fn told(&self) -> Result<Told> {
        let operation = self.question.operation;
        match &self.question.target {
            Target::Process(pid) if operation.is_on_process() => self.process(*pid),
            Target::File(path) if operation == Operation::Connect => self.unix_socket(path),
            Target::File(path) if operation.is_on_file() => self.file(path),
            Target::Facility(facility) if operation == Operation::Machine => Ok(Told {
                decision: self.by.on_machine(*facility, None),
                operation,
                facility: Some(*facility),
                target: format!("the facility {}", facility.name()),
                whose: "the whole machine's".into(),
                notes: Vec::new(),
                subject: Subject::Facility,
                under_rule: false,
                limit: None,
            }),
            Target::Address(address, port) if operation == Operation::Connect => {
                Ok(self.address(*address, *port))
            }
            Target::Abstract(name) if operation == Operation::Connect => Ok(Told {
                decision: self
                    .by
                    .on_socket(&SocketFacts::Abstract(name.clone().into())),
                operation,
                facility: None,
                target: format!("@{name}"),
                whose: OF_SOCKETS.into(),
                notes: Vec::new(),
                subject: Subject::None(
                    "whoever comes first takes an abstract name; write a rule, which goes by the name",
                ),
                under_rule: false,
                limit: None,
            }),
            _ => bail!(
                "`{}` is not done to such a target; `guard explain --help` says what is",
                operation.name()
            ),
        }
    }

    fn process(&self, pid: u32) -> Result<Told> {
        let Question {
            operation, signal, ..
        } = *self.question;
        let process = facts::process(self.mounts, pid)?;
        let owner = self.known.session_of(pid)?;
        let policy = self.by.policy();
        let facts = further::with(process.facts, pid, policy, self.mounts, self.known, owner);
        let told = |decision, whose: String| Told {
            decision,
            operation,
            facility: None,
            target: process.shown.clone(),
            whose,
            notes: Vec::new(),
            subject: if self.known.is_guard(pid) {
                Subject::None("it is one of guard's own processes, and nobody can grant that")
            } else {
                Subject::Process(pid, process.start)
            },
            under_rule: false,
            limit: None,
        };
        let is_own = owner == Some(self.session);
        let beside = (is_own, self.known.is_guard(pid));
        let decision = on_process(self.by, (operation, signal), &facts, beside);
        let whose = match owner {
            _ if is_own => "the session's own: it carries the session's label".into(),
            _ if decision.reason == Reason::Own => "signal 0 only asks whether it is there".into(),
            Some(other) => format!("of session {}, by its label", self.known.name(other)),
            None => "of no session: it carries no label".into(),
        };
        Ok(told(decision, whose))
    }

    fn file(&self, path: &std::path::Path) -> Result<Told> {
        let operation = self.question.operation;
        let found = facts::file(self.mounts, path)?;
        let subject = found.subject(operation)?;
        let (whose, own) = self.whose(&found)?;
        let facts = FileFacts {
            is_own: own == Own::Made,
            ..found.facts.clone()
        };
        let mut notes = Vec::new();
        let (decision, facility) = match found.kind {
            Kind::Tree => (self.by.on_file(operation, &facts), None),
            Kind::Free => (allowed(Reason::Own), None),
            Kind::Pins => (Decision::deny(Reason::GuardPin), None),
            Kind::Machine(_) if operation == Operation::Create && found.magic == magic::PROC => {
                notes.push("nothing can be made in procfs".to_owned());
                (allowed(Reason::Own), None)
            }
            Kind::Process(pid) if self.known.session_of(pid)? == Some(self.session) => {
                (allowed(Reason::Own), None)
            }
            Kind::Process(_) => {
                let facility = Facility::Processes;
                (self.by.on_machine(facility, Some(&facts)), Some(facility))
            }
            Kind::Machine(facility) => (self.by.on_machine(facility, Some(&facts)), Some(facility)),
        };
        // What others put into its directory is spared the refusal for want of a rule.
        let is_spared = own == Own::Below
            && decision.yields
            && (decision.reason == Reason::Default || decision.limited);
        Ok(Told {
            decision: if is_spared {
                allowed(Reason::Own)
            } else {
                decision
            },
            operation: if facility.is_some() {
                Operation::Machine
            } else {
                operation
            },
            facility,
            target: found.shown,
            whose,
            notes,
            subject,
            under_rule: false,
            limit: None,
        })
    }

    /// Whose own a file is, in words.
    fn whose(&self, found: &Found) -> Result<(String, Own)> {
        let Some(file) = &found.file else {
            return Ok(("nothing is there yet".into(), Own::Not));
        };
        let whose = self.known.whose(file.as_fd())?;
        let name = |session| self.known.name(session);
        Ok(match whose {
            Whose::Nobody => (
                "no session's: neither is its inode marked, nor is it among the files that are \
                 remembered. One that a session made and the kernel has forgotten since would look \
                 the same"
                    .into(),
                Own::Not,
            ),
            Whose::Made(owner) if owner == self.session => (
                "the session's own: it made it (its inode is marked)".into(),
                Own::Made,
            ),
            Whose::Remembered(owner) if owner == self.session => (
                "the session's own: it made it (remembered when the kernel dropped its inode)"
                    .into(),
                Own::Made,
            ),
            Whose::Below(owner) if owner == self.session => (
                "somebody else's, in a directory that the session made (its inode is marked): its own \
                 where no rule says otherwise"
                    .into(),
                Own::Below,
            ),
            Whose::Made(owner) | Whose::Below(owner) | Whose::Remembered(owner) => {
                (format!("session {}'s, by its mark", name(owner)), Own::Not)
            }
        })
    }

    fn unix_socket(&self, path: &std::path::Path) -> Result<Told> {
        let found = facts::file(self.mounts, path)?;
        let subject = found.subject(Operation::Connect)?;
        let facts = FileFacts {
            is_directory: false,
            ..found.facts
        };
        Ok(Told {
            decision: self.by.on_socket(&SocketFacts::File(facts)),
            operation: Operation::Connect,
            facility: None,
            target: found.shown,
            whose: OF_SOCKETS.into(),
            notes: Vec::new(),
            subject,
            under_rule: false,
            limit: None,
        })
    }

    fn address(&self, address: IpAddr, port: u16) -> Told {
        let is_free = !facts::is_local(address);
        let decision = self.by.on_socket(&SocketFacts::Internet {
            address,
            port,
            is_free,
        });
        Told {
            decision,
            operation: Operation::Connect,
            facility: None,
            target: std::net::SocketAddr::new(address, port).to_string(),
            whose: if is_free {
                "another host's".into()
            } else {
                format!("this host's; {OF_SOCKETS}")
            },
            notes: vec!["datagrams are free where no rule says otherwise".to_owned()],
            subject: Subject::Address(address, port),
            under_rule: false,
            limit: None,
        }
    }
}

/// Guard knows sockets by marks that only the kernel's programs see.
const OF_SOCKETS: &str = "not known here; what the session itself listens with, it may connect to";

/// As [`Whose`], to the session that is asked about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Own {
    Not,
    Made,
    Below,
}
