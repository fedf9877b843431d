//! Cargo's own checks: the format and the lints.

use crate::shell;

use super::Problems;

/// `cargo fmt --check`.
pub fn format() -> Problems {
    run(&["fmt", "--all", "--check"], "rustfmt", "run `cargo fmt`")
}

/// `cargo clippy`, with warnings as errors.
pub fn lints() -> Problems {
    let arguments = [
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ];
    run(&arguments, "clippy", "what clippy says stands above")
}

fn run(arguments: &[&str], component: &str, advice: &str) -> Problems {
    let version = shell::cargo().args([arguments[0], "--version"]).output()?;
    if !version.status.success() {
        return Ok(vec![format!(
            "{component} is not installed; type: rustup component add {component}"
        )]);
    }
    Ok(if shell::cargo().args(arguments).status()?.success() {
        Vec::new()
    } else {
        vec![advice.to_owned()]
    })
}
