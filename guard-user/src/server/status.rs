//! What `guard status` shows, as it crosses the control socket.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::enforcer::Features;
use crate::session::name::Name;

/// What `guard status` shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// The server's process.
    pub server: u32,
    /// Guard's version.
    pub version: String,
    /// Whether the server stays without sessions.
    pub stays: bool,
    /// The engine; none before the first session.
    pub engine: Option<Features>,
    /// Why the engine may not enforce what it should, if so.
    pub alarm: Option<String>,
    /// What was last seen to be refused, by the canary.
    #[serde(default)]
    pub proved: Vec<String>,
    /// The sessions, the oldest first.
    pub sessions: Vec<SessionStatus>,
}

/// A session, as `guard status` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionStatus {
    /// Its name.
    pub name: Name,
    /// Its number.
    pub id: u32,
    /// When it was started: milliseconds since 1970, UTC.
    pub started: u64,
    /// The command, to be shown.
    pub command: Vec<String>,
    /// The user's name.
    pub user: String,
    /// The user's number.
    pub uid: u32,
    /// The workspace, if any.
    pub workspace: Option<PathBuf>,
    /// Names of presets and paths of files; empty for the default policy.
    pub policies: Vec<String>,
    /// The id of the policy in force.
    pub policy: u32,
    /// Why the files as they are now are not in force, if so.
    pub mistake: Option<String>,
    /// The tasks (threads too) that carry the label now.
    pub tasks: u64,
    /// How often each operation got each verdict, those that never happened left out.
    pub counts: Vec<Count>,
    /// Events that were lost because the ring buffer was full.
    pub lost: u64,
    /// Events that could not be written to the log.
    pub unlogged: u64,
    /// Refusals because something in the engine failed.
    pub errors: u64,
    /// Processes that were moved into the session and could not be labelled.
    pub unlabelled: u64,
    /// Files of its own that are protected from it now.
    pub forgotten: u64,
    /// The rules whose limits it has exceeded.
    pub exceeded: Vec<String>,
    /// What people have let it do although a rule refuses it.
    #[serde(default)]
    pub grants: Vec<GrantStatus>,
    /// Its cgroup.
    pub cgroup: PathBuf,
    /// Its log.
    pub log: PathBuf,
}

/// A grant, as `guard status` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantStatus {
    /// Its number, by which it is taken back.
    pub number: u32,
    /// What is granted, in words: the operation and the target.
    pub what: String,
    /// The rule that refuses it; none where it is refused for want of a rule.
    pub rule: Option<String>,
    /// How often it was used.
    pub used: u64,
    /// How often it may be used; none for as often as the session likes.
    pub times: Option<u64>,
    /// For how many seconds more.
    pub seconds: u64,
}

/// How often an operation got a verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// The operation's name.
    pub operation: String,
    /// The verdict's name.
    pub verdict: String,
    /// How often.
    pub count: u64,
}
