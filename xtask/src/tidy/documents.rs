//! Rules about documents: what they name exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::paths;
use crate::shell;

use super::{Problems, files, read};

/// There is a change log, and it has a place for what is not released.
pub fn changelog() -> Problems {
    const FILE: &str = "CHANGELOG.md";
    if !paths::workspace().join(FILE).is_file() {
        return Ok(vec![format!(
            "{FILE} is missing (Keep a Changelog has its form)"
        )]);
    }
    let text = read(Path::new(FILE))?;
    Ok(if text.contains("## [Unreleased]") {
        Vec::new()
    } else {
        vec![format!("{FILE} has no heading `## [Unreleased]`")]
    })
}

/// Every path of the project that a document names is there.
pub fn paths() -> Problems {
    let top = top_level()?;
    let mut problems = Vec::new();
    for path in files(&["md"])? {
        let dir = path.parent().unwrap_or(Path::new(""));
        for (number, line) in read(&path)?.lines().enumerate() {
            let mut missing = |named: &str| {
                problems.push(format!(
                    "{}:{}: `{named}` is not there",
                    path.display(),
                    number + 1
                ));
            };
            for named in quoted(line).filter(|named| is_path(named, &top)) {
                if !exists(Path::new(""), named) {
                    missing(named);
                }
            }
            for named in links(line) {
                let file = named.split('#').next().unwrap_or_default();
                if !file.is_empty() && !exists(dir, file) {
                    missing(named);
                }
            }
        }
    }
    Ok(problems)
}

/// Every test that a document names (`family::what_it_shows`) is one that runs.
pub fn tests() -> Problems {
    let mut named = Vec::new();
    for path in files(&["md"])? {
        for (number, line) in read(&path)?.lines().enumerate() {
            for name in quoted(line).filter(|name| is_test(name)) {
                named.push((
                    format!("{}:{}", path.display(), number + 1),
                    name.to_owned(),
                ));
            }
        }
    }
    if named.is_empty() {
        return Ok(Vec::new());
    }
    let list = shell::output(shell::cargo().args([
        "run",
        "--quiet",
        "--package",
        "guard-tests",
        "--",
        "list",
    ]))?;
    let known: BTreeSet<_> = list.lines().collect();
    // A name of Rust's own looks the same; tests are told by their family.
    let families: BTreeSet<_> = known.iter().filter_map(|name| family(name)).collect();
    Ok(named
        .into_iter()
        .filter(|(_, name)| family(name).is_some_and(|family| families.contains(family)))
        .filter(|(_, name)| !known.contains(name.as_str()))
        .map(|(place, name)| format!("{place}: no test is called `{name}`"))
        .collect())
}

fn family(test: &str) -> Option<&str> {
    test.split_once("::").map(|(family, _)| family)
}

fn is_test(name: &str) -> bool {
    name.contains("::")
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | ':'))
}

/// Names of directories at the top, with a slash.
fn top_level() -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(paths::workspace())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() && !matches!(&*name, ".git" | "target" | ".cache" | ".tools")
        {
            names.push(format!("{name}/"));
        }
    }
    Ok(names)
}

/// Whether a quoted word is the path of one file or directory of the project.
fn is_path(word: &str, top: &[String]) -> bool {
    const PATTERN: &[char] = &['*', '<', '>', '{', '}', '$', '…', ' ', '?', '[', '|'];
    top.iter().any(|dir| word.starts_with(dir.as_str())) && !word.contains(PATTERN)
}

fn exists(dir: &Path, named: &str) -> bool {
    // A place in a file: `xtask/src/main.rs:12`.
    let file = named.split_once(':').map_or(named, |(file, _)| file);
    paths::workspace().join(dir).join(file).exists()
}

/// What stands between back quotes.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The targets of a line's links, but for those to other places.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target)
        .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_links_are_found() {
        let line = "see `docs/a.md` and [b](b.md#c), `x y`, [web](https://example.org)";
        assert_eq!(quoted(line).collect::<Vec<_>>(), ["docs/a.md", "x y"]);
        assert_eq!(links(line).collect::<Vec<_>>(), ["b.md#c"]);
    }

    #[test]
    fn paths_and_tests_are_told_from_other_words() {
        let top = ["docs/".to_owned()];
        assert!(is_path("docs/a.md", &top));
        assert!(!is_path("docs/*.md", &top));
        assert!(!is_path("/etc/docs", &top));
        assert!(is_test("signals::kill_by_pid"));
        assert!(!is_test("std::process::Command"));
    }
}
