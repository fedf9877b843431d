//! Followers: events wait for each, as many as there is room for, and those that are left out are
//! counted. A follower may pause for as long as it likes.

use std::cell::Cell;
use std::rc::Rc;

use tokio::sync::mpsc;

use crate::events::event::{Body, Event};
use crate::events::filter::Filter;

/// How many events may wait for a follower who reads slowly.
const QUEUE: usize = 4096;
/// How many bytes they may have, all together.
const QUEUE_BYTES: usize = 4 << 20;
/// How many more may wait, with as many bytes again, of those that are no verdicts: a session makes as
/// many verdicts as it likes, and must not keep what is said of policies and sessions from whoever
/// follows.
const RESERVE: usize = 256;

/// The end of a follower where events go in.
pub(super) struct Follower {
    filter: Filter,
    lines: mpsc::Sender<Rc<str>>,
    shared: Rc<Shared>,
}

/// The end where they come out.
pub(super) struct Following {
    lines: mpsc::Receiver<Rc<str>>,
    shared: Rc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// The bytes that wait.
    waiting: Cell<usize>,
    /// How many events did not fit, since the last one came out.
    missed: Cell<u64>,
}

/// A follower of the events that a filter wants.
pub(super) fn queue(filter: Filter) -> (Follower, Following) {
    let (sender, receiver) = mpsc::channel(QUEUE + RESERVE);
    let shared = Rc::new(Shared::default());
    let follower = Follower {
        filter,
        lines: sender,
        shared: Rc::clone(&shared),
    };
    let following = Following {
        lines: receiver,
        shared,
    };
    (follower, following)
}

impl Follower {
    /// Hands an event on. `line` is its JSON, which is made for the first who wants it and shared
    /// by all. Whether the follower is still there.
    pub fn send(&self, event: &Event, line: &mut Option<Rc<str>>) -> bool {
        if self.lines.is_closed() {
            return false;
        }
        if !self.filter.wants(event) {
            return true;
        }
        let line = line.get_or_insert_with(|| event.to_line().into());
        let Shared { waiting, missed } = &*self.shared;
        let bytes = waiting.get() + line.len();
        let (reserve, most) = match event.body {
            Body::Verdict(_) => (RESERVE, QUEUE_BYTES),
            _ => (0, 2 * QUEUE_BYTES),
        };
        // One always fits.
        let has_room = waiting.get() == 0 || bytes <= most && self.lines.capacity() > reserve;
        if has_room && self.lines.try_send(Rc::clone(line)).is_ok() {
            waiting.set(bytes);
        } else {
            missed.set(missed.get() + 1);
        }
        true
    }
}

impl Following {
    /// The next event as a line of JSON, and how many were left out before now; none when there
    /// will be no more.
    pub async fn next(&mut self) -> Option<(Rc<str>, u64)> {
        let line = self.lines.recv().await?;
        let Shared { waiting, missed } = &*self.shared;
        waiting.set(waiting.get() - line.len());
        Some((line, missed.take()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::event::{Level, Notice, VERSION};
    use crate::events::time::Time;

    fn notice(length: usize) -> Event {
        let notice = Notice {
            level: Level::Info,
            message: "x".repeat(length),
        };
        Event {
            v: VERSION,
            time: Time::now(),
            session: None,
            id: String::new(),
            body: Body::Notice(notice),
        }
    }

    fn next(following: &mut Following) -> Option<(Rc<str>, u64)> {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(following.next())
    }

    /// A verdict that takes so many bytes, and some.
    fn verdict(length: usize) -> Event {
        let mut event = crate::events::samples::named("signal");
        let Body::Verdict(judged) = &mut event.body else {
            panic!("{event:?}");
        };
        judged.because = Some("x".repeat(length));
        event
    }

    #[test]
    fn a_follower_that_pauses_costs_so_many_bytes_and_no_more() {
        let (one, mut following) = queue(Filter::default());
        let (other, others) = queue(Filter::default());
        let event = verdict(QUEUE_BYTES / 8);
        for _ in 0..20 {
            let mut line = None;
            assert!(one.send(&event, &mut line) && other.send(&event, &mut line));
            // The two queues share one line.
            let line = line.unwrap();
            assert!(Rc::strong_count(&line) == 3 || Rc::strong_count(&line) == 1);
        }
        assert!(one.shared.waiting.get() <= QUEUE_BYTES);
        assert_eq!(one.shared.missed.get(), 13);
        let (line, missed) = next(&mut following).unwrap();
        assert_eq!(missed, 13);
        assert!(line.contains("xxxx"));
        assert!(one.send(&event, &mut None), "there is room again");
        assert_eq!(one.shared.missed.get(), 0);
        drop(others);
        assert!(!other.send(&event, &mut None));
        // However large it is, one comes through.
        let (one, mut following) = queue(Filter::default());
        assert!(one.send(&verdict(2 * QUEUE_BYTES), &mut None));
        assert_eq!(next(&mut following).unwrap().1, 0);
    }

    #[test]
    fn no_number_of_verdicts_keeps_notices_away() {
        for (count, length) in [(QUEUE + 5, 0), (13, QUEUE_BYTES / 8)] {
            let (one, _following) = queue(Filter::default());
            let event = verdict(length);
            for _ in 0..count {
                assert!(one.send(&event, &mut None));
            }
            assert!(one.shared.missed.take() >= 5, "{length} bytes");
            for _ in 0..RESERVE {
                assert!(one.send(&notice(10), &mut None));
            }
            assert_eq!(one.shared.missed.get(), 0);
            for _ in 0..20 {
                assert!(one.send(&notice(QUEUE_BYTES / 8), &mut None));
            }
            assert!(one.shared.waiting.get() <= 2 * QUEUE_BYTES);
            assert!(one.shared.missed.get() > 0);
        }
    }
}
