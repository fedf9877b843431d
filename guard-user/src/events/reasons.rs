//! What people are told of a verdict beside what the rule behind it says: the built-in reasons, each
//! with why, and what to do instead.

use std::borrow::Cow;
use std::fmt::Write;

use guard_ebpf::operation::{Facility, Operation, Reason, Verdict};

use crate::policy::compiled::{Exception, RuleInfo};

/// How many rules that let something through are told of one that refuses.
const TOLD_EXCEPTIONS: usize = 3;

/// A built-in reason in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// Why: a clause that fits after "refused, since" and after a colon.
    pub because: &'static str,
    /// What to do instead, as a sentence without its full stop.
    pub instead: Cow<'static, str>,
}

/// What a refusal without a rule is called where it has a name: that of the facility, by which a
/// policy lifts it.
#[must_use]
pub fn name(reason: Reason, facility: Option<Facility>) -> Option<String> {
    let facility = facility.filter(|_| reason == Reason::Default)?;
    Some(format!("{}/{}", Operation::Machine.name(), facility.name()))
}

/// The words for a reason; `None` for [`Reason::Rule`], since rules have their own.
#[must_use]
#[expect(clippy::too_many_lines, reason = "a table")]
pub fn text(reason: Reason, operation: Operation, facility: Option<Facility>) -> Option<Text> {
    if let (Reason::Default, Some(facility)) = (reason, facility) {
        let name = facility.name();
        return Some(Text {
            because: facility.because(),
            instead: Cow::Owned(format!(
                "do this from outside the session, or have a rule allow `machine` with \
                 `facilities: [{name}]`"
            )),
        });
    }
    let (because, instead) = match (reason, operation) {
        (Reason::Rule, _) => return None,
        (Reason::Default, Operation::Signal) => (
            "the process was not started by this session",
            "signal the session's own processes by their pids, \
             or have a rule allow `signal` to this one",
        ),
        (Reason::Default, Operation::Trace) => (
            "the process was not started by this session",
            "start the program to be debugged inside the session, \
             or have a rule allow `trace` of this one",
        ),
        (Reason::Default, Operation::Inspect) => (
            "the process was not started by this session",
            "look at the session's own processes only, \
             or have a rule allow `inspect` of this one",
        ),
        (Reason::Default, Operation::Delete) => (
            "the session did not make it, and no rule lets it delete there",
            "work in the workspace or a temporary directory, \
             or have a rule allow `delete` on this path",
        ),
        (Reason::Default, Operation::Limit) => (
            "the process was not started by this session",
            "limit the session's own processes only, \
             or have a rule allow `limit` on this one",
        ),
        (Reason::Default, Operation::Overwrite) => (
            "the session did not make it, and no rule lets it write there",
            "write to a copy, or to a new file in the workspace or a temporary directory, \
             or have a rule allow `overwrite` on this path",
        ),
        (Reason::Default, Operation::Attributes) => (
            "the session did not make it, and no rule is about it",
            "change a copy, or have a rule allow `attributes` on this path",
        ),
        (Reason::Default, Operation::Create) => (
            "nothing may be made there",
            "make it in the workspace, or have a rule allow `create` on this path",
        ),
        (Reason::Default, Operation::Connect) => (
            "the session did not start the service, and no rule is about it",
            "start the service inside the session, \
             or have a rule allow `connect` via this socket",
        ),
        (Reason::Default, Operation::Mount) => (
            "these mounts are the machine's",
            "mount in namespaces of the session's own (`unshare -rm`), \
             or have a rule allow `mount` on this path",
        ),
        (Reason::Default, Operation::Machine) => (
            "it belongs to the whole machine",
            "do this from outside the session, or have a rule allow `machine`",
        ),
        (Reason::Forgotten, _) => (
            "no rule allows it, and guard may have forgotten who made it",
            "work in the workspace, where no file needs remembering, \
             or have a rule allow this on this path",
        ),
        (Reason::Own, _) => (
            "it is the session's own",
            "nothing: the session may do this, and a rule asked to see it",
        ),
        (Reason::GuardProcess, _) => (
            "the process is one of guard's own",
            "end a session from outside it, with `guard stop`; no policy can allow this",
        ),
        (Reason::GuardPin, _) => (
            "guard's programs and maps are pinned there",
            "end the session from outside it, with `guard stop`; no policy can allow this",
        ),
        (Reason::Disconnected, _) => (
            "the file was opened by its handle; its place is unknown",
            "use the file's path",
        ),
        (Reason::TooDeep, _) => (
            "it lies deeper than 1024 directories, which guard can follow",
            "move it up, or do this from outside the session",
        ),
        (Reason::Limit, _) => (
            "the rule lets so many through, and there were more",
            "ask whoever runs guard whether it goes on: they lift the limit with `guard resume`",
        ),
        (Reason::Grant, _) => (
            "a person has let the session do just this (`guard allow`)",
            "nothing: it went through; `guard status` says how often and how long it still may",
        ),
        (Reason::Error, _) => (
            "guard did not find the session's policy; in doubt it refuses",
            "see `guard status` and the server's log; this is a mistake of guard's",
        ),
    };
    Some(Text {
        because,
        instead: Cow::Borrowed(instead),
    })
}

/// What to do instead of an operation that a rule refuses, as a sentence without its full stop: what
/// the session may do whatever the rule says, since it made it itself, and what the rules before it
/// let through. `None` for what was not refused.
#[must_use]
pub fn instead(rule: &RuleInfo, operation: Operation, verdict: Verdict) -> Option<String> {
    if verdict != Verdict::Deny {
        return None;
    }
    if rule.is_final {
        return Some("leave it as it is; no policy can allow this".to_owned());
    }
    let own = match operation {
        Operation::Signal => "signal the session's own processes by their pids",
        Operation::Trace => "start the program to be debugged inside the session",
        Operation::Inspect => "look at the session's own processes only",
        Operation::Limit => "limit the session's own processes only",
        Operation::Delete => "delete only what the session made",
        Operation::Overwrite => "write to a copy, or to a new file elsewhere",
        Operation::Attributes => "change a copy, or what the session made",
        Operation::Create => "make it elsewhere",
        Operation::Connect => "connect to what the session itself has started",
        Operation::Mount => "mount in namespaces of the session's own (`unshare -rm`)",
        Operation::Machine => "do this from outside the session",
    };
    let is_about = |one: &&Exception| one.operations.iter().any(|name| name == operation.name());
    let exceptions: Vec<&Exception> = rule.exceptions.iter().filter(is_about).collect();
    let mut text = own.to_owned();
    // Writing to a string cannot fail.
    for one in exceptions.iter().take(TOLD_EXCEPTIONS) {
        let what = match one.details.as_slice() {
            [] => "some".to_owned(),
            details => details.join(", "),
        };
        let _ = write!(text, "; rule `{}` lets {what} through", one.rule);
        if let Some(because) = &one.because {
            let because: Vec<&str> = because.split_whitespace().collect();
            let _ = write!(text, " ({})", because.join(" "));
        }
    }
    match exceptions.len().saturating_sub(TOLD_EXCEPTIONS) {
        0 => {}
        1 => text.push_str("; another rule lets some through too"),
        more => {
            let _ = write!(text, "; {more} other rules let some through too");
        }
    }
    let _ = write!(text, "; or have rule `{}` changed", rule.name);
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vms() -> RuleInfo {
        let exception = |rule: &str, operation: &str, details: &[&str]| Exception {
            rule: rule.to_owned(),
            operations: vec![operation.to_owned()],
            details: details.iter().map(|&one| one.to_owned()).collect(),
            because: None,
        };
        RuleInfo {
            name: "vms".to_owned(),
            exceptions: vec![
                Exception {
                    because: Some("it may be\nrestarted".to_owned()),
                    ..exception("dev-server", "signal", &["TERM", "INT"])
                },
                exception("other", "trace", &[]),
            ],
            ..RuleInfo::default()
        }
    }

    #[test]
    fn who_is_refused_by_a_rule_hears_what_the_policy_lets_through() {
        let signal = instead(&vms(), Operation::Signal, Verdict::Deny);
        assert_eq!(
            signal.as_deref(),
            Some(
                "signal the session's own processes by their pids; rule `dev-server` lets TERM, INT \
                 through (it may be restarted); or have rule `vms` changed"
            )
        );
        let limit = instead(&vms(), Operation::Limit, Verdict::Deny);
        let expected = "limit the session's own processes only; or have rule `vms` changed";
        assert_eq!(limit.as_deref(), Some(expected));
        assert_eq!(instead(&vms(), Operation::Signal, Verdict::Audit), None);
    }

    #[test]
    fn what_no_policy_lifts_is_not_offered_to_be_lifted() {
        let rule = RuleInfo {
            is_final: true,
            ..vms()
        };
        let text = instead(&rule, Operation::Delete, Verdict::Deny).expect("words");
        assert!(text.ends_with("no policy can allow this"), "{text}");
    }

    #[test]
    fn many_exceptions_are_counted() {
        let mut rule = vms();
        rule.exceptions = vec![rule.exceptions[1].clone(); TOLD_EXCEPTIONS + 2];
        let text = instead(&rule, Operation::Trace, Verdict::Deny).expect("words");
        assert_eq!(
            text.matches("rule `other` lets some through").count(),
            TOLD_EXCEPTIONS
        );
        assert!(
            text.contains("; 2 other rules let some through too; "),
            "{text}"
        );
    }

    #[test]
    fn every_reason_without_a_rule_has_words_that_fit_a_line() {
        for reason in Reason::EVERY {
            for operation in Operation::EVERY {
                let Some(text) = text(reason, operation, None) else {
                    assert_eq!(reason, Reason::Rule);
                    continue;
                };
                // As the second line of the terminal form, in 80 columns.
                let line = format!("         {}: {}", reason.name(), text.because);
                assert!(line.len() <= 80, "{line}");
                for words in [text.because, &text.instead] {
                    assert!(!words.ends_with('.') && !words.contains("  "), "{words}");
                    assert!(words.starts_with(char::is_lowercase), "{words}");
                }
            }
        }
    }

    #[test]
    fn a_refused_facility_says_what_it_could_do_and_how_to_lift_that() {
        for &facility in Facility::EVERY {
            let text = text(Reason::Default, Operation::Machine, Some(facility)).expect("words");
            assert_eq!(text.because, facility.because());
            let lifted = format!("`facilities: [{}]`", facility.name());
            assert!(text.instead.ends_with(&lifted), "{}", text.instead);
            let shown = name(Reason::Default, Some(facility)).expect("a name");
            assert_eq!(shown, format!("machine/{}", facility.name()));
            assert_eq!(name(Reason::Rule, Some(facility)), None);
        }
        assert_eq!(name(Reason::Default, None), None);
    }

    #[test]
    fn the_depth_is_the_one_that_the_kernel_side_has() {
        let text = text(Reason::TooDeep, Operation::Delete, None).expect("words");
        let depth = guard_ebpf::abi::MAX_DEPTH.to_string();
        assert!(text.because.contains(&depth));
    }
}
