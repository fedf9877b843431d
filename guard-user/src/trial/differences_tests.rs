//! Comparisons: what differs, what does not, and what can't be said.

use super::*;
use crate::events::event::{Machine, Target};
use crate::events::lines::Look;
use crate::events::samples;
use crate::trial::testing::{compiled, deletion, file, internet, mounts, process, refused, width};

const NEXT: &str = "\
version: 1
rules:
  - name: reports
    allow: [delete]
    on: /srv/reports/**
  - name: some
    allow: [delete]
    on: /srv/some/**
    at-most: { count: 5, per: 1h }
  - name: seen
    audit: [delete]
    on: /srv/seen/**
  - name: photos
    deny: [delete, overwrite]
    on: /srv/photos/**
    because: there is no other copy
";

fn report(events: &[Event]) -> Report {
    let (policy, mounts) = (compiled(NEXT), mounts());
    let mut comparison = Comparison::default();
    for event in events {
        let next = Next {
            policy: &policy,
            mounts: &mounts,
            is_local: &|_| true,
        };
        comparison.add(event, next);
    }
    comparison.finish("work", &["/etc/guard/next.yaml".to_owned()], &width())
}

fn judged(event: &mut Event) -> &mut Judged {
    match &mut event.body {
        Body::Verdict(judged) => judged,
        other => panic!("{other:?}"),
    }
}

/// The same with another verdict, by a rule of the policy in force.
fn by(mut event: Event, verdict: Verdict, rule: &str) -> Event {
    let it = judged(&mut event);
    it.verdict = verdict;
    it.reason = Reason::Rule;
    it.rule = Some(rule.to_owned());
    it.source = Some("/etc/guard/home.yaml:7".to_owned());
    it.because = Some("it says so".to_owned());
    event
}

fn told(report: &Report) -> Vec<(u64, &str, &str, Option<&str>)> {
    let differences = report.differences.iter();
    differences
        .map(|it| {
            let next = it.next.rule.as_deref();
            (
                it.count,
                it.was.verdict.name(),
                it.next.verdict.name(),
                next,
            )
        })
        .collect()
}

#[test]
fn verdicts_that_differ_are_told_with_both_rules() {
    let report = report(&[
        deletion("/srv/reports/a"),
        deletion("/srv/reports/b"),
        deletion("/srv/seen/a"),
        by(deletion("/srv/photos/a"), Verdict::Allow, "all"),
        by(deletion("/srv/photos/b"), Verdict::Audit, "look"),
        by(deletion("/srv/elsewhere"), Verdict::Allow, "all"),
        // The same.
        deletion("/srv/else"),
        by(deletion("/srv/reports/c"), Verdict::Allow, "all"),
        by(deletion("/srv/photos/c"), Verdict::Deny, "kept"),
    ]);
    assert_eq!(
        told(&report),
        [
            (1, "allow", "deny", None),
            (1, "allow", "deny", Some("photos")),
            (1, "audit", "deny", Some("photos")),
            (2, "deny", "allow", Some("reports")),
            (1, "deny", "audit", Some("seen")),
        ]
    );
    let counts = (
        report.compared,
        report.otherwise_decided,
        report.let_through,
    );
    assert_eq!(counts, (9, 2, 3));
    let photos = &report.differences[1];
    assert_eq!(photos.was.source.as_deref(), Some("/etc/guard/home.yaml:7"));
    assert_eq!(photos.next.source.as_deref(), Some("p.yaml:13"));
    assert_eq!(
        photos.next.because.as_deref(),
        Some("there is no other copy")
    );
    assert_eq!(report.differences[3].places[0].what, "/srv/reports/*");
}

#[test]
fn what_a_limit_decides_or_nothing_is_known_of_is_not_decided_anew() {
    let limited = |verdict| by(deletion("/srv/some/a"), verdict, "some");
    let mut unseen = deletion("/srv/reports/a");
    if let Target::File(file) = &mut judged(&mut unseen).target {
        file.path = "…/a".to_owned();
    }
    let mut fixed = refused(
        Operation::Signal,
        process(Some("/usr/bin/guard"), "guard", 0, "/"),
        |it| it.signal = Some("KILL".to_owned()),
    );
    judged(&mut fixed).reason = Reason::GuardProcess;
    let report = report(&[
        limited(Verdict::Deny),
        limited(Verdict::Allow),
        unseen,
        fixed,
    ]);
    assert_eq!(told(&report), []);
    assert_eq!((report.compared, report.undecided), (2, 2));
}

#[test]
fn a_burst_whose_targets_come_out_otherwise_is_divided() {
    let mut burst = deletion("/srv/reports/a");
    let it = judged(&mut burst);
    it.targets = vec![file("/srv/reports/b"), file("/srv/photos/c")];
    it.others = 9;
    it.count = 12;
    let mut alike = deletion("/srv/reports/x");
    let it = judged(&mut alike);
    it.others = 4;
    it.count = 5;
    let report = report(&[burst, alike]);
    assert_eq!(told(&report), [(7, "deny", "allow", Some("reports"))]);
    assert_eq!((report.compared, report.undecided), (8, 9));
    assert_eq!(report.differences[0].unnamed, 4);
}

#[test]
fn what_is_no_file_is_decided_anew_too() {
    let time = Target::Machine(Machine {
        facility: Facility::Time,
        capability: None,
        number: None,
    });
    let events = [
        refused(Operation::Machine, time, |it| {
            it.facility = Some(Facility::Time);
        }),
        refused(Operation::Connect, internet("10.0.0.1", 80), |_| {}),
        refused(Operation::Trace, process(None, "x", 1000, "/"), |_| {}),
    ]
    .map(|event| by(event, Verdict::Allow, "all"));
    let told_of = report(&events);
    let rules: Vec<_> = told(&told_of).iter().map(|it| (it.2, it.3)).collect();
    let facility = Some("machine/time");
    assert_eq!(rules, [("deny", None), ("deny", None), ("deny", facility)]);
}

#[test]
fn a_report_is_shown_in_80_columns() {
    let look = Look {
        width: 80,
        whole: false,
        colour: false,
        session: false,
    };
    let report = report(&[
        deletion("/srv/reports/a/long/name/of/a/file/that/does/not/fit/into/one/line.txt"),
        by(deletion("/srv/photos/a"), Verdict::Audit, "look"),
        by(deletion("/srv/photos/c"), Verdict::Deny, "kept"),
        by(deletion("/srv/some/c"), Verdict::Deny, "kept"),
        samples::named("lost-records"),
    ]);
    let text = report.render(look);
    for line in text.lines() {
        assert!(crate::events::text::width(line) <= 80, "{line}");
    }
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src/trial/differences_sample.txt"
    );
    if std::env::var_os("GUARD_UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(file, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(file).unwrap_or_default());
    let none = self::report(&[by(deletion("/srv/reports/a"), Verdict::Allow, "all")]);
    assert!(none.render(look).contains("no difference"), "{none:?}");
    assert!(!none.render(look).contains("Not covered"), "{none:?}");
}
