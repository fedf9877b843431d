//! Rules about source files: nothing left over, not too long, a word on what each is about.

use std::path::Path;

use super::{Problems, files, read};

/// Lines from which on a file is too long to be about one thing.
const LONGEST: usize = 400;

/// The same for a file that has nothing but tests in it.
const LONGEST_TESTS: usize = 600;

/// How the tests beside the code begin.
const TESTS: &str = "mod tests {";

/// Files that are longer, and why they are about one thing all the same.
const LONGER: &[(&str, &str)] = &[("threats/src/files.rs", "one table, a row like the other")];

/// Words that mean unfinished. In two parts, so that this file has none of them.
const UNFINISHED: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("to", "do!("),
    concat!("unimplemented", "!("),
    concat!("dbg", "!("),
];

/// Nothing unfinished, and no test ignored without its reason.
pub fn leftovers() -> Problems {
    let mut problems = Vec::new();
    for path in files(&["rs", "sh", "py", "md", "yaml", "toml", "service"])? {
        for (number, line) in read(&path)?.lines().enumerate() {
            let place = format!("{}:{}", path.display(), number + 1);
            if let Some(word) = UNFINISHED.iter().find(|word| has_word(line, word)) {
                problems.push(format!("{place}: `{word}`: do it, or file an issue"));
            }
            if line.trim() == concat!("#[ign", "ore]") {
                problems.push(format!("{place}: an ignored test needs its reason"));
            }
        }
    }
    Ok(problems)
}

/// No file is longer than a person reads at once. Tests beside the code do not count: they are
/// read one at a time, and a file of nothing but tests may be longer.
pub fn lengths() -> Problems {
    let mut problems = Vec::new();
    for path in files(&["rs", "sh", "py"])? {
        let text = read(&path)?;
        let lines = text.lines().take_while(|line| *line != TESTS).count();
        let longest = if is_of_tests(&path) {
            LONGEST_TESTS
        } else {
            LONGEST
        };
        let excused = LONGER.iter().any(|(file, _)| Path::new(file) == path);
        if lines > longest && !excused {
            problems.push(format!(
                "{}: {lines} lines, {longest} is long",
                path.display()
            ));
        }
        if lines <= longest && excused {
            problems.push(format!("{} needs no excuse any more", path.display()));
        }
    }
    Ok(problems)
}

/// Whether a file has nothing but tests in it.
fn is_of_tests(path: &Path) -> bool {
    let stem = path
        .file_stem()
        .map_or("".into(), |stem| stem.to_string_lossy());
    path.components().any(|part| part.as_os_str() == "tests")
        || stem == "tests"
        || stem.ends_with("_tests")
}

/// Every source file says at its top what it is about.
pub fn headers() -> Problems {
    let mut problems = Vec::new();
    for path in files(&["rs"])? {
        if !read(&path)?.starts_with("//!") {
            problems.push(format!(
                "{}: the first line does not say what it is about",
                path.display()
            ));
        }
    }
    Ok(problems)
}

/// Whether `word` stands in `line`, not as a part of a longer one.
fn has_word(line: &str, word: &str) -> bool {
    let ends = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != '_');
    line.match_indices(word).any(|(at, _)| {
        let last = word.chars().next_back();
        ends(line[..at].chars().next_back())
            && (!last.is_some_and(char::is_alphanumeric)
                || ends(line[at + word.len()..].chars().next()))
    })
}

#[cfg(test)]
mod tests {
    use super::{has_word, is_of_tests};
    use std::path::Path;

    #[test]
    fn a_word_is_no_part_of_another() {
        assert!(has_word("// AB: later", "AB"));
        assert!(has_word("x(ab!(y))", "ab!("));
        assert!(!has_word("CABIN", "AB"));
        assert!(!has_word("AB_C", "AB"));
    }

    #[test]
    fn files_of_tests_are_told_by_their_names() {
        for path in [
            "tests/src/bench.rs",
            "a/src/tests.rs",
            "a/src/b_tests.rs",
            "a/tests/c.rs",
        ] {
            assert!(is_of_tests(Path::new(path)), "{path}");
        }
        assert!(!is_of_tests(Path::new("xtask/src/test/mod.rs")));
    }
}
