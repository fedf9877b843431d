//! What plans and trials show alike, a few lines for each finding.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use super::fold::{First, Where, named};
use crate::events::lines::Lines;
use crate::events::text::{escaped, shortened_path};
use guard_ebpf::operation::{Facility, Operation, Reason};

/// How many places of a finding are shown.
const PLACES: usize = 6;

pub(super) const PLAIN: Style = Style::new();
pub(super) const DIM: Style = Style::new().dimmed();
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(super) const GOOD: Style = AnsiColor::Green.on_default();

/// What was done, in words of policies.
pub(super) fn done(
    operation: Operation,
    facility: Option<Facility>,
    signals: &BTreeSet<String>,
) -> String {
    let mut done = operation.name().to_owned();
    if let Some(facility) = facility {
        done.push(' ');
        done.push_str(facility.name());
    }
    for (at, signal) in signals.iter().enumerate() {
        done.push_str(if at == 0 { " " } else { ", " });
        done.push_str(&escaped(signal.as_bytes()));
    }
    done
}

/// What decided, where it stands and why.
pub(super) fn cause(
    rule: Option<&str>,
    reason: Reason,
    source: Option<&str>,
    because: Option<&str>,
) -> String {
    let mut cause = match rule {
        Some(name) if reason == Reason::Default => escaped(name.as_bytes()),
        Some(rule) => format!("rule {}", escaped(rule.as_bytes())),
        None => reason.name().to_owned(),
    };
    if let Some(source) = source {
        let _ = write!(cause, " ({})", escaped(source.as_bytes()));
    }
    if let Some(because) = because {
        let _ = write!(cause, ": {}", escaped(because.as_bytes()));
    }
    cause
}

/// The places, a line each, and how much there is beside them.
pub(super) fn put_places(lines: &mut Lines, places: &[Where], unnamed: u64) {
    for place in places.iter().take(PLACES) {
        lines.next_line();
        let many = if place.targets > 1 {
            format!("  ({} of them)", place.targets)
        } else {
            String::new()
        };
        let room = lines.room().saturating_sub(many.len());
        put_path(lines, PLAIN, &place.what, room);
        lines.put(DIM, &many);
    }
    let left = places.iter().skip(PLACES);
    let elsewhere = left.map(|place| place.targets).sum::<u64>();
    if elsewhere + unnamed > 0 {
        lines.next_line();
        let where_else = match (elsewhere, unnamed) {
            (0, _) => "that events do not name",
            (_, 0) => "elsewhere",
            _ => "elsewhere, or that events do not name",
        };
        let told = format!("and {} more {where_else}", elsewhere + unnamed);
        lines.put_wrapped(DIM, &told);
    }
}

/// One of the operations.
pub(super) fn put_first(lines: &mut Lines, first: &First) {
    lines.next_line();
    let by = format!(
        "first {}: {}[{}] → ",
        escaped(first.id.as_bytes()),
        escaped(first.actor.comm.as_bytes()),
        first.actor.pid
    );
    lines.put(DIM, &by);
    let room = lines.room();
    put_path(lines, DIM, &named(&first.target), room);
}

fn put_path(lines: &mut Lines, style: Style, path: &str, room: usize) {
    if lines.look().whole {
        lines.put(style, path);
    } else {
        lines.put(style, &shortened_path(path, room));
    }
}
