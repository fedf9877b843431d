//! Tests of the form for people.

use super::*;
use crate::events::event::{Ancestor, How, Machine, Socket, Target};
use crate::events::samples;
use crate::events::text::{Raw, is_printable, text};
use guard_ebpf::operation::{Facility, Operation};
use proptest::prelude::*;

const EIGHTY: Look = Look {
    width: 80,
    whole: false,
    colour: false,
    session: true,
};

fn shown(event: &Event) -> String {
    render_at(event, "14:03:12", EIGHTY)
}

fn deletion(path: &[u8], comm: &[u8]) -> Event {
    let mut event = samples::named("delete");
    if let Body::Verdict(judged) = &mut event.body {
        judged.instead = None;
        judged.actor.comm = text("comm", comm, &mut judged.actor.raw);
        if let Target::File(file) = &mut judged.target {
            file.raw = Raw::new();
            file.path = text("path", path, &mut file.raw);
        }
    }
    event
}

/// The file has each of the document's examples as it is shown in 80 columns; with
/// `GUARD_UPDATE_SNAPSHOTS` set it is written anew.
#[test]
fn every_kind_of_event_is_shown_as_it_was_read_and_found_good() {
    let mut text = String::new();
    for (name, event) in samples::all() {
        let _ = writeln!(text, "# {name}\n{}", shown(&event));
    }
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src/events/terminal_samples.txt"
    );
    if std::env::var_os("GUARD_UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(file, &text).unwrap();
    }
    let expected = std::fs::read_to_string(file).unwrap_or_default();
    assert!(
        expected == text,
        "{file} differs from what is shown:\n{text}"
    );
}

/// The first line of a verdict whose target was changed.
fn with_target(name: &str, change: impl Fn(&mut Target)) -> String {
    let mut event = samples::named(name);
    if let Body::Verdict(judged) = &mut event.body {
        change(&mut judged.target);
    }
    shown(&event).lines().next().unwrap_or_default().to_owned()
}

#[test]
fn targets_with_little_to_say_of_them() {
    let machine = |facility, number| {
        with_target("machine-number", |target| {
            *target = Target::Machine(Machine {
                facility,
                capability: None,
                number,
            });
        })
    };
    assert!(machine(Facility::Perf, None).ends_with("fsfreeze[4470]"));
    assert!(machine(Facility::Disks, Some(8 << 20 | 1)).ends_with(" → device 8:1"));
    assert!(machine(Facility::Ipc, Some(4)).ends_with(" → object 4"));
    assert!(machine(Facility::Bpf, Some(5)).ends_with(" → command 5"));
    let socket = |change: fn(&mut Socket)| {
        with_target("connect-address", |target| match target {
            Target::Socket(socket) => change(socket),
            _ => panic!("a socket"),
        })
    };
    assert!(socket(|it| it.address = Some("::1".into())).ends_with(" → [::1]:80 ×3"));
    let vsock = socket(|it| (it.family, it.port) = ("vsock".into(), None));
    assert!(vsock.ends_with(" → a socket of family vsock ×3"), "{vsock}");
    let hostile = socket(|it| it.r#abstract = Some("a\u{1b}[2J\u{202e}\n".into()));
    assert!(
        hostile.ends_with(" → @a\\u{1b}[2J\\u{202e}\\n ×3"),
        "{hostile}"
    );
    let file = |operation: Operation, how| {
        let mut event = samples::named("overwrite");
        if let Body::Verdict(judged) = &mut event.body
            && let Target::File(file) = &mut judged.target
        {
            judged.operation = operation;
            file.how = Some(how);
        }
        shown(&event)
    };
    assert!(file(Operation::Overwrite, How::Link).contains(" deny overwrite (link)  bash"));
    assert!(file(Operation::Mount, How::Unmount).contains(" deny mount (unmount)  bash"));
    assert!(file(Operation::Mount, How::Mount).contains(" deny mount  bash"));
}

#[test]
fn many_targets_are_counted() {
    let mut event = samples::named("signal");
    let Body::Verdict(judged) = &mut event.body else {
        panic!("a verdict");
    };
    judged.targets.clear();
    (judged.count, judged.others) = (3127, 1023);
    assert!(shown(&event).contains(" and 1023+ others ×3127\n"));
    let Body::Verdict(judged) = &mut event.body else {
        panic!("a verdict");
    };
    (judged.count, judged.others) = (41, 0);
    assert!(shown(&event).contains("postgres[812] of postgres ×41\n"));
    let Body::Verdict(judged) = &mut event.body else {
        panic!("a verdict");
    };
    (judged.count, judged.others) = (41, 40);
    assert!(shown(&event).contains("postgres[812] and 40 others\n"));
}

#[test]
fn hostile_names_are_escaped() {
    assert_eq!(
        shown(&deletion(
            b"/tmp/\x1b]0;owned\x07\n\xff",
            "r\u{202e}m".as_bytes()
        )),
        "14:03:12  work  deny delete  r\\u{202e}m[4400] → /tmp/\\u{1b}]0;owned\\u{7}\\n\\xff\n\
         0t6bdhts0 rule photos: photos exist once\n"
    );
    let mut event = samples::named("started");
    if let Body::Session(change) = &mut event.body {
        change.command = vec!["a\x1b[2J".into(), "\u{2066}b".into()];
        change.workspace = Some("/w\n14:03:13 work  deny nothing".into());
    }
    event.session = Some("w\rk".into());
    assert_eq!(
        shown(&event),
        "14:03:12  w\\rk  session started: a\\u{1b}[2J \\u{2066}b\n          \
         user ann, workspace /w\\n14:03:13 work  deny nothing\n"
    );
}

#[test]
fn long_paths_are_shortened_in_the_middle() {
    let path = b"/home/ann/Pictures/2024/a long journey through the south/IMG_0001.jpg";
    let mut event = deletion(path, b"python3");
    assert_eq!(
        shown(&event).lines().next(),
        Some("14:03:12  work  deny delete  python3[4400] → /home/ann/…/IMG_0001.jpg")
    );
    if let Body::Verdict(judged) = &mut event.body
        && let Target::File(file) = &mut judged.target
    {
        (file.directory, file.how) = (true, Some(How::Rename));
    }
    let narrow = Look {
        width: 60,
        ..EIGHTY
    };
    assert_eq!(
        render_at(&event, "14:03:12", narrow),
        "14:03:12  work  deny delete (rename)  python3[4400]\n          \
         → /home/ann/…/IMG_0001.jpg/\n0t6bdhts0 rule photos: photos exist once\n"
    );
    let unbroken = Look {
        whole: true,
        ..EIGHTY
    };
    assert!(
        render_at(&event, "14:03:12", unbroken).contains(
            " → /home/ann/Pictures/2024/a long journey through the south/IMG_0001.jpg/\n"
        )
    );
}

/// The lines of a signal from a process with such ancestors, its parent first.
fn with_ancestors(comms: &[&[u8]], look: Look) -> String {
    let mut event = samples::named("signal");
    if let Body::Verdict(judged) = &mut event.body {
        let ancestor = |comm: &&[u8]| {
            let mut raw = Raw::new();
            let comm = text("comm", comm, &mut raw);
            Ancestor { pid: 7, comm, raw }
        };
        judged.actor.ancestors = Some(comms.iter().map(ancestor).collect());
    }
    render_at(&event, "14:03:12", look)
}

#[test]
fn where_an_actor_comes_from_is_told_where_that_is_not_plain() {
    let lines = |comms: &[&[u8]]| with_ancestors(comms, EIGHTY).lines().count();
    let plain = lines(&[]);
    assert_eq!(lines(&[b"claude"]), plain);
    assert_eq!(lines(&[b"bash", b"claude"]), plain);
    let nested = with_ancestors(&[b"sh", b"m\x1bke", b"claude"], EIGHTY);
    assert!(
        nested.contains("\n          from: claude › m\\u{1b}ke › sh\n"),
        "{nested}"
    );
    let deep = with_ancestors(&[&b"a-longish-name"[..]; 16], EIGHTY);
    let expected = "from: a-longish-name › … › a-longish-name › a-longish-name";
    let line = deep
        .lines()
        .find(|line| line.contains("from: "))
        .unwrap_or_default();
    assert_eq!((line.trim(), width(line) <= 80), (expected, true));
}

#[test]
fn colours_are_only_there_when_asked_for() {
    let event = deletion(b"/home/ann/Pictures/2024/IMG_0001.jpg", b"rm");
    let coloured = Look {
        colour: true,
        session: false,
        ..EIGHTY
    };
    assert_eq!(
        render_at(&event, "14:03:12", coloured),
        "\x1b[2m14:03:12  \x1b[0m\x1b[1m\x1b[31mdeny\x1b[0m delete  rm[4400] → \
         /home/ann/Pictures/2024/IMG_0001.jpg\n\
         \x1b[2m0t6bdhts0\x1b[0m \x1b[2mrule photos: photos exist once\x1b[0m\n"
    );
    for (name, event) in samples::all() {
        assert!(!shown(&event).contains('\x1b'), "{name}");
    }
}

proptest! {
    #[test]
    fn no_line_about_a_socket_is_too_wide_or_deceives(
        name in prop::collection::vec(any::<u8>(), 0..200),
        is_path in any::<bool>(),
        facility in prop::sample::select(Facility::EVERY),
        number in prop::option::of(any::<u32>()),
        width in 72_usize..200,
    ) {
        let mut socket = samples::named("connect");
        if let Body::Verdict(judged) = &mut socket.body
            && let Target::Socket(socket) = &mut judged.target
        {
            let field = if is_path { "path" } else { "abstract" };
            let shown = Some(text(field, &name, &mut socket.raw));
            socket.path = None;
            *(if is_path { &mut socket.path } else { &mut socket.r#abstract }) = shown;
        }
        let mut machine = samples::named("machine-number");
        if let Body::Verdict(judged) = &mut machine.body {
            judged.rule = crate::events::reasons::name(Reason::Default, Some(facility));
            judged.because = Some(facility.because().to_owned());
            judged.facility = Some(facility);
            judged.target = Target::Machine(Machine { facility, capability: None, number });
        }
        for event in [socket, machine] {
            let lines = render_at(&event, "14:03:12", Look { width, ..EIGHTY });
            prop_assert!(lines.lines().count() <= 7, "{}", lines);
            for line in lines.lines() {
                prop_assert!(super::width(line) <= width, "{}", line);
                prop_assert!(line.chars().all(is_printable));
            }
        }
    }

    #[test]
    fn no_line_of_a_verdict_is_too_wide_or_deceives(
        path in prop::collection::vec(any::<u8>(), 0..300),
        comm in prop::collection::vec(any::<u8>(), 0..15),
        session in "\\PC{0,20}",
        because in ".{0,120}",
        width in 72_usize..200,
    ) {
        let mut event = deletion(&path, &comm);
        event.session = Some(session);
        if let Body::Verdict(judged) = &mut event.body {
            judged.because = Some(because);
            judged.actor.pid = 4_194_304;
        }
        let lines = render_at(&event, "14:03:12", Look { width, ..EIGHTY });
        for line in lines.lines() {
            prop_assert!(super::width(line) <= width, "{}", line);
            prop_assert!(line.chars().all(is_printable));
        }
    }
}
