//! The client's way to a server: the one that runs, or one that it starts.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use super::paths::Paths;
use super::protocol::{Refusal, Request, Response, Start};
use super::wire::{Connection, Lost};
use crate::cli::exit::Failure;
use crate::session::launch::Held;
use crate::session::name::Name;
use crate::system::namespaces::foreign;

/// How long a server may take to be there.
const PATIENCE: Duration = Duration::from_mins(2);
/// How long to wait before another look.
const PAUSE: Duration = Duration::from_millis(50);

/// What a server in the background says on its standard output: it listens.
pub const READY: &str = "ready\n";
/// Another server is there already.
pub const BUSY: &str = "busy\n";

/// What became of a conversation with one server.
#[derive(Debug)]
pub enum Outcome {
    /// That server is leaving or has died: ask the next one.
    Again,
    /// It failed for good.
    Failed(Failure),
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Lost> for Outcome {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::HungUp => Self::Again,
            lost => Self::Failed(Failure::guard(lost.to_string())),
        }
    }
}

/// Tells a refusal by its kind; any other response is handed on.
pub fn accepted(response: Response) -> Result<Response, Outcome> {
    match response {
        Response::Refused { kind, message } => Err(match kind {
            Refusal::Leaving => Outcome::Again,
            Refusal::Usage => Outcome::Failed(Failure::usage(message)),
            Refusal::Guard => Outcome::Failed(Failure::guard(message)),
        }),
        response => Ok(response),
    }
}

/// A response that the protocol has no place for here.
pub fn unexpected(response: &Response) -> Failure {
    let text = format!("{response:?}");
    let text: String = text.chars().take(80).collect();
    Failure::guard(format!(
        "Guard's server gave an answer that doesn't fit the question: {text}."
    ))
}

/// Connects to the server that runs; `None` when there is none.
pub fn find(paths: &Paths) -> Result<Option<Connection>, Failure> {
    match Connection::connect(&paths.control()) {
        Ok(connection) => Ok(Some(connection)),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Ok(None),
            _ => Err(Failure::guard(format!(
                "The control socket {} can't be reached: {error}.",
                paths.control().display()
            ))),
        },
    }
}

/// Has a conversation with a server, which is started when there is none, and has it again
/// with the next one when that server was leaving.
pub fn converse<T>(
    paths: &Paths,
    mut conversation: impl FnMut(Connection) -> Result<T, Outcome>,
) -> Result<T, Failure> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(connection) = find(paths)? {
            match conversation(connection) {
                Ok(result) => return Ok(result),
                Err(Outcome::Failed(failure)) => return Err(failure),
                Err(Outcome::Again) => {}
            }
        } else if start_server(paths)? {
            continue;
        }
        std::thread::sleep(PAUSE);
    }
    Err(Failure::guard(format!(
        "Guard's server could not be reached within {} seconds. {} says why.",
        PATIENCE.as_secs(),
        paths.server_log().display()
    )))
}

/// A session that stands, with a child in it that waits at its gate.
#[derive(Debug)]
pub struct Started {
    /// Its name.
    pub session: Name,
    /// Its number.
    pub id: u32,
    /// The server's process, on which the child proves that it is guarded.
    pub server: Pid,
    /// The session's runtime directory.
    pub runtime: PathBuf,
    /// Whether refusals are only recorded.
    pub audits: bool,
    /// What cannot be enforced here, a sentence each: to be said aloud before the command
    /// starts.
    pub warnings: Vec<String>,
    /// What may surprise about the policy.
    pub notes: Vec<String>,
    /// Its log.
    pub log: PathBuf,
}

/// Asks for a session for a child that waits at its gate.
pub fn start(connection: &mut Connection, start: Start, child: &Held) -> Result<Started, Outcome> {
    connection.send(&Request::Start(start), Some(child.pidfd()))?;
    match accepted(connection.receive()?)? {
        Response::Started {
            session,
            id,
            server,
            audits,
            warnings,
            notes,
            log,
            runtime,
        } => Ok(Started {
            session,
            id,
            runtime,
            server: Pid::from_raw(server as i32),
            audits,
            warnings,
            notes,
            log,
        }),
        response => Err(unexpected(&response).into()),
    }
}

/// Asks one question of a server that is started when there is none.
pub fn ask(paths: &Paths, request: &Request) -> Result<Response, Failure> {
    converse(paths, |connection| ask_on(connection, request))
}

/// Asks one question on a connection.
pub fn ask_on(mut connection: Connection, request: &Request) -> Result<Response, Outcome> {
    connection.send(request, None)?;
    accepted(connection.receive()?)
}

/// Starts a server in the background. Whether it is the one that runs now; another may
/// have been quicker, or may still be leaving.
fn start_server(paths: &Paths) -> Result<bool, Failure> {
    // Nothing is known where the first process can't be looked at.
    if let Ok(Some(what)) = foreign(1) {
        return Err(Failure::usage(format!(
            "Guard's server can't be started from here: this shell has another {what} than the \
             host's first process, and the server serves everybody. Type it in a shell of the \
             host itself (sudo nsenter -t 1 -m -n -r -- guard ...), or, if only commands here are \
             to be guarded, start a server here by hand: sudo guard server"
        )));
    }
    let cannot = |what: &str, error: &dyn std::fmt::Display| {
        Failure::guard(format!("Guard's server can't be started: {what}: {error}."))
    };
    paths
        .make()
        .map_err(|error| Failure::guard(format!("Guard's server can't be started: {error:#}.")))?;
    let log = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(paths.server_log())
        .map_err(|error| cannot(&paths.server_log().display().to_string(), &error))?;
    let (mut said, says) = io::pipe().map_err(|error| cannot("pipe", &error))?;
    let program = std::env::current_exe()
        .ok()
        .filter(|program| program.is_file())
        .unwrap_or_else(|| "/proc/self/exe".into());
    let mut server = Command::new(&program)
        .args(["server", "--background"])
        .current_dir("/")
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .envs(std::env::vars_os().filter(|(name, _)| name == "RUST_BACKTRACE"))
        .stdin(Stdio::null())
        .stdout(says)
        .stderr(log)
        .spawn()
        .map_err(|error| cannot(&program.display().to_string(), &error))?;
    // It goes into the background at once, so this is not the server's end.
    server.wait().map_err(|error| cannot("wait", &error))?;
    let mut answer = String::new();
    said.read_to_string(&mut answer)
        .map_err(|error| cannot("pipe", &error))?;
    match answer.as_str() {
        READY => Ok(true),
        BUSY => Ok(false),
        "" => Err(Failure::guard(format!(
            "Guard's server ended before it was ready. {} may say why.",
            paths.server_log().display()
        ))),
        message => Err(Failure::guard(message.trim_end())),
    }
}
