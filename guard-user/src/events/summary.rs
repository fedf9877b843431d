//! What a session was refused, in one sentence, and the totals behind it.

use super::event::{Body, Event, Judged, Lost};
use super::text::escaped;
use guard_ebpf::operation::{MAX_OPERATIONS, Operation, Reason, Verdict};
use std::collections::BTreeMap;

/// How many kinds of refusals the sentence names.
const NAMED: usize = 4;

/// The totals of one session. Add every event of it; those of its log after a new server
/// has taken it over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    refused: BTreeMap<(Operation, String), u64>,
    lost: [u64; MAX_OPERATIONS],
}

impl Summary {
    /// Adds an event.
    pub fn add(&mut self, event: &Event) {
        match &event.body {
            Body::Verdict(judged) if judged.verdict == Verdict::Deny => {
                let key = (judged.operation, cause(judged));
                *self.refused.entry(key).or_default() += judged.count;
            }
            Body::Lost(loss) if loss.what == Lost::Records => {
                if let Some(operation) = loss.operation {
                    self.lost[operation as usize] += loss.count;
                }
            }
            _ => {}
        }
    }

    /// How many records were lost, by operation: what [`super::pipeline::Pipeline::adopt`]
    /// wants to know.
    #[must_use]
    pub const fn lost(&self) -> [u64; MAX_OPERATIONS] {
        self.lost
    }

    /// How often each operation was refused, for the event that ends the session.
    #[must_use]
    pub fn refused(&self) -> BTreeMap<String, u64> {
        let mut refused = BTreeMap::new();
        for ((operation, _), number) in &self.refused {
            *refused.entry(operation.name().to_owned()).or_default() += number;
        }
        refused
    }

    /// What `guard run` says at the end; `None` when there is nothing to say.
    #[must_use]
    pub fn sentence(&self, session: &str) -> Option<String> {
        let mut kinds: Vec<_> = self.refused.iter().collect();
        // The most frequent first; the order of the map decides between equals.
        kinds.sort_by_key(|(_, number)| std::cmp::Reverse(**number));
        let mut parts: Vec<String> = kinds
            .iter()
            .take(NAMED)
            .map(|((operation, cause), number)| {
                format!("{} ({cause})", counted(*operation, **number))
            })
            .collect();
        let rest: u64 = kinds.iter().skip(NAMED).map(|(_, number)| **number).sum();
        if rest > 0 {
            parts.push(format!("{rest} more"));
        }
        let lost: u64 = self.lost.iter().sum();
        let sentence = match (parts.is_empty(), lost) {
            (true, 0) => return None,
            (true, _) => format!("guard: {lost} records were lost"),
            (false, 0) => format!("guard: refused {}", parts.join(", ")),
            (false, _) => format!(
                "guard: refused {}; {lost} records were lost",
                parts.join(", ")
            ),
        };
        let session = escaped(session.as_bytes());
        Some(format!(
            "{sentence}; `guard tail --session {session}` shows them"
        ))
    }
}

impl FromIterator<Event> for Summary {
    fn from_iter<I: IntoIterator<Item = Event>>(events: I) -> Self {
        let mut summary = Self::default();
        for event in events {
            summary.add(&event);
        }
        summary
    }
}

fn cause(judged: &Judged) -> String {
    match (&judged.rule, &judged.because) {
        // What a facility's refusal is called is no rule of anybody's.
        (Some(name), _) if judged.reason == Reason::Default => escaped(name.as_bytes()),
        (Some(rule), _) => format!("rule {}", escaped(rule.as_bytes())),
        (None, Some(because)) => escaped(because.as_bytes()),
        (None, None) => judged.reason.name().to_owned(),
    }
}

fn counted(operation: Operation, number: u64) -> String {
    let (one, many) = match operation {
        Operation::Signal => ("signal", "signals"),
        Operation::Trace => ("attempt to trace", "attempts to trace"),
        Operation::Inspect => ("look into a process", "looks into processes"),
        Operation::Delete => ("deletion", "deletions"),
        Operation::Limit => ("limit on a process", "limits on processes"),
        Operation::Overwrite => ("change to a file", "changes to files"),
        Operation::Attributes => ("change of attributes", "changes of attributes"),
        Operation::Create => ("new file", "new files"),
        Operation::Connect => ("connection", "connections"),
        Operation::Mount => ("change of a mount", "changes of mounts"),
        Operation::Machine => ("use of the machine", "uses of the machine"),
    };
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::samples;

    fn summary(events: &[(&str, u64)]) -> Summary {
        let mut summary = Summary::default();
        for (name, count) in events {
            let mut event = samples::named(name);
            if let Body::Verdict(judged) = &mut event.body {
                judged.count = *count;
            }
            summary.add(&event);
        }
        summary
    }

    #[test]
    fn refusals_are_named_by_operation_and_cause() {
        let summary = summary(&[("delete", 2), ("signal", 40), ("signal", 1), ("inspect", 1)]);
        assert_eq!(
            summary.sentence("work").as_deref(),
            Some(
                "guard: refused 41 signals (the process was not started by this session), \
                 2 deletions (rule photos), 1 look into a process (the process was not started \
                 by this session); `guard tail --session work` shows them"
            )
        );
        let totals = [("delete", 2), ("inspect", 1), ("signal", 41)];
        assert_eq!(
            summary.refused(),
            totals.map(|(name, total)| (name.to_owned(), total)).into()
        );
    }

    #[test]
    fn facilities_are_named_and_every_operation_has_words() {
        let summary = summary(&[("machine", 2), ("connect-address", 1), ("overwrite", 3)]);
        assert_eq!(
            summary.sentence("work").as_deref(),
            Some(
                "guard: refused 3 changes to files (the session did not make it, and no \
                 rule lets it write there), 2 uses of the machine (machine/time), 1 connection \
                 (rule cloud-metadata); `guard tail --session work` shows them"
            )
        );
        for operation in Operation::EVERY {
            assert!(counted(operation, 1).starts_with("1 "));
            assert_ne!(counted(operation, 1)[2..], counted(operation, 2)[2..]);
        }
    }

    #[test]
    fn nothing_refused_is_nothing_said() {
        let summary = summary(&[("audit", 3), ("started", 0), ("notice", 0)]);
        assert_eq!(summary.sentence("work"), None);
    }

    #[test]
    fn one_is_not_many_and_losses_are_said() {
        let some = summary(&[("delete", 1), ("lost-records", 0)]);
        assert_eq!(
            some.sentence("w\u{1b}").as_deref(),
            Some(
                "guard: refused 1 deletion (rule photos); 12 records were lost; \
                 `guard tail --session w\\u{1b}` shows them"
            )
        );
        assert_eq!(some.lost()[Operation::Signal as usize], 12);
        let none = summary(&[("lost-records", 0)]);
        assert_eq!(
            none.sentence("work").as_deref(),
            Some("guard: 12 records were lost; `guard tail --session work` shows them")
        );
    }

    #[test]
    fn a_long_list_is_cut() {
        let mut summary = Summary::default();
        for number in 1..=6_u64 {
            let mut event = samples::named("delete");
            if let Body::Verdict(judged) = &mut event.body {
                judged.rule = Some(format!("r{number}"));
                judged.count = number;
            }
            summary.add(&event);
        }
        assert_eq!(
            summary.sentence("s").as_deref(),
            Some(
                "guard: refused 6 deletions (rule r6), 5 deletions (rule r5), \
                 4 deletions (rule r4), 3 deletions (rule r3), 3 more; \
                 `guard tail --session s` shows them"
            )
        );
    }
}
