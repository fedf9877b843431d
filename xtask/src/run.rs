//! `cargo xtask run`: builds guard and runs a command under it, on this machine.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use crate::build;
use crate::setup;

/// Builds guard and runs a command under it, on this machine.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The command and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

/// The task: it becomes guard, so that terminal, signals and status are guard's own.
pub fn main(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    setup::for_build()?;
    let guard = build::guard(false)?;
    let error = Command::new(&guard)
        .args(["run", "--"])
        .args(&arguments.command)
        .exec();
    anyhow::bail!("failed to start {}: {error}", guard.display())
}
