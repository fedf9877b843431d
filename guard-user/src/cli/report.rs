//! `guard report`: what a session did and what was refused, to be read by a person.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::fchown;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use tempfile::NamedTempFile;

use super::exit::{Exit, Failure};
use super::output::print;
use crate::events::history::logs;
use crate::events::text::escaped;
use crate::events::time::Time;
use crate::report::html::page;
use crate::report::text::{Look, text};
use crate::report::{self, End};
use crate::server::client::{self, ask_on};
use crate::server::paths::Paths;
use crate::server::protocol::{Request, Response};
use crate::session::name::Name;

/// How many logs are listed when none of them is the one that is asked for.
const LISTED: usize = 10;

/// Report what a session did and what was refused
///
/// Over time, by rule, by target and by command, with what is notable one by one. Made of the
/// session's log, while it runs or after it has ended.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The session's name, or the path of a log
    #[arg(value_name = "SESSION", value_hint = clap::ValueHint::FilePath)]
    session: String,
    /// Of several sessions of this name the one whose log's name has this START, or begins with it
    /// (20261122T14); the last one otherwise
    #[arg(long, value_name = "START")]
    start: Option<String>,
    /// As a page for a browser: one file, without scripts, that loads nothing
    #[arg(long)]
    html: bool,
    /// Write it to this file
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    output: Option<PathBuf>,
}

/// Makes the report.
pub fn run(raw: &Arguments) -> Result<Exit, Failure> {
    let paths = Paths::system();
    let log = if raw.session.contains('/') {
        PathBuf::from(&raw.session)
    } else {
        super::require_root()?;
        let name = Name::new(&raw.session).map_err(|error| Failure::usage(error.to_string()))?;
        choose(&paths.log, &name, raw.start.as_deref())?
    };
    // Asked before it is read: a session that ends meanwhile says so in its log.
    let runs = runs(&paths, &log);
    let mut report = report::read(&log).map_err(|error| {
        Failure::usage(format!("The log {} can't be read: {error}.", log.display()))
    })?;
    if report.span.is_none() {
        return Err(Failure::usage(format!(
            "There are no events in {}: it is no log of guard's, or nothing has been written to it \
             yet.",
            log.display()
        )));
    }
    if runs && report.end == End::Unknown {
        report.end = End::Running;
    }
    let zone = TimeZone::system();
    let made = if raw.html {
        page(&report, &zone, Time::now())
    } else {
        let look = match raw.output {
            None => Look::of_stdout(),
            Some(_) => Look::of_file(),
        };
        text(&report, &zone, look)
    };
    match &raw.output {
        None => {
            print(&made)?;
        }
        Some(file) => write(file, &made).map_err(|error| {
            Failure::guard(format!("{} can't be written: {error}.", file.display()))
        })?,
    }
    Ok(Exit::Success)
}

/// The log that is meant.
fn choose(directory: &Path, name: &Name, start: Option<&str>) -> Result<PathBuf, Failure> {
    let mut logs = logs(directory, Some(name.as_str())).map_err(|error| {
        Failure::guard(format!(
            "The logs in {} can't be read: {error}.",
            directory.display()
        ))
    })?;
    if logs.is_empty() {
        return Err(Failure::usage(format!(
            "There is no log of a session \"{name}\" in {}.",
            directory.display()
        )));
    }
    let Some(start) = start else {
        let last = logs.pop().map(|(_, log)| log);
        return Ok(last.expect("there is one"));
    };
    let mut meant: Vec<_> = logs
        .iter()
        .filter(|(time, _)| time.stamp().starts_with(start))
        .collect();
    match (meant.pop(), meant.is_empty()) {
        (Some((_, log)), true) => Ok(log.clone()),
        (found, _) => {
            let how_many = if found.is_some() {
                "Several logs"
            } else {
                "No log"
            };
            let mut message = format!(
                "{how_many} of a session \"{name}\" began at {}; those that there are:",
                escaped(start.as_bytes())
            );
            let listed = logs.iter().rev().take(LISTED);
            for (time, _) in listed {
                let _ = write!(message, "\n  --start {}", time.stamp());
            }
            if logs.len() > LISTED {
                let _ = write!(message, "\nand {} earlier ones.", logs.len() - LISTED);
            }
            Err(Failure::usage(message))
        }
    }
}

/// Whether the session of a log runs, as far as a server knows. None is started to be asked.
fn runs(paths: &Paths, log: &Path) -> bool {
    let Ok(Some(connection)) = client::find(paths) else {
        return false;
    };
    match ask_on(connection, &Request::Status) {
        Ok(Response::Status(status)) => status.sessions.iter().any(|other| other.log == log),
        _ => false,
    }
}

/// Writes a file that is there whole or not at all, in place of whatever had its name, also of a
/// link. Under sudo it belongs to the invoking user, and in any case to nobody else.
fn write(file: &Path, text: &str) -> std::io::Result<()> {
    let directory = match file.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let mut new = NamedTempFile::new_in(directory)?;
    new.write_all(text.as_bytes())?;
    hand_over(new.as_file())?;
    new.persist(file)?;
    Ok(())
}

fn hand_over(file: &File) -> std::io::Result<()> {
    let number = |name| std::env::var(name).ok()?.parse::<u32>().ok();
    match (number("SUDO_UID"), number("SUDO_GID")) {
        (Some(user), Some(group)) if nix::unistd::geteuid().is_root() => {
            fchown(file, Some(user), Some(group))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::log::Log;
    use crate::events::samples;
    use std::os::unix::fs::{MetadataExt, symlink};

    /// Two sessions of one name, and one of another.
    fn directory() -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        for (name, start) in [
            ("work", "2026-11-22T14:00:00Z"),
            ("work", "2026-11-22T14:30:00Z"),
            ("work-2", "2026-11-22T15:00:00Z"),
        ] {
            let mut log = Log::create(home.path(), name, Time::parse(start).unwrap());
            assert_eq!(log.append(&samples::named("started")), None);
        }
        home
    }

    fn chosen(start: Option<&str>) -> Result<String, String> {
        let home = directory();
        let name = Name::new("work").unwrap();
        let log = choose(home.path(), &name, start).map_err(|failure| failure.message)?;
        Ok(log.file_name().unwrap().to_str().unwrap().to_owned())
    }

    #[test]
    fn the_newest_log_is_meant_unless_a_start_is_given() {
        let newest = "work-20261122T143000000Z.jsonl";
        assert_eq!(chosen(None).unwrap(), newest);
        assert_eq!(chosen(Some("20261122T143")).unwrap(), newest);
        assert_eq!(
            chosen(Some("20261122T140000000Z")).unwrap(),
            "work-20261122T140000000Z.jsonl"
        );
        let list = "those that there are:\n  --start 20261122T143000000Z\n  --start \
                    20261122T140000000Z";
        assert_eq!(
            chosen(Some("20261122")).unwrap_err(),
            format!("Several logs of a session \"work\" began at 20261122; {list}")
        );
        let none = chosen(Some("2027")).unwrap_err();
        assert!(
            none.starts_with("No log of a session \"work\" began at 2027"),
            "{none}"
        );
        let home = tempfile::tempdir().unwrap();
        let failure = choose(home.path(), &Name::new("work").unwrap(), None).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
    }

    /// A session could have put a link there.
    #[test]
    fn a_link_is_replaced_and_not_followed() {
        let home = tempfile::tempdir().unwrap();
        let (other, file) = (home.path().join("other"), home.path().join("report.html"));
        std::fs::write(&other, "whole").unwrap();
        symlink(&other, &file).unwrap();
        write(&file, "page").unwrap();
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "whole");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "page");
        let metadata = file.symlink_metadata().unwrap();
        assert!(metadata.is_file());
        assert_eq!(metadata.mode() & 0o777, 0o600);
    }

    #[test]
    fn what_is_no_log_is_said_to_be_none() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("notes.txt");
        std::fs::write(&file, "notes\n").unwrap();
        let arguments = |session: &Path| Arguments {
            session: session.display().to_string(),
            start: None,
            html: false,
            output: None,
        };
        for (path, part) in [
            (&*file, "no log of guard's"),
            (home.path(), "no log of guard's"),
            (&home.path().join("none"), "can't be read"),
        ] {
            let failure = run(&arguments(path)).unwrap_err();
            assert!(failure.message.contains(part), "{failure}");
        }
    }
}
