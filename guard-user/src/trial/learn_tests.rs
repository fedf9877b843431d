//! What is proposed lets through what was seen, and nothing that has no place beside it: checked by
//! compiling it and by the decision that the kernel makes.

use super::*;
use crate::events::event::{Machine, Process};
use crate::trial::testing::{
    compiled, deletion, file, internet, mounts, process, refused, verdict, width,
};
use proptest::prelude::*;
use std::path::PathBuf;

fn learner(events: &[Event]) -> Learner {
    let mut learner = Learner::default();
    for event in events {
        learner.add(event.clone());
    }
    learner
}

fn document(learner: &Learner, reach: Reach<'_>) -> String {
    learner
        .document("work", reach, &mounts(), None)
        .expect("a document")
}

/// Whether the document lets an event's target through.
fn lets(policy: &Compiled, event: &Event) -> bool {
    let judged = verdict(event);
    facts::decide(policy, judged, &judged.target, &mounts(), &|_| true)
        .is_some_and(|decision| decision.verdict == Verdict::Allow)
}

#[test]
fn a_proposal_is_read_by_people() {
    let by_rule = |judged: &mut Judged| {
        judged.rule = Some("photos".to_owned());
        judged.source = Some("/etc/guard/home.yaml:14".to_owned());
        judged.reason = Reason::Rule;
    };
    let signal = |judged: &mut Judged| judged.signal = Some("TERM".to_owned());
    let node = process(Some("/usr/bin/node"), "node", 1000, "/a.slice/web.service");
    let mut burst = deletion("/srv/db/c");
    if let Body::Verdict(judged) = &mut burst.body {
        judged.targets = vec![file("/srv/db/d"), file("/srv/db/e")];
        judged.others = 12;
        judged.count = 13;
    }
    let time = |judged: &mut Judged| judged.facility = Some(Facility::Time);
    let learner = learner(&[
        deletion("/srv/db/a"),
        burst,
        refused(Operation::Overwrite, file("/srv/db/a"), |_| {}),
        refused(Operation::Delete, file("/home/ann/Pictures/$x*\n"), by_rule),
        refused(Operation::Signal, node.clone(), signal),
        refused(Operation::Trace, node, |_| {}),
        refused(Operation::Connect, internet("127.0.0.1", 5432), |_| {}),
        refused(Operation::Connect, internet("127.0.0.1", 6379), |_| {}),
        refused(
            Operation::Machine,
            Target::Machine(Machine {
                facility: Facility::Time,
                capability: None,
                number: None,
            }),
            time,
        ),
        // Guard's own.
        refused(
            Operation::Delete,
            file("/etc/guard/policies/a.yaml"),
            |judged| {
                judged.rule = Some("guard-policies".to_owned());
                judged.reason = Reason::Rule;
            },
        ),
        refused(Operation::Delete, file("/srv/db/z"), |judged| {
            judged.reason = Reason::Limit;
            judged.source = Some("a.yaml:3".to_owned());
        }),
    ]);
    let text = document(&learner, Reach::Alike(&width()));
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/trial/learn_sample.yaml");
    if std::env::var_os("GUARD_UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(file, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(file).unwrap_or_default());
    let policy = compiled(&text);
    let mounts = mounts();
    let refused: Vec<_> = learner.refused_by(&policy, &mounts, &|_| true).collect();
    assert!(refused.is_empty(), "{refused:?}");
}

#[test]
fn exact_is_exact() {
    let events = [deletion("/srv/db/a"), deletion("/srv/db/b")];
    let learner = learner(&events);
    let wide = compiled(&document(&learner, Reach::Alike(&width())));
    let exact = compiled(&document(&learner, Reach::Exact));
    for event in &events {
        assert!(lets(&wide, event) && lets(&exact, event));
    }
    let other = deletion("/srv/db/c");
    assert!(lets(&wide, &other) && !lets(&exact, &other));
}

#[test]
fn nothing_is_proposed_where_nothing_can_be() {
    let mut event = deletion("/srv/db/a");
    if let Body::Verdict(judged) = &mut event.body
        && let Target::File(file) = &mut judged.target
    {
        file.path = "<dev 8:9>/lost".to_owned();
    }
    let audited = refused(Operation::Delete, file("/srv/db/a"), |judged| {
        judged.verdict = Verdict::Audit;
    });
    let learner = learner(&[event, audited]);
    assert_eq!(learner.left(), &[(Left::Nameless, 1)].into());
    assert!(learner.proposals(Reach::Exact, &mounts()).is_empty());
    compiled(&document(&learner, Reach::Exact));
}

/// Names with what means something in globs and variables, some of them.
const NAME: &str = "[ab]|\\*|\\$x|a\\?|\\[a\\]|ü|~";
const OPERATIONS: [Operation; 4] = [
    Operation::Delete,
    Operation::Overwrite,
    Operation::Attributes,
    Operation::Create,
];
const ROOTS: [&str; 6] = [
    "/srv",
    "/srv/disk",
    "/etc",
    "/home/ann",
    "/home/ann/src",
    "",
];
const EXES: [&str; 3] = ["/usr/bin/node", "/opt/a*b/x", "/usr/sbin/d"];
const CGROUPS: [&str; 3] = ["/a.slice/x.service", "/user.slice/s.scope", "/"];
const SIGNALS: [&str; 3] = ["TERM", "HUP", "KILL"];

fn path() -> impl Strategy<Value = String> {
    let names = prop::collection::vec(NAME, 1..4);
    (0..ROOTS.len(), names).prop_map(|(root, names)| format!("{}/{}", ROOTS[root], names.join("/")))
}

fn any_event() -> impl Strategy<Value = Event> {
    let on_file = (0..OPERATIONS.len(), path())
        .prop_map(|(at, path)| refused(OPERATIONS[at], file(&path), |_| {}));
    let on_process = (
        0..4_usize,
        0..3_usize,
        0..3_usize,
        0..3_usize,
        1000_u32..1002,
    )
        .prop_map(|(operation, signal, exe, cgroup, uid)| {
            // One kind in four is known by its name alone.
            let target = if exe == 2 && signal == 0 {
                process(None, "a*b", uid, CGROUPS[cgroup])
            } else {
                process(Some(EXES[exe]), "x", uid, CGROUPS[cgroup])
            };
            let operations = [
                Operation::Signal,
                Operation::Trace,
                Operation::Inspect,
                Operation::Limit,
            ];
            let operation = operations[operation];
            refused(operation, target, |judged| {
                judged.signal =
                    (operation == Operation::Signal).then(|| SIGNALS[signal].to_owned());
            })
        });
    let on_socket = (0..3_usize, 1_u16..4, path()).prop_map(|(kind, port, path)| {
        let mut target = internet(if port == 1 { "::1" } else { "127.0.0.1" }, port);
        if let Target::Socket(socket) = &mut target
            && kind > 0
        {
            "unix".clone_into(&mut socket.family);
            (socket.address, socket.port) = (None, None);
            if kind == 1 {
                socket.path = Some(path);
            } else {
                socket.r#abstract = Some(path);
            }
        }
        refused(Operation::Connect, target, |_| {})
    });
    let on_machine = (0..3_usize, prop::option::of(path())).prop_map(|(facility, path)| {
        let facility = [Facility::Devices, Facility::Settings, Facility::Time][facility];
        let target = match path {
            Some(path) => file(&path),
            None => Target::Machine(Machine {
                facility,
                capability: None,
                number: None,
            }),
        };
        refused(Operation::Machine, target, |judged| {
            judged.facility = Some(facility);
        })
    });
    prop_oneof![4 => on_file, 2 => on_process, 1 => on_socket, 1 => on_machine]
}

/// Whether something like it was seen: itself, or, where that counts, two files of a narrow directory
/// that it is in, to which the same was done. Written without a look at how proposals come about.
fn is_like_seen(event: &Event, seen: &[Event], exact: bool) -> bool {
    let judged = verdict(event);
    let same = |other: &Judged| {
        other.operation == judged.operation
            && other.signal == judged.signal
            && other.facility == judged.facility
    };
    let alike = || seen.iter().map(verdict).filter(|other| same(other));
    match &judged.target {
        Target::File(it) => {
            let path = Path::new(&it.path);
            let paths: BTreeSet<PathBuf> = alike()
                .filter_map(|other| match &other.target {
                    Target::File(other) => Some(PathBuf::from(&other.path)),
                    _ => None,
                })
                .collect();
            let whole = alike().any(|other| matches!(other.target, Target::Machine(_)));
            let is_beside = path.ancestors().skip(1).any(|directory| {
                let below = paths
                    .iter()
                    .filter(|it| it.starts_with(directory) && *it != directory);
                let is_home = directory.parent() == Some(Path::new("/home"));
                directory.iter().count() > 2 && !is_home && below.count() > 1
            });
            whole || paths.contains(path) || is_beside && !exact
        }
        Target::Process(process) => alike().any(|other| match &other.target {
            Target::Process(other) => {
                let service = |it: &Process| {
                    let cgroup = it.cgroup.clone();
                    cgroup.filter(|cgroup| cgroup.ends_with(".service"))
                };
                let is_named_alike = match &other.exe {
                    Some(exe) => process.exe.as_ref() == Some(exe),
                    None => process.comm == other.comm,
                };
                let is_there = service(other).is_none_or(|it| service(process) == Some(it));
                is_named_alike && process.uid == other.uid && is_there
            }
            _ => false,
        }),
        target => alike().any(|other| other.target == *target),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_learned_lets_through_what_was_seen_and_nothing_elsewhere(
        seen in prop::collection::vec(any_event(), 1..24),
        others in prop::collection::vec(any_event(), 48),
        exact in any::<bool>(),
    ) {
        let learner = learner(&seen);
        let width = width();
        let reach = if exact { Reach::Exact } else { Reach::Alike(&width) };
        let text = document(&learner, reach);
        let policy = compiled(&text);
        let mounts = mounts();
        let refused: Vec<_> = learner.refused_by(&policy, &mounts, &|_| true).collect();
        prop_assert!(refused.is_empty(), "{}\n{:?}", text, refused);
        for other in &others {
            // Making files is free where no rule says otherwise.
            let is_free = verdict(other).operation == Operation::Create;
            if lets(&policy, other) && !is_free {
                prop_assert!(is_like_seen(other, &seen, exact), "{}\n{}", text, other.to_line());
            }
        }
        for guarded in ["/etc/guard/policies/a.yaml", "/run/guard/x", "/var/log/guard/x"] {
            prop_assert!(!lets(&policy, &deletion(guarded)));
        }
    }
}
