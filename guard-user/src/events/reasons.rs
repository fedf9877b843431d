//! What people are told when no rule of theirs stands behind a verdict: the built-in
//! reasons, each with why, and what to do instead.

use std::borrow::Cow;

use guard_ebpf::operation::{Facility, Operation, Reason};

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

#[cfg(test)]
mod tests {
    use super::*;

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
