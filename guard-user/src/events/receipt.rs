//! A receipt as a text of its own: what was refused, to whom, why, and what to do instead.

use super::event::{Body, Event, Judged};
use super::lines::{COLUMNS, Lines, Look};
use super::shown::{manner, more, origin, process, target};
use super::terminal::{PLAIN, cause};
use super::text::escaped;
use guard_ebpf::operation::Reason;
use std::fmt::Write;

/// How receipts look where nobody says: in 80 columns, with whole names.
pub const TEXT: Look = Look {
    width: COLUMNS,
    whole: true,
    colour: false,
    session: false,
};

/// A refusal as lines, each with its newline; none for an event that tells of something else.
#[must_use]
pub fn render(event: &Event, look: Look) -> String {
    let Body::Verdict(judged) = &event.body else {
        return String::new();
    };
    let mut lines = Lines::new(look);
    lines.put_wrapped(PLAIN, &headline(judged, look));
    let mut about = |word: &str, text: &str| {
        lines.next_line_with(PLAIN, &format!("  {word}"));
        lines.put_wrapped(PLAIN, text);
    };
    let mut by = process(&judged.actor);
    if let Some(exe) = &judged.actor.exe {
        let _ = write!(by, " {}", escaped(exe.as_bytes()));
    }
    about("by", &by);
    if let Some(origin) = origin(&judged.actor, look, look.width) {
        about("from", &origin);
    }
    let mut rule = cause(judged);
    if let Some(source) = &judged.source {
        let _ = write!(rule, " ({})", escaped(source.as_bytes()));
    }
    about("under", &rule);
    if let Some(because) = &judged.because {
        about("because", &escaped(because.as_bytes()));
    }
    if let Some(instead) = &judged.instead {
        about("instead", &escaped(instead.as_bytes()));
    }
    about("again", again(judged.reason));
    let session = event.session.as_deref().unwrap_or("none");
    let session = escaped(session.as_bytes());
    about(
        "id",
        &format!(
            "{}, {}, session {session}",
            escaped(event.id.as_bytes()),
            event.time
        ),
    );
    lines.finish()
}

/// What was refused, in a line.
fn headline(judged: &Judged, look: Look) -> String {
    let mut text = format!("refused: {}", judged.operation.name());
    if let Some(signal) = &judged.signal {
        let _ = write!(text, " {}", escaped(signal.as_bytes()));
    }
    if let Some(facility) = judged.facility {
        let _ = write!(text, " {}", facility.name());
    }
    text.push_str(manner(&judged.target));
    let target = target(judged, look.width, true);
    if !target.is_empty() {
        let _ = write!(text, " → {target}");
    }
    text.push_str(&more(judged));
    text
}

/// What comes of trying once more.
const fn again(reason: Reason) -> &'static str {
    match reason {
        Reason::Limit => "retrying will not help until somebody lifts the limit",
        _ => "retrying will not help, nor will another way to do the same",
    }
}
