//! Events of the past and the present, handed over without a seam: first what the logs hold, then
//! what a server sends, and what happened in between when that server goes.

use std::io;

use serde_json::Value;

use super::exit::Failure;
use super::output::say;
use crate::events::event::Event;
use crate::events::filter::Filter;
use crate::events::history::History;
use crate::server::client::{self, Outcome, accepted, unexpected};
use crate::server::paths::Paths;
use crate::server::protocol::{Request, Response};
use crate::server::wire::Connection;

/// Who takes events.
pub trait Sink {
    /// Takes an event. Whether more is wanted.
    fn take(&mut self, event: Event) -> Result<bool, Failure>;

    /// How long the next event may take, in milliseconds, until [`Self::pause`] is asked.
    fn patience(&self) -> Option<u16> {
        None
    }

    /// Nothing came for so long. Whether more is wanted.
    fn pause(&mut self) -> Result<bool, Failure> {
        Ok(true)
    }

    /// All that there was of the past has been taken. Whether more is wanted.
    fn caught_up(&mut self) -> Result<bool, Failure> {
        Ok(true)
    }
}

/// Which events.
#[derive(Clone, Copy, Debug)]
pub struct Stream<'a> {
    /// Where the logs and the server are.
    pub paths: &'a Paths,
    /// Which are wanted.
    pub filter: &'a Filter,
    /// Whether those of the past are.
    pub past: bool,
    /// Whether it goes on with those to come.
    pub follow: bool,
}

impl Stream<'_> {
    /// Hands them over, until all are or no more is wanted.
    pub fn hand_over(self, sink: &mut impl Sink) -> Result<(), Failure> {
        // First get in line, then look back, so that nothing falls in between. Up to the id that
        // the server says the past is taken, and the server sends all the rest.
        let follow = || {
            self.follow
                .then(|| client::converse(self.paths, |it| follow(it, self.filter)))
                .transpose()
        };
        // No event up to this id is to be taken any more. Ids sort in the order of events.
        let mut last = String::new();
        let mut has_past = self.past;
        loop {
            let following = follow()?;
            let until = following.as_ref().map(|(_, after)| after.as_str());
            if has_past && !self.past(sink, &mut last, until)? {
                return Ok(());
            }
            if !sink.caught_up()? {
                return Ok(());
            }
            let Some((mut connection, after)) = following else {
                return Ok(());
            };
            last = last.max(after);
            if !stream(sink, &mut last, &mut connection)? {
                return Ok(());
            }
            // That server has left or died. What happened since then is in the logs.
            has_past = true;
        }
    }

    /// Hands over what the logs hold and has not been, up to an id. Whether more is wanted.
    fn past(
        self,
        sink: &mut impl Sink,
        last: &mut String,
        until: Option<&str>,
    ) -> Result<bool, Failure> {
        let directory = &self.paths.log;
        let session = self.filter.session.as_deref();
        let cannot = |error: io::Error| {
            Failure::guard(format!(
                "The logs in {} can't be read: {error}.",
                directory.display()
            ))
        };
        let mut history = History::open(directory, session, self.filter.since).map_err(cannot)?;
        let after = last.clone();
        for event in history.by_ref() {
            let is_due = event.id > after && until.is_none_or(|until| *event.id <= *until);
            if is_due && self.filter.wants(&event) && !take(sink, last, event)? {
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

/// A connection that events come on, and the id up to which they are in the logs.
fn follow(mut connection: Connection, filter: &Filter) -> Result<(Connection, String), Outcome> {
    let filter = Filter {
        since: None,
        ..filter.clone()
    };
    connection.send(&Request::Follow(filter), None)?;
    match accepted(connection.receive()?)? {
        Response::Following { after } => Ok((connection, after)),
        response => Err(unexpected(&response).into()),
    }
}

/// Hands over what a server sends until it hangs up. Whether more is wanted.
fn stream(
    sink: &mut impl Sink,
    last: &mut String,
    connection: &mut Connection,
) -> Result<bool, Failure> {
    loop {
        let response = match connection
            .receive_within(sink.patience())
            .map_err(Outcome::from)
        {
            Ok(Some(response)) => response,
            Ok(None) => {
                if !sink.pause()? {
                    return Ok(false);
                }
                continue;
            }
            Err(Outcome::Again) => return Ok(true),
            Err(Outcome::Failed(failure)) => return Err(failure),
        };
        match response {
            Response::Event(event) => {
                if !take(sink, last, read(event)?)? {
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

fn take(sink: &mut impl Sink, last: &mut String, event: Event) -> Result<bool, Failure> {
    last.clone_from(&event.id);
    sink.take(event)
}

fn read(event: Value) -> Result<Event, Failure> {
    serde_json::from_value(event).map_err(|error| {
        Failure::guard(format!(
            "Guard's server sent an event that can't be understood: {error}."
        ))
    })
}
