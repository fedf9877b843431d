//! The past: events read back from the logs, in the order in which they were written.

use super::event::Event;
use super::log::safe_name;
use super::time::Time;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The longest line that is read, in bytes. The events that guard writes are far shorter.
const MAX_LINE: u64 = 1 << 20;

/// The events of one log.
#[derive(Debug)]
pub struct Reader {
    lines: BufReader<File>,
    since: Option<Time>,
    unreadable: u64,
}

/// Reads the events of a log that happened at a time or later; all without one.
///
/// Lines that are no events (one that was cut off, or of a later version) are passed over.
pub fn read_since(path: &Path, since: Option<Time>) -> io::Result<Reader> {
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK)
        .open(path)?;
    Ok(Reader {
        lines: BufReader::new(file),
        since,
        unreadable: 0,
    })
}

impl Reader {
    /// How many lines were passed over so far.
    #[must_use]
    pub const fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// The next line without its newline; `None` at the end, and when it can't be read.
    fn line(&mut self) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        let read = (&mut self.lines)
            .take(MAX_LINE)
            .read_until(b'\n', &mut line);
        let Ok(read) = read else {
            self.unreadable += 1;
            return None;
        };
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        (read > 0).then_some(line)
    }
}

impl Iterator for Reader {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        loop {
            let line = self.line()?;
            match Event::from_line(&line) {
                Ok(event) if self.since.is_none_or(|since| event.latest() >= since) => {
                    return Some(event);
                }
                Ok(_) => {}
                Err(_) if line.is_empty() => {}
                Err(_) => self.unreadable += 1,
            }
        }
    }
}

/// The events of all logs in a directory, merged.
///
/// A log is opened when its time has come, so few are open at once.
#[derive(Debug)]
pub struct History {
    /// Logs that begin later, the latest first.
    waiting: Vec<(Time, PathBuf)>,
    since: Option<Time>,
    open: Vec<(Event, Reader)>,
    /// The id of the last event that was handed out.
    last: Option<String>,
    unreadable: u64,
}

impl History {
    /// The logs of one session's name, or of all, as far as they reach beyond a time.
    ///
    /// A directory that does not exist has no logs. What can't be read is passed over, and
    /// counted in [`Self::unreadable`].
    pub fn open(directory: &Path, session: Option<&str>, since: Option<Time>) -> io::Result<Self> {
        let mut history = Self {
            waiting: Vec::new(),
            since,
            open: Vec::new(),
            last: None,
            unreadable: 0,
        };
        for (start, path) in logs(directory, session)? {
            // Nothing happened in a log after it was last written to.
            let written = path.symlink_metadata().map_or(i64::MAX, |it| it.mtime());
            if since.is_none_or(|since| written.saturating_add(1) >= since.milliseconds() / 1000) {
                history.waiting.push((start, path));
            }
        }
        history.waiting.reverse();
        Ok(history)
    }

    /// Whether no log is left to be read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.open.is_empty()
    }

    /// How many lines and files were passed over so far.
    #[must_use]
    pub fn unreadable(&self) -> u64 {
        let lines = self.open.iter().map(|(_, reader)| reader.unreadable());
        self.unreadable + lines.sum::<u64>()
    }

    /// Takes the next event of a log, if there is one, into the merge.
    fn advance(&mut self, mut reader: Reader) {
        match reader.next() {
            Some(event) => self.open.push((event, reader)),
            None => self.unreadable += reader.unreadable(),
        }
    }

    /// Opens the logs that begin before the earliest event so far.
    fn open_waiting(&mut self) {
        while let Some((start, _)) = self.waiting.last() {
            let reached = self
                .open
                .iter()
                .map(|(event, _)| event.latest())
                .min()
                .is_none_or(|earliest| *start <= earliest);
            if !reached {
                return;
            }
            let Some((_, path)) = self.waiting.pop() else {
                return;
            };
            match read_since(&path, self.since) {
                Ok(reader) => self.advance(reader),
                Err(_) => self.unreadable += 1,
            }
        }
    }
}

impl Iterator for History {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        loop {
            self.open_waiting();
            let (at, _) = self
                .open
                .iter()
                .enumerate()
                .min_by(|(_, (one, _)), (_, (other, _))| one.id.cmp(&other.id))?;
            let (event, reader) = self.open.swap_remove(at);
            self.advance(reader);
            // What concerns the host stands in the log of every session.
            let is_again = event.session.is_none() && self.last.as_ref() == Some(&event.id);
            if !is_again {
                self.last = Some(event.id.clone());
                return Some(event);
            }
        }
    }
}

/// The logs in a directory of one session's name, or all, with their starts: the earliest first.
///
/// A directory that does not exist has none.
pub fn logs(directory: &Path, session: Option<&str>) -> io::Result<Vec<(Time, PathBuf)>> {
    let wanted = session.map(safe_name);
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut logs = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let Some((session, start)) = name.to_str().and_then(parse_name) else {
            continue;
        };
        if wanted.as_deref().is_none_or(|wanted| wanted == session) {
            logs.push((start, entry.path()));
        }
    }
    logs.sort();
    Ok(logs)
}

/// The session and the start that a log's name tells.
fn parse_name(name: &str) -> Option<(&str, Time)> {
    let (session, start) = name.strip_suffix(".jsonl")?.rsplit_once('-')?;
    Some((session, Time::parse_stamp(start)?))
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
