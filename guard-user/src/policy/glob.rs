//! Globs: what a policy says about paths, cgroups and command names.
//!
//! A path glob is a list of names between slashes. `*` stands for any characters of one
//! name, `?` for one character, `[a-z]` and `[!a-z]` for one of a set, `**` for any number
//! of whole names, `\` takes the meaning of the next character away. Names are bytes to the
//! kernel; a byte that is no part of a UTF-8 character counts as a character for `?` and
//! `[!…]`, so that odd names do not slip past a rule.

use std::ops::Range;

/// The longest path that the kernel takes (`PATH_MAX`), in bytes.
const MAX_LENGTH: usize = 4096;

/// A letter of a glob after its variables have been replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Letter {
    /// What it is.
    pub what: What,
    /// Where it comes from: an offset in bytes in what is written.
    pub offset: usize,
}

/// Whether a letter can have a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// As written: `*` and the like have their meaning.
    Written(char),
    /// A byte of a variable's value: it means itself.
    Given(u8),
}

/// What is wrong with a text, and with which of its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TextError {
    /// The bytes.
    pub at: Range<usize>,
    /// What is wrong and what to do.
    pub message: String,
}

impl TextError {
    pub fn new(at: Range<usize>, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { at, message }
    }
}

/// A piece of a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Token {
    /// This byte.
    Byte(u8),
    /// `*`: any bytes, or none.
    AnyRun,
    /// `?`: one character.
    AnyChar,
    /// `[…]`: one character that is in one of the ranges (or, negated, in none).
    Class {
        /// `[!…]`.
        negated: bool,
        /// From and to, both included.
        ranges: Vec<(char, char)>,
    },
}

/// A part of a path glob.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Part {
    /// One name.
    Name(Vec<Token>),
    /// `**`: any number of names, or none.
    AnyDepth,
}

impl Part {
    /// A name that means itself.
    pub fn literal(name: &[u8]) -> Self {
        Self::Name(name.iter().map(|&byte| Token::Byte(byte)).collect())
    }

    /// The name, when it means itself.
    pub fn as_literal(&self) -> Option<Vec<u8>> {
        let Self::Name(tokens) = self else {
            return None;
        };
        tokens
            .iter()
            .map(|token| match token {
                Token::Byte(byte) => Some(*byte),
                _ => None,
            })
            .collect()
    }
}

/// The name that stands for any name.
pub(super) fn any_name() -> Part {
    Part::Name(vec![Token::AnyRun])
}

/// Reads a path glob. It must begin with a slash, or float: begin with `**/`.
///
/// A `/**` at the end becomes `/**/*`: what lies below, at any depth, and not the directory
/// itself.
pub(crate) fn parse_path(letters: &[Letter]) -> Result<Vec<Part>, TextError> {
    let whole = range(letters);
    if letters.len() > MAX_LENGTH {
        return Err(TextError::new(
            whole,
            format!("a path is at most {MAX_LENGTH} bytes long"),
        ));
    }
    let (names, floating) = split(letters);
    if !floating && !letters.first().is_some_and(is_slash) {
        return Err(TextError::new(
            whole,
            "a path begins with `/`, `~/`, `**/` or a variable",
        ));
    }
    let mut parts = Vec::new();
    let count = names.len();
    for (index, name) in names.into_iter().enumerate() {
        if name.is_empty() {
            if index + 1 == count && index > 0 {
                let end = whole.end;
                return Err(TextError::new(
                    end.saturating_sub(1)..end,
                    "a path does not end in `/`: leave it out for the directory itself, \
                     or write `/**` for everything below it",
                ));
            }
            // The one before the first slash, and those that a variable's value leaves.
            continue;
        }
        if is_double_star(name) {
            if parts.last() != Some(&Part::AnyDepth) {
                parts.push(Part::AnyDepth);
            }
            continue;
        }
        parts.push(Part::Name(parse_name(name, Star::Single)?));
    }
    if parts.last() == Some(&Part::AnyDepth) {
        parts.push(any_name());
    }
    Ok(parts)
}

/// Whether `*` may be doubled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Star {
    Single,
    Any,
}

/// Reads a glob that isn't about paths: a command name. `*` stands for any characters, the
/// slash included.
pub(crate) fn parse_word(letters: &[Letter]) -> Result<Vec<Token>, TextError> {
    parse_name(letters, Star::Any)
}

fn range(letters: &[Letter]) -> Range<usize> {
    let start = letters.first().map_or(0, |letter| letter.offset);
    let end = letters.last().map_or(0, end_of);
    start..end
}

fn end_of(letter: &Letter) -> usize {
    letter.offset
        + match letter.what {
            What::Written(character) => character.len_utf8(),
            What::Given(_) => 1,
        }
}

fn is_slash(letter: &Letter) -> bool {
    matches!(letter.what, What::Written('/') | What::Given(b'/'))
}

fn is_double_star(name: &[Letter]) -> bool {
    name.len() == 2 && name.iter().all(|letter| letter.what == What::Written('*'))
}

/// The names between the slashes, and whether the first is `**`.
fn split(letters: &[Letter]) -> (Vec<&[Letter]>, bool) {
    let names: Vec<_> = letters.split(is_slash).collect();
    let floating = names.len() > 1 && is_double_star(names[0]);
    (names, floating)
}

fn parse_name(letters: &[Letter], star: Star) -> Result<Vec<Token>, TextError> {
    let whole = range(letters);
    let mut tokens = Vec::new();
    let mut rest = letters;
    while let [letter, after @ ..] = rest {
        rest = after;
        let at = letter.offset..end_of(letter);
        let character = match letter.what {
            What::Given(byte) => {
                tokens.push(Token::Byte(byte));
                continue;
            }
            What::Written(character) => character,
        };
        match character {
            '*' if tokens.last() == Some(&Token::AnyRun) => {
                if star == Star::Single {
                    return Err(TextError::new(
                        at.start - 1..at.end,
                        "`**` must stand alone between slashes; within a name write `*`",
                    ));
                }
            }
            '*' => tokens.push(Token::AnyRun),
            '?' => tokens.push(Token::AnyChar),
            '[' => {
                let (class, after) = parse_class(rest, at)?;
                tokens.push(class);
                rest = after;
            }
            '{' | '}' => {
                return Err(TextError::new(
                    at,
                    format!(
                        "braces have no meaning in a glob: write each alternative as an item \
                         of its own, or `\\{character}` for the character itself"
                    ),
                ));
            }
            '\\' => match rest {
                [next, after @ ..] => {
                    push(&mut tokens, next.what);
                    rest = after;
                }
                [] => {
                    return Err(TextError::new(
                        at,
                        "nothing follows the backslash; write `\\\\` for a backslash",
                    ));
                }
            },
            '\0' => return Err(TextError::new(at, "a NUL cannot be part of a name")),
            _ => push(&mut tokens, letter.what),
        }
    }
    match tokens.as_slice() {
        [] => Err(TextError::new(whole, "empty")),
        [Token::Byte(b'.')] | [Token::Byte(b'.'), Token::Byte(b'.')] if star == Star::Single => {
            Err(TextError::new(
                whole,
                "`.` and `..` have no meaning in a glob; write the path out",
            ))
        }
        _ => Ok(tokens),
    }
}

fn push(tokens: &mut Vec<Token>, what: What) {
    match what {
        What::Given(byte) => tokens.push(Token::Byte(byte)),
        What::Written(character) => {
            let mut bytes = [0; 4];
            let bytes = character.encode_utf8(&mut bytes).bytes();
            tokens.extend(bytes.map(Token::Byte));
        }
    }
}

/// Reads the rest of a `[…]`, whose bracket stands at `open`.
fn parse_class(letters: &[Letter], open: Range<usize>) -> Result<(Token, &[Letter]), TextError> {
    let unclosed = || {
        TextError::new(
            open.clone(),
            "this `[` has no `]`; write `\\[` for the character itself",
        )
    };
    let mut rest = letters;
    let mut take = || -> Option<(char, bool)> {
        let (first, after) = rest.split_first()?;
        rest = after;
        match first.what {
            What::Given(_) => None,
            What::Written('\\') => {
                let (next, after) = rest.split_first()?;
                rest = after;
                match next.what {
                    What::Written(character) => Some((character, true)),
                    What::Given(_) => None,
                }
            }
            What::Written(character) => Some((character, false)),
        }
    };
    let mut negated = false;
    let mut members: Vec<(char, bool)> = Vec::new();
    loop {
        let (character, escaped) = take().ok_or_else(unclosed)?;
        match character {
            '!' | '^' if !escaped && !negated && members.is_empty() => negated = true,
            // A bracket right after the opening one is a member.
            ']' if !escaped && !members.is_empty() => break,
            _ => members.push((character, escaped)),
        }
    }
    let mut ranges = Vec::new();
    let mut left = members.as_slice();
    while let [(first, _), after @ ..] = left {
        if let [('-', false), (last, _), after @ ..] = after {
            if first > last {
                return Err(TextError::new(
                    open,
                    format!(
                        "the range `{first}-{last}` is empty; its ends are the wrong way round"
                    ),
                ));
            }
            ranges.push((*first, *last));
            left = after;
        } else {
            ranges.push((*first, *first));
            left = after;
        }
    }
    ranges.sort_unstable();
    Ok((Token::Class { negated, ranges }, rest))
}

/// How many bytes a name has at least that matches.
pub(crate) fn least_length(tokens: &[Token]) -> usize {
    tokens
        .iter()
        .map(|token| usize::from(*token != Token::AnyRun))
        .sum()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A text without variables.
    pub(crate) fn letters(text: &str) -> Vec<Letter> {
        text.char_indices()
            .map(|(offset, character)| Letter {
                what: What::Written(character),
                offset,
            })
            .collect()
    }

    pub(crate) fn path(glob: &str) -> Vec<Part> {
        parse_path(&letters(glob)).expect("a good glob")
    }

    #[test]
    fn what_cannot_be_meant_is_a_mistake() {
        let wrong = |glob: &str| {
            let error = parse_path(&letters(glob)).expect_err("a mistake");
            (error.at, error.message)
        };
        assert_eq!(wrong("/a/b**").0, 4..6);
        assert_eq!(wrong("/a/").0, 2..3);
        assert_eq!(wrong("/").0, 0..1);
        assert_eq!(wrong("/a/../b").0, 3..5);
        assert_eq!(wrong("/a/[x").0, 3..4);
        assert_eq!(wrong("/a/[z-a]").0, 3..4);
        assert_eq!(wrong("/a/{b,c}").0, 3..4);
        assert_eq!(wrong("/a\\").0, 2..3);
        assert_eq!(wrong("a/b").0, 0..3);
        assert_eq!(wrong("").0, 0..0);
    }
}
