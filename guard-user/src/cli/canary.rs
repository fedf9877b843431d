//! `guard canary` (hidden): what the server starts to prove that it enforces.

use std::path::PathBuf;

use nix::unistd::Pid;

use super::exit::{Exit, Failure};
use crate::server::canary::sing;

/// Try what must be refused, as often as a line comes in
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The server
    server: i32,
    /// A directory of files that are not the canary's own
    directory: PathBuf,
}

/// Serves the server until it has gone.
pub fn run(raw: &Arguments) -> Result<Exit, Failure> {
    sing(Pid::from_raw(raw.server), &raw.directory)
        .map_err(|error| Failure::guard(format!("the canary can't talk: {error}.")))?;
    Ok(Exit::Success)
}
