//! Events, and what is made of them, as lines of JSON that are safe to show on a terminal.
//!
//! JSON's own escapes are used for every character that isn't printable, not only for those
//! that JSON asks for: what a program reads is the same, and `guard tail --json` can be
//! looked at.

use super::text::is_printable;
use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};
use std::io::{self, Write};

/// The line, without the newline.
pub(crate) fn line(value: &impl Serialize) -> String {
    let mut bytes = Vec::with_capacity(512);
    let mut serializer = Serializer::with_formatter(&mut bytes, Printable);
    value.serialize(&mut serializer).expect(
        "events and reports hold nothing but strings, numbers and maps with strings as keys",
    );
    String::from_utf8(bytes).expect("JSON is written as UTF-8")
}

/// Escapes what isn't printable.
struct Printable;

impl Formatter for Printable {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + Write,
    {
        let mut rest = fragment;
        while let Some(at) = rest.find(|character| !is_printable(character)) {
            let (good, bad) = rest.split_at(at);
            CompactFormatter.write_string_fragment(writer, good)?;
            let Some(character) = bad.chars().next() else {
                break;
            };
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = &bad[character.len_utf8()..];
        }
        CompactFormatter.write_string_fragment(writer, rest)
    }
}
