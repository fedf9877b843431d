//! `guard tail`: what was refused, live and from the logs.

use super::exit::{Exit, Failure};
use super::output::{print, say, sentence};
use super::stream::{Sink, Stream};
use crate::events::bursts::{Bursts, Shown};
use crate::events::event::Event;
use crate::events::filter::Filter;
use crate::events::history::History;
use crate::events::names::Named;
use crate::events::terminal::{Look, render, render_more};
use crate::events::time::Time;
use crate::server::client::{self, Outcome, ask_on, unexpected};
use crate::server::paths::Paths;
use crate::server::protocol::{Request, Response};
use crate::session::name::Name;
use guard_ebpf::operation::Operation;

/// How long what was left out of a burst may wait for the next event, in milliseconds.
const PATIENCE: u16 = 250;

/// Show what sessions were refused, as it happens
///
/// Follows until it is interrupted. With --since it begins with what the logs hold. Each refusal is
/// shown with its id, its rule and the reason; of many that are alike the first is, and how many
/// there were.
#[derive(Debug, clap::Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of the command line"
)]
pub struct Arguments {
    /// One JSON object a line (docs/events.md)
    #[arg(long)]
    json: bool,
    /// Each event, also of those that are alike
    #[arg(long, conflicts_with = "json")]
    every: bool,
    /// Only this session
    #[arg(long)]
    session: Option<String>,
    // The help is made of the list of operations.
    #[allow(missing_docs)]
    #[arg(long, alias = "op", value_name = "OPERATION", value_delimiter = ',', help = operations())]
    operation: Vec<String>,
    /// Only these verdicts: deny (refused), audit (recorded), allow
    #[arg(long, value_delimiter = ',')]
    verdict: Vec<String>,
    /// Only what these rules decided; of facilities such as machine/time
    #[arg(long, value_delimiter = ',')]
    rule: Vec<String>,
    /// Only what rules decided that name these groups or sets of paths
    #[arg(long, value_delimiter = ',')]
    group: Vec<String>,
    /// Begin in the past: 90s, 10m, 2h, 1d, HH:MM, a date, or a date and time
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Show what the logs hold up to then, and end
    #[arg(long, value_name = "TIME", conflicts_with = "follow")]
    until: Option<String>,
    /// Go on with what happens then; that is how it is without --until, too
    #[arg(long, conflicts_with = "no_follow")]
    follow: bool,
    /// Show what the logs hold, and end
    #[arg(long)]
    no_follow: bool,
}

/// What to show.
#[derive(Debug, PartialEq)]
pub struct Config {
    json: bool,
    every: bool,
    filter: Filter,
    follow: bool,
}

impl Arguments {
    /// Checks words and times.
    pub fn validate(self) -> Result<Config, Failure> {
        let session = self.session.as_deref().map(Name::new).transpose();
        let session = session.map_err(|error| Failure::usage(error.to_string()))?;
        let time = |option, text: Option<&str>| {
            text.map(Time::parse_since)
                .transpose()
                .map_err(|error| Failure::usage(format!("{option}: {error}")))
        };
        let since = time("--since", self.since.as_deref())?;
        let until = time("--until", self.until.as_deref())?;
        if let (Some(since), Some(until)) = (since, until)
            && until < since
        {
            return Err(Failure::usage(
                "--until is before --since, so there is nothing to show. Change one of them.",
            ));
        }
        Ok(Config {
            json: self.json,
            every: self.every,
            filter: Filter {
                session: session.map(|name| name.to_string()),
                operations: named(&self.operation)?,
                verdicts: named(&self.verdict)?,
                rules: self.rule,
                groups: self.group,
                since,
                until,
            },
            follow: !self.no_follow && until.is_none(),
        })
    }
}

fn operations() -> String {
    format!("Only these operations: {}", names::<Operation>())
}

/// All names of a kind, to be shown.
fn names<T: Named>() -> String {
    let names: Vec<_> = T::every().iter().map(|one| one.name()).collect();
    names.join(", ")
}

/// What words stand for.
fn named<T: Named>(words: &[String]) -> Result<Vec<T>, Failure> {
    let one = |word: &String| {
        T::named(word).ok_or_else(|| {
            Failure::usage(format!(
                "There is no {} \"{}\". Those that there are: {}.",
                T::WHAT,
                word.escape_debug(),
                names::<T>()
            ))
        })
    };
    words.iter().map(one).collect()
}

/// Shows events.
struct Screen<Out> {
    look: Look,
    json: bool,
    /// None where each event is shown.
    bursts: Option<Bursts>,
    /// Writes. Whether anybody still reads.
    out: Out,
}

impl Config {
    /// Shows the past, then the present.
    pub fn run(self) -> Result<Exit, Failure> {
        super::require_root()?;
        self.show(&Paths::system(), print)
    }

    fn show(
        &self,
        paths: &Paths,
        out: impl FnMut(&str) -> Result<bool, Failure>,
    ) -> Result<Exit, Failure> {
        let mut screen = Screen {
            look: Look {
                session: self.filter.session.is_none(),
                ..Look::of_stdout()
            },
            json: self.json,
            bursts: (!self.every && !self.json).then(Bursts::default),
            out,
        };
        self.ensure_known(paths)?;
        let stream = Stream {
            paths,
            filter: &self.filter,
            past: self.filter.since.is_some() || !self.follow,
            follow: self.follow,
        };
        stream.hand_over(&mut screen)?;
        screen.tell(Bursts::finish)?;
        Ok(Exit::Success)
    }

    /// Says when there is neither the session that is asked for nor a log of one. It may come; who
    /// does not wait for it has made a mistake.
    fn ensure_known(&self, paths: &Paths) -> Result<(), Failure> {
        let Some(session) = &self.filter.session else {
            return Ok(());
        };
        let logs = History::open(&paths.log, Some(session), None);
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

impl<Out: FnMut(&str) -> Result<bool, Failure>> Sink for Screen<Out> {
    fn take(&mut self, event: Event) -> Result<bool, Failure> {
        if self.json {
            return (self.out)(&(event.to_line() + "\n"));
        }
        if self.bursts.is_none() {
            return (self.out)(&render(&event, self.look));
        }
        self.tell(|bursts| bursts.push(event))
    }

    fn patience(&self) -> Option<u16> {
        let is_waiting = self.bursts.as_ref().is_some_and(Bursts::is_waiting);
        is_waiting.then_some(PATIENCE)
    }

    fn pause(&mut self) -> Result<bool, Failure> {
        self.tell(|bursts| bursts.due(Time::now()))
    }
}

impl<Out: FnMut(&str) -> Result<bool, Failure>> Screen<Out> {
    /// Shows what bursts have to tell. Whether anybody still reads.
    fn tell(&mut self, told: impl FnOnce(&mut Bursts) -> Vec<Shown>) -> Result<bool, Failure> {
        for shown in self.bursts.as_mut().map(told).unwrap_or_default() {
            let text = match shown {
                Shown::Event(event) => render(&event, self.look),
                Shown::More(more) => render_more(&more, self.look),
            };
            if !(self.out)(&text)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
#[path = "tail_tests.rs"]
mod tests;
