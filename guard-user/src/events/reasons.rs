//! What people are told when no rule of theirs stands behind a verdict: the built-in
//! reasons, each with why, and what to do instead.

use guard_ebpf::operation::{Operation, Reason};

/// A built-in reason in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text {
    /// Why: a clause that fits after "refused, since" and after a colon.
    pub because: &'static str,
    /// What to do instead, as a sentence without its full stop.
    pub instead: &'static str,
}

/// The words for a reason; `None` for [`Reason::Rule`], since rules have their own.
#[must_use]
pub const fn text(reason: Reason, operation: Operation) -> Option<Text> {
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
            "no rule lets this session delete what lies there",
            "work in the workspace or a temporary directory, \
             or have a rule allow `delete` on this path",
        ),
        (Reason::Default, _) => ("nothing lets this session do that", "have a rule allow it"),
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
        (Reason::Error, _) => (
            "guard did not find the session's policy; in doubt it refuses",
            "see `guard status` and the server's log; this is a mistake of guard's",
        ),
    };
    Some(Text { because, instead })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_without_a_rule_has_words_that_fit_a_line() {
        for reason in Reason::EVERY {
            for operation in Operation::EVERY {
                let Some(text) = text(reason, operation) else {
                    assert_eq!(reason, Reason::Rule);
                    continue;
                };
                // As the second line of the terminal form, in 80 columns.
                let line = format!("         {}: {}", reason.name(), text.because);
                assert!(line.len() <= 80, "{line}");
                for words in [text.because, text.instead] {
                    assert!(!words.ends_with('.') && !words.contains("  "), "{words}");
                    assert!(words.starts_with(char::is_lowercase), "{words}");
                }
            }
        }
    }

    #[test]
    fn the_depth_is_the_one_that_the_kernel_side_has() {
        let text = text(Reason::TooDeep, Operation::Delete).expect("words");
        let depth = guard_ebpf::abi::MAX_DEPTH.to_string();
        assert!(text.because.contains(&depth));
    }
}
