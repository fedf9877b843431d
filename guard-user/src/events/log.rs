//! The log of a session: a file of JSON lines that is only ever appended to.
//!
//! Nothing that goes wrong here stops anything: an event that can't be written is counted,
//! and the loss is said when it begins and, with the number, when it is over. Why the limit
//! and no rotation: `docs/events.md`.

use super::event::{Body, Event, Level, Loss, Lost, Notice, SessionStep};
use super::time::Time;
use std::fmt::Debug;
use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Where the logs are.
pub const DIRECTORY: &str = "/var/log/guard";

/// How large the log of a session can become, in bytes.
pub const LIMIT: u64 = 128 << 20;

/// Room beyond the limit for what must not be missing: the session's end and what was lost.
const RESERVE: u64 = 1 << 20;

/// The log of one session.
pub struct Log<W = File> {
    path: PathBuf,
    open: Open<W>,
    out: Option<W>,
    /// Whether the file may end within a line.
    torn: bool,
    size: u64,
    limit: u64,
    /// Whether the limit has been reached.
    full: bool,
    missing: u64,
    why: String,
}

/// How a log is opened.
type Open<W> = Box<dyn FnMut(&Path) -> io::Result<Opened<W>> + Send>;

/// A log's file when it has been opened.
#[derive(Debug)]
pub struct Opened<W> {
    /// What is written to.
    pub out: W,
    /// How many bytes there are already.
    pub size: u64,
    /// Whether they end within a line.
    pub torn: bool,
}

impl<W> Debug for Log<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log")
            .field("path", &self.path)
            .field("size", &self.size)
            .field("missing", &self.missing)
            .finish_non_exhaustive()
    }
}

impl Log<File> {
    /// The log of a new session. The file is made with the first event; when that fails, it
    /// is tried again with each one.
    #[must_use]
    pub fn create(directory: &Path, session: &str, start: Time) -> Self {
        Self::with(path(directory, session, start), LIMIT, |path| {
            prepare(path)?;
            open(path, true)
        })
    }

    /// The log of a session that a server before this one began; for [`path`].
    #[must_use]
    pub fn reopen(path: PathBuf) -> Self {
        Self::with(path, LIMIT, |path| {
            prepare(path)?;
            // It may have been removed, or never have been made.
            open(path, false).or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => open(path, true),
                _ => Err(error),
            })
        })
    }
}

impl<W: Write> Log<W> {
    /// A log that `open` opens when something is to be written.
    pub fn with(
        path: PathBuf,
        limit: u64,
        open: impl FnMut(&Path) -> io::Result<Opened<W>> + Send + 'static,
    ) -> Self {
        Self {
            path,
            open: Box::new(open),
            out: None,
            torn: false,
            size: 0,
            limit,
            full: false,
            missing: 0,
            why: String::new(),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many events are missing since it began to fail.
    #[must_use]
    pub const fn missing(&self) -> u64 {
        self.missing
    }

    /// Appends an event. What comes back is to be announced for the session: that the log
    /// has begun to fail, or that it works again and how many events are missing.
    pub fn append(&mut self, event: &Event) -> Option<Body> {
        match self.try_append(event) {
            // What fits into the reserve is no sign that verdicts fit again. They never will,
            // so what is missing is said at the end.
            Ok(()) if self.full && !is_end(event) => None,
            Ok(()) => self.recovered(),
            Err(error) => self.failed(&error),
        }
    }

    /// What is to be announced when nothing more will be written: events that are missing
    /// and that nobody has been told the number of.
    pub fn close(&mut self) -> Option<Body> {
        self.recovered()
    }

    fn recovered(&mut self) -> Option<Body> {
        let count = std::mem::take(&mut self.missing);
        (count > 0).then(|| {
            Body::Lost(Loss {
                what: Lost::Log,
                operation: None,
                count,
                because: std::mem::take(&mut self.why),
            })
        })
    }

    fn failed(&mut self, error: &io::Error) -> Option<Body> {
        self.missing += 1;
        if self.missing > 1 {
            return None;
        }
        self.why = error.to_string();
        Some(Body::Notice(Notice {
            level: Level::Warning,
            message: format!(
                "events are not written to {}: {error}; enforcement goes on, and what is \
                 missing is counted",
                self.path.display()
            ),
        }))
    }

    fn try_append(&mut self, event: &Event) -> io::Result<()> {
        let mut out = if let Some(out) = self.out.take() {
            out
        } else {
            let opened = (self.open)(&self.path)?;
            (self.size, self.torn) = (opened.size, opened.torn);
            opened.out
        };
        let result = self.write(&mut out, event);
        self.out = Some(out);
        result
    }

    fn write(&mut self, out: &mut W, event: &Event) -> io::Result<()> {
        let mut line = Vec::new();
        if self.torn {
            line.push(b'\n');
        }
        line.extend_from_slice(event.to_line().as_bytes());
        line.push(b'\n');
        let limit = match event.body {
            Body::Verdict(_) => self.limit,
            _ => self.limit + RESERVE,
        };
        if self.size + line.len() as u64 > limit {
            self.full = true;
            let mebibytes = self.limit >> 20;
            return Err(io::Error::new(
                io::ErrorKind::QuotaExceeded,
                format!("the log has reached its limit of {mebibytes} MiB"),
            ));
        }
        let mut written = 0;
        let result = loop {
            match out.write(&line[written..]) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(more) => written += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
            if written == line.len() {
                break Ok(());
            }
        };
        self.size += written as u64;
        if written > 0 {
            self.torn = result.is_err();
        }
        result
    }
}

fn is_end(event: &Event) -> bool {
    matches!(&event.body, Body::Session(change) if change.change == SessionStep::Ended)
}

/// Where the log of a session is: `NAME-START.jsonl`, with nothing in the name that means
/// something in a path.
#[must_use]
pub fn path(directory: &Path, session: &str, start: Time) -> PathBuf {
    directory.join(format!("{}-{}.jsonl", safe_name(session), start.stamp()))
}

/// A session's name as the names of its logs have it.
pub(super) fn safe_name(session: &str) -> String {
    let safe: String = session
        .chars()
        .map(|character| match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' | '.' => character,
            _ => '_',
        })
        .take(128)
        .collect();
    match safe.strip_prefix('.') {
        Some(rest) => format!("_{rest}"),
        None => safe,
    }
}

/// Makes the directory, or makes sure that nobody else can do anything in it.
fn prepare(path: &Path) -> io::Result<()> {
    let Some(directory) = path.parent() else {
        return Ok(());
    };
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let found = std::fs::symlink_metadata(directory)?;
    let wrong = if !found.is_dir() {
        "is not a directory"
    } else if found.uid() != nix::unistd::geteuid().as_raw() {
        "belongs to another user"
    } else {
        if found.mode() & 0o077 != 0 {
            std::fs::set_permissions(directory, Permissions::from_mode(0o700))?;
        }
        return Ok(());
    };
    let directory = directory.display();
    Err(io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!("{directory} {wrong}; move it out of the way"),
    ))
}

fn open(path: &Path, new: bool) -> io::Result<Opened<File>> {
    let mut out = File::options()
        .read(true)
        .append(true)
        .create_new(new)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK)
        .open(path)?;
    let found = out.metadata()?;
    if !found.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{} is not a file", path.display()),
        ));
    }
    let mut last = [b'\n'];
    if found.len() > 0 {
        out.seek(SeekFrom::End(-1))?;
        out.read_exact(&mut last)?;
    }
    Ok(Opened {
        out,
        size: found.len(),
        torn: last != [b'\n'],
    })
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
