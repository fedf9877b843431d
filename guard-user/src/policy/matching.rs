//! What a glob matches, in plain code: for the mount points that a policy's globs go through
//! when it is compiled, and to test the automaton. The kernel does not come here.

use super::glob::{Part, Token};

/// How many characters, from the start of some bytes, can be one character: as a UTF-8
/// character, and as a byte that is no ASCII character.
fn characters(bytes: &[u8]) -> impl Iterator<Item = (Option<char>, usize)> {
    let valid = bytes
        .get(..bytes.len().min(4))
        .and_then(|start| start.utf8_chunks().next())
        .and_then(|chunk| chunk.valid().chars().next())
        .map(|character| (Some(character), character.len_utf8()));
    let stray = bytes
        .first()
        .filter(|byte| !byte.is_ascii())
        .map(|_| (None, 1));
    valid.into_iter().chain(stray)
}

/// Whether a name matches.
pub(crate) fn name_matches(tokens: &[Token], name: &[u8]) -> bool {
    // A name is never empty: `*` alone does not match one that is.
    !name.is_empty() && matches_from(tokens, name)
}

fn matches_from(tokens: &[Token], name: &[u8]) -> bool {
    let Some((token, rest)) = tokens.split_first() else {
        return name.is_empty();
    };
    match token {
        Token::Byte(byte) => name.first() == Some(byte) && matches_from(rest, &name[1..]),
        Token::AnyRun => (0..=name.len()).any(|skip| matches_from(rest, &name[skip..])),
        Token::AnyChar => characters(name).any(|(_, length)| matches_from(rest, &name[length..])),
        Token::Class { negated, ranges } => characters(name).any(|(character, length)| {
            let inside = character.is_some_and(|character| {
                ranges
                    .iter()
                    .any(|(first, last)| (*first..=*last).contains(&character))
            });
            inside != *negated && matches_from(rest, &name[length..])
        }),
    }
}

/// What is left of a path glob for paths that begin with a name: one rest for each way in
/// which the name can be taken.
pub(crate) fn after_name(globs: &[&[Part]], name: &[u8]) -> Vec<Vec<Part>> {
    let mut rests: Vec<Vec<Part>> = Vec::new();
    let mut add = |rest: &[Part]| {
        if !rests.iter().any(|known| known == rest) {
            rests.push(rest.to_vec());
        }
    };
    for &glob in globs {
        let mut glob = glob;
        loop {
            match glob.split_first() {
                Some((Part::AnyDepth, rest)) => {
                    // It takes the name and stays, or takes nothing.
                    add(glob);
                    glob = rest;
                }
                Some((Part::Name(tokens), rest)) => {
                    if name_matches(tokens, name) {
                        add(rest);
                    }
                    break;
                }
                None => break,
            }
        }
    }
    rests
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::glob::tests::path;
    use super::*;

    /// Whether what is no path matches: a command name, or what stands for a socket.
    pub(crate) fn matches_word(tokens: &[Token], text: &[u8]) -> bool {
        matches_from(tokens, text)
    }

    /// The straightforward meaning of a path glob, for paths like `/a/b`.
    pub(crate) fn path_matches(glob: &[Part], path: &[u8]) -> bool {
        fn go(glob: &[Part], names: &[&[u8]]) -> bool {
            match glob.split_first() {
                None => names.is_empty(),
                Some((Part::AnyDepth, rest)) => {
                    (0..=names.len()).any(|skip| go(rest, &names[skip..]))
                }
                Some((Part::Name(tokens), rest)) => names
                    .split_first()
                    .is_some_and(|(name, names)| name_matches(tokens, name) && go(rest, names)),
            }
        }
        let names: Vec<&[u8]> = path.split(|&byte| byte == b'/').skip(1).collect();
        go(glob, &names)
    }

    fn matches(glob: &str, text: &str) -> bool {
        path_matches(&path(glob), text.as_bytes())
    }

    #[test]
    fn globs_mean_what_the_reference_says() {
        assert!(matches("/a/b", "/a/b"));
        assert!(!matches("/a/b", "/a/b/c"));
        assert!(matches("/a/*", "/a/b"));
        assert!(matches("/a/*", "/a/.hidden"));
        assert!(!matches("/a/*", "/a/b/c"));
        assert!(!matches("/a/*", "/a"));
        assert!(matches("/a/**", "/a/b/c"));
        assert!(matches("/a/**", "/a/b"));
        assert!(!matches("/a/**", "/a"));
        assert!(!matches("/a/**", "/ab"));
        assert!(matches("/a/**/z", "/a/z"));
        assert!(matches("/a/**/z", "/a/b/c/z"));
        assert!(matches("**/.git/**", "/x/.git/config"));
        assert!(matches("**/x", "/x"));
        assert!(matches("/a?c", "/aäc"));
        assert!(!matches("/a?c", "/ac"));
        assert!(matches("/[a-cx]", "/b"));
        assert!(matches("/[!a-c]", "/ö"));
        assert!(!matches("/[!a-c]", "/b"));
        assert!(matches("/[]x]", "/]"));
        assert!(matches("/\\*", "/*"));
        assert!(!matches("/\\*", "/a"));
        assert!(matches("/*.db*", "/x.db-wal"));
        assert!(path_matches(&path("/?"), b"/\xff"));
        assert!(path_matches(&path("/[!a]"), b"/\xff"));
    }

    #[test]
    fn what_is_left_after_a_name_is_every_way_to_take_it() {
        let glob = path("/a/**/b/c");
        let first = after_name(&[&glob], b"a");
        assert_eq!(first, [path("/**/b/c")]);
        let rests: Vec<&[Part]> = first.iter().map(Vec::as_slice).collect();
        let second = after_name(&rests, b"b");
        assert_eq!(second, [path("/**/b/c"), path("/c")]);
        assert!(after_name(&[&glob], b"x").is_empty());
    }
}
