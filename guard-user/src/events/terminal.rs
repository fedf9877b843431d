//! Events for people: a few lines each, in the width of their terminal. Of a verdict they are its
//! receipt: who did what to what, under which id, why it was refused, and what to do instead.
//!
//! Everything that a guarded program can choose (command names, paths, arguments) is
//! escaped here, once, at the edge.

use super::bursts::More;
use super::event::{
    Body, Event, File, How, Judged, Level, Loss, Lost, Machine, Notice, PolicyChange, PolicyEdit,
    Process, SessionChange, SessionStep, Socket, Target,
};
use super::fold::MAX_TOLD_APART;
use super::lines::Lines;
pub use super::lines::Look;
use super::text::{bytes, escaped, shortened, shortened_path, width};
use anstyle::{AnsiColor, Style};
use guard_ebpf::operation::{Facility, Reason, Verdict};
use std::fmt::Write;

/// The clock on the first line; on the others the id or nothing.
pub(crate) const MARGIN: usize = 10;

/// The room for names that are kept short so that the target has its own.
const SESSION_ROOM: usize = 12;
const COMM_ROOM: usize = 16;

/// The least room for a target; with less it gets a line of its own.
const TARGET_ROOM: usize = 20;

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

/// In which way something was done, where that is not what the operation's name says.
const fn manner(target: &Target) -> &'static str {
    match target {
        Target::File(File { how: Some(how), .. }) => match how {
            How::Rename => " (rename)",
            How::Link => " (link)",
            How::Unmount => " (unmount)",
            How::Unlink | How::Write | How::Mount => "",
        },
        _ => "",
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

/// `comm[pid]`
pub(crate) fn process(process: &Process) -> String {
    format!("{}[{}]", comm(process), process.pid)
}

/// The command name.
fn comm(process: &Process) -> String {
    let comm = escaped(&bytes("comm", &process.comm, &process.raw));
    shortened(&comm, COMM_ROOM)
}

/// The target in so many columns, or as few as it makes sense in.
pub(crate) fn target(judged: &Judged, room: usize, whole: bool) -> String {
    let within = |name: &str| {
        if whole {
            name.to_owned()
        } else {
            shortened_path(name, room.max(TARGET_ROOM))
        }
    };
    match &judged.target {
        Target::Process(it) => {
            let shown = process(it);
            // Whose it is, where that is somebody else and there is room to say so.
            let user = it.user.clone().unwrap_or_else(|| it.uid.to_string());
            let owned = format!("{shown} of {}", escaped(user.as_bytes()));
            let fits = width(&owned) <= room;
            if it.uid != judged.actor.uid && fits {
                owned
            } else {
                shown
            }
        }
        Target::File(file) => {
            let mut path = escaped(&bytes("path", &file.path, &file.raw));
            if file.directory && !path.ends_with('/') {
                path.push('/');
            }
            within(&path)
        }
        Target::Socket(it) => within(&socket(it)),
        Target::Machine(it) => machine(it),
    }
}

/// A socket: a path, `@name`, `127.0.0.1:80`, `[::1]:80`, or its family; escaped.
pub(crate) fn socket(socket: &Socket) -> String {
    let exact = |field, text: &str| escaped(&bytes(field, text, &socket.raw));
    if let Some(path) = &socket.path {
        exact("path", path)
    } else if let Some(name) = &socket.r#abstract {
        format!("@{}", exact("abstract", name))
    } else if let (Some(address), Some(port)) = (&socket.address, socket.port) {
        let address = escaped(address.as_bytes());
        if address.contains(':') {
            format!("[{address}]:{port}")
        } else {
            format!("{address}:{port}")
        }
    } else {
        format!("a socket of family {}", escaped(socket.family.as_bytes()))
    }
}

/// What there is to say of the use of a facility; often nothing.
pub(crate) fn machine(machine: &Machine) -> String {
    if let Some(capability) = &machine.capability {
        return format!("CAP_{}", escaped(capability.as_bytes()));
    }
    let Some(number) = machine.number else {
        return String::new();
    };
    match machine.facility {
        Facility::Disks | Facility::Devices => {
            format!("device {}:{}", number >> 20, number & ((1 << 20) - 1))
        }
        Facility::Terminals | Facility::FileSystems => format!("ioctl {number:#x}"),
        Facility::Ipc => format!("object {number}"),
        _ => format!("command {number}"),
    }
}

/// How much there is beside the first target.
fn more(judged: &Judged) -> String {
    let mut more = String::new();
    if judged.others > 0 {
        let at_least = if judged.others + 1 >= MAX_TOLD_APART as u64 {
            "+"
        } else {
            ""
        };
        let noun = if judged.others == 1 {
            "other"
        } else {
            "others"
        };
        let _ = write!(more, " and {}{at_least} {noun}", judged.others);
    }
    // Where each target was met once, the others tell the count.
    if judged.count > judged.others + 1 {
        let _ = write!(more, " ×{}", judged.count);
    }
    more
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
