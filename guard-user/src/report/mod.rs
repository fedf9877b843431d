//! `guard report`: what a session did and what was refused, made of its log to be read by a person.
//!
//! ```text
//! log ─→ Gathering (counts, bounded) ─→ Report ─→ text (80 columns)
//!                                           └──→ html (one page, charts as SVG)
//! ```
//!
//! A log has up to 128 MiB, and its names are chosen by the guarded program: everything that grows
//! with them is bounded here, and says when it was cut.

mod chart;
pub mod html;
mod moments;
pub mod most;
pub mod over_time;
mod tally;
mod targets;
pub mod text;

#[cfg(test)]
mod browser;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

use crate::events::event::{Body, Event, InForce, Judged, Loss, Lost, SessionChange, SessionStep};
use crate::events::history::read_since;
use crate::events::names::Named;
use crate::events::terminal::cause;
use crate::events::text::{bytes, escaped};
use crate::events::time::Time;
use guard_ebpf::operation::Operation;
use moments::{Moments, Why};
use most::{Most, Ranking};
use over_time::OverTime;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use tally::{Outcome, Tally};
use targets::{Place, Targets};

/// How many rows a table has at most.
pub const ROWS: usize = 25;

/// What a session's log comes to. Names in it are escaped but for those in events.
#[derive(Clone, Debug)]
pub struct Report {
    /// The session's name.
    pub session: String,
    /// What is known of the session itself.
    pub session_known: Option<SessionChange>,
    /// The policy that it started with; logs of earlier versions do not say.
    pub policy: Option<InForce>,
    /// The first and the last moment that the log tells of.
    pub span: Option<(Time, Time)>,
    /// How it ended.
    pub end: End,
    /// All verdicts.
    pub total: Tally,
    /// By time.
    pub over_time: OverTime,
    /// By rule, or by what stands for one.
    pub rules: Ranking<Cause>,
    /// By target.
    pub targets: Ranking<Place>,
    /// What bursts did to targets that the log does not name.
    pub unnamed: Tally,
    /// By command.
    pub actors: Ranking<Actor>,
    /// How many edits of the policy were applied and rejected.
    pub edits: (u64, u64),
    /// The notable events, with how many were left out.
    pub moments: Vec<(Why, Event)>,
    /// How many more there were.
    pub left_out: u64,
    /// What is missing: what of, and how much.
    pub lost: BTreeMap<String, u64>,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It runs.
    Running,
    /// It has ended.
    Ended {
        /// When.
        at: Time,
        /// The command's exit status, when it is known.
        status: Option<i32>,
    },
    /// The log does not say.
    Unknown,
}

/// Why something was refused or recorded; escaped.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cause {
    /// The rule, or the reason where there is none.
    pub name: String,
    /// What it says.
    pub because: Option<String>,
    /// Where the rule stands.
    pub source: Option<String>,
}

/// Who did something; escaped.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Actor {
    /// The command's name.
    pub comm: String,
    /// Its executable, where it is known.
    pub exe: Option<String>,
    /// Its user.
    pub user: String,
}

/// A report in the making.
#[derive(Debug, Default)]
pub struct Gathering {
    session: Option<String>,
    known: Option<SessionChange>,
    policy: Option<InForce>,
    span: Option<(Time, Time)>,
    end: Option<End>,
    total: Tally,
    over_time: OverTime,
    rules: Most<Cause>,
    targets: Targets,
    actors: Most<Actor>,
    edits: (u64, u64),
    moments: Moments,
    lost: BTreeMap<String, u64>,
}

/// Reads a log. It is read once, an event at a time.
pub fn read(log: &Path) -> io::Result<Report> {
    let mut events = read_since(log, None)?;
    let mut gathering = Gathering::default();
    for event in events.by_ref() {
        gathering.add(&event);
    }
    let unreadable = events.unreadable();
    if unreadable > 0 {
        gathering.lose("lines of the log that can't be read".to_owned(), unreadable);
    }
    Ok(gathering.finish())
}

impl Gathering {
    /// Takes an event.
    pub fn add(&mut self, event: &Event) {
        if self.session.is_none() {
            self.session.clone_from(&event.session);
        }
        let (first, last) = self.span.unwrap_or((event.time, event.latest()));
        self.span = Some((first.min(event.time), last.max(event.latest())));
        match &event.body {
            Body::Verdict(judged) => self.add_verdict(event, judged),
            Body::Session(change) => self.add_session(event.time, change),
            Body::Policy(edit) => {
                use crate::events::event::PolicyChange::{Applied, Rejected};
                match edit.change {
                    Applied => self.edits.0 += 1,
                    Rejected => self.edits.1 += 1,
                }
            }
            Body::Lost(loss) => self.lose(lost(loss), loss.count),
            Body::Notice(_) => {}
        }
        if !matches!(event.body, Body::Verdict(_)) {
            self.over_time.add(event.time, &Tally::default());
            self.moments.add_step(event);
        }
    }

    fn add_verdict(&mut self, event: &Event, judged: &Judged) {
        let Some(outcome) = Outcome::of(judged.verdict) else {
            return;
        };
        let tally = Tally::of(outcome, judged.operation, judged.count);
        self.total.add(&tally);
        self.over_time.add(event.time, &tally);
        let before = self.rules.add(Cause::of(judged), &tally);
        let is_first = before.count(outcome, judged.operation) == 0;
        self.targets.add(outcome, judged);
        self.actors.add(Actor::of(judged), &tally);
        self.moments.add_verdict(event, is_first);
    }

    fn add_session(&mut self, time: Time, change: &SessionChange) {
        self.end = Some(match change.change {
            SessionStep::Ended => End::Ended {
                at: time,
                status: change.status,
            },
            _ => End::Unknown,
        });
        if self.policy.is_none() {
            self.policy = change.policy.as_deref().cloned();
        }
        self.known.get_or_insert_with(|| change.clone());
    }

    fn lose(&mut self, what: String, count: u64) {
        let lost = self.lost.entry(what).or_default();
        *lost = lost.saturating_add(count);
    }

    /// The report.
    #[must_use]
    pub fn finish(self) -> Report {
        let (targets, unnamed) = self.targets.ranking(ROWS);
        let (moments, left_out) = self.moments.finish();
        Report {
            session: escaped(self.session.unwrap_or_default().as_bytes()),
            session_known: self.known,
            policy: self.policy,
            span: self.span,
            end: self.end.unwrap_or(End::Unknown),
            total: self.total,
            over_time: self.over_time,
            rules: self.rules.ranking(ROWS),
            targets,
            unnamed,
            actors: self.actors.ranking(ROWS),
            edits: self.edits,
            moments,
            left_out,
            lost: self.lost,
        }
    }
}

impl Cause {
    fn of(judged: &Judged) -> Self {
        let safe = |text: &Option<String>| text.as_ref().map(|text| escaped(text.as_bytes()));
        Self {
            name: cause(judged),
            because: safe(&judged.because),
            source: safe(&judged.source),
        }
    }
}

impl Actor {
    fn of(judged: &Judged) -> Self {
        let actor = &judged.actor;
        let exact = |field, text: &str| escaped(&bytes(field, text, &actor.raw));
        let user = actor.user.clone();
        let user = user.unwrap_or_else(|| actor.uid.to_string());
        Self {
            comm: exact("comm", &actor.comm),
            exe: actor.exe.as_deref().map(|exe| exact("exe", exe)),
            user: escaped(user.as_bytes()),
        }
    }
}

/// What is lost, in words.
fn lost(loss: &Loss) -> String {
    let what = match loss.what {
        Lost::Records => "events that did not fit into the ring buffer",
        Lost::Malformed => "records that could not be read",
        Lost::Log => "events that could not be written to the log",
        Lost::Stream => "events that were not taken in time",
    };
    match loss.operation {
        Some(operation) => format!("{what} ({})", operation.name()),
        None => what.to_owned(),
    }
}

/// `107 signal, 45 delete`: the most frequent first.
fn by_operation(tally: &Tally, outcome: Outcome) -> String {
    let mut counts: Vec<(Operation, u64)> = tally.operations(outcome).collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let words: Vec<_> = counts
        .into_iter()
        .map(|(operation, count)| format!("{} {}", grouped(count), Named::name(operation)))
        .collect();
    words.join(", ")
}

/// A number with a thin separator between thousands: `12,345`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
