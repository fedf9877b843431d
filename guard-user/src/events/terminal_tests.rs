//! Tests of the form for people.

use super::*;
use crate::events::samples;
use crate::events::text::{Raw, is_printable, text};
use guard_ebpf::operation::Operation;
use proptest::prelude::*;

const EIGHTY: Look = Look {
    width: Some(80),
    colour: false,
    session: true,
};

fn shown(event: &Event) -> String {
    render_at(event, "14:03:12", EIGHTY)
}

fn sample(name: &str) -> String {
    shown(&samples::named(name))
}

fn deletion(path: &[u8], comm: &[u8]) -> Event {
    let mut event = samples::named("delete");
    if let Body::Verdict(judged) = &mut event.body {
        judged.actor.comm = text("comm", comm, &mut judged.actor.raw);
        if let Target::File(file) = &mut judged.target {
            file.raw = Raw::new();
            file.path = text("path", path, &mut file.raw);
        }
    }
    event
}

#[test]
fn verdicts() {
    assert_eq!(
        sample("signal"),
        "14:03:12 work  deny signal KILL  pkill[4312] → postgres[812] and 1 other ×3\n         \
         default: the process was not started by this session\n"
    );
    assert_eq!(
        sample("delete"),
        "14:03:12 work  deny delete  rm[4400] → /home/ann/Pictures/2024/IMG_0001.jpg\n         \
         rule photos: photos exist once\n"
    );
    assert_eq!(
        sample("audit"),
        "14:03:12 work  audit trace  gdb[4401] → caf\\xe9[900] of 4711\n         \
         rule watch-gdb\n"
    );
    assert_eq!(
        sample("inspect"),
        "14:03:12 work  deny inspect  ls[4410] → systemd[1] of root\n         \
         default: the process was not started by this session\n"
    );
}

#[test]
fn files_sockets_and_the_machine() {
    assert_eq!(
        sample("overwrite"),
        "14:03:12 work  deny overwrite  bash[4420] → /home/ann/notes.txt\n         \
         default: the session did not make it, and no rule lets it write there\n"
    );
    assert_eq!(
        sample("connect"),
        "14:03:12 work  deny connect  docker[4430] → /run/docker.sock\n         \
         default: the session did not start the service, and no rule is about it\n"
    );
    assert_eq!(
        sample("connect-address"),
        "14:03:12 work  deny connect  curl[4440] → 169.254.169.254:80 ×3\n         \
         rule cloud-metadata: it hands out credentials of the whole machine\n"
    );
    assert_eq!(
        sample("connect-abstract"),
        "14:03:12 work  deny connect  xdotool[4450] → @/tmp/.X11-unix/X0\n         \
         default: the session did not start the service, and no rule is about it\n"
    );
    assert_eq!(
        sample("machine"),
        "14:03:12 work  deny machine time  date[4460] → CAP_SYS_TIME\n         \
         machine/time: a jump of the clock breaks leases, certificates and\n         \
         databases\n"
    );
    assert_eq!(
        sample("machine-number"),
        "14:03:12 work  deny machine file-systems  fsfreeze[4470] → ioctl 0xc0045877\n         \
         machine/file-systems: this stops, shrinks or empties a file system\n         \
         under everything that uses it\n"
    );
    assert_eq!(
        sample("machine-file"),
        "14:03:12 work  deny machine settings  sysctl[4480] → /proc/…/kernel/core_pattern\n         \
         machine/settings: the kernel's settings hold for every process, and\n         \
         some of them start programs or stop the machine\n"
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
fn other_events() {
    assert_eq!(
        sample("started"),
        "14:03:12 work  session started: bash -l\n         user ann, workspace /home/ann/src\n"
    );
    assert_eq!(
        sample("ended"),
        "14:03:12 work  session ended, status 0; refused: delete 1, inspect 1, signal 3\n"
    );
    assert_eq!(
        sample("applied"),
        "14:03:12 work  policy applied: 12 rules from /etc/guard/home.yaml\n"
    );
    assert_eq!(
        sample("rejected"),
        "14:03:12 work  policy rejected; the one before stays in force\n         \
         /etc/guard/home.yaml:3:5: there is no operation \"kil\"\n           \
         3 |   - deny: [kil]\n             \
         |            ^^^ did you mean \"signal\"?\n"
    );
    assert_eq!(
        sample("lost-records"),
        "14:03:12 work  lost 12 records of signal\n         \
         the ring buffer was full; the verdicts were in force all the same\n"
    );
    assert_eq!(
        sample("lost-log"),
        "14:03:12 work  lost 7 events that are not in the log\n         \
         No space left on device (os error 28)\n"
    );
    assert_eq!(
        sample("notice"),
        "14:03:12 warning: a pin directory of another version was found; `guard doctor`\n         \
         tells more\n"
    );
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
        "14:03:12 work  deny delete  r\\u{202e}m[4400] → /tmp/\\u{1b}]0;owned\\u{7}\\n\\xff\n         \
         rule photos: photos exist once\n"
    );
    let mut event = samples::named("started");
    if let Body::Session(change) = &mut event.body {
        change.command = vec!["a\x1b[2J".into(), "\u{2066}b".into()];
        change.workspace = Some("/w\n14:03:13 work  deny nothing".into());
    }
    event.session = Some("w\rk".into());
    assert_eq!(
        shown(&event),
        "14:03:12 w\\rk  session started: a\\u{1b}[2J \\u{2066}b\n         \
         user ann, workspace /w\\n14:03:13 work  deny nothing\n"
    );
}

#[test]
fn long_paths_are_shortened_in_the_middle() {
    let path = b"/home/ann/Pictures/2024/a long journey through the south/IMG_0001.jpg";
    let mut event = deletion(path, b"python3");
    assert_eq!(
        shown(&event).lines().next(),
        Some("14:03:12 work  deny delete  python3[4400] → /home/ann/…/IMG_0001.jpg")
    );
    if let Body::Verdict(judged) = &mut event.body
        && let Target::File(file) = &mut judged.target
    {
        (file.directory, file.how) = (true, Some(How::Rename));
    }
    let narrow = Look {
        width: Some(60),
        ..EIGHTY
    };
    assert_eq!(
        render_at(&event, "14:03:12", narrow),
        "14:03:12 work  deny delete (rename)  python3[4400]\n         \
         → /home/ann/…/IMG_0001.jpg/\n         rule photos: photos exist once\n"
    );
    let unbroken = Look {
        width: None,
        ..EIGHTY
    };
    assert!(
        render_at(&event, "14:03:12", unbroken).contains(
            " → /home/ann/Pictures/2024/a long journey through the south/IMG_0001.jpg/\n"
        )
    );
}

#[test]
fn colours_are_only_there_when_asked_for() {
    let event = samples::named("delete");
    let coloured = Look {
        colour: true,
        session: false,
        ..EIGHTY
    };
    assert_eq!(
        render_at(&event, "14:03:12", coloured),
        "\x1b[2m14:03:12\x1b[0m \x1b[1m\x1b[31mdeny\x1b[0m delete  rm[4400] → \
         /home/ann/Pictures/2024/IMG_0001.jpg\n         \
         \x1b[2mrule photos: photos exist once\x1b[0m\n"
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
            let lines = render_at(&event, "14:03:12", Look { width: Some(width), ..EIGHTY });
            prop_assert!(lines.lines().count() <= 5, "{}", lines);
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
        let lines = render_at(&event, "14:03:12", Look { width: Some(width), ..EIGHTY });
        prop_assert!(lines.lines().count() <= 3);
        for line in lines.lines() {
            prop_assert!(super::width(line) <= width, "{}", line);
            prop_assert!(line.chars().all(is_printable));
        }
    }
}
