//! Whether a session may do something, and why: asked of the policy that is in force, through the
//! decision that the kernel's programs make.

mod facts;
mod question;
mod shown;

use std::net::IpAddr;
use std::os::fd::{AsFd as _, BorrowedFd};

use anyhow::{Result, bail};
use guard_ebpf::decision::Decision;
use guard_ebpf::operation::{Facility, Operation, Reason, Verdict};

use crate::events::reasons;
use crate::policy::compiled::{Compiled, RuleInfo};
use crate::policy::evaluate::{Decider, FileFacts, SocketFacts};
use crate::system::mounts::Mounts;

pub use question::{Answer, Question, Target};

use facts::{Found, Kind};

/// Whose own a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// No session's, as far as is known.
    Nobody,
    /// A session has made it.
    Made(u32),
    /// It lies in a directory that a session has made.
    Below(u32),
    /// A session has made it, and the kernel has dropped it from memory since.
    Remembered(u32),
}

/// What is known of the session beside its policy.
pub trait Knowledge {
    /// The session of a process.
    fn session_of(&self, pid: u32) -> Result<Option<u32>>;
    /// Whose own a file is, by a descriptor of it (`O_PATH` will do).
    fn whose(&self, file: BorrowedFd<'_>) -> Result<Whose>;
    /// Whether a process is one of guard's.
    fn is_guard(&self, pid: u32) -> bool;
    /// What a session is called.
    fn name(&self, session: u32) -> String;
}

/// Answers a question about a session: its policy, what its rules are called, and its number.
pub fn answer(
    question: &Question,
    policy: &Compiled,
    rules: &[RuleInfo],
    session: u32,
    known: &dyn Knowledge,
) -> Result<Answer> {
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
    let told = asked.told()?;
    Ok(told.worded(question, rules))
}

/// A decision with what people are told besides.
struct Told {
    decision: Decision,
    /// The operation that it came to: files by which the machine is controlled are the machine.
    operation: Operation,
    facility: Option<Facility>,
    target: String,
    whose: String,
    notes: Vec<String>,
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
        let told = |decision, whose: String| Told {
            decision,
            operation,
            facility: None,
            target: process.shown.clone(),
            whose,
            notes: Vec::new(),
        };
        if owner == Some(self.session) {
            let whose = "the session's own: it carries the session's label";
            return Ok(told(allowed(Reason::Own), whose.into()));
        }
        if operation == Operation::Signal && signal == 0 {
            let whose = "signal 0 only asks whether it is there";
            return Ok(told(allowed(Reason::Own), whose.into()));
        }
        let mut decision = self.by.on_process(operation, signal, &process.facts);
        if self.known.is_guard(pid) && decision.verdict != Verdict::Deny {
            decision = Decision::deny(Reason::GuardProcess);
        }
        let whose = match owner {
            Some(other) => format!("of session {}, by its label", self.known.name(other)),
            None => "of no session: it carries no label".into(),
        };
        Ok(told(decision, whose))
    }

    fn file(&self, path: &std::path::Path) -> Result<Told> {
        let operation = self.question.operation;
        let found = facts::file(self.mounts, path)?;
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
            Kind::Machine(_) if operation == Operation::Create && found.is_procfs => {
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
        if decision.limited {
            notes.push(
                "the rule lets so many through (`at-most`); `guard status` says when that is \
                 exceeded"
                    .to_owned(),
            );
        }
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

impl Told {
    fn worded(self, question: &Question, rules: &[RuleInfo]) -> Answer {
        let Decision {
            verdict,
            reason,
            rule,
            ..
        } = self.decision;
        let words = reasons::text(reason, self.operation, self.facility);
        let is_refused = verdict != Verdict::Allow;
        let words = words.filter(|_| is_refused);
        let info = matches!(reason, Reason::Rule | Reason::Limit)
            .then(|| rules.get(usize::from(rule)))
            .flatten();
        let free = (question.operation, reason, verdict);
        let because = match free {
            (Operation::Create, Reason::Default, Verdict::Allow) => {
                Some("new files are free where no rule says otherwise".to_owned())
            }
            (Operation::Connect, Reason::Default, Verdict::Allow) => {
                Some("other hosts are free where no rule says otherwise".to_owned())
            }
            _ => None,
        };
        Answer {
            verdict,
            reason,
            rule: info.map(|info| info.name.clone()).or_else(|| {
                let facility = self.facility.filter(|_| is_refused);
                reasons::name(reason, facility)
            }),
            source: info
                .and_then(|info| info.source.as_ref())
                .map(|(file, line)| format!("{file}:{line}")),
            because: info
                .and_then(|info| info.because.clone())
                .or_else(|| words.as_ref().map(|words| words.because.to_owned()))
                .or(because),
            instead: words.map(|words| words.instead.into_owned()),
            target: self.target,
            whose: self.whose,
            notes: self.notes,
        }
    }
}
