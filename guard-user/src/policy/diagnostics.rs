//! Mistakes in policies, shown where they are: `file:line:column: message`, the line, and a
//! caret under the word.
//!
//! The text of a policy is somebody's input: control characters and those that change the
//! direction of writing are escaped before they are shown.

use std::fmt;
use std::path::PathBuf;

use unicode_width::UnicodeWidthChar;

/// A piece of a source text, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// Which text: its index in [`Sources`].
    pub file: usize,
    /// Where it begins.
    pub start: usize,
    /// Where it ends; at least `start`.
    pub end: usize,
}

impl Span {
    /// A part of a span, by its offset and length in bytes.
    pub fn part(self, offset: usize, length: usize) -> Self {
        let start = self.start + offset;
        Self {
            start,
            end: start + length,
            ..self
        }
    }
}

/// A text that policies are read from.
#[derive(Clone, Debug)]
pub(crate) struct SourceText {
    /// What people call it.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// All texts of one load, in the order in which they were read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources(pub Vec<SourceText>);

impl Sources {
    /// The line (from 1) at which a span begins.
    pub fn line(&self, span: Span) -> u32 {
        let text = &self.0[span.file].text;
        1 + text[..floor(text, span.start)].matches('\n').count() as u32
    }

    /// The name of a span's text and the line at which it begins.
    pub fn place(&self, span: Span) -> (String, u32) {
        (self.0[span.file].name.clone(), self.line(span))
    }

    /// A mistake at a span.
    pub fn mistake(&self, span: Span, message: impl Into<String>) -> Diagnostic {
        let SourceText { name, text } = &self.0[span.file];
        let start = floor(text, span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let end = floor(text, span.end).clamp(start, line_end);
        let shown = |piece: &str| displayed(piece);
        Diagnostic {
            file: name.clone(),
            message: message.into(),
            excerpt: Some(Excerpt {
                line: self.line(span),
                column: 1 + text[line_start..start].chars().count() as u32,
                text: shown(text[line_start..line_end].trim_end_matches('\r')),
                indent: width(&shown(&text[line_start..start])),
                width: width(&shown(&text[start..end])).max(1),
            }),
        }
    }
}

/// The nearest character boundary that is not after an offset.
fn floor(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

/// A mistake: what is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file, as it was named, or a preset's name.
    pub file: String,
    /// What is wrong and what to do.
    pub message: String,
    /// The place; none when it is about the file as a whole.
    pub excerpt: Option<Excerpt>,
}

/// A line of a policy with a mistake on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// The line's number, from 1.
    pub line: u32,
    /// The column, in characters, from 1.
    pub column: u32,
    /// The line, escaped.
    text: String,
    /// How many terminal columns lie before the mistake.
    indent: usize,
    /// How many terminal columns the mistake is wide, at least one.
    width: usize,
}

impl Diagnostic {
    /// A mistake that is about a file as a whole.
    pub(crate) fn of_file(file: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            message: message.into(),
            excerpt: None,
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = displayed(&self.file);
        let message = displayed(&self.message);
        let Some(excerpt) = &self.excerpt else {
            return write!(f, "{file}: {message}");
        };
        let Excerpt { line, column, .. } = excerpt;
        writeln!(f, "{file}:{line}:{column}: {message}")?;
        writeln!(f, "{}", excerpt.text)?;
        let carets = "^".repeat(excerpt.width);
        write!(f, "{:indent$}{carets}", "", indent = excerpt.indent)
    }
}

/// Why policies could not be loaded: every mistake that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics {
    /// The mistakes, at least one.
    pub mistakes: Vec<Diagnostic>,
    /// The files that were read, so that who waits for the mistake to be mended knows what
    /// to watch.
    pub files: Vec<PathBuf>,
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.mistakes.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

/// A text as a terminal may see it: a tab is a space, and what is not meant to be seen is
/// written as an escape.
fn displayed(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\t' => shown.push(' '),
            // Marks and overrides of direction, separators of lines, byte-order mark, tags.
            '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}' => shown.extend(character.escape_unicode()),
            _ if character.is_control() => shown.extend(character.escape_default()),
            _ => shown.push(character),
        }
    }
    shown
}

/// How many columns of a terminal a text that has been made fit for it takes.
fn width(text: &str) -> usize {
    text.chars()
        .map(|character| character.width().unwrap_or(0))
        .sum()
}

/// The nearest valid word, or all of them: "; did you mean …?" or "; there are …".
pub(crate) fn did_you_mean_or(word: &str, valid: &[&str], otherwise: &str) -> String {
    let near = did_you_mean(word, valid.iter().copied());
    if near.is_empty() {
        format!("; {otherwise} {}", list(valid))
    } else {
        near
    }
}

/// Words as a list for people.
pub(crate) fn list(words: &[&str]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// "did you mean …" for a word that is not among the valid ones, with a semicolon before
/// it; empty when none is near.
pub(crate) fn did_you_mean<'word>(
    word: &str,
    valid: impl IntoIterator<Item = &'word str>,
) -> String {
    // A third of the letters may be wrong; in short words one may.
    let tolerance = (word.chars().count().div_ceil(3)).clamp(1, 3);
    let folded = word.to_lowercase();
    valid
        .into_iter()
        .map(|valid| {
            let distance = strsim::damerau_levenshtein(&folded, &valid.to_lowercase());
            (distance, valid)
        })
        .filter(|&(distance, _)| distance <= tolerance)
        .min()
        .map_or_else(String::new, |(_, valid)| {
            format!("; did you mean `{valid}`?")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(text: &str) -> Sources {
        Sources(vec![SourceText {
            name: "p.yaml".into(),
            text: text.into(),
        }])
    }

    fn shown(text: &str, word: &str) -> String {
        let start = text.find(word).expect("the word is there");
        let span = Span {
            file: 0,
            start,
            end: start + word.len(),
        };
        sources(text).mistake(span, "wrong").to_string()
    }

    #[test]
    fn the_caret_stands_under_the_word() {
        assert_eq!(
            shown("a: 1\nallow: [singal]\n", "singal"),
            "p.yaml:2:9: wrong\nallow: [singal]\n        ^^^^^^"
        );
    }

    #[test]
    fn wide_characters_and_tabs_move_the_caret_as_a_terminal_does() {
        assert_eq!(
            shown("\t日本: x", "x"),
            "p.yaml:1:6: wrong\n 日本: x\n       ^"
        );
    }

    #[test]
    fn what_could_fool_a_reader_is_escaped() {
        assert_eq!(
            shown("a: \u{202e}\u{1b}[2Jx", "x"),
            "p.yaml:1:9: wrong\na: \\u{202e}\\u{1b}[2Jx\n                    ^"
        );
        let message = Diagnostic::of_file("a\nb", "c\u{7}").to_string();
        assert_eq!(message, "a\\nb: c\\u{7}");
    }

    #[test]
    fn a_span_past_the_end_of_its_line_is_cut() {
        let span = Span {
            file: 0,
            start: 3,
            end: 99,
        };
        assert_eq!(
            sources("a: b\nc").mistake(span, "wrong").to_string(),
            "p.yaml:1:4: wrong\na: b\n   ^"
        );
        let span = Span {
            file: 0,
            start: 99,
            end: 99,
        };
        assert_eq!(
            sources("a: b").mistake(span, "wrong").to_string(),
            "p.yaml:1:5: wrong\na: b\n    ^"
        );
    }

    #[test]
    fn only_near_words_are_proposed() {
        let words = ["signal", "trace", "inspect", "delete"];
        assert_eq!(did_you_mean("singal", words), "; did you mean `signal`?");
        assert_eq!(did_you_mean("Delete", words), "; did you mean `delete`?");
        assert_eq!(did_you_mean("frobnicate", words), "");
    }
}
