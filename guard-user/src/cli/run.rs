//! `guard run`: a command in a guarded session, as if guard weren't there.

use std::ffi::OsString;
use std::io::{IsTerminal, Write as _};
use std::path::{Path, PathBuf};

use super::exit::{Exit, Failure};
use super::output::{say, say_line, sentence};
use crate::doctor;
use crate::events::text::escaped;
use crate::policy::load::Source;
use crate::policy::workspace;
use crate::server::client::{self, Outcome, ask_on, unexpected};
use crate::server::paths::Paths;
use crate::server::protocol::{Remaining, Request, Response, Start};
use crate::server::wire::Connection;
use crate::session::identity::{Host, Identity};
use crate::session::launch::Plan;
use crate::session::name::Name;
use crate::session::supervise::{Supervisor, end_as};
use crate::session::{command, environment};
use crate::system::users;

/// Start a command in a guarded session
///
/// The command runs as the user who called sudo, in this terminal and directory, with this
/// environment. Its own processes and files stay its own; what else it may touch is up to the
/// policy.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A policy file or the name of a preset; several are tried in their order [default: default]
    #[arg(long, value_name = "FILE")]
    policy: Vec<String>,
    /// What the session is called [default: after the command, with a number]
    #[arg(long)]
    name: Option<String>,
    /// Whom the command runs as [default: whoever called sudo]
    #[arg(long)]
    user: Option<String>,
    /// The directory that is the session's own [default: the working directory, unless it is
    /// a home or system directory]
    #[arg(long, value_name = "DIR")]
    workspace: Option<PathBuf>,
    /// What becomes of other processes of the session when the command has ended
    #[arg(long, value_name = "WHAT", value_enum, default_value_t)]
    remaining: Remaining,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// What to run, ready to be run.
#[derive(Debug, PartialEq)]
pub struct Config {
    policies: Vec<String>,
    name: Option<Name>,
    user: Option<String>,
    workspace: Option<PathBuf>,
    remaining: Remaining,
    command: Vec<OsString>,
    /// Whether nothing is to be refused, only recorded.
    audit: bool,
}

impl Arguments {
    /// Checks what can be checked without asking the host.
    pub fn validate(self) -> Result<Config, Failure> {
        let name = self.name.as_deref().map(Name::new).transpose();
        Ok(Config {
            policies: self
                .policy
                .iter()
                .map(|word| absolute(word))
                .collect::<Result<_, _>>()?,
            name: name.map_err(|error| Failure::usage(error.to_string()))?,
            user: self.user,
            workspace: self.workspace,
            remaining: self.remaining,
            command: self.command,
            audit: false,
        })
    }
}

/// The server has another working directory than we have.
pub(super) fn absolute(word: &str) -> Result<String, Failure> {
    match Source::from_argument(word) {
        Source::Preset(name) => Ok(name),
        Source::File(path) => {
            let absolute = std::path::absolute(&path).map_err(|error| {
                Failure::usage(format!(
                    "The policy file \"{word}\" can't be found: {error}."
                ))
            })?;
            absolute.into_os_string().into_string().map_err(|absolute| {
                Failure::usage(format!(
                    "The policy file {} can't be used: its path is not UTF-8. Keep policies in \
                     /etc/guard/policies.",
                    escaped(absolute.as_encoded_bytes())
                ))
            })
        }
    }
}

/// Everything about a run that is known before a session is asked for.
struct Ready {
    identity: Identity,
    program: PathBuf,
    workspace: Option<PathBuf>,
}

/// A command that has ended, and the session that it was in.
pub struct Ended {
    /// How it ended.
    pub exit: Exit,
    /// The session's name.
    pub session: Name,
    /// The session's log.
    pub log: PathBuf,
    /// The home directory of the user that it ran as.
    pub home: PathBuf,
    id: u32,
    connection: Connection,
}

/// What is left of a session whose command has ended.
pub struct Remains {
    /// How many processes still run.
    pub left: u64,
    /// What was refused, for people; none when nothing was.
    pub summary: Option<String>,
}

impl Config {
    /// Runs the command. Returns only when it could not be started: otherwise this process
    /// ends as the command did.
    pub fn run(self) -> Result<Exit, Failure> {
        let ended = self.carry_out()?;
        let (exit, session) = (ended.exit, ended.session.clone());
        match self.finish(ended) {
            Ok(remains) => tell(&session, &remains),
            // The command has run, and how it ended is what its caller asks for.
            Err(failure) => say(&failure.message),
        }
        end_as(exit)
    }

    /// The same run with nothing refused, only recorded.
    pub fn audited(self) -> Self {
        Self {
            audit: true,
            ..self
        }
    }

    /// Names of presets and paths of files, in their order; empty for the default policy.
    pub fn policies(&self) -> &[String] {
        &self.policies
    }

    /// Runs the command to its end. An error when it could not be started.
    pub fn carry_out(&self) -> Result<Ended, Failure> {
        super::require_root()?;
        doctor::preflight()?;
        let ready = self.prepare()?;
        client::converse(&Paths::system(), |connection| {
            self.start(&ready, connection)
        })
    }

    fn prepare(&self) -> Result<Ready, Failure> {
        let sudo_uid = std::env::var_os("SUDO_UID");
        let identity = Identity::choose(self.user.as_deref(), sudo_uid.as_deref(), &Host)?;
        if identity.home.to_str().is_none() {
            return Err(Failure::usage(format!(
                "The home directory of {}, {}, can't be used: its path is not UTF-8. Name another \
                 user with --user.",
                identity.name,
                escaped(identity.home.as_os_str().as_encoded_bytes())
            )));
        }
        let path = std::env::var_os("PATH");
        let program = command::find(&self.command[0], path.as_deref())?;
        let workspace = choose_workspace(self.workspace.as_deref(), &identity)?;
        if !identity.is_changed && self.user.is_none() {
            say("the command runs as root, who is the one asking; --user NAME makes it another");
        }
        Ok(Ready {
            identity,
            program,
            workspace,
        })
    }

    /// Starts the session and the command in it, and waits for the command's end.
    fn start(&self, ready: &Ready, mut connection: Connection) -> Result<Ended, Outcome> {
        let plan = self.plan(ready)?;
        let held = plan.fork().map_err(|error| cannot_fork(&error))?;
        let start = Start {
            name: self.name.clone(),
            stem: Name::stem(&ready.program),
            command: self.shown_command(),
            user: ready.identity.name.clone(),
            uid: ready.identity.uid,
            home: ready.identity.home.clone(),
            workspace: ready.workspace.clone(),
            policies: self.policies.clone(),
            audit: self.audit,
        };
        let started = match client::start(&mut connection, start, &held) {
            Ok(started) => started,
            Err(outcome) => {
                held.abandon();
                return Err(outcome);
            }
        };
        let session = started.session;
        for warning in &started.warnings {
            say_line(warning);
        }
        // Nobody chose the default policy, so there is nothing to be surprised at.
        for note in started.notes.iter().filter(|_| !self.policies.is_empty()) {
            say_line(note);
        }
        if std::io::stderr().is_terminal() {
            let workspace = ready.workspace.as_deref();
            say(&begun(
                &session,
                &self.policies,
                workspace,
                &started.warnings,
                started.audits,
            ));
        }
        let supervisor = Supervisor::new().map_err(|error| cannot_fork(&error))?;
        let command = held.release(Some(started.server), Some(&session), Some(&started.runtime))?;
        let exit = supervisor.wait(&command).map_err(|error| {
            Failure::guard(format!("The command can't be waited for: {error}."))
        })?;
        Ok(Ended {
            exit,
            connection,
            session,
            log: started.log,
            home: ready.identity.home.clone(),
            id: started.id,
        })
    }

    fn plan(&self, ready: &Ready) -> Result<Plan, Failure> {
        Plan::new(
            ready.program.clone(),
            self.command.clone(),
            environment::of(std::env::vars_os(), &ready.identity),
            ready.identity.credentials(),
        )
    }

    /// The command as others are shown it.
    fn shown_command(&self) -> Vec<String> {
        self.command
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect()
    }

    /// Tells the server of the command's end. All that happened until then is in the session's log.
    pub fn finish(&self, ended: Ended) -> Result<Remains, Failure> {
        let request = Request::Finish {
            session: ended.session,
            id: ended.id,
            status: i32::from(ended.exit.code()),
            remaining: self.remaining,
        };
        let answer = match ask_on(ended.connection, &request) {
            Ok(response) => response,
            Err(Outcome::Failed(failure)) => return Err(failure),
            // The server has died meanwhile. The next one knows the session too.
            Err(Outcome::Again) => client::ask(&Paths::system(), &request)?,
        };
        match answer {
            Response::Finished { left, summary } => Ok(Remains { left, summary }),
            other => Err(unexpected(&other)),
        }
    }
}

/// Tells people what is left of a session, and what was refused to it.
fn tell(session: &Name, remains: &Remains) {
    let left = remains.left;
    if left > 0 {
        let others = if left == 1 {
            "another process still runs; it stays".to_owned()
        } else {
            format!("{left} other processes still run; they stay")
        };
        say(&format!(
            "of session {session}, {others} guarded until the end, or until: sudo guard stop \
             {session}"
        ));
    }
    if let Some(summary) = &remains.summary {
        // Nobody is left to be told when this fails.
        let _ = writeln!(std::io::stderr(), "{summary}");
    }
}

/// The workspace: the directory that is asked for, or the working directory where that is fit
/// for one. Why it isn't is said, and the session goes on without one.
pub(super) fn choose_workspace(
    asked: Option<&Path>,
    identity: &Identity,
) -> Result<Option<PathBuf>, Failure> {
    let current = std::env::current_dir().unwrap_or_default();
    match workspace::choose(asked, &current, &identity.home, &users::homes()) {
        Ok(workspace::Choice::Taken(directory)) => Ok(Some(directory)),
        Ok(workspace::Choice::None(reason)) => {
            say_line(&reason);
            Ok(None)
        }
        Err(why) => Err(Failure::usage(sentence(&why))),
    }
}

/// What a person is told at the start, on one line: under which policy, where, what is protected, and
/// what is not here.
fn begun(
    session: &Name,
    policies: &[String],
    workspace: Option<&Path>,
    warnings: &[String],
    audits: bool,
) -> String {
    let policy = if policies.is_empty() {
        "default".to_owned()
    } else {
        escaped(policies.join(", ").as_bytes())
    };
    let free = workspace.map_or_else(
        || "what it makes is free (it has no workspace)".to_owned(),
        |path| {
            let path = escaped(path.as_os_str().as_encoded_bytes());
            format!("what it makes is free, and the workspace {path}")
        },
    );
    let but = match warnings.len() {
        0 => String::new(),
        1 => ", but for what is said above".to_owned(),
        count => format!(", but for the {count} things said above"),
    };
    let rest = if audits {
        "nothing is refused, only recorded (mode: audit)"
    } else {
        "all else is protected"
    };
    format!("session {session}, policy {policy}: {free}; {rest}{but}")
}

fn cannot_fork(error: &std::io::Error) -> Failure {
    Failure::guard(format!("A process for the command can't be made: {error}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_says_what_holds_from_now_on() {
        let name = Name::new("claude-1").unwrap();
        assert_eq!(
            begun(&name, &[], Some(Path::new("/w\u{1b}")), &[], false),
            "session claude-1, policy default: what it makes is free, and the workspace /w\\u{1b}; all else \
             is protected"
        );
        let policies = ["strict".to_owned(), "/etc/guard/policies/a.yaml".to_owned()];
        let warnings = ["a".to_owned(), "b".to_owned()];
        assert_eq!(
            begun(&name, &policies, None, &warnings, false),
            "session claude-1, policy strict, /etc/guard/policies/a.yaml: what it makes is free (it has no \
             workspace); all else is protected, but for the 2 things said above"
        );
    }
}
