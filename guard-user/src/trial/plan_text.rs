//! A plan for people: what would have been refused, a few lines each, in the width of their terminal.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use super::plan::{Finding, Plan};
use crate::events::lines::{Lines, Look};
use crate::events::text::{escaped, shortened_path};
use guard_ebpf::operation::{Reason, Verdict};

/// How many places of a finding are shown.
const PLACES: usize = 6;

const PLAIN: Style = Style::new();
const DIM: Style = Style::new().dimmed();
const REFUSED: Style = AnsiColor::Red.on_default().bold();
const GOOD: Style = AnsiColor::Green.on_default();

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
            lines.put(REFUSED, &format!("{operations} would have been refused"));
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
    let style = if finding.verdict == Verdict::Deny {
        REFUSED
    } else {
        PLAIN
    };
    let mut done = finding.operation.name().to_owned();
    if let Some(facility) = finding.facility {
        done.push(' ');
        done.push_str(facility.name());
    }
    for (at, signal) in finding.signals.iter().enumerate() {
        done.push_str(if at == 0 { " " } else { ", " });
        done.push_str(&escaped(signal.as_bytes()));
    }
    if finding.verdict == Verdict::Deny {
        done.push_str(" (was refused)");
    }
    lines.put_wrapped(style, &done);
    for place in finding.places.iter().take(PLACES) {
        lines.next_line();
        let many = if place.targets > 1 {
            format!("  ({} of them)", place.targets)
        } else {
            String::new()
        };
        let room = lines.room().saturating_sub(many.len());
        let what = if look.whole {
            place.what.clone()
        } else {
            shortened_path(&place.what, room)
        };
        lines.put(PLAIN, &what);
        lines.put(DIM, &many);
    }
    let more = finding.places.len().saturating_sub(PLACES);
    let targets = finding.places.iter().skip(PLACES);
    let targets = targets.map(|it| it.targets).sum::<u64>() + finding.unnamed;
    if targets > 0 {
        lines.next_line();
        let elsewhere = match (more, finding.unnamed) {
            (0, _) => "that events do not name",
            (_, 0) => "elsewhere",
            _ => "elsewhere, or that events do not name",
        };
        lines.put_wrapped(DIM, &format!("and {targets} more {elsewhere}"));
    }
    lines.next_line();
    lines.put_wrapped(DIM, &cause(finding));
    lines.next_line();
    let first = &finding.first;
    let by = format!(
        "first {}: {}[{}] → ",
        escaped(first.id.as_bytes()),
        escaped(first.actor.comm.as_bytes()),
        first.actor.pid
    );
    lines.put(DIM, &by);
    let target = first.target();
    if look.whole {
        lines.put(DIM, &target);
    } else {
        lines.put(DIM, &shortened_path(&target, lines.room()));
    }
    lines.finish()
}

/// What decided, where it stands and why.
fn cause(finding: &Finding) -> String {
    let mut cause = match &finding.rule {
        Some(name) if finding.reason == Reason::Default => escaped(name.as_bytes()),
        Some(rule) => format!("rule {}", escaped(rule.as_bytes())),
        None => finding.reason.name().to_owned(),
    };
    if let Some(source) = &finding.source {
        let _ = write!(cause, " ({})", escaped(source.as_bytes()));
    }
    if let Some(because) = &finding.because {
        let _ = write!(cause, ": {}", escaped(because.as_bytes()));
    }
    cause
}
