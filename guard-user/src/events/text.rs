//! Strings that come from the kernel, and so from whoever is guarded: how they become JSON
//! and how they reach a terminal.
//!
//! A path or command name is bytes, of any kind but NUL. In events it is text, in which
//! bytes that aren't UTF-8 are replaced by U+FFFD, with the exact bytes beside it in
//! hexadecimal ([`Raw`]). A terminal never sees a control, format or invisible character of
//! it: [`escaped`].

use std::collections::BTreeMap;
use std::fmt::Write;
use unicode_width::UnicodeWidthChar;

/// The exact bytes of those fields of an object that aren't UTF-8, in hexadecimal, by the
/// field's name.
pub type Raw = BTreeMap<String, String>;

/// The text of a field; when it isn't exact, the bytes go into `raw`.
#[must_use]
pub fn text(field: &str, bytes: &[u8], raw: &mut Raw) -> String {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.to_owned();
    }
    let mut hexadecimal = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(hexadecimal, "{byte:02x}");
    }
    raw.insert(field.to_owned(), hexadecimal);
    String::from_utf8_lossy(bytes).into_owned()
}

/// The exact bytes of a field.
#[must_use]
pub fn bytes(field: &str, text: &str, raw: &Raw) -> Vec<u8> {
    raw.get(field)
        .and_then(|hexadecimal| from_hexadecimal(hexadecimal))
        .unwrap_or_else(|| text.as_bytes().to_vec())
}

fn from_hexadecimal(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok())
        .collect()
}

/// A form that is safe on a terminal: printable characters stand for themselves, all others
/// (control, format, bidirectional, invisible, unassigned), lone combining marks and the
/// backslash are escaped as in Rust (`\n`, `\u{202e}`, `\\`), and bytes that are not UTF-8
/// as `\xff`.
#[must_use]
pub fn escaped(bytes: &[u8]) -> String {
    let mut safe = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if is_printable(character) && character != '\\' {
                safe.push(character);
            } else {
                safe.extend(character.escape_debug());
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(safe, "\\x{byte:02x}");
        }
    }
    safe
}

/// The same for a text for people parts of which may come from whoever is guarded: lines stay
/// lines, and what is escaped already stays as it is.
#[must_use]
pub fn harmless(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if is_printable(character) || character == '\n' {
            safe.push(character);
        } else {
            safe.extend(character.escape_debug());
        }
    }
    safe
}

/// Whether a character shows as itself, in its place, on a terminal.
#[must_use]
pub fn is_printable(character: char) -> bool {
    // Letters of scripts whose vowel signs are combining characters (Thai, Devanagari).
    character.is_alphanumeric()
        || matches!(character, '"' | '\'' | '\\')
        // The standard library escapes whatever Unicode does not call printable.
        || character.escape_debug().len() == 1
}

/// How many columns a text takes that [`escaped`] made.
#[must_use]
pub fn width(text: &str) -> usize {
    text.chars().map(columns).sum()
}

fn columns(character: char) -> usize {
    character.width().unwrap_or(1)
}

/// Shortens a text at its end to a number of columns.
#[must_use]
pub fn shortened(text: &str, room: usize) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    let mut short = head(text, room.saturating_sub(1)).to_owned();
    short.push('…');
    short
}

/// Shortens a path in its middle to a number of columns: what is kept is its last name, as
/// many directories before it as there is room for, and the first ones.
#[must_use]
pub fn shortened_path(path: &str, room: usize) -> String {
    if width(path) <= room {
        return path.to_owned();
    }
    let room = room.saturating_sub(1);
    let leaf = path
        .trim_end_matches('/')
        .rfind('/')
        .map_or(path, |at| &path[at..]);
    if width(leaf) >= room {
        // Not even the last name fits: its end says more than its beginning.
        return format!("…{}", tail(leaf, room));
    }
    // A third for the beginning, whole names only; the rest for the end.
    let first = head(path, (room - width(leaf)).min(room / 3));
    let first = first.rfind('/').map_or("", |at| &first[..=at]);
    let last = tail(path, room - width(first));
    let last = last.find('/').map_or(last, |at| &last[at..]);
    format!("{first}…{last}")
}

/// The longest beginning that fits.
pub(super) fn head(text: &str, room: usize) -> &str {
    let mut used = 0;
    for (at, character) in text.char_indices() {
        used += columns(character);
        if used > room {
            return &text[..at];
        }
    }
    text
}

/// The longest end that fits.
fn tail(text: &str, room: usize) -> &str {
    let mut used = 0;
    for (at, character) in text.char_indices().rev() {
        used += columns(character);
        if used > room {
            return &text[at + character.len_utf8()..];
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_could_deceive_a_terminal_is_escaped() {
        let cases: [(&[u8], &str); 11] = [
            (b"\x1b]0;owned\x07", "\\u{1b}]0;owned\\u{7}"),
            (b"a\nb\r\tc", "a\\nb\\r\\tc"),
            ("gpj\u{202e}.exe".as_bytes(), "gpj\\u{202e}.exe"),
            ("\u{2066}x\u{2069}".as_bytes(), "\\u{2066}x\\u{2069}"),
            ("\u{9b}31m".as_bytes(), "\\u{9b}31m"),
            ("zero\u{200b}width".as_bytes(), "zero\\u{200b}width"),
            ("tag\u{e0041}".as_bytes(), "tag\\u{e0041}"),
            ("e\u{301}".as_bytes(), "e\\u{301}"),
            (b"\xff\xfe/ok", "\\xff\\xfe/ok"),
            (b"C:\\x2d", "C:\\\\x2d"),
            (b"del\x7f", "del\\u{7f}"),
        ];
        for (hostile, safe) in cases {
            assert_eq!(escaped(hostile), safe);
        }
    }

    #[test]
    fn names_in_any_script_stand_for_themselves() {
        for name in ["it's \"fine\"", "Müll", "写真", "ภาษาไทย", "🦀.rs", "a b"]
        {
            assert_eq!(escaped(name.as_bytes()), name);
        }
        assert_eq!(width("写真"), 4);
    }

    #[test]
    fn exact_bytes_survive() {
        let mut raw = Raw::new();
        let name = text("path", b"/tmp/\xff\xfe", &mut raw);
        assert_eq!(name, "/tmp/\u{fffd}\u{fffd}");
        assert_eq!(raw["path"], "2f746d702ffffe");
        assert_eq!(bytes("path", &name, &raw), b"/tmp/\xff\xfe");
        assert_eq!(text("comm", b"good", &mut raw), "good");
        assert_eq!(raw.len(), 1);
    }

    #[test]
    fn paths_are_shortened_in_the_middle_between_names() {
        let path = "/home/ann/Pictures/2024/holidays/italy/IMG_0001.jpg";
        assert_eq!(shortened_path(path, 60), path);
        assert_eq!(
            shortened_path(path, 44),
            "/home/ann/…/2024/holidays/italy/IMG_0001.jpg"
        );
        assert_eq!(shortened_path(path, 30), "/home/…/italy/IMG_0001.jpg");
        assert_eq!(shortened_path(path, 10), "…_0001.jpg");
        assert_eq!(
            shortened_path("/very/long/directory/name/", 20),
            "/very/…/name/"
        );
        assert_eq!(shortened("a sentence", 6), "a sen…");
    }

    proptest! {
        #[test]
        fn nothing_unprintable_passes(hostile in prop::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(escaped(&hostile).chars().all(is_printable));
        }

        #[test]
        fn nothing_is_wider_than_its_room(path in "(/[a-z写]{0,12}){0,9}/?", room in 1_usize..60) {
            prop_assert!(width(&shortened_path(&path, room)) <= room);
            prop_assert!(width(&shortened(&path, room)) <= room);
        }

        #[test]
        fn any_bytes_survive(exact in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut raw = Raw::new();
            let lossy = text("comm", &exact, &mut raw);
            prop_assert_eq!(bytes("comm", &lossy, &raw), exact);
        }
    }
}
