//! `guard tail`: what was refused, live and from the logs.

use std::path::Path;

use serde_json::Value;

use super::exit::{Exit, Failure};
use super::output::{print, say, sentence};
use crate::events::event::Event;
use crate::events::filter::Filter;
use crate::events::history::History;
use crate::events::log::DIRECTORY;
use crate::events::terminal::{Look, render};
use crate::events::time::Time;
use crate::server::client::{self, Outcome, accepted, ask_on, unexpected};
use crate::server::paths::Paths;
use crate::server::protocol::{Request, Response};
use crate::server::wire::Connection;
use crate::session::name::Name;
use guard_ebpf::operation::Operation;

/// Show what sessions were refused, as it happens
///
/// Follows until it is interrupted. With --since it begins with what the logs hold.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// One JSON object a line (docs/events.md)
    #[arg(long)]
    json: bool,
    /// Only this session
    #[arg(long)]
    session: Option<String>,
    // The help is made of the list of operations.
    #[allow(missing_docs)]
    #[arg(long, value_name = "OP", value_delimiter = ',', help = operations())]
    op: Vec<String>,
    /// Begin in the past: 90s, 10m, 2h, 1d, HH:MM, a date, or a date and time
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Show what the logs hold, and end
    #[arg(long)]
    no_follow: bool,
}

/// What to show.
#[derive(Debug, PartialEq)]
pub struct Config {
    json: bool,
    filter: Filter,
    follow: bool,
}

impl Arguments {
    /// Checks words and times.
    pub fn validate(self) -> Result<Config, Failure> {
        let session = self.session.as_deref().map(Name::new).transpose();
        let session = session.map_err(|error| Failure::usage(error.to_string()))?;
        let operations = self
            .op
            .iter()
            .map(|word| operation(word))
            .collect::<Result<_, _>>()?;
        let since = self.since.as_deref().map(Time::parse_since).transpose();
        Ok(Config {
            json: self.json,
            filter: Filter {
                session: session.map(|name| name.to_string()),
                operations,
                verdicts: Vec::new(),
                since: since.map_err(|error| Failure::usage(format!("--since: {error}")))?,
            },
            follow: !self.no_follow,
        })
    }
}

fn operations() -> String {
    format!(
        "Only these operations: {}",
        Operation::EVERY.map(Operation::name).join(", ")
    )
}

fn operation(word: &str) -> Result<Operation, Failure> {
    Operation::EVERY
        .into_iter()
        .find(|operation| operation.name() == word)
        .ok_or_else(|| {
            let names = Operation::EVERY.map(Operation::name).join(", ");
            Failure::usage(format!(
                "There is no operation \"{}\". Those that there are: {names}.",
                word.escape_debug()
            ))
        })
}

/// Shows events, and knows which were shown.
struct Screen {
    look: Look,
    json: bool,
    /// The id of the last event that was shown. Ids sort in the order of events.
    last: String,
}

impl Config {
    /// Shows the past, then the present.
    pub fn run(self) -> Result<Exit, Failure> {
        super::require_root()?;
        let paths = Paths::system();
        let mut screen = Screen {
            look: Look {
                session: self.filter.session.is_none(),
                ..Look::of_stdout()
            },
            json: self.json,
            last: String::new(),
        };
        // First get in line, then look back, so that nothing falls in between.
        let following = self
            .follow
            .then(|| client::converse(&paths, |connection| follow(connection, &self.filter)))
            .transpose()?;
        self.ensure_known(&paths)?;
        let has_past = self.filter.since.is_some() || !self.follow;
        if has_past && !self.past(&mut screen, Path::new(DIRECTORY))? {
            return Ok(Exit::Success);
        }
        let Some(mut connection) = following else {
            return Ok(Exit::Success);
        };
        loop {
            if !screen.stream(&mut connection)? {
                return Ok(Exit::Success);
            }
            // That server has left or died. What happened since then is in the logs.
            connection = client::converse(&paths, |connection| follow(connection, &self.filter))?;
            if !screen.last.is_empty() && !self.past(&mut screen, Path::new(DIRECTORY))? {
                return Ok(Exit::Success);
            }
        }
    }

    /// Says when there is neither the session that is asked for nor a log of one. It may come; who
    /// does not wait for it has made a mistake.
    fn ensure_known(&self, paths: &Paths) -> Result<(), Failure> {
        let Some(session) = &self.filter.session else {
            return Ok(());
        };
        let logs = History::open(Path::new(DIRECTORY), Some(session), None);
        // What can't be read is told of where it is read.
        if !logs.is_ok_and(|logs| logs.is_empty()) || lives(paths, session)? {
            return Ok(());
        }
        let unknown = format!("there is no session \"{session}\", nor a log of one");
        if self.follow {
            say(&format!("{unknown}; waiting for it"));
            return Ok(());
        }
        Err(Failure::usage(sentence(&format!(
            "{unknown}; `guard status` lists those that there are"
        ))))
    }

    /// Shows what the logs hold and has not been shown. Whether anybody still reads.
    fn past(&self, screen: &mut Screen, directory: &Path) -> Result<bool, Failure> {
        let session = self.filter.session.as_deref();
        let cannot = |error: std::io::Error| {
            Failure::guard(format!(
                "The logs in {} can't be read: {error}.",
                directory.display()
            ))
        };
        let mut history = History::open(directory, session, self.filter.since).map_err(cannot)?;
        let after = screen.last.clone();
        for event in history.by_ref() {
            if event.id > after && self.filter.wants(&event) && !screen.show(&event)? {
                return Ok(false);
            }
        }
        if history.unreadable() > 0 {
            say(&format!(
                "{} lines or files of the logs in {} can't be read and were passed over",
                history.unreadable(),
                directory.display()
            ));
        }
        Ok(true)
    }
}

/// Whether a session of this name lives, as far as a server knows. None is started to be asked.
fn lives(paths: &Paths, session: &str) -> Result<bool, Failure> {
    let Some(connection) = client::find(paths)? else {
        return Ok(false);
    };
    match ask_on(connection, &Request::Status) {
        Ok(Response::Status(status)) => Ok(status
            .sessions
            .iter()
            .any(|other| other.name.as_str() == session)),
        Ok(response) => Err(unexpected(&response)),
        Err(Outcome::Failed(failure)) => Err(failure),
        // It is leaving, and would not if there were one.
        Err(Outcome::Again) => Ok(false),
    }
}

fn follow(mut connection: Connection, filter: &Filter) -> Result<Connection, Outcome> {
    let filter = Filter {
        since: None,
        ..filter.clone()
    };
    connection.send(&Request::Follow(filter), None)?;
    match accepted(connection.receive()?)? {
        Response::Following => Ok(connection),
        response => Err(unexpected(&response).into()),
    }
}

impl Screen {
    /// Shows what a server sends until it hangs up. Whether anybody still reads.
    fn stream(&mut self, connection: &mut Connection) -> Result<bool, Failure> {
        loop {
            let response = match connection.receive().map_err(Outcome::from) {
                Ok(response) => response,
                Err(Outcome::Again) => return Ok(true),
                Err(Outcome::Failed(failure)) => return Err(failure),
            };
            match response {
                Response::Event(event) => {
                    let event = read(event)?;
                    // Those that the past has shown already come once more.
                    if event.id > self.last && !self.show(&event)? {
                        return Ok(false);
                    }
                }
                Response::Missed(count) => say(&format!(
                    "{count} events came faster than they were read and were left out; \
                     `guard tail --since` finds them in the logs"
                )),
                response => return Err(unexpected(&response)),
            }
        }
    }

    fn show(&mut self, event: &Event) -> Result<bool, Failure> {
        self.last.clone_from(&event.id);
        if self.json {
            print(&(event.to_line() + "\n"))
        } else {
            print(&render(event, self.look))
        }
    }
}

fn read(event: Value) -> Result<Event, Failure> {
    serde_json::from_value(event).map_err(|error| {
        Failure::guard(format!(
            "Guard's server sent an event that can't be understood: {error}."
        ))
    })
}
