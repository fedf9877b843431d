//! What verbs share that look at a session's past: its logs.

use super::exit::Failure;
use super::output::sentence;
use crate::events::history::History;
use crate::events::time::Time;
use crate::server::paths::Paths;
use crate::session::name::Name;

/// The time of an option `--since`.
pub fn since(text: Option<&str>) -> Result<Option<Time>, Failure> {
    text.map(Time::parse_since)
        .transpose()
        .map_err(|error| Failure::usage(format!("--since: {error}")))
}

/// The logs of all sessions that were called so. A mistake when there is none.
pub fn of(session: &Name, since: Option<Time>) -> Result<History, Failure> {
    let directory = Paths::system().log;
    let history = History::open(&directory, Some(session.as_str()), since);
    let history = history.map_err(|error| {
        Failure::guard(format!(
            "The logs in {} can't be read: {error}.",
            directory.display()
        ))
    })?;
    if history.is_empty() {
        let since = since.map_or("", |_| " that reaches so far");
        return Err(Failure::usage(sentence(&format!(
            "there is no log of a session \"{session}\"{since}; `guard tail --since 30d` shows what \
             there is"
        ))));
    }
    Ok(history)
}
