//! Events: the versioned JSON form, one object a line. `docs/events.md` describes every
//! field; a test holds the two together.

use super::names;
use super::text::Raw;
use super::time::Time;
use guard_ebpf::operation::{Facility, Operation, Reason, Verdict};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of the form. Fields may be added within a version; readers ignore those that
/// they don't know. Anything else raises it.
pub const VERSION: u32 = 1;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// [`VERSION`].
    pub v: u32,
    /// When it happened; of a folded event, the first time.
    pub time: Time,
    /// The session's name; none for what concerns the host.
    pub session: Option<String>,
    /// Unique on this host, and sorts in the order in which events were written.
    pub id: String,
    /// What happened.
    #[serde(flatten)]
    pub body: Body,
}

/// What an event is about. In JSON its name is the field `event`, its fields lie beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Body {
    /// An operation was refused or recorded.
    Verdict(Box<Judged>),
    /// A session's policy was edited.
    Policy(PolicyEdit),
    /// A session started, was found again, or ended.
    Session(SessionChange),
    /// Something is missing from the events.
    Lost(Loss),
    /// Anything else that people should know.
    Notice(Notice),
}

/// A verdict on an operation, possibly many times over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// What became of it.
    #[serde(with = "names")]
    pub verdict: Verdict,
    /// What would have become of it but for the policy's mode.
    #[serde(
        default,
        with = "names::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub would: Option<Verdict>,
    /// What was done.
    #[serde(with = "names")]
    pub operation: Operation,
    /// The rule's name; of a facility that no rule is about, the name of its refusal.
    pub rule: Option<String>,
    /// Why, in one word.
    #[serde(with = "names")]
    pub reason: Reason,
    /// Why, in words: the rule's own, or those of the built-in reason.
    pub because: Option<String>,
    /// What to do instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead: Option<String>,
    /// Where the rule stands: `file:line`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The groups and sets of paths that the rule names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Who did it.
    pub actor: Process,
    /// To what; of a folded event, the first one.
    pub target: Target,
    /// The signal's name without `SIG`, for signals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// The facility of the machine, for what is done to that.
    #[serde(
        default,
        with = "names::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub facility: Option<Facility>,
    /// How often; exact.
    pub count: u64,
    /// The last time, when it happened more than once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// How many more targets there were than `target`; told apart up to
    /// [`super::fold::MAX_TOLD_APART`].
    #[serde(default, skip_serializing_if = "is_zero")]
    pub others: u64,
    /// The first few of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<Target>,
}

/// What an operation was done to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Target {
    /// A process.
    Process(Process),
    /// A file.
    File(File),
    /// A socket.
    Socket(Socket),
    /// The machine.
    Machine(Machine),
}

/// A process, as it was at that moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its number in the first pid namespace.
    pub pid: u32,
    /// The thread's number.
    pub tid: u32,
    /// The thread's command name, which a process can choose.
    pub comm: String,
    /// The path of its executable, when it is known.
    pub exe: Option<String>,
    /// Its effective user.
    pub uid: u32,
    /// The user's name, when there is one.
    pub user: Option<String>,
    /// Its cgroup, as a path below the cgroup2 mount.
    pub cgroup: Option<String>,
    /// Of an actor, when it is known: the processes of the session that it comes from, its parent
    /// first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ancestors: Option<Vec<Ancestor>>,
    /// Exact bytes.
    #[serde(default, skip_serializing_if = "Raw::is_empty")]
    pub raw: Raw,
}

/// A process that another comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ancestor {
    /// Its number in the first pid namespace.
    pub pid: u32,
    /// Its command name when the event was made.
    pub comm: String,
    /// Exact bytes.
    #[serde(default, skip_serializing_if = "Raw::is_empty")]
    pub raw: Raw,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Where it can be seen on the host.
    pub path: String,
    /// Whether it is a directory.
    pub directory: bool,
    /// In which way, where the operation leaves that open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub how: Option<How>,
    /// The file system's device number, `major:minor`.
    pub device: String,
    /// Its inode number, when it is known.
    pub inode: Option<u64>,
    /// Exact bytes.
    #[serde(default, skip_serializing_if = "Raw::is_empty")]
    pub raw: Raw,
}

/// In which way something was to be done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// Removed (`unlink`, `rmdir`).
    Unlink,
    /// Renamed away, replaced by a rename, or renamed to this place.
    Rename,
    /// Written, truncated, or opened for that.
    Write,
    /// Linked to under another name.
    Link,
    /// Mounted on.
    Mount,
    /// Unmounted.
    Unmount,
}

/// A socket. It has an address and a port, a path, an abstract name, or none of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Socket {
    /// The address family: `unix`, `inet`, `inet6`, `vsock`, …; a number where it has no name.
    pub family: String,
    /// The type: `stream`, `dgram`, …; a number where it has no name.
    pub socktype: String,
    /// The Internet address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Where its file can be seen on the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Its abstract name, without the `@`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#abstract: Option<String>,
    /// Exact bytes.
    #[serde(default, skip_serializing_if = "Raw::is_empty")]
    pub raw: Raw,
}

/// The machine, where no file stands for what was used of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// What was used.
    #[serde(with = "names")]
    pub facility: Facility,
    /// The capability that was asked for, without `CAP_`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capability: Option<String>,
    /// What else there is to say; what it counts depends on the facility.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u32>,
}

/// An edit of the policy that a session uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyEdit {
    /// What became of it.
    pub change: PolicyChange,
    /// The files that the policy is made of.
    pub files: Vec<String>,
    /// How many rules are in force, built-in ones included.
    pub rules: Option<u32>,
    /// What is wrong with it, with the line and a caret, when it was rejected; what may surprise
    /// about it, a line each, when it was applied.
    pub message: Option<String>,
}

/// What became of an edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PolicyChange {
    /// It is in force.
    Applied,
    /// It has a mistake, and the policy before it stays in force.
    Rejected,
}

/// A step in a session's life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionChange {
    /// Which step.
    pub change: SessionStep,
    /// The command with its arguments.
    pub command: Vec<String>,
    /// The user who runs it.
    pub user: Option<String>,
    /// The workspace.
    pub workspace: Option<String>,
    /// The policy in force when it started or was found again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Box<InForce>>,
    /// The command's exit status, when it is known; 128 and the signal's number after a
    /// signal.
    pub status: Option<i32>,
    /// At the end: how often each operation was refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<String, u64>,
}

/// A policy in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InForce {
    /// What was asked for: names of presets and paths of files.
    pub names: Vec<String>,
    /// The files that it is made of; presets are none.
    pub files: Vec<String>,
    /// How many rules it has, built-in ones included.
    pub rules: Option<u32>,
}

/// A step in a session's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SessionStep {
    /// It has started.
    Started,
    /// A new server has found it and goes on with it.
    Adopted,
    /// It was stopped until someone lets it go on: the engine did not enforce.
    Frozen,
    /// Its last process has ended.
    Ended,
}

/// Events that are missing. The verdicts behind them were in force all the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// What is missing.
    pub what: Lost,
    /// The operation, when it is known.
    #[serde(default, with = "names::option")]
    pub operation: Option<Operation>,
    /// How much.
    pub count: u64,
    /// Why, and what to do about it.
    pub because: String,
}

/// What can be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lost {
    /// Records that did not fit into the ring buffer.
    Records,
    /// Records that could not be read.
    Malformed,
    /// Events that could not be written to the log.
    Log,
    /// Events that a follower did not take in time. Only that follower is told.
    Stream,
}

/// Anything else that people should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// How much it matters.
    pub level: Level,
    /// What happened, to what, and what to do next.
    pub message: String,
}

/// How much a notice matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Good to know.
    Info,
    /// Something does not work as it should.
    Warning,
    /// Something is not guarded.
    Error,
}

impl Event {
    /// The last moment that the event tells of.
    #[must_use]
    pub fn latest(&self) -> Time {
        match &self.body {
            Body::Verdict(judged) => judged.until.unwrap_or(self.time),
            _ => self.time,
        }
    }

    /// The line of JSON, without the newline. Safe to show on a terminal: characters that
    /// are not printable are escaped.
    #[must_use]
    pub fn to_line(&self) -> String {
        super::json::line(self)
    }

    /// Reads a line. An error says where it stops being an event.
    pub fn from_line(line: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(line)
    }
}

/// `serde` asks for a function that takes a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
#[path = "event_tests.rs"]
mod tests;
