//! `guard why`: why something was refused, for root, and inside a session of its own refusals.

use std::path::Path;

use super::exit::{Exit, Failure};
use super::output::{print, say};
use crate::events::event::Event;
use crate::events::history::History;
use crate::events::lines::Look;
use crate::events::receipt::render;
use crate::events::receipts::{Asked, is_of, is_receipt};
use crate::server::client::{self, Outcome, ask_on, unexpected};
use crate::server::inside_client as inside;
use crate::server::paths::Paths;
use crate::server::protocol::{Request, Response};
use crate::session::environment::SESSION;
use crate::session::name::Name;

/// Show why something was refused, and what to do instead
///
/// Root sees the refusals of all sessions. Inside a session everyone sees this session's own last
/// refusals, and no others. Without an option the last one is shown.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The refusal with this id, as guard tail shows it
    #[arg(conflicts_with_all = ["last", "pid"])]
    id: Option<String>,
    /// The last refusal
    #[arg(long, conflicts_with = "pid")]
    last: bool,
    /// The refusals of this process, or of what came from it
    #[arg(long)]
    pid: Option<u32>,
    /// Only of this session
    #[arg(long)]
    session: Option<String>,
    /// One JSON object a line (docs/events.md)
    #[arg(long)]
    json: bool,
}

/// Shows receipts.
pub fn run(raw: &Arguments) -> Result<Exit, Failure> {
    let session = raw.session.as_deref().map(Name::new).transpose();
    let session = session.map_err(|error| Failure::usage(error.to_string()))?;
    let asked = match (&raw.id, raw.pid) {
        (Some(id), _) => Asked::Id(id.clone()),
        (None, Some(pid)) => Asked::Pid(pid),
        (None, None) => Asked::Last,
    };
    let found = match inside::directory() {
        Some(directory) => in_session(&directory, session.as_ref(), &asked)?,
        None => outside(session.as_ref(), &asked)?,
    };
    if found.is_empty() {
        say(nothing(&asked));
        return Ok(Exit::Unmet);
    }
    let shown: Vec<String> = found
        .iter()
        .map(|event| {
            if raw.json {
                event.to_line() + "\n"
            } else {
                render(event, Look::of_stdout())
            }
        })
        .collect();
    print(&shown.join(if raw.json { "" } else { "\n" }))?;
    Ok(Exit::Success)
}

fn nothing(asked: &Asked) -> &'static str {
    match asked {
        Asked::Id(_) => {
            "there is no such refusal; guard tail --since 1d shows those that there are"
        }
        Asked::Pid(_) => {
            "this process was refused nothing that is still known, nor what came from it"
        }
        _ => "nothing was refused so far; whatever failed, failed for another reason",
    }
}

fn in_session(
    directory: &Path,
    session: Option<&Name>,
    asked: &Asked,
) -> Result<Vec<Event>, Failure> {
    let own = std::env::var_os(SESSION).unwrap_or_default();
    if session.is_some_and(|session| own != *session.as_str()) {
        return Err(Failure::usage(
            "Inside a session, only its own refusals are shown. Type this in a shell outside.",
        ));
    }
    let request = Request::Why {
        session: None,
        asked: asked.clone(),
    };
    receipts(&inside::ask(directory, &request)?)
}

/// Those that the server keeps; where it has none, those in the logs.
fn outside(session: Option<&Name>, asked: &Asked) -> Result<Vec<Event>, Failure> {
    super::require_root()?;
    let paths = Paths::system();
    if let Some(connection) = client::find(&paths)? {
        let request = Request::Why {
            session: session.cloned(),
            asked: asked.clone(),
        };
        match ask_on(connection, &request) {
            Ok(response) => {
                let found = receipts(&response)?;
                if !found.is_empty() {
                    return Ok(found);
                }
            }
            Err(Outcome::Failed(failure)) => return Err(failure),
            // All that it knew is in the logs by now.
            Err(Outcome::Again) => {}
        }
    }
    logged(&paths.log, session, asked)
}

fn logged(logs: &Path, session: Option<&Name>, asked: &Asked) -> Result<Vec<Event>, Failure> {
    let history = History::open(logs, session.map(Name::as_str), None).map_err(|error| {
        Failure::guard(format!(
            "The logs in {} can't be read: {error}.",
            logs.display()
        ))
    })?;
    let mut found = Vec::new();
    for event in history.filter(is_receipt) {
        match asked {
            Asked::Id(id) if event.id != *id => {}
            Asked::Pid(pid) if !is_of(&event, *pid) => {}
            Asked::Pid(_) => found.push(event),
            _ => found = vec![event],
        }
    }
    Ok(found)
}

/// The events of an answer. Those that this guard cannot read are left out.
fn receipts(response: &Response) -> Result<Vec<Event>, Failure> {
    let Response::Receipts(values) = response else {
        return Err(unexpected(response));
    };
    let event = |value: &serde_json::Value| serde_json::from_value(value.clone()).ok();
    Ok(values.iter().filter_map(event).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::log::Log;
    use crate::events::samples;
    use crate::events::time::Time;

    #[test]
    fn what_no_server_keeps_is_found_in_the_logs() {
        let logs = tempfile::tempdir().unwrap();
        let time = Time::parse("2026-11-22T14:00:00Z").unwrap();
        let mut log = Log::create(logs.path(), "work", time);
        for (_, event) in samples::all() {
            let _ = log.append(&event);
        }
        let asked = |asked: Asked| {
            let found = logged(logs.path(), None, &asked).unwrap();
            found.into_iter().map(|event| event.id).collect::<Vec<_>>()
        };
        assert_eq!(asked(Asked::Id("0t6bdhts0".into())), ["0t6bdhts0"]);
        assert_eq!(asked(Asked::Pid(4305)), ["0t6bdhxy0"], "a child of it");
        assert_eq!(
            asked(Asked::Id("0t6bdhw00".into())),
            [] as [&str; 0],
            "it went through"
        );
        assert_eq!(asked(Asked::Last).len(), 1);
        let other = Name::new("other").unwrap();
        assert_eq!(logged(logs.path(), Some(&other), &Asked::Last).unwrap(), []);
    }
}
