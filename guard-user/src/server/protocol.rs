//! What client and server say to each other: one JSON object a line, versioned.
//!
//! A client sends one request on a connection, and the server answers with one response; after
//! [`Response::Following`] come events until either side hangs up. A session's client stays connected
//! until its command has ended, and tells so ([`Request::Finish`]), if need be to a new server.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use super::status::{Count, GrantStatus, SessionStatus, Status};
use crate::events::filter::Filter;
use crate::events::receipts::Asked;
use crate::explain::{Answer, Exposure, Question};
use crate::session::name::Name;

/// The protocol's version. Both sides are one program: it differs only where that was replaced.
pub const VERSION: u32 = 7;

/// The longest line, in bytes.
pub const MAX_LINE: usize = 4 << 20;

/// What is read of any line before its version is known to be ours.
#[derive(Debug, Deserialize)]
struct Versioned {
    v: u32,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<Body> {
    v: u32,
    body: Body,
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// A session for the child whose pidfd comes with the line.
    Start(Start),
    /// The command of a session has ended: what is left, and what was refused?
    Finish {
        /// Which session.
        session: Name,
        /// Its number: another session may have the name by now.
        id: u32,
        /// The command's exit status, as a shell would see it.
        status: i32,
        /// What becomes of other processes.
        remaining: Remaining,
    },
    /// What there is.
    Status,
    /// The end of a session, by force.
    Stop {
        /// Which.
        session: Name,
        /// How long processes may take to end by themselves, in milliseconds.
        grace: u64,
    },
    /// The lifting of the limits that a session has exceeded.
    Resume {
        /// Which.
        session: Name,
    },
    /// That a session may do one thing that is refused.
    Allow(Box<Allow>),
    /// That what was granted is granted no more.
    Revoke {
        /// To which session.
        session: Name,
        /// Which grant; all without.
        number: Option<u32>,
    },
    /// Whether a session may do something, and why.
    Explain {
        /// Which.
        session: Name,
        /// What.
        question: Question,
    },
    /// What a session may do to each process.
    Processes {
        /// Which.
        session: Name,
    },
    /// Events as they happen, those that the filter wants.
    Follow(Filter),
    /// Receipts of refusals. A session asks at its own socket, and is told of its own.
    Why {
        /// Of which session; of all that live without one.
        session: Option<Name>,
        /// Which.
        asked: Asked,
    },
    /// At a session's own socket: a call of a tool begins.
    Mark {
        /// What the agent calls it.
        call: String,
    },
}

/// A grant that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allow {
    /// To which session.
    pub session: Name,
    /// What, and to what.
    pub question: Question,
    /// Which rule refuses it, `default` for none: without it, whichever does.
    pub rule: Option<String>,
    /// How often; without it, as often as it likes.
    pub times: Option<u64>,
    /// For how long, in seconds.
    pub seconds: u32,
}

/// A session that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// Its name; without one the server finds one.
    pub name: Option<Name>,
    /// What a name that the server finds begins with.
    pub stem: String,
    /// The command and its arguments, to be shown.
    pub command: Vec<String>,
    /// The user's name.
    pub user: String,
    /// The user's number.
    pub uid: u32,
    /// The user's home directory.
    pub home: PathBuf,
    /// The workspace, if any.
    pub workspace: Option<PathBuf>,
    /// Names of presets and absolute paths, in their order; empty for the default policy.
    pub policies: Vec<String>,
    /// Whether nothing is to be refused, only recorded, whatever the policies say of their mode.
    pub audit: bool,
}

/// What becomes of a session's other processes when its command has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Remaining {
    /// Wait until they have ended too.
    Wait,
    /// End them.
    Kill,
    /// Leave them: they stay guarded, and the session lives until the last one has ended.
    #[default]
    Leave,
}

/// What the server answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Response {
    /// The session stands, and the child is in it.
    Started {
        /// Its name.
        session: Name,
        /// Its number.
        id: u32,
        /// The server's process, on which the child proves that it is guarded.
        server: u32,
        /// The session's runtime directory.
        runtime: PathBuf,
        /// Whether refusals are only recorded (`mode: audit`).
        audits: bool,
        /// What cannot be enforced here, a sentence each: to be said before the command starts.
        warnings: Vec<String>,
        /// What may surprise about the policy.
        notes: Vec<String>,
        /// Its log.
        log: PathBuf,
    },
    /// The command's end has been taken note of.
    Finished {
        /// How many processes of the session are left.
        left: u64,
        /// What was refused, for people; none when nothing was.
        summary: Option<String>,
    },
    /// What there is.
    Status(Box<Status>),
    /// A session has been ended.
    Stopped {
        /// How many processes were there.
        processes: u64,
        /// How many are still there, in spite of everything.
        left: u64,
    },
    /// The limits of these rules were exceeded, and count anew.
    Resumed {
        /// The rules' names.
        rules: Vec<String>,
    },
    /// It may.
    Granted(Box<GrantStatus>),
    /// These grants are taken back.
    Revoked {
        /// As they were.
        grants: Vec<GrantStatus>,
    },
    /// Whether it may, and why.
    Explained(Box<Answer>),
    /// Some of the processes, and whether more follow.
    Processes {
        /// The next ones.
        processes: Vec<Exposure>,
        /// Whether they are not the last.
        more: bool,
    },
    /// Events follow: all whose ids are greater than this one, and no others. Those before are in the logs.
    Following {
        /// An id that no event has.
        after: String,
    },
    /// An event, in the form of `docs/events.md`.
    Event(Value),
    /// Refusals, in the same form, the oldest first.
    Receipts(Vec<Value>),
    /// The beginning of the call has been taken note of.
    Marked,
    /// So many events could not be handed over, since the follower reads too slowly.
    Missed(u64),
    /// What was asked for can't be had.
    Refused {
        /// Whose mistake it is.
        kind: Refusal,
        /// Whole sentences.
        message: String,
    },
}

/// Whose mistake a refusal is, and so the exit status of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// The caller's: a policy, a name.
    Usage,
    /// Guard's, or the machine's.
    Guard,
    /// The server is leaving; ask the next one.
    Leaving,
}

/// Why a line can't be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misunderstood {
    /// The other side speaks another version.
    Version(u32),
    /// It isn't what the version says it is.
    Malformed(String),
}

impl std::fmt::Display for Misunderstood {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Version(other) => write!(
                formatter,
                "Client and server are of different versions of guard: one speaks version \
                 {VERSION} of their protocol, the other {other}. Guard was replaced while its \
                 server was running; when no session is left, or with `systemctl restart guard`, \
                 the new server takes over."
            ),
            Self::Malformed(what) => write!(
                formatter,
                "What came over the control socket can't be understood: {what}."
            ),
        }
    }
}

impl std::error::Error for Misunderstood {}

/// A line for the other side, its newline included.
pub fn encode<Body: Serialize>(body: &Body) -> Vec<u8> {
    let envelope = Envelope { v: VERSION, body };
    let mut line = serde_json::to_vec(&envelope).expect("every message has a JSON form");
    line.push(b'\n');
    line
}

/// What a line from the other side says.
pub fn decode<Body: for<'de> Deserialize<'de>>(line: &[u8]) -> Result<Body, Misunderstood> {
    let malformed = |error: serde_json::Error| Misunderstood::Malformed(error.to_string());
    let Versioned { v } = serde_json::from_slice(line).map_err(malformed)?;
    if v != VERSION {
        return Err(Misunderstood::Version(v));
    }
    let envelope: Envelope<Body> = serde_json::from_slice(line).map_err(malformed)?;
    Ok(envelope.body)
}

/// Puts lines together from what arrives in pieces.
#[derive(Debug, Default)]
pub struct Lines {
    buffer: Vec<u8>,
}

impl Lines {
    /// Takes a piece. An error when the line that is being put together gets too long.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), Misunderstood> {
        self.buffer.extend_from_slice(piece);
        let last = self.buffer.iter().rposition(|&byte| byte == b'\n');
        let open = self.buffer.len() - last.map_or(0, |at| at + 1);
        if open > MAX_LINE {
            return Err(Misunderstood::Malformed(format!(
                "a line of more than {MAX_LINE} bytes"
            )));
        }
        Ok(())
    }

    /// The next whole line, without its newline.
    pub fn next_line(&mut self) -> Option<Vec<u8>> {
        let end = self.buffer.iter().position(|&byte| byte == b'\n')?;
        let mut line: Vec<u8> = self.buffer.drain(..=end).collect();
        line.pop();
        Some(line)
    }
}

#[cfg(test)]
#[path = "protocol_tests.rs"]
mod tests;
