//! The last receipts of a session: what it was refused, kept so that it can be told.

use std::collections::VecDeque;

use guard_ebpf::operation::Verdict;
use serde::{Deserialize, Serialize};

use super::event::{Body, Event};
use super::receipt;

/// How many receipts of a session are kept.
pub const MOST: usize = 64;

/// How many bytes they have together, as JSON: names and paths are up to the session.
pub const MOST_BYTES: usize = 128 << 10;

/// How many calls of tools whose beginning was marked are kept.
const CALLS: usize = 64;

/// The longest name of a call, in bytes.
const LONGEST_CALL: usize = 128;

/// Which receipts somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Asked {
    /// The last one.
    Last,
    /// All that are kept.
    Every,
    /// The one with this id.
    Id(String),
    /// Those of a process, or of what it started.
    Pid(u32),
    /// Those since the beginning of a call of a tool was marked, the last of which is this one. None
    /// when it was not.
    Call(String),
}

/// The last receipts of a session, the oldest first.
#[derive(Debug, Default)]
pub struct Receipts {
    kept: VecDeque<(Event, usize)>,
    bytes: usize,
    /// Calls that have begun, the latest last, each with the last id before it.
    calls: VecDeque<(String, String)>,
}

impl Receipts {
    /// Takes note of an event. Whether it is a receipt.
    pub fn add(&mut self, event: &Event) -> bool {
        if !is_receipt(event) {
            return false;
        }
        let length = event.to_line().len();
        self.kept.push_back((event.clone(), length));
        self.bytes += length;
        while self.kept.len() > MOST || (self.bytes > MOST_BYTES && self.kept.len() > 1) {
            let gone = self.kept.pop_front().map_or(0, |(_, length)| length);
            self.bytes -= gone;
        }
        true
    }

    /// Marks the beginning of a call of a tool. `mark` is an id that is greater than those of all
    /// events before. False when the name is none.
    pub fn begin(&mut self, call: &str, mark: String) -> bool {
        if call.is_empty() || call.len() > LONGEST_CALL {
            return false;
        }
        self.calls.retain(|(other, _)| other != call);
        self.calls.push_back((call.to_owned(), mark));
        if self.calls.len() > CALLS {
            self.calls.pop_front();
        }
        true
    }

    /// What somebody asks for, the oldest first.
    #[must_use]
    pub fn asked(&self, asked: &Asked) -> Vec<&Event> {
        let mut all = self.kept.iter().map(|(event, _)| event);
        match asked {
            Asked::Last => all.next_back().into_iter().collect(),
            Asked::Every => all.collect(),
            Asked::Id(id) => all.filter(|event| event.id == *id).collect(),
            Asked::Pid(pid) => all.filter(|event| is_of(event, *pid)).collect(),
            Asked::Call(call) => {
                let began = self.calls.iter().find(|(other, _)| other == call);
                let Some((_, mark)) = began else {
                    return Vec::new();
                };
                all.filter(|event| event.id > *mark).collect()
            }
        }
    }
}

/// Whether an event tells of a refusal.
#[must_use]
pub fn is_receipt(event: &Event) -> bool {
    matches!(&event.body, Body::Verdict(judged) if judged.verdict == Verdict::Deny)
}

/// Whether a refusal was a process's, or that of one which came from it.
#[must_use]
pub fn is_of(event: &Event, pid: u32) -> bool {
    let Body::Verdict(judged) = &event.body else {
        return false;
    };
    let mut ancestors = judged.actor.ancestors.iter().flatten();
    judged.actor.pid == pid || judged.actor.tid == pid || ancestors.any(|it| it.pid == pid)
}

impl Receipts {
    /// What the session reads, the last receipt first.
    #[must_use]
    pub fn text(&self, session: &str) -> String {
        let mut text = format!(
            "What guard refused to session {session}, the last first. Retrying will not help.\n"
        );
        if self.kept.is_empty() {
            text.push_str("Nothing so far.\n");
        }
        for (event, _) in self.kept.iter().rev() {
            text.push('\n');
            text.push_str(&receipt::render(event, receipt::TEXT));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::samples;

    fn numbered(name: &str, id: &str) -> Event {
        Event {
            id: id.to_owned(),
            ..samples::named(name)
        }
    }

    fn ids(found: &[&Event]) -> Vec<String> {
        found.iter().map(|event| event.id.clone()).collect()
    }

    #[test]
    fn refusals_are_kept_and_nothing_else() {
        let mut receipts = Receipts::default();
        for (name, event) in samples::all() {
            let is_refusal = event.to_line().contains("\"verdict\":\"deny\"");
            assert_eq!(receipts.add(&event), is_refusal, "{name}");
        }
        assert!(receipts.asked(&Asked::Every).len() > 5);
    }

    #[test]
    fn what_is_asked_for_is_found() {
        let mut receipts = Receipts::default();
        receipts.add(&numbered("signal", "000000001"));
        assert!(receipts.begin("call-1", "000000002".to_owned()));
        receipts.add(&numbered("delete", "000000003"));
        assert!(receipts.begin("call-2", "000000004".to_owned()));
        receipts.add(&numbered("signal", "000000005"));
        let asked = |asked: &Asked| ids(&receipts.asked(asked));
        assert_eq!(asked(&Asked::Last), ["000000005"]);
        assert_eq!(asked(&Asked::Id("000000003".into())), ["000000003"]);
        assert_eq!(asked(&Asked::Pid(4400)), ["000000003"]);
        // The second is a child of `make`.
        assert_eq!(asked(&Asked::Pid(4305)), ["000000001", "000000005"]);
        assert_eq!(asked(&Asked::Pid(1)), [] as [&str; 0]);
        let call = |name: &str| asked(&Asked::Call(name.into()));
        assert_eq!(call("call-1"), ["000000003", "000000005"]);
        assert_eq!(call("call-2"), ["000000005"]);
        assert_eq!(call("call-3"), [] as [&str; 0]);
    }

    #[test]
    fn a_session_cannot_make_the_server_remember_without_bounds() {
        let mut receipts = Receipts::default();
        for number in 0..1_000 {
            receipts.add(&numbered("delete", &format!("{number:09}")));
            receipts.begin(&format!("call-{number}"), format!("{number:09}"));
        }
        assert_eq!(receipts.kept.len(), MOST);
        assert_eq!(receipts.calls.len(), CALLS);
        assert_eq!(ids(&receipts.asked(&Asked::Last)), ["000000999"]);
        let mut long = numbered("delete", "1");
        if let Body::Verdict(judged) = &mut long.body {
            judged.because = Some("x".repeat(MOST_BYTES / 2));
        }
        for _ in 0..10 {
            receipts.add(&long);
        }
        assert!(receipts.bytes <= MOST_BYTES + MOST_BYTES / 2);
        assert!(!receipts.begin(&"x".repeat(LONGEST_CALL + 1), "1".to_owned()));
        assert!(!receipts.begin("", "1".to_owned()));
    }

    #[test]
    fn the_text_says_what_why_what_instead_and_that_retrying_does_not_help() {
        let mut receipts = Receipts::default();
        assert!(receipts.text("work").ends_with("Nothing so far.\n"));
        receipts.add(&samples::named("signal"));
        receipts.add(&samples::named("delete"));
        let text = receipts.text("work");
        let (delete, signal) = (text.find("refused: delete"), text.find("refused: signal"));
        assert!(delete.is_some() && delete < signal, "{text}");
        for part in [
            "  because photos exist once\n",
            "  instead delete only",
            "retrying will not help",
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert!(
            text.lines()
                .all(|line| crate::events::text::width(line) <= 80),
            "{text}"
        );
    }
}
