//! Watches processes and files while a step runs, from where nothing that happens to the other
//! processes of the machine can stop it.
//!
//! Scripts list what is to be watched, one a line: a name, a tab, and `pid:NUMBER` or
//! `path:FILE`. What the step is at stands in another file. What goes out is what was seen, as it
//! was seen: `{"gone":NAME,"during":…}` and `{"traced":NAME,"by":…,"during":…}`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::report::Report;

/// The lists. They may grow while the step runs; the second is for what is being watched.
pub const LISTS: [&str; 2] = ["/run/guard-tests/watch", "/tmp/guard-tests.watch"];

/// What the step is at.
pub const STEP: &str = "/tmp/guard-tests.step";

/// The things that are watched.
#[derive(Debug, Default)]
pub struct Watch {
    seen: [String; 2],
    things: Vec<Thing>,
    traced: BTreeSet<String>,
}

#[derive(Debug)]
struct Thing {
    name: String,
    what: What,
}

#[derive(Debug)]
enum What {
    /// A process by number and start time: a number may be given out again.
    Process {
        pid: u32,
        started: String,
    },
    File(PathBuf),
}

impl Watch {
    /// Begins with what is listed by now.
    pub fn begin() -> anyhow::Result<Self> {
        let mut watch = Self::default();
        watch.read();
        Ok(watch)
    }

    /// Looks once, and reports what is different.
    pub fn look(&mut self, report: &mut Report) -> anyhow::Result<()> {
        self.read();
        let step = || {
            fs::read_to_string(STEP)
                .unwrap_or_default()
                .trim()
                .to_owned()
        };
        for thing in &self.things {
            if let What::Process { pid, .. } = thing.what
                && let Some(tracer) = tracer(pid)
                && self.traced.insert(thing.name.clone())
            {
                report.line(&json!({ "traced": thing.name, "by": tracer, "during": step() }))?;
            }
        }
        let (there, gone) = std::mem::take(&mut self.things)
            .into_iter()
            .partition(Thing::is_there);
        self.things = there;
        for thing in gone {
            report.line(&json!({ "gone": thing.name, "during": step() }))?;
        }
        Ok(())
    }

    /// Takes in the lines that are new.
    fn read(&mut self) {
        for (file, seen) in LISTS.iter().zip(&mut self.seen) {
            let list = fs::read_to_string(file).unwrap_or_default();
            let whole = &list[..list.rfind('\n').map_or(0, |end| end + 1)];
            for line in whole.strip_prefix(seen.as_str()).unwrap_or(whole).lines() {
                if let Some((name, what)) = line.split_once('\t')
                    && let Some(what) = What::parse(what)
                {
                    self.things.push(Thing {
                        name: name.to_owned(),
                        what,
                    });
                }
            }
            whole.clone_into(seen);
        }
    }
}

impl Thing {
    fn is_there(&self) -> bool {
        match &self.what {
            What::Process { pid, started } => start(*pid).as_ref() == Some(started),
            What::File(path) => path.symlink_metadata().is_ok(),
        }
    }
}

impl What {
    fn parse(text: &str) -> Option<Self> {
        let (kind, what) = text.split_once(':')?;
        match kind {
            "pid" => {
                let pid = what.parse().ok()?;
                // One that is gone already never had a time that it could have now.
                let started = start(pid).unwrap_or_default();
                Some(Self::Process { pid, started })
            }
            "path" => Some(Self::File(PathBuf::from(what))),
            _ => None,
        }
    }
}

/// When a process was started; `None` when it is gone or a zombie.
fn start(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    // The 22nd field of all, the 20th from the state on.
    (!matches!(state, "Z" | "X")).then(|| fields.nth(18).unwrap_or_default().to_owned())
}

/// The name of the process that traces this one.
fn tracer(pid: u32) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let tracer = status
        .lines()
        .find_map(|line| line.strip_prefix("TracerPid:"))?
        .trim();
    if tracer == "0" {
        return None;
    }
    let name = fs::read_to_string(Path::new("/proc").join(tracer).join("comm"));
    Some(name.map_or_else(|_| tracer.to_owned(), |name| name.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start() {
        let own = std::process::id();
        assert!(start(own).is_some_and(|time| time.parse::<u64>().is_ok()));
        assert!(start(u32::MAX).is_none());
        assert!(
            matches!(What::parse("path:/a b"), Some(What::File(path)) if path == Path::new("/a b"))
        );
        assert!(What::parse("pid:x").is_none());
    }
}
