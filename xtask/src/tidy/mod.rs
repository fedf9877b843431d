//! `cargo xtask tidy`: the checks that no compiler makes.
//!
//! A check is a function that gives the problems it has found, each as a sentence that names the
//! place. A new one is a line in [`CHECKS`].

mod documents;
mod files;
mod licences;
mod tools;

use std::path::PathBuf;
use std::process::ExitCode;

use crate::paths;
use crate::shell;

/// The checks that no compiler makes: format, lints, licences, documents, files.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Only checks whose name has this in it.
    names: Vec<String>,
}

/// What a check has found wrong.
type Problems = anyhow::Result<Vec<String>>;

/// A check and its name.
type Check = (&'static str, fn() -> Problems);

/// Every check.
const CHECKS: &[Check] = &[
    ("format", tools::format),
    ("changelog", documents::changelog),
    ("paths in documents", documents::paths),
    ("tests in documents", documents::tests),
    ("threats", crate::threats::problems),
    ("leftovers", files::leftovers),
    ("file lengths", files::lengths),
    ("file headers", files::headers),
    ("licences", licences::check),
    ("lints", tools::lints),
];

/// The task.
pub fn main(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let wanted = |name: &str| {
        arguments.names.is_empty()
            || arguments
                .names
                .iter()
                .any(|part| name.contains(part.as_str()))
    };
    let failed = run(wanted)?;
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Runs the checks that are wanted and says how many have found something.
pub fn run(wanted: impl Fn(&str) -> bool) -> anyhow::Result<usize> {
    let mut failed = 0;
    for (name, check) in CHECKS.iter().filter(|(name, _)| wanted(name)) {
        let problems = check()?;
        if problems.is_empty() {
            println!("tidy: {name}: ok");
            continue;
        }
        failed += 1;
        println!("tidy: {name}: FAILED");
        for problem in problems {
            println!("  {problem}");
        }
    }
    Ok(failed)
}

/// The project's files of these kinds, as git has them, relative to the project's folder.
fn files(kinds: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
    let listed = shell::output(
        shell::command("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard"])
            .current_dir(paths::workspace()),
    )?;
    Ok(listed
        .lines()
        .map(PathBuf::from)
        .filter(|path| {
            path.extension()
                .is_some_and(|kind| kinds.iter().any(|wanted| kind == *wanted))
        })
        // Listed by git until the removal is committed.
        .filter(|path| paths::workspace().join(path).is_file())
        .collect())
}

/// A file's text, by its path relative to the project's folder.
fn read(path: &std::path::Path) -> anyhow::Result<String> {
    use anyhow::Context as _;
    std::fs::read_to_string(paths::workspace().join(path))
        .with_context(|| format!("failed to read {}", path.display()))
}
