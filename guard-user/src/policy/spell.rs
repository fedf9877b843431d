//! Globs as a policy writes them: the way back from what [`super::glob`] reads.

use super::document::PathGlob;
use super::glob::{Part, Token};

/// What has a meaning in a glob and is written with a backslash where it means itself.
const SPECIAL: &[u8] = b"*?[]{}\\$";

/// A glob of paths. `None` when it holds bytes that are no text.
pub(crate) fn path_glob(glob: &PathGlob) -> Option<String> {
    let text = path(&glob.parts)?;
    // Only without the slash it is about names on every file system.
    let bare = if glob.floating { &text[1..] } else { &text };
    Some(bare.to_owned())
}

/// A path, from its first slash on.
pub(crate) fn path(parts: &[Part]) -> Option<String> {
    let mut text = String::new();
    for part in parts {
        text.push('/');
        match part {
            Part::AnyDepth => text.push_str("**"),
            Part::Name(tokens) => text.push_str(&name(tokens)?),
        }
    }
    // Below a place at any depth has a form of its own.
    let below = text.strip_suffix("/**/*").map(str::len);
    if let Some(length) = below.filter(|&length| length > 0) {
        text.truncate(length + "/**".len());
    }
    Some(text)
}

/// What is no path: a command name, or the name of a unit or a socket.
pub(crate) fn word(tokens: &[Token]) -> Option<String> {
    let text = name(tokens)?;
    Some(match text.strip_prefix('~') {
        Some(rest) => format!("\\~{rest}"),
        None => text,
    })
}

fn name(tokens: &[Token]) -> Option<String> {
    let mut bytes = Vec::new();
    for token in tokens {
        match token {
            Token::Byte(byte) => {
                if SPECIAL.contains(byte) {
                    bytes.push(b'\\');
                }
                bytes.push(*byte);
            }
            Token::AnyRun => bytes.push(b'*'),
            Token::AnyChar => bytes.push(b'?'),
            Token::Class { negated, ranges } => bytes.extend(class(*negated, ranges).bytes()),
        }
    }
    String::from_utf8(bytes).ok()
}

fn class(negated: bool, ranges: &[(char, char)]) -> String {
    let member = |character: char| {
        let escape = if character.is_alphanumeric() {
            ""
        } else {
            "\\"
        };
        format!("{escape}{character}")
    };
    let members: String = ranges
        .iter()
        .map(|&(first, last)| {
            if first == last {
                member(first)
            } else {
                format!("{}-{}", member(first), member(last))
            }
        })
        .collect();
    format!("[{}{members}]", if negated { "!" } else { "" })
}
