//! What a policy would have refused a command that ran in audit mode: its events, folded by what was
//! done and what decided.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::fold::{First, Targets, Where, targets, unnamed};
use super::width::Width;
use crate::events::event::{Body, Event, Judged, Lost};
use crate::events::names;
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
    targets: Targets,
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
            first: First::of(event, judged, &judged.target),
            instead: judged.instead.clone(),
            count: 0,
            signals: BTreeSet::new(),
            targets: Targets::default(),
            unnamed: 0,
        });
        open.count += judged.count;
        open.signals.extend(judged.signal.clone());
        open.unnamed += unnamed(judged);
        targets(judged).for_each(|target| open.targets.add(target));
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
        places: open.targets.summed_up(width),
        unnamed: open.unnamed,
        first: open.first,
    }
}

/// Whether a policy refuses it, or would.
pub(super) fn is_refusal(judged: &Judged) -> bool {
    judged.verdict == Verdict::Deny || judged.would == Some(Verdict::Deny)
}

/// `serde` asks for a function that takes a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
