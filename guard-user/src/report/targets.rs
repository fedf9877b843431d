//! What operations were done to, folded so that a person can read it: files to their directories,
//! processes to their service or program, the machine to its facilities. In bounded memory.
//!
//! A burst names its first few targets. What it did to the others is counted apart and put under no
//! target that the log does not name.

use super::most::{Most, Ranking, rank};
use super::tally::{Outcome, Tally};
use crate::events::event::{Judged, Process, Target};
use crate::events::shown;
use crate::events::text::{bytes, escaped};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// How many places files are told apart by while a log is read.
const ROOM: usize = 1024;

/// How many directories deep they are told apart.
const DEEPEST: usize = 24;

/// What operations were done to; names are escaped.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// A file or directory.
    File(String),
    /// What lies below a directory; its path ends with a slash.
    Below(String),
    /// The processes of a unit of systemd's.
    Unit(String),
    /// Processes of a program and a user.
    Program {
        /// The program's name.
        name: String,
        /// The user's.
        user: String,
    },
    /// The kernel's own threads.
    Kernel,
    /// A socket.
    Socket(String),
    /// A facility of the machine.
    Facility(&'static str),
}

impl Place {
    /// What kind of thing it is.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Below(_) => "files",
            Self::Unit(_) => "service",
            Self::Program { .. } => "processes",
            Self::Kernel => "kernel",
            Self::Socket(_) => "socket",
            Self::Facility(_) => "machine",
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::File(path) | Self::Socket(path) => path.clone(),
            Self::Below(path) => format!("{path}…"),
            Self::Unit(unit) => unit.clone(),
            Self::Program { name, user } => format!("{name} of {user}"),
            Self::Kernel => "kernel threads".to_owned(),
            Self::Facility(name) => (*name).to_owned(),
        }
    }
}

/// Counts by target.
#[derive(Debug, Default)]
pub struct Targets {
    files: BTreeMap<Node, Tally>,
    others: Most<Place>,
    unnamed: Tally,
}

/// A file, or what lies below a directory. The path is escaped; that of a directory ends with a slash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Node {
    path: String,
    is_folded: bool,
}

impl Targets {
    /// Counts what was done to the targets of an event.
    pub fn add(&mut self, outcome: Outcome, judged: &Judged) {
        let tally = |count| Tally::of(outcome, judged.operation, count);
        let named: Vec<_> = std::iter::once(&judged.target)
            .chain(&judged.targets)
            .collect();
        if judged.others == 0 {
            self.add_one(&judged.target, &tally(judged.count));
            return;
        }
        // Each was met once at least; who was met again is not told.
        let met = judged.count.min(named.len() as u64);
        for target in named.into_iter().take(met as usize) {
            self.add_one(target, &tally(1));
        }
        self.unnamed.add(&tally(judged.count - met));
    }

    fn add_one(&mut self, target: &Target, tally: &Tally) {
        let place = match target {
            Target::File(file) => {
                let path = escaped(&bytes("path", &file.path, &file.raw));
                let node = Node::new(&path, file.directory);
                self.files.entry(node).or_default().add(tally);
                if self.files.len() > ROOM {
                    thin_out(&mut self.files);
                }
                return;
            }
            Target::Process(process) => processes(process),
            Target::Socket(socket) => Place::Socket(shown::socket(socket)),
            Target::Machine(machine) => Place::Facility(machine.facility.name()),
        };
        self.others.add(place, tally);
    }

    /// The so many most frequent ones, with what was done to targets that the log doesn't name.
    #[must_use]
    pub fn ranking(mut self, most: usize) -> (Ranking<Place>, Tally) {
        fold(&mut self.files, most);
        let Ranking {
            mut rows,
            rest,
            is_exact,
            others,
        } = self.others.ranking(usize::MAX);
        debug_assert_eq!(others, 0);
        rows.extend(
            self.files
                .iter()
                .map(|(node, tally)| (node.place(), *tally)),
        );
        (rank(rows, rest, is_exact, most), self.unnamed)
    }
}

impl Node {
    fn new(path: &str, is_directory: bool) -> Self {
        if let Some((end, _)) = path.match_indices('/').nth(DEEPEST) {
            return Self {
                path: path[..=end].to_owned(),
                is_folded: true,
            };
        }
        let slash = if is_directory && !path.ends_with('/') {
            "/"
        } else {
            ""
        };
        Self {
            path: format!("{path}{slash}"),
            is_folded: false,
        }
    }

    fn everything() -> Self {
        Self {
            path: "/".to_owned(),
            is_folded: true,
        }
    }

    /// What lies below the directory that it lies in; none for a root.
    fn parent(&self) -> Option<Self> {
        let path = self.path.strip_suffix('/').unwrap_or(&self.path);
        let end = path.rfind('/')?;
        Some(Self {
            path: path[..=end].to_owned(),
            is_folded: true,
        })
    }

    /// `/`, or what stands for the root of a file system that is not to be seen.
    fn root(&self) -> &str {
        let end = self.path.find('/').map_or(self.path.len(), |at| at + 1);
        &self.path[..end]
    }

    fn depth(&self) -> usize {
        self.path.matches('/').count()
    }

    fn place(&self) -> Place {
        if self.is_folded {
            Place::Below(self.path.clone())
        } else {
            Place::File(self.path.clone())
        }
    }
}

/// Halves the number of places: those with the fewest operations are folded to their directories.
fn thin_out(files: &mut BTreeMap<Node, Tally>) {
    while files.len() > ROOM / 2 {
        let mut rows: Vec<_> = std::mem::take(files).into_iter().collect();
        rows.sort_by_cached_key(|(node, tally)| (Reverse(tally.total()), node.depth()));
        let rest = rows.split_off(ROOM / 4);
        files.extend(rows);
        // As many file systems have no directory in common but that of all of them.
        let are_roots = rest.iter().all(|(node, _)| node.parent().is_none());
        for (node, tally) in rest {
            let above = node.parent().unwrap_or(node);
            let above = if are_roots { Node::everything() } else { above };
            files.entry(above).or_default().add(&tally);
        }
    }
}

/// Folds until no more than so many are left: first those directories that hold several places and
/// the fewest operations, so that what stands out stays.
fn fold(files: &mut BTreeMap<Node, Tally>, most: usize) {
    // A place that is alone in its directory is moved up where no directory holds several, but not
    // where that leads nowhere: each root has a place at least.
    let roots: BTreeSet<_> = files.keys().map(Node::root).collect();
    let may_move = roots.len() <= most;
    while files.len() > most {
        let mut parents: BTreeMap<Node, (usize, u64)> = BTreeMap::new();
        for (node, tally) in files.iter() {
            let Some(parent) = node.parent() else {
                continue;
            };
            let itself = files.contains_key(&parent);
            let (places, operations) = parents.entry(parent).or_insert((usize::from(itself), 0));
            *places += 1;
            *operations = operations.saturating_add(tally.total());
        }
        let chosen = parents
            .into_iter()
            .filter(|(_, (places, _))| may_move || *places > 1)
            .min_by_key(|(_, (places, operations))| (*places < 2, *operations));
        let Some((parent, _)) = chosen else {
            return;
        };
        let below: Vec<_> = files
            .keys()
            .filter(|node| node.parent().as_ref() == Some(&parent))
            .cloned()
            .collect();
        for node in below {
            let tally = files.remove(&node).unwrap_or_default();
            files.entry(parent.clone()).or_default().add(&tally);
        }
    }
}

/// By the unit that a process belongs to, else by its program and user.
fn processes(process: &Process) -> Place {
    let user = process
        .user
        .clone()
        .unwrap_or_else(|| process.uid.to_string());
    let cgroup = process.cgroup.as_deref().unwrap_or_default();
    let unit = cgroup
        .rsplit('/')
        .find(|name| name.ends_with(".service") && !name.starts_with("user@"));
    if let Some(unit) = unit {
        return Place::Unit(escaped(unit.as_bytes()));
    }
    // The kernel's threads have no executable, and belong to no cgroup but the first.
    if process.exe.is_none() && cgroup == "/" && process.uid == 0 {
        return Place::Kernel;
    }
    Place::Program {
        name: escaped(&bytes("comm", &process.comm, &process.raw)),
        user: escaped(user.as_bytes()),
    }
}

#[cfg(test)]
#[path = "targets_tests.rs"]
mod tests;
