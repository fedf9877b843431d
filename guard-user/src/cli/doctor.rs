//! `guard doctor`: what guard needs of this machine, and how to get it.

use super::exit::{Exit, Failure};
use super::output::{json, print};
use crate::doctor::{self, Report};

/// Check whether this machine can enforce what guard promises
///
/// Loads guard for a moment and has it refuse something.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Runs all checks.
pub fn run(raw: &Arguments) -> Result<Exit, Failure> {
    let report: Report = doctor::examine();
    let text = if raw.json {
        json(&report)
    } else {
        report.to_string()
    };
    print(&text)?;
    Ok(if report.is_well() {
        Exit::Success
    } else {
        Exit::Unmet
    })
}
