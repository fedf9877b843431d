//! The events of `docs/events.md`, for the tests: the document's examples are what these
//! become.

use super::event::Event;

const DOCUMENT: &str = include_str!("../../../docs/events.md");

/// The document.
pub(crate) const fn document() -> &'static str {
    DOCUMENT
}

/// The lines of its JSON examples, each with its name (the word after `json`).
pub(crate) fn lines() -> Vec<(&'static str, &'static str)> {
    DOCUMENT
        .split("```json ")
        .skip(1)
        .map(|block| {
            let (name, rest) = block.split_once('\n').expect("a name, then the example");
            let (line, _) = rest.split_once("\n```").expect("an end");
            (name, line)
        })
        .collect()
}

/// The examples as events.
pub(crate) fn all() -> Vec<(&'static str, Event)> {
    lines()
        .into_iter()
        .map(|(name, line)| match Event::from_line(line.as_bytes()) {
            Ok(event) => (name, event),
            Err(error) => panic!("the example {name} is no event: {error}"),
        })
        .collect()
}

/// The example of a name.
pub(crate) fn named(name: &str) -> Event {
    all()
        .into_iter()
        .find(|(other, _)| *other == name)
        .map_or_else(
            || panic!("docs/events.md has no example {name}"),
            |(_, event)| event,
        )
}
