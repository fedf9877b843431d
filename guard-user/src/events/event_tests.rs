//! Tests of the form of events: JSON lines and back.

use super::*;
use crate::events::samples;
use serde_json::Value;
use std::collections::BTreeSet;

#[test]
fn the_documents_examples_are_what_events_look_like() {
    let lines = samples::lines();
    assert!(lines.len() >= 10, "only {} examples", lines.len());
    for ((name, line), (_, event)) in lines.iter().zip(samples::all()) {
        assert_eq!(event.to_line(), *line, "the example {name}");
    }
}

/// All keys of an object and of the objects in it.
fn keys(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                found.insert(key.clone());
                // The keys of these two are names of other fields and of operations.
                if key != "raw" && key != "refused" {
                    keys(value, found);
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| keys(value, found)),
        _ => {}
    }
}

#[test]
fn every_field_is_described_and_nothing_else_is() {
    let mut written = BTreeSet::new();
    for (_, event) in samples::all() {
        keys(&serde_json::to_value(&event).expect("JSON"), &mut written);
    }
    // That the examples have every field: whatever a type can write, they write.
    for field in ALL_FIELDS.iter() {
        assert!(written.contains(*field), "no example has the field {field}");
    }
    assert_eq!(written.len(), ALL_FIELDS.len(), "{written:?}");
    // A row of a table of fields has three cells, the first of them the name or several.
    let described: BTreeSet<String> = samples::document()
        .lines()
        .filter(|line| line.starts_with("| `") && line.matches(" | ").count() == 2)
        .filter_map(|line| line.split('|').nth(1))
        .flat_map(|cell| cell.split(','))
        .map(|name| name.trim().trim_matches('`').to_owned())
        .collect();
    assert_eq!(described, written);
}

/// Every field of every type above, found in the source of this module, so that one that
/// is added and neither described nor shown makes the test fail.
static ALL_FIELDS: std::sync::LazyLock<Vec<&'static str>> = std::sync::LazyLock::new(|| {
    let source = include_str!("event.rs");
    let mut fields: BTreeSet<&str> = source
        .lines()
        .filter_map(|line| line.strip_prefix("    pub "))
        .filter(|line| !line.starts_with("fn ") && !line.starts_with("body:"))
        .filter_map(|line| line.split_once(':'))
        .map(|(name, _)| name.trim_start_matches("r#"))
        .collect();
    // The tags of the two enumerations.
    fields.extend(["event", "kind"]);
    fields.into_iter().collect()
});

#[test]
fn every_word_of_a_field_is_described() {
    let document = samples::document();
    let named = |name: &str| document.contains(&format!("`{name}`"));
    for operation in Operation::EVERY {
        assert!(named(operation.name()), "{operation:?}");
    }
    for verdict in Verdict::EVERY {
        assert!(named(verdict.name()), "{verdict:?}");
    }
    for reason in Reason::EVERY {
        assert!(named(reason.name()), "{reason:?}");
    }
    for facility in Facility::EVERY {
        assert!(named(facility.name()), "{facility:?}");
    }
    for how in ["unlink", "rename", "write", "link", "mount", "unmount"] {
        let read: How = serde_json::from_value(how.into()).expect("a way");
        assert!(named(how), "{read:?}");
    }
    for (number, constant) in [
        (super::super::fold::EXAMPLES, "examples"),
        (super::super::fold::MAX_TOLD_APART, "told apart"),
    ] {
        assert!(document.contains(&number.to_string()), "{constant}");
    }
}

#[test]
fn readers_pass_over_fields_that_they_do_not_know() {
    let (_, line) = samples::lines()[0];
    let newer = line.replacen('{', "{\"new\":{\"a\":[1]},", 1);
    assert_eq!(
        Event::from_line(newer.as_bytes()).expect("still an event"),
        Event::from_line(line.as_bytes()).expect("an event")
    );
}

#[test]
fn what_is_no_event_is_an_error() {
    let (_, line) = samples::lines()[0];
    assert!(Event::from_line(&line.as_bytes()[..line.len() - 1]).is_err());
    assert!(Event::from_line(b"").is_err());
    let error = Event::from_line(line.replace("\"deny\"", "\"maybe\"").as_bytes())
        .expect_err("no such verdict");
    assert!(
        error.to_string().contains("there is no verdict \"maybe\""),
        "{error}"
    );
}

#[test]
fn a_line_never_has_a_character_that_could_deceive_a_terminal() {
    let mut event = samples::named("delete");
    let hostile = "/tmp/\u{202e}gpj\x1b[2J\x7f\u{9b}\u{e0041}\n\"\\";
    if let Body::Verdict(judged) = &mut event.body
        && let Target::File(file) = &mut judged.target
    {
        hostile.clone_into(&mut file.path);
    }
    let line = event.to_line();
    assert!(
        line.contains(r#""path":"/tmp/\u202egpj\u001b[2J\u007f\u009b\udb40\udc41\n\"\\""#),
        "{line}"
    );
    assert!(line.chars().all(super::super::text::is_printable));
    assert_eq!(Event::from_line(line.as_bytes()).expect("an event"), event);
}

#[test]
fn the_last_moment_of_a_burst_is_its_last() {
    let burst = samples::named("signal");
    assert_eq!(burst.latest().to_string(), "2026-11-22T14:03:12.702Z");
    let once = samples::named("delete");
    assert_eq!(once.latest(), once.time);
}
