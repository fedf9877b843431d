//! Tests of reading logs back.

use super::*;
use crate::events::log::Log;
use crate::events::samples;

fn time(text: &str) -> Time {
    Time::parse(&format!("2026-11-22T{text}Z")).expect("a time")
}

fn event(session: &str, at: &str, id: &str) -> Event {
    Event {
        session: Some(session.to_owned()),
        time: time(at),
        id: id.to_owned(),
        ..samples::named("delete")
    }
}

/// Three sessions, two of them at the same time and two of the same name.
fn logs() -> tempfile::TempDir {
    let home = tempfile::tempdir().expect("a directory");
    let sessions = [
        (
            "work",
            "10:00:00",
            vec![("10:00:01", "a"), ("10:00:03", "c"), ("10:00:09", "f")],
        ),
        (
            "play",
            "10:00:02",
            vec![("10:00:02", "b"), ("10:00:04", "d")],
        ),
        (
            "work",
            "10:00:05",
            vec![("10:00:05", "e"), ("10:00:10", "g")],
        ),
    ];
    for (name, start, events) in sessions {
        let mut log = Log::create(home.path(), name, time(start));
        for (at, id) in events {
            assert_eq!(log.append(&event(name, at, id)), None);
        }
    }
    std::fs::write(home.path().join("notes.txt"), "x").expect("written");
    std::fs::write(home.path().join("x-y.jsonl"), "x").expect("written");
    home
}

fn ids(history: &mut History) -> String {
    history.map(|event| event.id).collect()
}

#[test]
fn logs_are_merged_in_the_order_of_their_events() {
    let home = logs();
    let mut history = History::open(home.path(), None, None).expect("readable");
    assert_eq!(history.waiting.len(), 3, "nothing is open yet");
    assert_eq!(ids(&mut history), "abcdefg");
    assert_eq!(history.unreadable(), 0);
    assert!(history.next().is_none());
}

#[test]
fn a_log_is_opened_when_its_time_has_come() {
    let home = logs();
    let mut history = History::open(home.path(), None, None).expect("readable");
    assert_eq!(history.next().expect("a").id, "a");
    assert_eq!(history.waiting.len(), 2);
}

#[test]
fn a_session_and_a_time_narrow_it() {
    let home = logs();
    let mut work = History::open(home.path(), Some("work"), None).expect("readable");
    assert_eq!(ids(&mut work), "acefg");
    let since = Some(time("10:00:04"));
    let mut late = History::open(home.path(), None, since).expect("readable");
    assert_eq!(ids(&mut late), "defg");
    let never = Some(Time::since_epoch(std::time::Duration::MAX));
    let mut none = History::open(home.path(), None, never).expect("readable");
    assert!(none.waiting.is_empty(), "old logs aren't even opened");
    assert_eq!(ids(&mut none), "");
}

#[test]
fn a_burst_that_went_on_beyond_the_time_is_part_of_it() {
    let home = tempfile::tempdir().expect("a directory");
    let mut log = Log::create(home.path(), "work", time("14:00:00"));
    log.append(&samples::named("signal"));
    let since = |at| {
        read_since(log.path(), Some(time(at)))
            .expect("a log")
            .count()
    };
    assert_eq!(since("14:03:12.702"), 1);
    assert_eq!(since("14:03:12.703"), 0);
}

#[test]
fn what_is_no_event_is_passed_over_and_counted() {
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path().join("work-20261122T100000000Z.jsonl");
    let good = event("work", "10:00:01", "a").to_line();
    let long = "x".repeat(3 << 20);
    let cut = &good[..good.len() / 2];
    std::fs::write(&path, format!("{good}\n\n{long}\n\u{0}\n{good}\n{cut}")).expect("written");
    let mut history = History::open(home.path(), None, None).expect("readable");
    assert_eq!(ids(&mut history), "aa");
    assert!(history.unreadable() >= 3, "{}", history.unreadable());
}

#[test]
fn no_directory_is_no_history() {
    let home = tempfile::tempdir().expect("a directory");
    let mut history = History::open(&home.path().join("none"), None, None).expect("no error");
    assert_eq!(ids(&mut history), "");
}

#[test]
fn what_stands_in_several_logs_is_told_once() {
    let home = tempfile::tempdir().expect("a directory");
    for (name, others) in [("work", ["a", "d"]), ("play", ["b", "e"])] {
        let mut log = Log::create(home.path(), name, time("10:00:00"));
        let host = Event {
            session: None,
            ..event(name, "10:00:03", "c")
        };
        let [first, last] = others;
        assert_eq!(log.append(&event(name, "10:00:02", first)), None);
        assert_eq!(log.append(&host), None);
        assert_eq!(log.append(&event(name, "10:00:04", last)), None);
    }
    let mut history = History::open(home.path(), None, None).expect("readable");
    assert!(!history.is_empty());
    assert_eq!(ids(&mut history), "abcde");
    assert!(history.is_empty());
    let none = History::open(home.path(), Some("other"), None).expect("readable");
    assert!(none.is_empty());
}
