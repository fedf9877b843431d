//! The session's end of its own socket.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::client::{Outcome, accepted};
use super::protocol::{Request, Response};
use super::runtime;
use super::wire::Connection;
use crate::cli::exit::Failure;
use crate::session::environment::RUNTIME;

/// How long the server may take for its answer, in milliseconds.
const PATIENCE: u16 = 10_000;

/// The runtime directory of the session that this process is in, as its environment says; none
/// outside of a session.
#[must_use]
pub fn directory() -> Option<PathBuf> {
    let directory = PathBuf::from(std::env::var_os(RUNTIME)?);
    // The environment outlives the session where a shell outside has taken it over.
    directory.is_dir().then_some(directory)
}

/// Asks the server one question.
pub fn ask(directory: &Path, request: &Request) -> Result<Response, Failure> {
    let path = runtime::socket(directory);
    let mut connection = Connection::connect(&path).map_err(|error| match error.kind() {
        ErrorKind::ConnectionRefused | ErrorKind::NotFound => Failure::guard(
            "Guard's server does not run just now, and so nobody can say why something was refused; \
             refused it is all the same. The next `sudo guard status` outside starts a server.",
        ),
        _ => Failure::guard(format!("{} can't be reached: {error}.", path.display())),
    })?;
    let answered = connection
        .send(request, None)
        .and_then(|()| connection.receive_within(Some(PATIENCE)));
    match answered.map_err(Outcome::from).and_then(|response| {
        response.map_or_else(
            || Err(Failure::guard("Guard's server does not answer.").into()),
            accepted,
        )
    }) {
        Ok(response) => Ok(response),
        Err(Outcome::Failed(failure)) => Err(failure),
        Err(Outcome::Again) => Err(Failure::guard("Guard's server is leaving. Ask again.")),
    }
}
