//! Where the next policy says something else than what came of it in a session: its events, decided
//! anew by the decision that the kernel makes.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::facts::{self, IsLocal};
use super::fold::{First, Targets, Where, targets, unnamed};
use super::width::Width;
use crate::events::event::{Body, Event, Judged, Lost, PolicyChange, SessionStep};
use crate::events::names;
use crate::events::reasons;
use crate::events::time::Time;
use crate::policy::compiled::Compiled;
use crate::system::mounts::Mounts;
use guard_ebpf::decision::Decision;
use guard_ebpf::operation::{Facility, Operation, Reason, Verdict};

/// What a policy says, or said.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Said {
    /// What becomes of it.
    #[serde(with = "names")]
    pub verdict: Verdict,
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
}

/// Operations that come out otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What was done.
    #[serde(with = "names")]
    pub operation: Operation,
    /// To which facility of the machine.
    #[serde(with = "names::option", skip_serializing_if = "Option::is_none")]
    pub facility: Option<Facility>,
    /// What came of it.
    pub was: Said,
    /// What the next policy says.
    pub next: Said,
    /// How often.
    pub count: u64,
    /// The signals, for `signal`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub signals: BTreeSet<String>,
    /// To what, what has the most targets first.
    pub places: Vec<Where>,
    /// How many targets are in none of the places.
    #[serde(skip_serializing_if = "is_zero")]
    pub unnamed: u64,
    /// The first time.
    pub first: First,
}

/// What came of a comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The session's name.
    pub session: String,
    /// The next policy: names of presets and paths of files, in their order.
    pub policies: Vec<String>,
    /// From when on what happened is in it; none without any event.
    pub since: Option<Time>,
    /// How many operations were decided anew.
    pub compared: u64,
    /// How many of them another rule decides, with the same verdict.
    pub otherwise_decided: u64,
    /// How many can't be decided anew: events tell too little of them, or a limit decides (`at-most`).
    pub undecided: u64,
    /// How many records are missing.
    pub missing: u64,
    /// How many operations are in it that the policy in force let through. Where it does not say
    /// `record: everything`, there are none, however many there were.
    pub let_through: u64,
    /// The differences: first what would be refused, then what would not any more.
    pub differences: Vec<Difference>,
}

/// What is compared with: the next policy on a host.
#[derive(Clone, Copy)]
pub struct Next<'host> {
    /// The policy.
    pub policy: &'host Compiled,
    /// The mounts.
    pub mounts: &'host Mounts,
    /// Which addresses are the host's.
    pub is_local: IsLocal<'host>,
}

/// A comparison under way.
#[derive(Debug, Default)]
pub struct Comparison {
    open: BTreeMap<Key, Open>,
    since: Option<Time>,
    compared: u64,
    otherwise_decided: u64,
    undecided: u64,
    missing: u64,
    let_through: u64,
}

/// What operations of one difference have in common.
type Key = (Operation, Option<Facility>, Said, Said);

#[derive(Debug)]
struct Open {
    first: First,
    count: u64,
    signals: BTreeSet<String>,
    targets: Targets,
    unnamed: u64,
}

/// Whether another policy holds from an event on: what was before it was judged by one that is gone.
#[must_use]
pub fn begins_anew(event: &Event) -> bool {
    match &event.body {
        Body::Policy(edit) => edit.change == PolicyChange::Applied,
        Body::Session(change) => change.change == SessionStep::Started,
        _ => false,
    }
}

impl Comparison {
    /// Takes an event of the session.
    pub fn add(&mut self, event: &Event, next: Next<'_>) {
        self.since = Some(self.since.unwrap_or(event.time));
        match &event.body {
            Body::Verdict(judged) => self.judged(event, judged, next),
            Body::Lost(loss) if loss.what != Lost::Stream => self.missing += loss.count,
            _ => {}
        }
    }

    /// Takes note of events that can't be read.
    pub fn miss(&mut self, count: u64) {
        self.missing += count;
    }

    /// Whether no difference was found so far.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.open.is_empty()
    }

    fn judged(&mut self, event: &Event, judged: &Judged, next: Next<'_>) {
        if judged.verdict == Verdict::Allow {
            self.let_through += judged.count;
        }
        if facts::is_fixed(judged.reason) {
            self.compared += judged.count;
            return;
        }
        let was = Said::was(judged);
        let mut said: BTreeMap<Option<Said>, Vec<_>> = BTreeMap::new();
        for target in targets(judged) {
            let decision = facts::decide(next.policy, judged, target, next.mounts, next.is_local);
            let decided = decision.and_then(|decision| Said::next(decision, judged, next.policy));
            said.entry(decided).or_default().push(target);
        }
        // Which of them was met how often is known where all come out alike.
        let is_one = said.len() == 1;
        let named: u64 = said.values().map(|targets| targets.len() as u64).sum();
        if !is_one {
            self.undecided += judged.count.saturating_sub(named);
        }
        for (decided, targets) in said {
            let count = if is_one {
                judged.count
            } else {
                targets.len() as u64
            };
            let Some(decided) = decided else {
                self.undecided += count;
                continue;
            };
            self.compared += count;
            if decided.verdict == was.verdict {
                let is_other = (&decided.rule, &decided.source) != (&was.rule, &was.source);
                self.otherwise_decided += if is_other { count } else { 0 };
                continue;
            }
            let first = targets[0];
            let key = (judged.operation, judged.facility, was.clone(), decided);
            let open = self.open.entry(key).or_insert_with(|| Open {
                first: First::of(event, judged, first),
                count: 0,
                signals: BTreeSet::new(),
                targets: Targets::default(),
                unnamed: 0,
            });
            open.count += count;
            open.signals.extend(judged.signal.clone());
            for target in targets {
                open.targets.add(target);
            }
            if is_one {
                open.unnamed += unnamed(judged);
            }
        }
    }

    /// What came of it.
    #[must_use]
    pub fn finish(self, session: &str, policies: &[String], width: &Width) -> Report {
        let open = self.open.into_iter();
        let mut differences: Vec<Difference> = open
            .map(|((operation, facility, was, next), open)| Difference {
                operation,
                facility,
                was,
                next,
                count: open.count,
                signals: open.signals,
                places: open.targets.summed_up(width),
                unnamed: open.unnamed,
                first: open.first,
            })
            .collect();
        differences.sort_by_key(|it| (!it.is_new_refusal(), std::cmp::Reverse(it.count)));
        Report {
            session: session.to_owned(),
            policies: policies.to_vec(),
            since: self.since,
            compared: self.compared,
            otherwise_decided: self.otherwise_decided,
            undecided: self.undecided,
            missing: self.missing,
            let_through: self.let_through,
            differences,
        }
    }
}

impl Difference {
    /// Whether it went through and would be refused.
    #[must_use]
    pub fn is_new_refusal(&self) -> bool {
        self.next.verdict == Verdict::Deny
    }
}

impl Said {
    fn was(judged: &Judged) -> Self {
        Self {
            verdict: judged.verdict,
            rule: judged.rule.clone(),
            reason: judged.reason,
            source: judged.source.clone(),
            because: judged.because.clone(),
        }
    }

    /// What a decision on what an event tells of means; `None` where a limit decides, of which only
    /// the session that runs up to it can tell.
    fn next(decision: Decision, judged: &Judged, policy: &Compiled) -> Option<Self> {
        if decision.limited && judged.verdict != Verdict::Allow {
            return None;
        }
        let by_rule = decision.reason == Reason::Rule;
        let info = by_rule.then(|| policy.rules.get(usize::from(decision.rule)));
        let info = info.flatten();
        let is_let_through = decision.verdict == Verdict::Allow;
        let words = reasons::text(decision.reason, judged.operation, judged.facility);
        let words = words.filter(|_| !is_let_through);
        let source = info.and_then(|info| info.source.as_ref());
        Some(Self {
            verdict: decision.verdict,
            rule: match info {
                Some(info) => Some(info.name.clone()),
                None => reasons::name(decision.reason, judged.facility),
            },
            reason: decision.reason,
            source: source.map(|(file, line)| format!("{file}:{line}")),
            because: match info {
                Some(info) => info.because.clone(),
                None => words.map(|words| words.because.to_owned()),
            },
        })
    }
}

/// `serde` asks for a function that takes a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
#[path = "differences_tests.rs"]
mod tests;
