//! A plan for people: what would have been refused, a few lines each, in the width of their terminal.

use super::plan::{Finding, Plan};
use super::text::{BAD, DIM, GOOD, PLAIN, cause, done, put_first, put_places};
use crate::events::lines::{Lines, Look};
use crate::events::text::escaped;
use guard_ebpf::operation::Verdict;

impl Plan {
    /// The plan as lines.
    #[must_use]
    pub fn render(&self, look: Look) -> String {
        let mut text = self.head(look);
        for finding in &self.findings {
            text.push('\n');
            text.push_str(&shown(finding, look));
        }
        text
    }

    /// What holds for all of it.
    fn head(&self, look: Look) -> String {
        let mut lines = Lines::new(look);
        lines.put(PLAIN, "guard:    ");
        let policy = if self.policies.is_empty() {
            "default".to_owned()
        } else {
            escaped(self.policies.join(", ").as_bytes())
        };
        if self.would_refuse == 0 {
            lines.put(GOOD, "nothing would have been refused");
            lines.put_wrapped(PLAIN, &format!(" under the policy {policy}."));
        } else {
            let operations = if self.would_refuse == 1 {
                "1 operation".to_owned()
            } else {
                format!("{} operations", self.would_refuse)
            };
            lines.put(BAD, &format!("{operations} would have been refused"));
            let done = if self.would_refuse == 1 { "It" } else { "They" };
            lines.put_wrapped(
                PLAIN,
                &format!(
                    " under the policy {policy}. {done} went through, and what the command did is \
                     done. Refused, it might have gone on in another way."
                ),
            );
        }
        let mut note = |note: String| {
            lines.next_line();
            lines.put_wrapped(PLAIN, &note);
        };
        if self.refused > 0 {
            note(refused(self.refused));
        }
        if self.missing > 0 {
            note(format!(
                "Incomplete: {} missing (`guard tail --session {}` says why).",
                if self.missing == 1 {
                    "1 record is".to_owned()
                } else {
                    format!("{} records are", self.missing)
                },
                self.session
            ));
        }
        if self.remaining > 0 {
            note(format!(
                "{} left running, and nothing is refused to what is left: what it does from now on \
                 is not in here. To end it: sudo guard stop {}",
                if self.remaining == 1 {
                    "1 process was".to_owned()
                } else {
                    format!("{} processes were", self.remaining)
                },
                self.session
            ));
        }
        lines.finish()
    }
}

/// So many operations were refused all the same.
fn refused(count: u64) -> String {
    if count == 1 {
        "1 operation was refused all the same, since no policy lets it through: the last below."
            .to_owned()
    } else {
        format!(
            "{count} operations were refused all the same, since no policy lets them through: the \
             last below."
        )
    }
}

fn shown(finding: &Finding, look: Look) -> String {
    let mut lines = Lines::new(look);
    lines.put(PLAIN, &format!("{:>8}  ", finding.count));
    let mut done = done(finding.operation, finding.facility, &finding.signals);
    let style = if finding.verdict == Verdict::Deny {
        done.push_str(" (was refused)");
        BAD
    } else {
        PLAIN
    };
    lines.put_wrapped(style, &done);
    put_places(&mut lines, &finding.places, finding.unnamed);
    lines.next_line();
    let cause = cause(
        finding.rule.as_deref(),
        finding.reason,
        finding.source.as_deref(),
        finding.because.as_deref(),
    );
    lines.put_wrapped(DIM, &cause);
    put_first(&mut lines, &finding.first);
    lines.finish()
}
