//! Tests of folding targets.

use super::*;
use crate::events::event::{Body, Event, File};
use crate::events::samples;
use proptest::prelude::*;

fn judged(name: &str) -> Judged {
    match samples::named(name).body {
        Body::Verdict(judged) => *judged,
        other => panic!("{other:?}"),
    }
}

fn deletion(path: &str, count: u64) -> Judged {
    let mut judged = judged("delete");
    judged.count = count;
    if let Target::File(File { path: its, .. }) = &mut judged.target {
        path.clone_into(its);
    }
    judged
}

fn rows(targets: Targets, most: usize) -> Vec<String> {
    let (ranking, unnamed) = targets.ranking(most);
    let mut rows: Vec<_> = ranking
        .rows
        .iter()
        .map(|(place, tally)| format!("{} {} {}", tally.total(), place.kind(), place.name()))
        .collect();
    if ranking.rest.total() > 0 {
        rows.push(format!(
            "{} in {} others",
            ranking.rest.total(),
            ranking.others
        ));
    }
    if unnamed.total() > 0 {
        rows.push(format!("{} unnamed", unnamed.total()));
    }
    rows
}

#[test]
fn directories_take_the_place_of_many_files_and_what_stands_out_stays() {
    let mut targets = Targets::default();
    for number in 0..5 {
        let path = format!("/home/ann/Pictures/2024/{number}.jpg");
        targets.add(Outcome::Refused, &deletion(&path, 1));
        let path = format!("/home/ann/Music/{number}.ogg");
        targets.add(Outcome::Refused, &deletion(&path, 2));
    }
    targets.add(Outcome::Refused, &deletion("/etc/passwd", 40));
    assert_eq!(
        rows(targets, 4),
        [
            "40 file /etc/passwd",
            "10 files /home/ann/Music/…",
            "5 files /home/ann/Pictures/2024/…",
        ]
    );
}

#[test]
fn a_file_alone_in_its_directory_keeps_its_name_as_long_as_there_is_room() {
    let mut targets = Targets::default();
    for path in ["/a/b/c/d", "/e/f", "/g/h", "/"] {
        targets.add(Outcome::Refused, &deletion(path, 1));
    }
    assert_eq!(
        rows(targets, 4),
        ["1 file /", "1 file /a/b/c/d", "1 file /e/f", "1 file /g/h"]
    );
}

#[test]
fn processes_are_told_by_their_service_and_the_rest_by_program_and_user() {
    let mut targets = Targets::default();
    // Of three, two are named: both are postgres.
    targets.add(Outcome::Refused, &judged("signal"));
    targets.add(Outcome::Refused, &judged("connect-address"));
    targets.add(Outcome::Refused, &judged("machine"));
    let mut other = judged("inspect");
    if let Target::Process(process) = &mut other.target {
        process.comm = "tm\u{202e}ux".to_owned();
        process.exe = None;
        process.user = None;
    }
    targets.add(Outcome::Recorded, &other);
    if let Target::Process(process) = &mut other.target {
        process.cgroup = Some("/".to_owned());
    }
    targets.add(Outcome::Refused, &other);
    assert_eq!(
        rows(targets, 9),
        [
            "3 socket 169.254.169.254:80",
            "2 service postgresql.service",
            "1 processes tm\\u{202e}ux of 0",
            "1 kernel kernel threads",
            "1 machine time",
            "1 unnamed",
        ]
    );
}

#[test]
fn a_flood_of_names_stays_in_its_room() {
    let mut targets = Targets::default();
    targets.add(Outcome::Refused, &deletion("/srv/db/one", 100_000));
    let deep = "/d".repeat(100);
    let flood = (0..20_000)
        .map(|number| format!("/tmp/{}/{number}{deep}/x", number % 700))
        .chain((0..3_000).map(|number| format!("<dev 8:{number}>/x")));
    let mut judged = deletion("", 1);
    for name in flood {
        if let Target::File(File { path, .. }) = &mut judged.target {
            *path = name;
        }
        targets.add(Outcome::Refused, &judged);
        assert!(targets.files.len() <= ROOM);
    }
    let (ranking, _) = targets.ranking(5);
    let sum: Tally = ranking.rows.iter().map(|(_, tally)| *tally).collect();
    assert_eq!(sum.total() + ranking.rest.total(), 123_000);
    assert_eq!(ranking.rows[0].0.name(), "/srv/db/one");
}

proptest! {
    #[test]
    fn folding_keeps_sums(
        paths in prop::collection::vec("(/[ab]{1,2}){1,5}", 1..60),
        most in 1_usize..20,
    ) {
        let mut targets = Targets::default();
        for path in &paths {
            targets.add(Outcome::Refused, &deletion(path, 1));
        }
        let (ranking, _) = targets.ranking(most);
        prop_assert!(ranking.rows.len() <= most);
        let sum: Tally = ranking.rows.iter().map(|(_, tally)| *tally).collect();
        prop_assert_eq!((sum.total(), ranking.rest.total()), (paths.len() as u64, 0));
        // Whatever is counted for a place lies there.
        for (place, tally) in &ranking.rows {
            if let Place::File(path) = place {
                let same = paths.iter().filter(|other| *other == path).count();
                prop_assert!(tally.total() <= same as u64 + 1);
            }
        }
    }
}

#[test]
fn an_event_that_tells_nothing_of_its_targets_counts_all_the_same() {
    let line = samples::named("signal").to_line();
    let line = line.replace("\"count\":3", "\"count\":1");
    let event = Event::from_line(line.as_bytes()).unwrap();
    let Body::Verdict(judged) = event.body else {
        panic!("not a verdict");
    };
    let mut targets = Targets::default();
    targets.add(Outcome::Refused, &judged);
    assert_eq!(rows(targets, 3), ["1 service postgresql.service"]);
}
