//! What guard needs of a machine: every prerequisite with its state and, where it is
//! missing, what to do about it on this distribution.

mod checks;
mod distribution;
mod machine;

use std::fmt::{self, Write};
use std::io;

use serde::Serialize;

use crate::cli::exit::Failure;
use crate::events::text::escaped;
use crate::server::client::{self, Outcome};
use crate::server::paths::Paths;
use crate::server::protocol::{Remaining, Request, Start};
use crate::server::wire::Connection;
use crate::session::launch::Plan;
use crate::session::supervise::Supervisor;

pub use machine::Machine;

/// How it stands with a prerequisite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It is there.
    Met,
    /// It can't be told from here.
    Unknown,
    /// It is missing: guard can't enforce.
    Missing,
}

/// A prerequisite.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name, for programs.
    pub id: &'static str,
    /// What it is, for people.
    pub what: &'static str,
    /// How it stands.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do when it is missing.
    pub remedy: Option<String>,
}

/// All prerequisites.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The version of this form.
    pub v: u32,
    /// Whether guard can enforce here.
    pub well: bool,
    /// The prerequisites, those first that others rest on.
    pub checks: Vec<Check>,
}

impl Report {
    fn of(checks: Vec<Check>) -> Self {
        Self {
            v: 1,
            well: checks.iter().all(|check| check.state != State::Missing),
            checks,
        }
    }

    /// Whether guard can enforce here.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.well
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.checks.iter().map(|check| check.what.len()).max();
        let width = width.unwrap_or(0);
        for check in &self.checks {
            let mark = match check.state {
                State::Met => "ok",
                State::Unknown => "?",
                State::Missing => "MISSING",
            };
            let found = escaped(check.found.as_bytes());
            writeln!(formatter, "{mark:<8}{:<width$}  {found}", check.what)?;
            for line in check.remedy.iter().flat_map(|remedy| remedy.lines()) {
                writeln!(formatter, "        → {line}")?;
            }
        }
        let verdict = if self.well {
            "Guard can enforce on this machine."
        } else {
            "Guard can't enforce on this machine until what is missing is there."
        };
        writeln!(formatter, "\n{verdict}")
    }
}

/// Runs all checks, a real load and a real refusal among them where the rest allows it.
#[must_use]
pub fn examine() -> Report {
    let machine = Machine::this();
    let mut checks = checks::all(&machine);
    let is_hopeless = checks.iter().any(|check| check.state == State::Missing);
    checks.push(proof(is_hopeless));
    Report::of(checks)
}

/// Has the server load the engine and refuse something.
fn proof(is_hopeless: bool) -> Check {
    let check = |state, found: String, remedy: Option<String>| Check {
        id: "refusal",
        what: "a real load and a real refusal",
        state,
        found,
        remedy,
    };
    if is_hopeless {
        let found = "not tried, since something else is missing".to_owned();
        return check(State::Unknown, found, None);
    }
    if !nix::unistd::geteuid().is_root() {
        let remedy = "sudo guard doctor".to_owned();
        return check(
            State::Unknown,
            "not tried without root".into(),
            Some(remedy),
        );
    }
    match client::converse(&Paths::system(), try_session) {
        Ok(warnings) => {
            let found = ["a session was started in which a signal was refused".to_owned()];
            let found: Vec<_> = found.into_iter().chain(warnings).collect();
            check(State::Met, found.join("; "), None)
        }
        Err(failure) => check(
            State::Missing,
            failure.message,
            Some("/var/log/guard/server.log may say more; please report this.".to_owned()),
        ),
    }
}

/// Starts a session with a command that does nothing, and says what cannot be enforced.
/// Its process proves that a forbidden signal is refused before it executes the command.
fn try_session(mut connection: Connection) -> Result<Vec<String>, Outcome> {
    let stem = "doctor";
    let plan = Plan::new(
        "/bin/sh".into(),
        vec!["sh".into(), "-c".into(), ":".into()],
        Vec::new(),
        None,
    )?;
    let cannot = |error: io::Error| Failure::guard(format!("A process can't be made: {error}."));
    let held = plan.fork().map_err(cannot)?;
    let start = Start {
        name: None,
        stem: stem.to_owned(),
        command: vec!["guard".to_owned(), stem.to_owned()],
        user: "root".to_owned(),
        uid: 0,
        home: "/root".into(),
        workspace: None,
        policies: Vec::new(),
        audit: false,
    };
    let started = match client::start(&mut connection, start, &held) {
        Ok(started) => started,
        Err(outcome) => {
            held.abandon();
            return Err(outcome);
        }
    };
    let command = held.release(Some(started.server), Some(&started.session), None)?;
    let exit = Supervisor::new()
        .and_then(|supervisor| supervisor.wait(&command))
        .map_err(cannot)?;
    let finish = Request::Finish {
        session: started.session,
        id: started.id,
        status: i32::from(exit.code()),
        remaining: Remaining::Leave,
    };
    client::ask_on(connection, &finish)?;
    Ok(started.warnings)
}

/// Looks, before a session, for what makes enforcement impossible, and says why and what
/// to do.
pub fn preflight() -> Result<(), Failure> {
    refuse(&checks::all(&Machine::this()))
}

fn refuse(checks: &[Check]) -> Result<(), Failure> {
    let missing: Vec<&Check> = checks
        .iter()
        .filter(|check| check.state == State::Missing)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut message = "Guard can't enforce on this machine, so nothing was started.".to_owned();
    for check in missing {
        let _ = write!(
            message,
            "\n  {}: {}",
            check.what,
            escaped(check.found.as_bytes())
        );
        for line in check.remedy.iter().flat_map(|remedy| remedy.lines()) {
            let _ = write!(message, "\n    → {line}");
        }
    }
    message += "\n  `guard doctor` checks everything.";
    Err(Failure::guard(message))
}

#[cfg(test)]
mod tests;
