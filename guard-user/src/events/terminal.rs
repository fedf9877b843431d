//! Events for people: a few lines each, in the width of their terminal. Of a verdict they are its
//! receipt: who did what to what, under which id, why it was refused, and what to do instead.
//!
//! Everything that a guarded program can choose (command names, paths, arguments) is
//! escaped here, once, at the edge.

use super::bursts::More;
use super::event::{
    Body, Event, Judged, Level, Loss, Lost, Notice, PolicyChange, PolicyEdit, SessionChange,
    SessionStep,
};
use super::lines::Lines;
pub use super::lines::Look;
use super::shown::{TARGET_ROOM, comm, manner, more, origin, process, target};
use super::text::{escaped, shortened, width};
use anstyle::{AnsiColor, Style};
use guard_ebpf::operation::{Reason, Verdict};
use std::fmt::Write;

/// The clock on the first line; on the others the id or nothing.
pub(crate) const MARGIN: usize = 10;

/// The room for names that are kept short so that the target has its own.
const SESSION_ROOM: usize = 12;

const DENY: Style = AnsiColor::Red.on_default().bold();
const AUDIT: Style = AnsiColor::Yellow.on_default();
const GOOD: Style = AnsiColor::Green.on_default();
const DIM: Style = Style::new().dimmed();
pub(crate) const PLAIN: Style = Style::new();

/// An event as lines, each with its newline.
#[must_use]
pub fn render(event: &Event, look: Look) -> String {
    render_at(event, &event.time.clock(), look)
}

/// The same with the clock given.
pub(crate) fn render_at(event: &Event, clock: &str, look: Look) -> String {
    let mut lines = begin(event, clock, look);
    match &event.body {
        Body::Verdict(judged) => verdict(&mut lines, &event.id, judged),
        Body::Policy(edit) => policy(&mut lines, edit),
        Body::Session(change) => session(&mut lines, change),
        Body::Lost(loss) => lost(&mut lines, loss),
        Body::Notice(notice) => self::notice(&mut lines, notice),
    }
    lines.finish()
}

/// An event as lines without clock, id, session and colours, each as long as it has to be; escaped.
#[must_use]
pub fn lines(event: &Event) -> Vec<String> {
    let look = Look {
        width: usize::MAX,
        whole: true,
        colour: false,
        session: false,
    };
    let without_margin = |line: &str| line.chars().skip(MARGIN).collect();
    let shown = render_at(event, "", look);
    shown.lines().map(without_margin).collect()
}

/// What was left out of a burst, as lines.
#[must_use]
pub fn render_more(more: &More, look: Look) -> String {
    let clock = more.last.latest().clock();
    render_more_at(more, &clock, &more.since.clock(), look)
}

fn render_more_at(more: &More, clock: &str, since: &str, look: Look) -> String {
    let mut lines = begin(&more.last, clock, look);
    if let Body::Verdict(judged) = &more.last.body {
        operation(&mut lines, judged);
        let comm = comm(&judged.actor);
        let told = format!("{} more by {comm} since {since}, the last", more.count);
        lines.put_wrapped(PLAIN, &told);
        to_what(&mut lines, judged, "");
        lines.next_line_with(DIM, &id(&more.last.id));
        lines.put_wrapped(DIM, &cause(judged));
    }
    lines.finish()
}

/// Lines that begin with the clock and the session.
fn begin(event: &Event, clock: &str, look: Look) -> Lines {
    let mut lines = Lines::new(look);
    lines.put(DIM, &format!("{clock:MARGIN$}"));
    if let (true, Some(session)) = (look.session, &event.session) {
        let session = shortened(&escaped(session.as_bytes()), SESSION_ROOM);
        lines.put(PLAIN, &session);
        lines.put(PLAIN, "  ");
    }
    lines
}

/// The id, as there is room for it in the margin.
fn id(id: &str) -> String {
    shortened(&escaped(id.as_bytes()), MARGIN - 1)
}

fn verdict(lines: &mut Lines, id: &str, judged: &Judged) {
    operation(lines, judged);
    lines.put(PLAIN, &process(&judged.actor));
    to_what(lines, judged, &more(judged));
    lines.next_line_with(DIM, &self::id(id));
    let because = match &judged.because {
        Some(because) => format!("{}: {}", cause(judged), escaped(because.as_bytes())),
        None => cause(judged),
    };
    lines.put_wrapped(DIM, &because);
    // One that came straight from the session's first process, or from what that started, is told
    // without.
    if judged
        .actor
        .ancestors
        .as_ref()
        .is_some_and(|it| it.len() > 2)
    {
        lines.next_line();
        lines.put(DIM, "from: ");
        let origin = origin(&judged.actor, lines.look(), lines.room());
        lines.put(DIM, &origin.unwrap_or_default());
    }
    if let Some(instead) = &judged.instead {
        lines.next_line();
        lines.put_wrapped(DIM, &format!("instead: {}", escaped(instead.as_bytes())));
    }
}

/// What was done and what became of it.
fn operation(lines: &mut Lines, judged: &Judged) {
    let style = match judged.verdict {
        Verdict::Deny => DENY,
        Verdict::Audit => AUDIT,
        Verdict::Allow => GOOD,
    };
    lines.put(style, judged.verdict.name());
    lines.put(PLAIN, &format!(" {}", judged.operation.name()));
    if let Some(signal) = &judged.signal {
        lines.put(PLAIN, &format!(" {}", escaped(signal.as_bytes())));
    }
    if let Some(facility) = judged.facility {
        lines.put(PLAIN, &format!(" {}", facility.name()));
    }
    lines.put(PLAIN, manner(&judged.target));
    lines.put(PLAIN, "  ");
}

/// By which rule, or for which built-in reason; escaped.
pub(crate) fn cause(judged: &Judged) -> String {
    match &judged.rule {
        Some(name) if judged.reason == Reason::Default => escaped(name.as_bytes()),
        Some(rule) => format!("rule {}", escaped(rule.as_bytes())),
        None => judged.reason.name().to_owned(),
    }
}

/// What it was done to, and how much there is beside that.
fn to_what(lines: &mut Lines, judged: &Judged, more: &str) {
    let room = |lines: &Lines| {
        let taken = width(" → ") + width(more);
        lines.room().saturating_sub(taken)
    };
    let whole = lines.look().whole;
    let target = |judged, room| target(judged, room, whole);
    let shown = target(judged, room(lines));
    if shown.is_empty() {
        lines.put(PLAIN, more);
        return;
    }
    // A name that stays whole may have more room on a line of its own.
    let least = if whole { usize::MAX } else { TARGET_ROOM };
    let shown = if room(lines) < least.min(width(&shown)) {
        lines.next_line();
        target(judged, room(lines))
    } else {
        lines.put(PLAIN, " ");
        shown
    };
    lines.put(PLAIN, "→ ");
    lines.put(PLAIN, &shown);
    lines.put(PLAIN, more);
}

fn policy(lines: &mut Lines, edit: &PolicyEdit) {
    let files = escaped(edit.files.join(", ").as_bytes());
    match edit.change {
        PolicyChange::Applied => {
            lines.put(GOOD, "policy applied");
            let rules = edit
                .rules
                .map_or(String::new(), |n| format!("{n} rules from "));
            lines.put_wrapped(PLAIN, &format!(": {rules}{files}"));
            for note in edit.message.iter().flat_map(|notes| notes.lines()) {
                lines.next_line();
                lines.put_wrapped(PLAIN, &escaped(note.as_bytes()));
            }
        }
        PolicyChange::Rejected => {
            lines.put(DENY, "policy rejected");
            lines.put_wrapped(PLAIN, "; the one before stays in force");
            // Lines that a caret points into are not touched but for what could deceive.
            for line in edit.message.as_deref().unwrap_or(&files).lines() {
                lines.next_line();
                lines.put(PLAIN, &escaped(line.as_bytes()));
            }
        }
    }
}

fn session(lines: &mut Lines, change: &SessionChange) {
    let (style, step) = match change.change {
        SessionStep::Started => (GOOD, "session started"),
        SessionStep::Adopted => (GOOD, "session taken over by a new server"),
        SessionStep::Frozen => (DENY, "session frozen"),
        SessionStep::Ended => (PLAIN, "session ended"),
    };
    lines.put(style, step);
    if change.change == SessionStep::Ended {
        let mut told = String::new();
        if let Some(status) = change.status {
            let _ = write!(told, ", status {status}");
        }
        let refused: Vec<_> = change
            .refused
            .iter()
            .map(|(operation, number)| format!("{operation} {number}"))
            .collect();
        if !refused.is_empty() {
            let _ = write!(
                told,
                "; refused: {}",
                escaped(refused.join(", ").as_bytes())
            );
        }
        lines.put_wrapped(PLAIN, &told);
        return;
    }
    lines.put(PLAIN, ": ");
    lines.put_shortened(PLAIN, &escaped(change.command.join(" ").as_bytes()));
    lines.next_line();
    let user = change.user.as_deref().unwrap_or("unknown");
    let workspace = change.workspace.as_deref().unwrap_or("none");
    let about = escaped(format!("user {user}, workspace {workspace}").as_bytes());
    lines.put_shortened(DIM, &about);
}

fn lost(lines: &mut Lines, loss: &Loss) {
    let what = match loss.what {
        Lost::Records => "records",
        Lost::Malformed => "records that could not be read",
        Lost::Log => "events that are not in the log",
        Lost::Stream => "events here",
    };
    lines.put(AUDIT, "lost");
    let mut told = format!(" {} {what}", loss.count);
    if let Some(operation) = loss.operation {
        let _ = write!(told, " of {}", operation.name());
    }
    lines.put_wrapped(PLAIN, &told);
    lines.next_line();
    lines.put_shortened(DIM, &escaped(loss.because.as_bytes()));
}

fn notice(lines: &mut Lines, notice: &Notice) {
    let (style, level) = match notice.level {
        Level::Info => (PLAIN, "note"),
        Level::Warning => (AUDIT, "warning"),
        Level::Error => (DENY, "error"),
    };
    lines.put(style, level);
    lines.put_wrapped(PLAIN, &format!(": {}", escaped(notice.message.as_bytes())));
}

#[cfg(test)]
#[path = "terminal_tests.rs"]
mod tests;
