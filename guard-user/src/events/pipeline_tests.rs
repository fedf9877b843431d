//! Tests of the pipeline, from records to events.

use super::*;
use crate::events::event::{How, Judged, Level, PolicyChange, PolicyEdit};
use crate::events::fold::{EXAMPLES, LONGEST, MAX_OPEN, MAX_REMEMBERED, MAX_TOLD_APART, QUIET};
use crate::events::samples;
use crate::events::testing::{self, Layout, MadeUp, task};
use guard_ebpf::operation::{Operation, Verdict};
use guard_ebpf::record::{ExecutableRecord, FLAG_RENAME, Header, Kind};
use proptest::prelude::*;

struct Known(RuleInfo);

impl Names for Known {
    fn session(&self, id: u32) -> Option<&str> {
        (id == 1).then_some("work")
    }

    fn rule(&self, policy: u32, rule: u8) -> Option<&RuleInfo> {
        (policy == 1 && rule == 3).then_some(&self.0)
    }

    fn sessions_of(&self, pids: &[u32]) -> Vec<Option<u32>> {
        let session_of = |pid: &u32| (*pid >= 4200).then_some(1);
        pids.iter().map(session_of).collect()
    }
}

fn names() -> Known {
    Known(RuleInfo {
        name: "photos".into(),
        because: Some("photos exist once".into()),
        source: Some(("/etc/guard/home.yaml".into(), 14)),
        ..RuleInfo::default()
    })
}

/// A pipeline with its own clock.
struct Bench {
    pipeline: Pipeline<MadeUp>,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        Self {
            pipeline: Pipeline::new(MadeUp::default()),
            now: Instant::now(),
        }
    }

    fn push(&mut self, record: &impl Layout) -> Pushed {
        self.pipeline.push(&record.bytes(), self.now, &names())
    }

    fn after(&mut self, pause: Duration) -> Vec<Event> {
        self.now += pause;
        self.pipeline.poll(self.now)
    }
}

fn judged(event: &Event) -> &Judged {
    match &event.body {
        Body::Verdict(judged) => judged,
        other => panic!("{other:?}"),
    }
}

fn only(events: Vec<Event>) -> Event {
    match <[Event; 1]>::try_from(events) {
        Ok([event]) => event,
        Err(events) => panic!("{} events", events.len()),
    }
}

#[test]
fn a_record_becomes_an_event() {
    let mut bench = Bench::new();
    let mut record = testing::deletion(9, b"a.jpg/Pictures/ann/home/");
    record.header.reason = Reason::Rule as u8;
    record.header.rule = 3;
    record.header.flags = FLAG_RENAME;
    assert_eq!(bench.push(&record), Pushed::Operation);
    assert!(bench.after(QUIET / 2).is_empty());
    let event = only(bench.after(QUIET / 2));
    assert_eq!((event.v, event.session.as_deref()), (1, Some("work")));
    assert_eq!(event.time.to_string(), "2026-11-22T14:00:05.000Z");
    let judged = judged(&event);
    assert_eq!(judged.verdict, Verdict::Deny);
    assert_eq!(judged.rule.as_deref(), Some("photos"));
    assert_eq!(judged.because.as_deref(), Some("photos exist once"));
    assert_eq!(judged.source.as_deref(), Some("/etc/guard/home.yaml:14"));
    let instead = "delete only what the session made; or have rule `photos` changed";
    assert_eq!(judged.instead.as_deref(), Some(instead));
    assert_eq!((judged.count, judged.until, judged.others), (1, None, 0));
    match &judged.target {
        Target::File(file) => {
            assert_eq!(file.path, "/home/ann/Pictures/a.jpg");
            assert_eq!(file.how, Some(How::Rename));
        }
        _ => panic!("a file"),
    }
}

/// The ancestors of an actor, as they are told.
fn ancestors(parent: u32) -> Option<Vec<(u32, String)>> {
    let mut bench = Bench::new();
    let mut record = testing::signal(task(5, b"x"), 9);
    record.actor.start = 100_000_000_000;
    record.actor.parent = parent;
    bench.push(&record);
    let event = only(bench.after(QUIET));
    let ancestors = judged(&event).actor.ancestors.clone()?;
    Some(ancestors.into_iter().map(|it| (it.pid, it.comm)).collect())
}

#[test]
fn an_actor_comes_from_the_processes_of_its_session_up_to_the_first() {
    let named = |all: &[(u32, &str)]| {
        let named = all.iter().map(|(pid, comm)| (*pid, (*comm).to_owned()));
        Some(named.collect::<Vec<_>>())
    };
    let nested = named(&[(4300, "m\u{fffd}ke"), (4250, "bash"), (4200, "node")]);
    assert_eq!(ancestors(4300), nested);
    assert_eq!(ancestors(4200), named(&[(4200, "node")]));
    assert_eq!(ancestors(1), named(&[]), "init is outside");
    assert_eq!(ancestors(0), None, "the kernel did not say");
    assert_eq!(ancestors(4311), None, "it has ended");
    assert_eq!(ancestors(4305), None, "another one has its pid by now");
    let deep = ancestors(6500).expect("known");
    assert_eq!(deep.len(), resolve::MAX_ANCESTORS);
    assert_eq!(deep[0].0, 6500);
}

#[test]
fn kill_minus_one_is_one_event_with_an_exact_count() {
    let mut bench = Bench::new();
    for pid in 1..=3127 {
        let mut record = testing::signal(task(pid, b"victim"), 9);
        record.header.time += u64::from(pid) * 100_000;
        bench.push(&record);
        bench.now += Duration::from_micros(50);
    }
    let event = only(bench.after(QUIET));
    let judged = judged(&event);
    assert_eq!(judged.count, 3127);
    assert_eq!(judged.others, MAX_TOLD_APART as u64 - 1);
    assert_eq!(judged.signal.as_deref(), Some("KILL"));
    assert_eq!(judged.targets.len(), EXAMPLES);
    let pids: Vec<_> = std::iter::once(&judged.target)
        .chain(&judged.targets)
        .map(|target| match target {
            Target::Process(process) => process.pid,
            _ => panic!("a process"),
        })
        .collect();
    assert_eq!(pids, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(event.time.to_string(), "2026-11-22T14:00:05.000Z");
    assert_eq!(
        judged.until.map(|time| time.to_string()).as_deref(),
        Some("2026-11-22T14:00:05.312Z")
    );
    assert_eq!(
        judged.because.as_deref(),
        Some("the process was not started by this session")
    );
}

#[test]
fn only_the_same_belongs_together() {
    let mut bench = Bench::new();
    let base = testing::signal(task(812, b"postgres"), 9);
    let mut records = vec![base; 8];
    records[1].header.session = 2;
    records[2].header.detail = 15;
    records[3].header.reason = Reason::GuardProcess as u8;
    records[4].actor.pid = 4313;
    records[5].actor.start += 1;
    records[6].header.policy = 2;
    records[7].header.verdict = Verdict::Audit as u8;
    for record in &records {
        bench.push(record);
    }
    // A thread of the same process.
    records[0].actor.tid = 5000;
    bench.push(&records[0]);
    let events = bench.after(QUIET);
    let counts: Vec<_> = events.iter().map(|event| judged(event).count).collect();
    assert_eq!(counts, [2, 1, 1, 1, 1, 1, 1, 1]);
    assert_eq!(events[1].session.as_deref(), Some("#2"));
    assert_eq!(judged(&events[0]).others, 0, "the same target");
    assert!(events.is_sorted_by(|one, other| one.id < other.id));
}

#[test]
fn a_fold_closes_when_it_is_quiet_or_has_been_open_for_long() {
    let mut bench = Bench::new();
    let record = testing::signal(task(812, b"postgres"), 9);
    let step = Duration::from_millis(100);
    let mut counts = Vec::new();
    for _ in 0..25 {
        bench.push(&record);
        counts.extend(bench.after(step).iter().map(|event| judged(event).count));
    }
    assert_eq!(counts, [10, 10], "one event a second");
    assert_eq!(bench.pipeline.deadline(bench.now), Some(bench.now + step));
    assert_eq!(judged(&only(bench.after(step))).count, 5);
    assert_eq!(bench.pipeline.deadline(bench.now), None);
}

#[test]
fn nobody_has_to_poll_for_a_fold_to_end() {
    let mut bench = Bench::new();
    let record = testing::signal(task(812, b"postgres"), 9);
    bench.push(&record);
    bench.now += LONGEST;
    bench.push(&record);
    let events = bench.after(Duration::ZERO);
    assert_eq!(judged(&only(events)).count, 1);
    assert_eq!(judged(&only(bench.after(QUIET))).count, 1);
}

#[test]
fn too_many_open_folds_close_the_oldest_and_lose_nothing() {
    let mut bench = Bench::new();
    for actor in 0..MAX_OPEN as u32 + 10 {
        let mut record = testing::signal(task(812, b"postgres"), 9);
        record.actor.pid = 10_000 + actor;
        bench.push(&record);
    }
    let early = bench.after(Duration::ZERO);
    let actors: Vec<_> = early.iter().map(|event| judged(event).actor.pid).collect();
    assert_eq!(actors, (10_000..10_010).collect::<Vec<_>>());
    assert_eq!(bench.after(QUIET).len(), MAX_OPEN);
}

#[test]
fn what_is_remembered_of_targets_is_bounded_and_nothing_is_lost() {
    let mut bench = Bench::new();
    let actors = MAX_REMEMBERED / MAX_TOLD_APART + 4;
    for pid in 1..=MAX_TOLD_APART as u32 {
        for actor in 0..actors as u32 {
            let mut record = testing::signal(task(pid, b"victim"), 9);
            record.actor.pid = 10_000 + actor;
            bench.push(&record);
        }
    }
    let early = bench.after(Duration::ZERO);
    assert!(!early.is_empty());
    let late = bench.after(QUIET);
    assert_eq!(late.len(), actors);
    let all: Vec<_> = early.iter().chain(&late).map(judged).collect();
    let remembered: u64 = late.iter().map(|event| judged(event).others + 1).sum();
    assert!(remembered <= MAX_REMEMBERED as u64 + actors as u64);
    let count: u64 = all.iter().map(|judged| judged.count).sum();
    assert_eq!(count as usize, actors * MAX_TOLD_APART);
    // Every target of an actor is new, so each is one of its events' targets.
    let targets: u64 = all.iter().map(|judged| judged.others + 1).sum();
    assert_eq!(targets, count);
}

#[test]
fn the_end_of_a_session_brings_all_that_came_before() {
    let mut bench = Bench::new();
    bench.push(&testing::signal(task(812, b"postgres"), 9));
    let mut other = testing::signal(task(812, b"postgres"), 9);
    other.header.session = 2;
    bench.push(&other);
    let ended = Header {
        kind: Kind::Ended as u8,
        session: 1,
        time: 6_000_000_000,
        ..Header::default()
    };
    let time = Time::parse("2026-11-22T14:00:06Z").expect("a time");
    assert_eq!(bench.push(&ended), Pushed::Ended { session: 1, time });
    assert_eq!(bench.pipeline.deadline(bench.now), Some(bench.now));
    let event = only(bench.after(Duration::ZERO));
    assert_eq!(event.session.as_deref(), Some("work"));
    bench.pipeline.close_all();
    assert_eq!(
        only(bench.after(Duration::ZERO)).session.as_deref(),
        Some("#2")
    );
}

#[test]
fn an_executable_that_was_told_of_is_named() {
    let mut bench = Bench::new();
    let (path, length) = testing::leaf_first(b"pkill/bin/usr/");
    let record = ExecutableRecord {
        header: Header {
            kind: Kind::Executable as u8,
            ..Header::default()
        },
        executable: task(1, b"").executable,
        length,
        reserved: 0,
        path,
    };
    assert_eq!(bench.push(&record), Pushed::Executable);
    bench.push(&testing::signal(task(5, b"x"), 9));
    let event = only(bench.after(QUIET));
    assert_eq!(judged(&event).actor.exe.as_deref(), Some("/usr/bin/pkill"));
}

#[test]
fn a_rule_that_nobody_knows_is_called_by_its_number() {
    let mut bench = Bench::new();
    let mut record = testing::signal(task(812, b"postgres"), 9);
    record.header.reason = Reason::Rule as u8;
    record.header.rule = 7;
    bench.push(&record);
    let event = only(bench.after(QUIET));
    assert_eq!(judged(&event).rule.as_deref(), Some("#7"));
    assert_eq!(judged(&event).because, None);
}

#[test]
fn a_file_that_hangs_nowhere_has_no_beginning() {
    let mut bench = Bench::new();
    let mut record = testing::deletion(0, b"a/");
    record.header.reason = Reason::Disconnected as u8;
    bench.push(&record);
    record.path[0] = b'b';
    bench.push(&record);
    bench.push(&record);
    let event = only(bench.after(QUIET));
    let judged = judged(&event);
    assert_eq!((judged.count, judged.others), (3, 1), "told apart by path");
    match &judged.target {
        Target::File(file) => assert_eq!(file.path, "…/a"),
        _ => panic!("a file"),
    }
}

#[test]
fn malformed_records_are_counted_and_said_once_a_second() {
    let mut bench = Bench::new();
    let mut counts = Vec::new();
    let step = Duration::from_millis(100);
    for _ in 0..15 {
        assert!(matches!(
            bench.pipeline.push(b"junk", bench.now, &names()),
            Pushed::Malformed(_)
        ));
        for event in bench.after(step) {
            match event.body {
                Body::Lost(loss) => counts.push((loss.what, loss.count)),
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(counts, [(Lost::Malformed, 1), (Lost::Malformed, 10)]);
    bench.pipeline.close_all();
    match only(bench.after(Duration::ZERO)).body {
        Body::Lost(loss) => assert_eq!(loss.count, 4),
        other => panic!("{other:?}"),
    }
}

#[test]
fn lost_records_are_said_once_and_survive_a_new_server() {
    let time = Time::parse("2026-11-22T14:00:05Z").expect("a time");
    let mut counters = Counters::default();
    let losses = |pipeline: &mut Pipeline<MadeUp>, counters: &Counters| -> Vec<_> {
        pipeline.counters(1, counters, time, &names());
        pipeline
            .poll(Instant::now())
            .into_iter()
            .map(|event| match event.body {
                Body::Lost(loss) => (loss.operation, loss.count),
                other => panic!("{other:?}"),
            })
            .collect()
    };
    let mut first = Pipeline::new(MadeUp::default());
    assert!(losses(&mut first, &counters).is_empty());
    counters.lost[Operation::Signal as usize] = 12;
    counters.lost[Operation::Delete as usize] = 1;
    assert_eq!(
        losses(&mut first, &counters),
        [(Some(Operation::Signal), 12), (Some(Operation::Delete), 1)]
    );
    assert!(losses(&mut first, &counters).is_empty());
    let mut second = Pipeline::new(MadeUp::default());
    second.adopt(1, counters.lost);
    counters.lost[Operation::Signal as usize] = 15;
    assert_eq!(
        losses(&mut second, &counters),
        [(Some(Operation::Signal), 3)]
    );
}

#[test]
fn a_process_without_a_label_is_an_error_that_everyone_sees() {
    let mut bench = Bench::new();
    let counters = Counters {
        unlabelled: 2,
        ..Counters::default()
    };
    bench.pipeline.counters(1, &counters, Time::now(), &names());
    bench.pipeline.counters(1, &counters, Time::now(), &names());
    match only(bench.after(Duration::ZERO)).body {
        Body::Notice(notice) => {
            assert_eq!(notice.level, Level::Error);
            assert!(
                notice.message.starts_with("2 processes "),
                "{}",
                notice.message
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_the_server_announces_takes_its_place() {
    let mut bench = Bench::new();
    bench.push(&testing::signal(task(812, b"postgres"), 9));
    bench.pipeline.close(1);
    let time = Time::parse("2026-11-22T14:00:04Z").expect("a time");
    let edit = Body::Policy(PolicyEdit {
        change: PolicyChange::Applied,
        files: vec!["a.yaml".into()],
        rules: Some(1),
        message: None,
    });
    bench.pipeline.announce(Some("work"), time, edit.clone());
    let events = bench.after(Duration::ZERO);
    assert_eq!(events.len(), 2);
    assert_eq!((&events[1].body, events[1].time), (&edit, time));
    assert!(events[0].id < events[1].id, "though its clock is behind");
}

#[test]
fn ids_are_unique_and_sort_and_the_documents_are_real() {
    let mut ids = Ids::default();
    let start = Time::parse("2026-11-22T14:00:05Z").expect("a time");
    let made: Vec<_> = (0..100).map(|_| ids.next(start)).collect();
    assert!(made.is_sorted_by(|one, other| one < other));
    assert!(made.iter().all(|id| id.len() == 9));
    let latest = Time::parse("2060-10-01T00:00:00Z").expect("a time");
    assert!(Ids::default().next(latest) > made[99]);
    for (name, event) in samples::all() {
        assert_eq!(Ids::default().next(event.latest()), event.id, "{name}");
    }
}

proptest! {
    #[test]
    fn totals_stay_exact(
        records in prop::collection::vec((0_u32..6, 1_u8..4, 1_u32..40, 0_u64..300), 0..400)
    ) {
        let mut bench = Bench::new();
        let mut events = Vec::new();
        for (actor, signal, target, pause) in &records {
            let mut record = testing::signal(task(*target, b"x"), *signal);
            record.actor.pid = 1000 + actor;
            bench.push(&record);
            events.extend(bench.after(Duration::from_millis(*pause)));
        }
        events.extend(bench.after(LONGEST));
        let total: u64 = events.iter().map(|event| judged(event).count).sum();
        prop_assert_eq!(total, records.len() as u64);
        prop_assert!(events.is_sorted_by(|one, other| one.id < other.id));
        for event in &events {
            let judged = judged(event);
            prop_assert!(judged.others < judged.count);
            prop_assert_eq!(judged.targets.len(), (judged.others as usize).min(EXAMPLES));
        }
    }
}

#[path = "pipeline_target_tests.rs"]
mod targets;
