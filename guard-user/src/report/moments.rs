//! The notable events: what people want to see one by one. A bounded number of them, however long
//! the log is.

use crate::events::event::{Body, Event};
use std::collections::VecDeque;

/// How many steps are kept from the beginning, and how many to the end.
const STEPS: usize = 40;

/// How many first refusals are kept.
const FIRSTS: usize = 40;

/// How many bursts are kept, and from how many operations on an event is one.
const BURSTS: usize = 5;
const BURST: u64 = 10;

/// What makes an event notable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// The session's life, its policy, what is lost, what people should know.
    Step,
    /// The first verdict of its kind.
    First,
    /// One of the largest bursts.
    Burst,
}

/// The notable events in the making.
#[derive(Debug, Default)]
pub struct Moments {
    first_steps: Vec<Event>,
    last_steps: VecDeque<Event>,
    firsts: Vec<Event>,
    bursts: Vec<(u64, Event)>,
    /// How many steps and first refusals were left out.
    left_out: u64,
}

impl Moments {
    /// Takes an event that is no verdict.
    pub fn add_step(&mut self, event: &Event) {
        if self.first_steps.len() < STEPS {
            self.first_steps.push(event.clone());
            return;
        }
        self.last_steps.push_back(event.clone());
        if self.last_steps.len() > STEPS {
            self.last_steps.pop_front();
            self.left_out += 1;
        }
    }

    /// Takes a verdict; the first of its kind or not.
    pub fn add_verdict(&mut self, event: &Event, is_first: bool) {
        let Body::Verdict(judged) = &event.body else {
            return;
        };
        if is_first && self.firsts.len() < FIRSTS {
            self.firsts.push(event.clone());
            return;
        }
        self.left_out += u64::from(is_first);
        let least = self.bursts.last().map_or(0, |(count, _)| *count);
        let is_among = self.bursts.len() < BURSTS || judged.count > least;
        if judged.count >= BURST && is_among {
            let at = self
                .bursts
                .partition_point(|(count, _)| *count >= judged.count);
            self.bursts.insert(at, (judged.count, event.clone()));
            self.bursts.truncate(BURSTS);
        }
    }

    /// All of them in the order in which they were written, with the number of those left out.
    #[must_use]
    pub fn finish(self) -> (Vec<(Why, Event)>, u64) {
        let because = |why| move |event| (why, event);
        let steps = self.first_steps.into_iter().chain(self.last_steps);
        let bursts = self.bursts.into_iter().map(|(_, event)| event);
        let mut all: Vec<_> = steps
            .map(because(Why::Step))
            .chain(self.firsts.into_iter().map(because(Why::First)))
            .chain(bursts.map(because(Why::Burst)))
            .collect();
        all.sort_by(|(_, one), (_, other)| one.id.cmp(&other.id));
        (all, self.left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::samples;

    fn numbered(name: &str, id: usize, count: u64) -> Event {
        let mut event = samples::named(name);
        event.id = format!("{id:09}");
        if let Body::Verdict(judged) = &mut event.body {
            judged.count = count;
        }
        event
    }

    #[test]
    fn the_first_and_the_last_steps_stay() {
        let mut moments = Moments::default();
        for id in 0..1000 {
            moments.add_step(&numbered("notice", id, 0));
        }
        let (all, left_out) = moments.finish();
        assert_eq!((all.len(), left_out), (2 * STEPS, 1000 - 2 * STEPS as u64));
        assert_eq!(all[0].1.id, "000000000");
        assert_eq!(all[2 * STEPS - 1].1.id, "000000999");
    }

    #[test]
    fn the_largest_bursts_stay_beside_the_firsts() {
        let mut moments = Moments::default();
        for id in 0..200 {
            let count = [3, 9, 10, 50, 700][id % 5] + id as u64;
            moments.add_verdict(&numbered("delete", id, count), id == 7);
        }
        let (all, left_out) = moments.finish();
        let ids: Vec<_> = all.iter().map(|(why, event)| (*why, &*event.id)).collect();
        assert_eq!(left_out, 0);
        assert_eq!(
            ids,
            [
                (Why::First, "000000007"),
                (Why::Burst, "000000179"),
                (Why::Burst, "000000184"),
                (Why::Burst, "000000189"),
                (Why::Burst, "000000194"),
                (Why::Burst, "000000199"),
            ]
        );
    }
}
