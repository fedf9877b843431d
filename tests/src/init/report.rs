//! The lines that go to the host: one JSON object each, on a serial port of their own.

use std::fs::File;
use std::io::{self, Write as _};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::setup::raw_terminal;

/// The channel to the host.
pub struct Report {
    port: File,
}

/// What came of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It did what it claims.
    Passed,
    /// It did not, and this is why.
    Failed(String),
    /// It could not be run, and this is why.
    Skipped(String),
}

impl Report {
    /// Opens the port and makes it pass bytes as they are.
    pub fn open(path: &str) -> anyhow::Result<Self> {
        let port = raw_terminal(path).with_context(|| format!("failed to open {path}"))?;
        Ok(Self { port })
    }

    /// A test begins: if nothing follows, the host knows which one took the machine down.
    pub fn running(&mut self, test: &str) -> io::Result<()> {
        self.line(&json!({ "running": test }))
    }

    /// A test has ended.
    pub fn result(&mut self, test: &str, outcome: &Outcome, took: Duration) -> io::Result<()> {
        let (outcome, why) = match outcome {
            Outcome::Passed => ("passed", None),
            Outcome::Failed(why) => ("failed", Some(why)),
            Outcome::Skipped(why) => ("skipped", Some(why)),
        };
        let seconds = (took.as_secs_f64() * 1000.0).round() / 1000.0;
        self.line(&json!({ "test": test, "outcome": outcome, "why": why, "seconds": seconds }))
    }

    /// A row of the report that the host prints at the end.
    pub fn row(&mut self, row: &Value) -> io::Result<()> {
        self.line(&json!({ "row": row }))
    }

    /// A command has ended with this status (128 and more: a signal).
    pub fn exit(&mut self, status: i32) -> io::Result<()> {
        self.line(&json!({ "exit": status }))
    }

    /// The job is done: nothing follows.
    pub fn done(&mut self, results: usize) -> io::Result<()> {
        self.line(&json!({ "done": results }))
    }

    /// The machine could not do its job.
    pub fn broken(&mut self, why: &str) -> io::Result<()> {
        self.line(&json!({ "broken": why }))
    }

    /// A line that somebody else made.
    pub fn line(&mut self, value: &Value) -> io::Result<()> {
        writeln!(self.port, "{value}")?;
        // The port is drained before power-off, or the last line is lost.
        nix::sys::termios::tcdrain(&self.port)?;
        Ok(())
    }
}
