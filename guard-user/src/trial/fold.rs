//! What many events have in common, for people: targets by place, and the first of them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::places::{Extent, Places};
use super::width::Width;
use crate::events::event::{Event, Judged, Process, Target};
use crate::events::shown;
use crate::events::text::{bytes, escaped};
use crate::events::time::Time;

/// Targets that belong together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Where {
    /// A path, `DIRECTORY/*`, `DIRECTORY/**`, an executable and whose process it is, a socket or a
    /// part of the machine.
    pub what: String,
    /// How many different ones.
    pub targets: u64,
}

/// One of the operations, for an example.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct First {
    /// Its event.
    pub id: String,
    /// When.
    pub time: Time,
    /// By whom.
    pub actor: Process,
    /// To what.
    pub target: Target,
}

/// Targets that are summed up.
#[derive(Debug, Default)]
pub struct Targets {
    files: Places,
    /// What else there is, by what it is called: the different ones.
    others: BTreeMap<String, BTreeSet<u64>>,
}

impl Targets {
    /// Adds one.
    pub fn add(&mut self, target: &Target) {
        match place(target) {
            Placed::File(path) => self.files.add(&path, 1),
            Placed::Other(name, which) => {
                self.others.entry(name).or_default().insert(which);
            }
        }
    }

    /// Where they are, the place with the most of them first.
    #[must_use]
    pub fn summed_up(&self, width: &Width) -> Vec<Where> {
        let files = self.files.summed_up(&|path| width.is_narrow(path));
        let files = files.into_iter().map(|place| {
            let mut what = escaped(place.path.as_os_str().as_bytes());
            what.push_str(match place.extent {
                Extent::Itself => "",
                Extent::Inside => "/*",
                Extent::Below => "/**",
            });
            Where {
                what,
                targets: place.paths,
            }
        });
        let others = self.others.iter().map(|(what, which)| Where {
            what: what.clone(),
            targets: which.len() as u64,
        });
        let mut places: Vec<_> = files.chain(others).collect();
        places.sort_by_key(|place| std::cmp::Reverse(place.targets));
        places
    }
}

impl First {
    /// An event with one of its targets.
    #[must_use]
    pub fn of(event: &Event, judged: &Judged, target: &Target) -> Self {
        Self {
            id: event.id.clone(),
            time: event.time,
            actor: judged.actor.clone(),
            target: target.clone(),
        }
    }
}

/// The targets that an event names.
pub fn targets(judged: &Judged) -> impl Iterator<Item = &Target> {
    std::iter::once(&judged.target).chain(&judged.targets)
}

/// How many targets an event does not name.
pub fn unnamed(judged: &Judged) -> u64 {
    judged.others.saturating_sub(judged.targets.len() as u64)
}

/// What a target is called, escaped.
#[must_use]
pub fn named(target: &Target) -> String {
    match place(target) {
        Placed::File(path) => escaped(path.as_os_str().as_bytes()),
        Placed::Other(name, _) => name,
    }
}

/// What a target belongs to.
enum Placed {
    File(PathBuf),
    /// What it is called, and what tells it from others that are called alike.
    Other(String, u64),
}

fn place(target: &Target) -> Placed {
    match target {
        Target::File(file) => {
            let path = bytes("path", &file.path, &file.raw);
            let path = Path::new(OsStr::from_bytes(&path));
            if path.is_absolute() {
                Placed::File(path.to_owned())
            } else {
                // Its beginning is not known, or it lies where it can't be seen.
                Placed::Other(escaped(path.as_os_str().as_bytes()), 0)
            }
        }
        Target::Process(process) => {
            let program = match &process.exe {
                Some(exe) => escaped(&bytes("exe", exe, &process.raw)),
                None => escaped(&bytes("comm", &process.comm, &process.raw)),
            };
            let user = process.user.clone();
            let user = user.unwrap_or_else(|| process.uid.to_string());
            let name = format!("{program} of {}", escaped(user.as_bytes()));
            Placed::Other(name, process.pid.into())
        }
        Target::Socket(socket) => Placed::Other(shown::socket(socket), 0),
        Target::Machine(machine) => {
            let through = shown::machine(machine);
            let facility = machine.facility.name();
            let name = if through.is_empty() {
                facility.to_owned()
            } else {
                format!("{facility} ({through})")
            };
            Placed::Other(name, 0)
        }
    }
}
