//! What the host wants of this boot.

use std::collections::BTreeMap;
use std::fs;

use anyhow::Context as _;
use serde::Deserialize;

/// The job file. `xtask/src/vm/job.rs` writes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// The boot's name, for instance `6.12-nobpf`.
    pub boot: String,
    /// Whether the root file system is the disk whose serial is `root`.
    pub full: bool,
    /// Modules to load, in this order.
    pub modules: Vec<String>,
    /// Seconds that one test or command may take.
    pub deadline: u64,
    /// Environment of what is run.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// What is to be run.
    pub mode: Mode,
}

/// What is to be run.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// These tests, one after the other, each in a process of its own.
    Tests {
        /// Names as in the registry.
        names: Vec<String>,
    },
    /// One command, with the third serial port as its terminal.
    Command {
        /// The program and its arguments.
        argv: Vec<String>,
    },
    /// The measurements, `guard-tests bench`, whose lines go out as they are.
    Bench,
}

impl Job {
    /// Reads the job file.
    pub fn read(path: &str) -> anyhow::Result<Self> {
        let text = fs::read(path).with_context(|| format!("failed to read {path}"))?;
        serde_json::from_slice(&text).with_context(|| format!("failed to understand {path}"))
    }
}
