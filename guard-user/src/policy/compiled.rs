//! A compiled policy: what the engine puts into the maps, and what people are told of it.

use guard_ebpf::automaton::{Row, Start};
use guard_ebpf::bits::Bits;
use guard_ebpf::policy::Policy;

/// A compiled policy.
///
/// Rows are numbered from 0 within the policy; row 0 is [`guard_ebpf::automaton::DEAD`]. The
/// engine moves them to where there is room, and fills in `policy.id` and `policy.first_row`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// The fixed part.
    pub policy: Policy,
    /// The automaton.
    pub rows: Vec<Row>,
    /// For each file system that the policy names places on, by device number
    /// (`major << 20 | minor`), the rows to start from.
    pub starts: Vec<(u32, Start)>,
    /// For each user that the policy names, the clauses that ask for that user.
    pub users: Vec<(u32, Bits)>,
    /// For each session that the policy names, by what stands for its name
    /// ([`guard_ebpf::session::name`]), the clauses that ask for it.
    pub sessions: Vec<(u64, Bits)>,
    /// What each rule is called and why it is there, in the order of their indices.
    pub rules: Vec<RuleInfo>,
}

/// What people are shown of a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RuleInfo {
    /// Its name; rules without one are called after their place.
    pub name: String,
    /// Why it is there.
    pub because: Option<String>,
    /// Where it stands: the file and the line; none for rules that are built in.
    pub source: Option<(String, u32)>,
    /// The groups and sets of paths that it names.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Which of the policy's limits is its own ([`guard_ebpf::policy::Policy::limits`]), if any.
    #[serde(default)]
    pub limit: Option<u8>,
    /// Whether it says `audit`: what it decides goes through whatever the policy's mode.
    #[serde(default)]
    pub audits: bool,
    /// What is let through by rules before it, of what it refuses.
    #[serde(default)]
    pub exceptions: Vec<Exception>,
    /// Whether no policy lifts what it refuses.
    #[serde(default)]
    pub is_final: bool,
}

/// A rule that lets through some of what a later one refuses.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Exception {
    /// Its name.
    pub rule: String,
    /// The names of the operations that both are about.
    pub operations: Vec<String>,
    /// The signals and facilities that it is about, where it says so.
    pub details: Vec<String>,
    /// Why it is there.
    pub because: Option<String>,
}
