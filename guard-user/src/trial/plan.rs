//! What a policy would have refused a command that ran in audit mode: its events, folded by what was
//! done and what decided.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::places::{Extent, Places};
use super::width::Width;
use crate::events::event::{Body, Event, Judged, Lost, Process, Target};
use crate::events::names;
use crate::events::shown;
use crate::events::text::{bytes, escaped};
use crate::events::time::Time;
use guard_ebpf::operation::{Facility, Operation, Reason, Verdict};

/// What would have been refused, and what was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The session's name.
    pub session: String,
    /// Names of presets and paths of files, in their order.
    pub policies: Vec<String>,
    /// How many operations would have been refused, and went through.
    pub would_refuse: u64,
    /// How many operations were refused all the same, since no policy lets them through.
    pub refused: u64,
    /// How many records are missing: operations of which nothing else is known.
    pub missing: u64,
    /// How many other processes of the session were left when the command had ended. What they
    /// do from then on is not in here.
    pub remaining: u64,
    /// What it was, what happened most often first.
    pub findings: Vec<Finding>,
}

/// Operations of one kind that the same rule decided, or the same default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// `audit`: it went through and would have been refused. `deny`: it was refused.
    #[serde(with = "names")]
    pub verdict: Verdict,
    /// What was done.
    #[serde(with = "names")]
    pub operation: Operation,
    /// To which facility of the machine.
    #[serde(with = "names::option", skip_serializing_if = "Option::is_none")]
    pub facility: Option<Facility>,
    /// As in events.
    pub rule: Option<String>,
    /// As in events.
    #[serde(with = "names")]
    pub reason: Reason,
    /// As in events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// As in events.
    pub because: Option<String>,
    /// As in events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instead: Option<String>,
    /// How often.
    pub count: u64,
    /// The signals, for `signal`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub signals: BTreeSet<String>,
    /// To what, what has the most targets first.
    pub places: Vec<Where>,
    /// How many targets are in none of the places: events name so many of a burst only.
    #[serde(skip_serializing_if = "is_zero")]
    pub unnamed: u64,
    /// The first time.
    pub first: First,
}

/// Targets that belong together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Where {
    /// A path, `DIRECTORY/*`, `DIRECTORY/**`, an executable and whose process it is, a socket or a
    /// part of the machine.
    pub what: String,
    /// How many different ones.
    pub targets: u64,
}

/// One of the operations, for an example.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct First {
    /// Its event.
    pub id: String,
    /// When.
    pub time: Time,
    /// By whom.
    pub actor: Process,
    /// To what.
    pub target: Target,
}

/// What operations of one finding have in common: verdict, operation, facility, reason, rule,
/// source and words.
type Key = (
    Verdict,
    Operation,
    Option<Facility>,
    Reason,
    Option<String>,
    Option<String>,
    Option<String>,
);

/// A plan in the making.
#[derive(Debug, Default)]
pub struct Planner {
    open: BTreeMap<Key, Open>,
    missing: u64,
}

#[derive(Debug)]
struct Open {
    first: First,
    instead: Option<String>,
    count: u64,
    signals: BTreeSet<String>,
    files: Places,
    /// What else there is, by what it is called: the different ones.
    others: BTreeMap<String, BTreeSet<u64>>,
    unnamed: u64,
}

impl Planner {
    /// Takes an event of the session.
    pub fn add(&mut self, event: &Event) {
        match &event.body {
            Body::Verdict(judged) if is_refusal(judged) => self.judged(event, judged),
            Body::Lost(loss) if loss.what != Lost::Stream => self.missing += loss.count,
            _ => {}
        }
    }

    /// Takes note of events that can't be read.
    pub fn miss(&mut self, count: u64) {
        self.missing += count;
    }

    fn judged(&mut self, event: &Event, judged: &Judged) {
        let key = (
            judged.verdict,
            judged.operation,
            judged.facility,
            judged.reason,
            judged.rule.clone(),
            judged.source.clone(),
            judged.because.clone(),
        );
        let open = self.open.entry(key).or_insert_with(|| Open {
            first: First {
                id: event.id.clone(),
                time: event.time,
                actor: judged.actor.clone(),
                target: judged.target.clone(),
            },
            instead: judged.instead.clone(),
            count: 0,
            signals: BTreeSet::new(),
            files: Places::default(),
            others: BTreeMap::new(),
            unnamed: 0,
        });
        open.count += judged.count;
        open.signals.extend(judged.signal.clone());
        open.unnamed += judged.others.saturating_sub(judged.targets.len() as u64);
        for target in std::iter::once(&judged.target).chain(&judged.targets) {
            match place(target) {
                Placed::File(path) => open.files.add(&path, 1),
                Placed::Other(name, which) => {
                    open.others.entry(name).or_default().insert(which);
                }
            }
        }
    }

    /// The plan.
    #[must_use]
    pub fn finish(self, session: &str, policies: &[String], width: &Width) -> Plan {
        let findings = self.open.into_iter();
        let mut findings: Vec<Finding> = findings
            .map(|(key, open)| finding(key, open, width))
            .collect();
        // What was refused even so comes last: it is the same under every policy.
        findings.sort_by_key(|it| (it.verdict == Verdict::Deny, std::cmp::Reverse(it.count)));
        let sum = |verdict| {
            let alike = findings.iter().filter(|it| it.verdict == verdict);
            alike.map(|it| it.count).sum()
        };
        Plan {
            session: session.to_owned(),
            policies: policies.to_vec(),
            would_refuse: sum(Verdict::Audit),
            refused: sum(Verdict::Deny),
            missing: self.missing,
            remaining: 0,
            findings,
        }
    }
}

fn finding(key: Key, open: Open, width: &Width) -> Finding {
    let (verdict, operation, facility, reason, rule, source, because) = key;
    let files = open.files.summed_up(width).into_iter().map(|place| {
        let mut what = escaped(place.path.as_os_str().as_bytes());
        what.push_str(match place.extent {
            Extent::Itself => "",
            Extent::Inside => "/*",
            Extent::Below => "/**",
        });
        Where {
            what,
            targets: place.paths,
        }
    });
    let others = open.others.into_iter().map(|(what, which)| Where {
        what,
        targets: which.len() as u64,
    });
    let mut places: Vec<_> = files.chain(others).collect();
    places.sort_by_key(|place| std::cmp::Reverse(place.targets));
    Finding {
        verdict,
        operation,
        facility,
        rule,
        reason,
        source,
        because,
        instead: open.instead,
        count: open.count,
        signals: open.signals,
        places,
        unnamed: open.unnamed,
        first: open.first,
    }
}

/// Whether a policy refuses it, or would.
fn is_refusal(judged: &Judged) -> bool {
    judged.verdict == Verdict::Deny || judged.would == Some(Verdict::Deny)
}

impl First {
    /// The target, escaped.
    #[must_use]
    pub fn target(&self) -> String {
        match place(&self.target) {
            Placed::File(path) => escaped(path.as_os_str().as_bytes()),
            Placed::Other(name, _) => name,
        }
    }
}

/// What a target belongs to.
enum Placed {
    File(PathBuf),
    /// What it is called, and what tells it from others that are called alike.
    Other(String, u64),
}

fn place(target: &Target) -> Placed {
    match target {
        Target::File(file) => {
            let path = bytes("path", &file.path, &file.raw);
            let path = Path::new(std::ffi::OsStr::from_bytes(&path));
            if path.is_absolute() {
                Placed::File(path.to_owned())
            } else {
                // Its beginning is not known, or it lies where it can't be seen.
                Placed::Other(escaped(path.as_os_str().as_bytes()), 0)
            }
        }
        Target::Process(process) => {
            let program = match &process.exe {
                Some(exe) => escaped(&bytes("exe", exe, &process.raw)),
                None => escaped(&bytes("comm", &process.comm, &process.raw)),
            };
            let user = process.user.clone();
            let user = user.unwrap_or_else(|| process.uid.to_string());
            let name = format!("{program} of {}", escaped(user.as_bytes()));
            Placed::Other(name, process.pid.into())
        }
        Target::Socket(socket) => Placed::Other(shown::socket(socket), 0),
        Target::Machine(machine) => {
            let through = shown::machine(machine);
            let facility = machine.facility.name();
            let name = if through.is_empty() {
                facility.to_owned()
            } else {
                format!("{facility} ({through})")
            };
            Placed::Other(name, 0)
        }
    }
}

/// `serde` asks for a function that takes a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
