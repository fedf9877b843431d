//! Logs for the tests: what a session may do in an afternoon, and what one may do that wants to
//! deceive whoever reads of it.

use super::{Gathering, Report};
use crate::events::event::{Body, Event, Judged, Socket, Target};
use crate::events::samples;
use crate::events::text::{Raw, text};
use crate::events::time::Time;
use std::time::Duration;

/// Names that want to be markup, to leave an attribute, to run, to load, or to change how they look.
pub const HOSTILE: [&str; 10] = [
    "</title></style><script>document.title='owned'</script>",
    "\"><svg onload=document.title='owned'>",
    "' onmouseover='document.title=1' x='",
    "<img src=x onerror=document.title='owned'>",
    "<meta http-equiv=refresh content=0;url=about:blank>",
    "&lt;script&gt;&#60;b&#62;&amp;",
    "]]><!--<base href=//example.invalid/>",
    "gpj\u{202e}.exe\u{2066}\u{200b}",
    "\u{1b}[2J\u{7}\u{9b}31m\r\n\t",
    "{{constructor.constructor('alert(1)')()}}${7*7}",
];

/// The time of an event some seconds after the session's start.
fn at(event: &mut Event, seconds: u64, number: usize) {
    let start = Time::parse("2026-11-22T14:00:00Z").expect("a time");
    let since = Duration::from_millis(start.milliseconds() as u64 + seconds * 1000);
    event.time = Time::since_epoch(since);
    event.id = format!("{number:09}");
    if let Body::Verdict(judged) = &mut event.body {
        judged.until = (judged.count > 1).then_some(event.time);
    }
}

fn report(events: impl IntoIterator<Item = (u64, Event)>) -> Report {
    let mut gathering = Gathering::default();
    for (number, (seconds, mut event)) in events.into_iter().enumerate() {
        at(&mut event, seconds, number);
        gathering.add(&event);
    }
    gathering.finish()
}

fn changed(name: &str, change: impl FnOnce(&mut Judged)) -> Event {
    let mut event = samples::named(name);
    if let Body::Verdict(judged) = &mut event.body {
        change(judged);
    }
    event
}

/// An afternoon.
pub fn afternoon() -> Report {
    let mut events = vec![(0, samples::named("started"))];
    for minute in 2..55 {
        let name = ["inspect", "signal", "overwrite", "connect"][minute % 4];
        let count = 1 + (minute as u64 * 7) % 13;
        let event = changed(name, |judged| {
            judged.count = count;
            judged.others = 0;
            judged.targets = Vec::new();
        });
        events.push((minute as u64 * 60, event));
    }
    for number in 0..30 {
        let event = changed("delete", |judged| {
            judged.count = 1 + number % 3;
            if let Target::File(file) = &mut judged.target {
                file.path = format!("/home/ann/Pictures/2024/IMG_{number:04}.jpg");
            }
        });
        events.push((1_500 + number * 3, event));
    }
    events.push((
        1_700,
        changed("signal", |judged| {
            judged.count = 107;
            judged.others = 103;
        }),
    ));
    for (seconds, name) in [
        (700, "connect-address"),
        (900, "audit"),
        (1_000, "machine"),
        (1_800, "applied"),
        (1_830, "rejected"),
        (2_000, "lost-records"),
        (3_600, "ended"),
    ] {
        events.push((seconds, samples::named(name)));
    }
    events.sort_by_key(|(seconds, _)| *seconds);
    report(events)
}

/// Everything that a name can be in is hostile.
pub fn hostile(extra: &str) -> Report {
    let mut events = vec![(0, samples::named("started"))];
    if let Body::Session(change) = &mut events[0].1.body {
        change.command = HOSTILE.map(str::to_owned).to_vec();
        change.user = Some(HOSTILE[0].to_owned());
        change.workspace = Some(HOSTILE[1].to_owned());
        if let Some(policy) = &mut change.policy {
            policy.names = vec![HOSTILE[2].to_owned()];
            policy.files = vec![HOSTILE[3].to_owned()];
        }
    }
    for (number, name) in HOSTILE.into_iter().chain([extra]).enumerate() {
        let name = name.to_owned();
        let event = changed("delete", |judged| {
            judged.rule = Some(name.clone());
            judged.because = Some(name.clone());
            judged.source = Some(name.clone());
            judged.actor.comm = name.clone();
            judged.actor.exe = Some(name.clone());
            judged.actor.user = Some(name.clone());
            if let Target::File(file) = &mut judged.target {
                file.raw = Raw::new();
                let bytes = [b"/tmp/", name.as_bytes(), b"\xff"].concat();
                file.path = text("path", &bytes, &mut file.raw);
            }
        });
        events.push((1 + number as u64, event));
        let event = changed("signal", |judged| {
            judged.instead = Some(name.clone());
            if let Target::Process(process) = &mut judged.target {
                process.comm = name.clone();
                process.cgroup = Some(format!("/system.slice/{name}.service"));
            }
        });
        events.push((2 + number as u64, event));
        let event = changed("connect", |judged| {
            if let Target::Socket(Socket {
                path, r#abstract, ..
            }) = &mut judged.target
            {
                *path = None;
                *r#abstract = Some(name.clone());
            }
        });
        events.push((3 + number as u64, event));
        for sample in ["rejected", "applied", "notice", "lost-log"] {
            let mut event = samples::named(sample);
            match &mut event.body {
                Body::Policy(edit) => {
                    edit.message = Some(name.clone());
                    edit.files = vec![name.clone()];
                }
                Body::Notice(notice) => notice.message.clone_from(&name),
                Body::Lost(loss) => loss.because.clone_from(&name),
                Body::Verdict(_) | Body::Session(_) => {}
            }
            events.push((4 + number as u64, event));
        }
    }
    report(events)
}
