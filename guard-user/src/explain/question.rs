//! A question and its answer, as client and server say them.

use std::net::IpAddr;
use std::path::PathBuf;

use guard_ebpf::operation::{Facility, Operation, Reason, Verdict};
use serde::{Deserialize, Serialize};

use crate::events::names;

/// May this be done?
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// What.
    #[serde(with = "names")]
    pub operation: Operation,
    /// The signal, for signals.
    pub signal: u32,
    /// To what.
    pub target: Target,
    /// By which program: the path of its executable. Without it: one that no rule asks for.
    pub by: Option<PathBuf>,
}

/// To what something would be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Target {
    /// A process.
    Process(u32),
    /// A file, or where one would be made: an absolute path.
    File(PathBuf),
    /// An address of a host.
    Address(IpAddr, u16),
    /// A Unix socket of the abstract name space, without the `@`.
    Abstract(String),
    /// A facility of the machine.
    #[serde(with = "names")]
    Facility(Facility),
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// What would become of it.
    #[serde(with = "names")]
    pub verdict: Verdict,
    /// Why, in one word.
    #[serde(with = "names")]
    pub reason: Reason,
    /// The rule, or what its refusal is called.
    pub rule: Option<String>,
    /// Where the rule stands: `file:line`.
    pub source: Option<String>,
    /// Why, in words.
    pub because: Option<String>,
    /// What to do instead, of what is refused.
    pub instead: Option<String>,
    /// How often the rule lets it through (`at-most`), and in what time, in words.
    pub limit: Option<String>,
    /// What was asked about.
    pub target: String,
    /// What it is to the session, and how that is known.
    pub whose: String,
    /// What else there is to know.
    pub notes: Vec<String>,
}
