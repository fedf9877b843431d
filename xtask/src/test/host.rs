//! The tests that run on this machine: `cargo test` with those that need programs which are
//! installed for them, counted.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use anyhow::Context as _;

use crate::setup::packages;
use crate::shell;

use super::Tally;

/// Runs those whose name has one of `names` in it, or all, whatever fails.
pub fn run(names: &[String]) -> anyhow::Result<Tally> {
    packages::ensure(packages::BROWSER)?;
    println!("tests on this machine");
    let mut child = shell::cargo()
        .args(["test", "--quiet", "--workspace", "--no-fail-fast", "--"])
        .arg("--include-ignored")
        .args(names)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("failed to start cargo test")?;
    let mut tally = Tally::default();
    for line in BufReader::new(child.stdout.take().context("cargo has no output")?).lines() {
        let line = line?;
        println!("{line}");
        if let Some(counts) = counts(&line) {
            tally += counts;
        }
    }
    if !child.wait()?.success() && tally.failed == 0 {
        // A test that does not compile, or takes its runner down, is in no count.
        tally.failed += 1;
    }
    Ok(tally)
}

/// The counts of a line like `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
fn counts(line: &str) -> Option<Tally> {
    let line = line.strip_prefix("test result: ")?;
    let count = |what: &str| {
        line.split([';', '.'])
            .find_map(|part| part.trim().strip_suffix(what)?.trim().parse().ok())
    };
    Some(Tally {
        passed: count("passed")?,
        failed: count("failed")?,
        skipped: count("ignored")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line_is_counted() {
        let line = "test result: FAILED. 3 passed; 2 failed; 1 ignored; 0 measured; \
                    0 filtered out; finished in 0.01s";
        let expected = Tally {
            passed: 3,
            failed: 2,
            skipped: 1,
        };
        assert_eq!(counts(line), Some(expected));
        assert_eq!(counts("test tests::a ... ok"), None);
    }
}
