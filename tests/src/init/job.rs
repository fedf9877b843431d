//! What the host wants of this boot.

use std::collections::BTreeMap;
use std::fs;

use anyhow::Context as _;
use serde::Deserialize;

use crate::boot::Image;

/// The job file. `xtask/src/vm/job.rs` writes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// The boot's name, for instance `6.12-nobpf`.
    pub boot: String,
    /// The root file system; but for the small one it is the disk whose serial is `root`.
    pub image: Image,
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
    /// These commands, one after the other, with the third serial port for their output.
    Steps {
        /// In this order; the first that fails is the last, but for those that are watched.
        steps: Vec<Step>,
    },
    /// A login shell with the third serial port as its terminal.
    Shell {
        /// Lines of the host's terminal.
        rows: u16,
        /// Columns of the host's terminal.
        columns: u16,
        /// What kind of terminal it is.
        terminal: String,
    },
}

/// One command of several.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Nobody waits for it.
    #[serde(default)]
    pub background: bool,
    /// What is listed in [`super::watch::LISTS`] is watched meanwhile.
    #[serde(default)]
    pub watch: bool,
}

impl Job {
    /// Reads the job file.
    pub fn read(path: &str) -> anyhow::Result<Self> {
        let text = fs::read(path).with_context(|| format!("failed to read {path}"))?;
        serde_json::from_slice(&text).with_context(|| format!("failed to understand {path}"))
    }
}
