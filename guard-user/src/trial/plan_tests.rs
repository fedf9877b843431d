//! Plans: what events come to, and how that is shown.

use super::*;
use crate::events::event::Target;
use crate::events::lines::Look;
use crate::events::samples;

fn width() -> Width {
    Width {
        home: "/home/ann".into(),
        homes: vec!["/root".into(), "/home/ann".into()],
    }
}

const LOOK: Look = Look {
    width: 80,
    whole: false,
    colour: false,
    session: false,
};

/// An example's event, as it is in audit mode.
fn audited(name: &str, change: impl FnOnce(&mut Judged)) -> Event {
    let mut event = samples::named(name);
    if let Body::Verdict(judged) = &mut event.body {
        judged.verdict = Verdict::Audit;
        judged.would = Some(Verdict::Deny);
        change(judged);
    }
    event
}

fn deletion(path: &str) -> Event {
    audited("delete", |judged| {
        if let Target::File(file) = &mut judged.target {
            path.clone_into(&mut file.path);
        }
    })
}

fn plan(events: &[Event]) -> Plan {
    let mut planner = Planner::default();
    for event in events {
        planner.add(event);
    }
    planner.finish("work", &["/etc/guard/home.yaml".to_owned()], &width())
}

#[test]
fn operations_are_folded_by_what_decided() {
    let events = [
        deletion("/home/ann/Pictures/2024/a.jpg"),
        deletion("/home/ann/Pictures/2024/b.jpg"),
        audited("signal", |_| {}),
        audited("signal", |judged| judged.signal = Some("TERM".into())),
        audited("machine", |_| {}),
        audited("connect-address", |_| {}),
        // Let through by a rule that says `audit`, and not a policy's doing at all.
        samples::named("audit"),
        samples::named("started"),
    ];
    let plan = plan(&events);
    assert_eq!((plan.would_refuse, plan.refused, plan.missing), (12, 0, 0));
    let found: Vec<_> = plan
        .findings
        .iter()
        .map(|it| (it.count, it.operation.name(), it.rule.as_deref()))
        .collect();
    assert_eq!(
        found,
        [
            (6, "signal", None),
            (3, "connect", Some("cloud-metadata")),
            (2, "delete", Some("photos")),
            (1, "machine", Some("machine/time")),
        ]
    );
    let signal = &plan.findings[0];
    assert_eq!(signal.signals, ["KILL", "TERM"].map(String::from).into());
    assert_eq!(
        signal.places[0].what,
        "/usr/lib/postgresql/15/bin/postgres of postgres"
    );
    assert_eq!(signal.places[0].targets, 2);
    assert_eq!(plan.findings[2].places[0].what, "/home/ann/Pictures/2024/*");
}

#[test]
fn a_plan_is_shown_in_80_columns() {
    let mut events: Vec<_> = (0..9)
        .map(|at| {
            deletion(&format!(
                "/home/ann/Pictures/{at}.jpg/of/a/long/name/that/does/not/fit/the/line"
            ))
        })
        .collect();
    events.extend([
        audited("signal", |_| {}),
        audited("overwrite", |judged| judged.others = 200),
        samples::named("lost-records"),
        samples::named("delete"),
    ]);
    let plan = Plan {
        remaining: 2,
        ..plan(&events)
    };
    let text = plan.render(LOOK);
    for line in text.lines() {
        assert!(crate::events::text::width(line) <= 80, "{line}");
    }
    let expected = include_str!("plan_sample.txt");
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/trial/plan_sample.txt");
    if std::env::var_os("GUARD_UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(file, &text).unwrap();
    } else {
        assert_eq!(text, expected);
    }
}

#[test]
fn nothing_that_would_be_refused_is_said_too() {
    let text = plan(&[samples::named("audit")]).render(LOOK);
    assert_eq!(
        text,
        "guard:    nothing would have been refused under the policy /etc/guard/home.yaml.\n"
    );
}

#[test]
fn what_an_agent_can_choose_is_escaped() {
    let hostile = "/srv/\u{1b}[2J\u{202e}x\ny";
    let plan = plan(&[deletion(hostile)]);
    let json = crate::events::json::line(&plan);
    assert!(
        json.chars().all(crate::events::text::is_printable),
        "{json}"
    );
    let text = plan.render(LOOK);
    assert!(
        text.lines()
            .flat_map(str::chars)
            .all(crate::events::text::is_printable),
        "{text}"
    );
}
