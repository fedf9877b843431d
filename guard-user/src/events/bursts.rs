//! Bursts on a screen: of verdicts that are alike the first is shown, and of those that follow it
//! closely how many there were. What is shown of each process is folded before ([`super::fold`]);
//! a loop in a script is a new process each time.

use super::event::{Body, Event};
use super::time::Time;
use std::collections::BTreeMap;
use std::mem::discriminant;

/// A burst is over when nothing like it happened for so long, in milliseconds.
pub const QUIET: i64 = 2_000;

/// What was left out of a burst that goes on is told after so long, in milliseconds.
pub const LONGEST: i64 = 10_000;

/// How many bursts there can be at once; then the oldest is over.
const MAX_OPEN: usize = 64;

/// What is to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// An event.
    Event(Event),
    /// What was left out of a burst.
    More(Box<More>),
}

/// What was left out of a burst.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct More {
    /// How many operations.
    pub count: u64,
    /// When the first of them was.
    pub since: Time,
    /// The last event of them.
    pub last: Event,
}

/// The bursts that are not over.
#[derive(Debug, Default)]
pub struct Bursts(BTreeMap<u64, Burst>, u64);

#[derive(Debug)]
struct Burst {
    /// An event of it, for comparison: the last one.
    last: Event,
    /// When it was last told of.
    told: Time,
    /// When the first event since then was.
    since: Time,
    /// How many events were left out since then, and how many operations they are.
    events: u64,
    count: u64,
}

impl Bursts {
    /// Takes an event. What is to be shown now comes back.
    pub fn push(&mut self, event: Event) -> Vec<Shown> {
        let mut shown = self.due(event.latest());
        let Body::Verdict(judged) = &event.body else {
            shown.push(Shown::Event(event));
            return shown;
        };
        if let Some(burst) = self.0.values_mut().find(|burst| alike(&burst.last, &event)) {
            if burst.events == 0 {
                burst.since = event.time;
            }
            burst.events += 1;
            burst.count += judged.count;
            burst.last = event;
            return shown;
        }
        if self.0.len() >= MAX_OPEN
            && let Some((_, mut oldest)) = self.0.pop_first()
        {
            shown.extend(oldest.left_out());
        }
        let burst = Burst {
            told: event.latest(),
            since: event.time,
            events: 0,
            count: 0,
            last: event.clone(),
        };
        self.1 += 1;
        self.0.insert(self.1, burst);
        shown.push(Shown::Event(event));
        shown
    }

    /// What there is to tell at a time, although nothing happened.
    pub fn due(&mut self, now: Time) -> Vec<Shown> {
        let mut shown = Vec::new();
        for burst in self.0.values_mut() {
            if burst.is_over(now) || now.milliseconds() - burst.told.milliseconds() >= LONGEST {
                shown.extend(burst.left_out());
                burst.told = now;
            }
        }
        self.0.retain(|_, burst| !burst.is_over(now));
        shown
    }

    /// What there is to tell in the end.
    pub fn finish(&mut self) -> Vec<Shown> {
        let bursts = std::mem::take(&mut self.0);
        bursts
            .into_values()
            .filter_map(|mut burst| burst.left_out())
            .collect()
    }

    /// Whether [`Self::due`] may have something to tell.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.0.values().any(|burst| burst.events > 0)
    }
}

impl Burst {
    /// Whether it is over. So is one that lies in the future: the clock was set back.
    fn is_over(&self, now: Time) -> bool {
        let quiet = now.milliseconds() - self.last.latest().milliseconds();
        !(-QUIET..QUIET).contains(&quiet)
    }

    /// What was left out, once: a single event as itself.
    fn left_out(&mut self) -> Option<Shown> {
        let (events, count) = (self.events, self.count);
        (self.events, self.count) = (0, 0);
        match events {
            0 => None,
            1 => Some(Shown::Event(self.last.clone())),
            _ => Some(Shown::More(Box::new(More {
                count,
                since: self.since,
                last: self.last.clone(),
            }))),
        }
    }
}

/// Whether two events are the same but for the process and the target.
fn alike(one: &Event, other: &Event) -> bool {
    let (Body::Verdict(first), Body::Verdict(second)) = (&one.body, &other.body) else {
        return false;
    };
    one.session == other.session
        && first.verdict == second.verdict
        && first.operation == second.operation
        && first.reason == second.reason
        && first.rule == second.rule
        && first.because == second.because
        && first.signal == second.signal
        && first.facility == second.facility
        && first.actor.comm == second.actor.comm
        && discriminant(&first.target) == discriminant(&second.target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::samples;
    use proptest::prelude::*;

    /// A deletion, so many milliseconds after the example's.
    fn deletion(after: i64, comm: &str) -> Event {
        let mut event = samples::named("delete");
        let time = u64::try_from(event.time.milliseconds() + after).expect("after 1970");
        event.time = Time::since_epoch(std::time::Duration::from_millis(time));
        event.id = format!("{after:09}");
        if let Body::Verdict(judged) = &mut event.body {
            comm.clone_into(&mut judged.actor.comm);
        }
        event
    }

    fn at(after: i64) -> Time {
        deletion(after, "").time
    }

    fn more(count: u64, since: i64, last: i64) -> Shown {
        Shown::More(Box::new(More {
            count,
            since: at(since),
            last: deletion(last, "rm"),
        }))
    }

    #[test]
    fn the_first_is_shown_and_the_others_are_counted() {
        let mut bursts = Bursts::default();
        let first = deletion(0, "rm");
        assert_eq!(bursts.push(first.clone()), [Shown::Event(first)]);
        assert!(!bursts.is_waiting());
        for after in [100, 200, 1900] {
            assert_eq!(bursts.push(deletion(after, "rm")), []);
        }
        assert!(bursts.is_waiting());
        assert_eq!(bursts.due(at(3899)), []);
        assert_eq!(bursts.due(at(3900)), [more(3, 100, 1900)]);
        let later = deletion(4000, "rm");
        assert_eq!(bursts.push(later.clone()), [Shown::Event(later)]);
        assert_eq!(bursts.finish(), []);
    }

    #[test]
    fn what_is_not_alike_does_not_end_a_burst() {
        let mut bursts = Bursts::default();
        bursts.push(deletion(0, "rm"));
        assert_eq!(bursts.push(deletion(1, "rm")), []);
        let other = deletion(2, "find");
        assert_eq!(bursts.push(other.clone()), [Shown::Event(other)]);
        let ended = samples::named("ended");
        // An hour later: what was left out comes first, and one alone comes as itself.
        assert_eq!(
            bursts.push(ended.clone()),
            [Shown::Event(deletion(1, "rm")), Shown::Event(ended)]
        );
    }

    #[test]
    fn a_burst_that_goes_on_is_told_of_all_the_same() {
        let mut bursts = Bursts::default();
        let mut shown = Vec::new();
        for after in (0..25_000).step_by(1000) {
            shown.extend(bursts.push(deletion(after, "rm")));
        }
        shown.extend(bursts.finish());
        assert_eq!(
            shown,
            [
                Shown::Event(deletion(0, "rm")),
                more(9, 1000, 9000),
                more(10, 10_000, 19_000),
                more(5, 20_000, 24_000),
            ]
        );
    }

    #[test]
    fn a_clock_that_is_set_back_ends_a_burst() {
        let mut bursts = Bursts::default();
        bursts.push(deletion(9000, "rm"));
        bursts.push(deletion(9001, "rm"));
        assert_eq!(bursts.due(at(0)), [Shown::Event(deletion(9001, "rm"))]);
    }

    proptest! {
        #[test]
        fn every_operation_is_shown_or_counted_once(
            events in prop::collection::vec((0_i64..4000, 0_u8..100), 1..200)
        ) {
            let mut bursts = Bursts::default();
            let mut shown = Vec::new();
            let mut now = 0;
            for (pause, comm) in &events {
                now += pause;
                shown.extend(bursts.push(deletion(now, &comm.to_string())));
                prop_assert!(bursts.0.len() <= MAX_OPEN);
            }
            shown.extend(bursts.finish());
            let told: u64 = shown
                .iter()
                .map(|shown| match shown {
                    Shown::Event(_) => 1,
                    Shown::More(more) => more.count,
                })
                .sum();
            prop_assert_eq!(told, events.len() as u64);
        }
    }
}
