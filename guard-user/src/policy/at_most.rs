//! `at-most` of a rule: how often it lets something through, and in what time.

use guard_ebpf::policy::Limit;

use super::diagnostics::Span;
use super::reader::{Entry, Reader};
use super::tree::Node;

/// Its keys.
pub(super) const KEYS: [&str; 2] = ["count", "per"];

/// What a time ends with, and how many seconds that is.
const UNITS: [(char, u32); 4] = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)];

/// The longest time; what is longer is the whole session ([`SESSION`]).
const LONGEST: u32 = 7 * 86_400;

/// In place of a number of seconds: the whole session. (136 years: as long as the kernel's side counts.)
pub const SESSION: u32 = u32::MAX;

/// What [`SESSION`] is called.
pub const SESSION_NAME: &str = "session";

/// The greatest count: the kernel's side has 32 bits for it.
const MOST: u32 = 1_000_000_000;

impl Reader<'_> {
    /// Reads `at-most`. `None` after a mistake.
    pub(super) fn at_most(&mut self, node: &Node) -> Option<Limit> {
        let what = "`at-most` is a mapping such as `{ count: 1000, per: 10m }`";
        let mut limit = Limit::default();
        let before = self.mistakes.len();
        for Entry { key, value, .. } in self.fields(node, what, &KEYS) {
            let Some(text) = self.word(value, "this is a word") else {
                continue;
            };
            let span = value.span;
            match key {
                "count" => limit.count = self.count(span, text),
                _ => limit.seconds = self.period(span, text),
            }
        }
        if self.mistakes.len() > before {
            return None;
        }
        for (key, value) in [("count", limit.count), ("per", limit.seconds)] {
            if value == 0 {
                self.mistake(node.span, format!("`{key}` is missing: {what}"));
                return None;
            }
        }
        Some(limit)
    }

    /// A number of times; 0 after a mistake.
    fn count(&mut self, span: Span, text: &str) -> u32 {
        match text.parse() {
            Ok(count) if (1..=MOST).contains(&count) => count,
            _ => {
                self.mistake(span, format!("a count is a number from 1 to {MOST}"));
                0
            }
        }
    }

    /// A time in seconds; 0 after a mistake.
    fn period(&mut self, span: Span, text: &str) -> u32 {
        if text == SESSION_NAME {
            return SESSION;
        }
        seconds(text).unwrap_or_else(|| {
            self.mistake(span, format!("{TIME}; or `{SESSION_NAME}`, for all of it"));
            0
        })
    }
}

/// What a time is.
pub const TIME: &str =
    "a time is a number with a unit, such as `30s`, `10m`, `1h`, and at most `7d`";

/// A time in seconds; none for what is no [`TIME`].
#[must_use]
pub fn seconds(text: &str) -> Option<u32> {
    let seconds = UNITS.iter().find_map(|(unit, length)| {
        let number: u32 = text.strip_suffix(*unit)?.trim_end().parse().ok()?;
        number.checked_mul(*length)
    });
    seconds.filter(|seconds| (1..=LONGEST).contains(seconds))
}
