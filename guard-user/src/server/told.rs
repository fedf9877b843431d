//! What a session can be told of its own refusals: the last receipts, and the file that holds them.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::core::log;
use super::runtime;
use crate::events::event::Event;
use crate::events::receipts::Receipts;

/// How long the file is left as it is after it was written: a session that is refused much makes much
/// work of it otherwise.
const REST: Duration = Duration::from_millis(100);

/// What a session can be told.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub receipts: Receipts,
    /// Where the file is, and whose.
    place: Option<(PathBuf, u32)>,
    /// Whether the file lacks something.
    is_behind: bool,
    written: Option<Instant>,
    has_failed: bool,
}

impl Told {
    /// Begins a file for a user in a directory.
    pub fn keep_in(&mut self, directory: PathBuf, uid: u32) {
        self.place = Some((directory, uid));
        self.is_behind = true;
    }

    /// Takes note of an event of the session's.
    pub fn add(&mut self, event: &Event) {
        self.is_behind |= self.receipts.add(event);
    }

    /// When the file is to be written; none when it has everything.
    pub fn due(&self) -> Option<Instant> {
        let is_behind = self.is_behind && self.place.is_some();
        let written = self.written.map(|written| written + REST);
        is_behind.then(|| written.unwrap_or_else(Instant::now))
    }

    /// Writes the file if its time has come.
    pub fn write(&mut self, session: &str, now: Instant) {
        let rests = self.written.is_some_and(|written| now < written + REST);
        let Some((directory, uid)) = self.place.as_ref().filter(|_| self.is_behind && !rests)
        else {
            return;
        };
        let text = self.receipts.text(session);
        let written = runtime::write_receipts(directory, *uid, &text);
        if let Err(error) = &written
            && !self.has_failed
        {
            log(&format!(
                "the receipts of session {session} can't be written to {}: {error}",
                directory.display()
            ));
        }
        self.has_failed = written.is_err();
        self.is_behind = false;
        self.written = Some(now);
    }
}
