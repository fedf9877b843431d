//! From what a session was refused, or would have been, to the rules that let it through: as few as
//! there can be, and none wider than a directory or group that has a name.
//!
//! Each rule is about one cause (a rule of the policy, or none), so that whoever reviews them sees
//! what each of them lifts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use guard_ebpf::operation::{Facility, Operation, Reason, Verdict};

use super::facts::{self, IsLocal};
use super::fold::{targets, unnamed};
use super::places::Places;
use super::plan::is_refusal;
use super::proposal::{Cause, Group, Proposal, Sockets, seen};
use super::width::Width;
use crate::events::event::{Body, Event, Judged, Lost, Target};
use crate::policy::compiled::Compiled;
use crate::system::mounts::Mounts;
use crate::system::signals;

/// How far what was seen is generalised.
#[derive(Clone, Copy, Debug)]
pub enum Reach<'width> {
    /// To what is like it: directories that are narrow stand for what is in them.
    Alike(&'width Width),
    /// Not at all: each target as it was met.
    Exact,
}

/// Why nothing is proposed for an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Left {
    /// No policy can let it through.
    Never,
    /// A rule let so many through; how many it should is for people to say.
    Limit,
    /// Nothing that a rule could name tells the target from others.
    Nameless,
    /// Events name so many targets of a burst, and not this one.
    Unnamed,
}

/// What was seen so far.
#[derive(Debug, Default)]
pub struct Learner {
    files: BTreeMap<OfFiles, BTreeMap<u32, Places>>,
    processes: BTreeMap<(Cause, Group), BTreeSet<(Operation, u32)>>,
    sockets: BTreeMap<Cause, Sockets>,
    facilities: BTreeMap<Cause, BTreeSet<Facility>>,
    /// The events, to say of each rule which it is made of, and to check it.
    events: Vec<Event>,
    left: BTreeMap<Left, u64>,
    missing: u64,
}

/// What is done to files for one cause.
type OfFiles = (Cause, Operation, Option<Facility>);

impl Learner {
    /// Takes an event of the session.
    pub fn add(&mut self, event: Event) {
        match &event.body {
            Body::Verdict(judged) if is_refusal(judged) => {}
            Body::Lost(loss) if loss.what != Lost::Stream => {
                self.missing += loss.count;
                return;
            }
            _ => return,
        }
        let Body::Verdict(judged) = &event.body else {
            return;
        };
        if let Some(why) = left_alone(judged) {
            *self.left.entry(why).or_default() += judged.count;
            return;
        }
        let judged = judged.clone();
        for target in targets(&judged) {
            if self.target(&judged, target).is_none() {
                *self.left.entry(Left::Nameless).or_default() += 1;
            }
        }
        let unnamed = unnamed(&judged);
        if unnamed > 0 {
            *self.left.entry(Left::Unnamed).or_default() += unnamed;
        }
        self.events.push(event);
    }

    /// Takes note of events that can't be read.
    pub fn miss(&mut self, count: u64) {
        self.missing += count;
    }

    /// How many events there are of which something was learned.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// For how many operations nothing is proposed, and why.
    #[must_use]
    pub const fn left(&self) -> &BTreeMap<Left, u64> {
        &self.left
    }

    /// How many records and events are missing.
    #[must_use]
    pub const fn missing(&self) -> u64 {
        self.missing
    }

    /// Learns from one target. `None` when no rule can name it.
    fn target(&mut self, judged: &Judged, target: &Target) -> Option<()> {
        let cause = Cause::of(judged);
        match target {
            Target::Process(process) => {
                let signal = judged.signal.as_deref();
                let signal = signal.map_or(Some(0), signals::number)?;
                let group = Group::of(process)?;
                let done = self.processes.entry((cause, group)).or_default();
                done.insert((judged.operation, signal));
            }
            Target::File(file) => {
                let (device, path) = seen(file)?;
                let facility = judged.facility;
                let kind = (cause, judged.operation, facility);
                let places = self.files.entry(kind).or_default();
                places.entry(device).or_default().add(&path, 1);
            }
            Target::Socket(it) => {
                let sockets = self.sockets.entry(cause).or_default();
                *sockets = sockets.add(it)?;
            }
            Target::Machine(machine) => {
                let facilities = self.facilities.entry(cause).or_default();
                facilities.insert(machine.facility);
            }
        }
        Some(())
    }

    /// The rules, those for what no rule was about first.
    #[must_use]
    pub fn proposals(&self, reach: Reach<'_>, mounts: &Mounts) -> Vec<Proposal> {
        let mut proposals = self.of_files(reach, mounts);
        proposals.extend(self.of_processes());
        for (cause, sockets) in &self.sockets {
            proposals.push(Proposal {
                operations: [Operation::Connect].into(),
                sockets: sockets.clone(),
                ..Proposal::of(cause)
            });
        }
        for (cause, facilities) in &self.facilities {
            proposals.push(Proposal {
                operations: [Operation::Machine].into(),
                facilities: facilities.clone(),
                ..Proposal::of(cause)
            });
        }
        proposals.sort_by(|one, other| one.cause.cmp(&other.cause));
        proposals
    }

    /// Rules about files: places to which the same is done share one.
    fn of_files(&self, reach: Reach<'_>, mounts: &Mounts) -> Vec<Proposal> {
        let mut done: BTreeMap<_, BTreeSet<(Operation, Option<Facility>)>> = BTreeMap::new();
        for ((cause, operation, facility), devices) in &self.files {
            for (device, places) in devices {
                // A rule that allows stays on the file system that its directory lies on.
                let stands = |path: &Path| match reach {
                    Reach::Exact => false,
                    Reach::Alike(width) => {
                        let there = mounts.locate(path);
                        width.is_narrow(path) && there.is_some_and(|it| it.device == *device)
                    }
                };
                for place in places.summed_up(&stands) {
                    let key = (cause, place.path, place.extent);
                    done.entry(key).or_default().insert((*operation, *facility));
                }
            }
        }
        let mut alike: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for ((cause, path, extent), done) in done {
            // What is done to a facility is told from what is done to files.
            let (machine, files): (BTreeSet<_>, BTreeSet<_>) = done
                .into_iter()
                .partition(|(_, facility)| facility.is_some());
            for part in [machine, files] {
                if !part.is_empty() {
                    let places = alike.entry((cause, part)).or_default();
                    places.push((path.clone(), extent));
                }
            }
        }
        let proposals = alike.into_iter().map(|((cause, done), places)| Proposal {
            operations: done.iter().map(|(operation, _)| *operation).collect(),
            facilities: done.iter().filter_map(|(_, facility)| *facility).collect(),
            files: places,
            ..Proposal::of(cause)
        });
        proposals.collect()
    }

    /// Rules about processes: groups to which the same is done share one. Signals have rules of their
    /// own, since a rule about signals is about nothing else.
    fn of_processes(&self) -> Vec<Proposal> {
        let mut alike: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for ((cause, group), done) in &self.processes {
            let (signals, others): (BTreeSet<_>, BTreeSet<_>) = done
                .iter()
                .partition(|(operation, _)| *operation == Operation::Signal);
            for part in [signals, others] {
                if !part.is_empty() {
                    alike.entry((cause, part)).or_default().push(group.clone());
                }
            }
        }
        let proposals = alike.into_iter().map(|((cause, done), groups)| Proposal {
            operations: done.iter().map(|(operation, _)| *operation).collect(),
            signals: done
                .iter()
                .map(|(_, signal)| *signal)
                .filter(|signal| *signal > 0)
                .collect(),
            processes: groups,
            ..Proposal::of(cause)
        });
        proposals.collect()
    }

    /// Of the targets that something was learned of, those that a policy does not let through, each
    /// with its event.
    pub fn refused_by<'all>(
        &'all self,
        policy: &'all Compiled,
        mounts: &'all Mounts,
        is_local: IsLocal<'all>,
    ) -> impl Iterator<Item = (&'all Event, &'all Target)> {
        let judged = self.events.iter().filter_map(|event| match &event.body {
            Body::Verdict(judged) => Some((event, judged)),
            _ => None,
        });
        judged.flat_map(move |(event, judged)| {
            let refused = targets(judged).filter(move |target| {
                let decision = facts::decide(policy, judged, target, mounts, is_local);
                decision.is_none_or(|it| it.verdict != Verdict::Allow)
            });
            refused.map(move |target| (event, target))
        })
    }
}

/// Why nothing is proposed, if so.
fn left_alone(judged: &Judged) -> Option<Left> {
    match judged.reason {
        Reason::Limit => Some(Left::Limit),
        // Rules that are built in stand nowhere.
        Reason::Rule if judged.source.is_none() => Some(Left::Never),
        reason => facts::is_fixed(reason).then_some(Left::Never),
    }
}

#[cfg(test)]
#[path = "learn_tests.rs"]
mod tests;
