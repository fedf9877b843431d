//! Folding: a burst of the same refusals becomes one event with an exact count.
//!
//! Records belong together when the same process met the same verdict for the same reason.
//! A fold closes when it has been quiet for [`QUIET`] or open for [`LONGEST`], so whoever
//! follows sees it soon, and a process that goes on for hours makes one line a second. Time
//! comes from the caller.

use super::event::{Judged, Target};
use super::record::SocketTarget;
use super::time::Time;
use guard_ebpf::operation::{Facility, Operation, Reason, Verdict};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// A fold that nothing has joined for so long is closed.
pub const QUIET: Duration = Duration::from_millis(200);

/// A fold is closed after so long whatever happens.
pub const LONGEST: Duration = Duration::from_secs(1);

/// How many targets an event shows beside the first.
pub const EXAMPLES: usize = 8;

/// How many targets of one event are told apart. Its count stays exact beyond that.
pub const MAX_TOLD_APART: usize = 1024;

/// How many targets all open folds together tell apart; a fold that would need more is
/// closed early. With [`MAX_OPEN`] this bounds what whoever is guarded can make the server
/// remember: about half a megabyte here.
pub const MAX_REMEMBERED: usize = 16 * MAX_TOLD_APART;

/// How many folds can be open at once; then the oldest is closed early.
pub const MAX_OPEN: usize = 256;

/// What records of one fold have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The session.
    pub session: u32,
    /// The policy, which the rule's index belongs to.
    pub policy: u32,
    /// The operation.
    pub operation: Operation,
    /// The verdict.
    pub verdict: Verdict,
    /// The reason.
    pub reason: Reason,
    /// The rule.
    pub rule: u8,
    /// The signal.
    pub signal: u8,
    /// The facility.
    pub facility: Option<Facility>,
    /// The actor: its pid and start time.
    pub actor: (u32, u64),
}

/// What tells targets apart: pid and start time, device and inode, or a hash of what else there
/// is.
pub type Identity = (u64, u64);

/// What became of a record that was to join a fold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    /// No such fold is open: [`Folder::open`] one.
    Not,
    /// It was counted.
    Counted,
    /// It was counted, and its target is one of the first: [`Folder::example`].
    Wanted,
}

/// A closed fold, to become an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// What it was of.
    pub key: Key,
    /// When it began.
    pub time: Time,
    /// The session's name.
    pub session: Option<String>,
    /// When its last record was made, in nanoseconds since boot.
    pub last: u64,
    /// All the rest; `until` is not set.
    pub judged: Box<Judged>,
}

#[derive(Debug)]
struct Open {
    number: u64,
    opened: Instant,
    touched: Instant,
    told_apart: HashSet<Identity>,
    closed: Closed,
}

impl Open {
    fn due(&self) -> Instant {
        (self.touched + QUIET).min(self.opened + LONGEST)
    }
}

/// The open folds.
#[derive(Debug, Default)]
pub struct Folder {
    open: HashMap<Key, Open>,
    opened: u64,
    /// How many targets the open folds tell apart.
    remembered: usize,
}

impl Folder {
    /// Counts a record (made at `time`, in nanoseconds since boot) in the fold that it
    /// belongs to.
    pub fn join(&mut self, key: &Key, target: Identity, time: u64, now: Instant) -> Joined {
        let Some(open) = self.open.get_mut(key) else {
            return Joined::Not;
        };
        // A fold that should have been closed by now takes nothing more.
        if open.due() <= now {
            return Joined::Not;
        }
        let is_new = open.told_apart.len() < MAX_TOLD_APART && !open.told_apart.contains(&target);
        if is_new && self.remembered >= MAX_REMEMBERED {
            return Joined::Not;
        }
        if is_new {
            open.told_apart.insert(target);
            self.remembered += 1;
        }
        open.touched = now;
        open.closed.judged.count += 1;
        open.closed.last = open.closed.last.max(time);
        if is_new && open.closed.judged.targets.len() < EXAMPLES {
            Joined::Wanted
        } else {
            Joined::Counted
        }
    }

    /// Adds a target to those that a fold shows.
    pub fn example(&mut self, key: &Key, target: Target) {
        if let Some(open) = self.open.get_mut(key) {
            open.closed.judged.targets.push(target);
        }
    }

    /// Opens a fold with its first record. What has to be closed for it comes back: one of
    /// the same kind, or the oldest when there are too many.
    pub fn open(&mut self, first: Closed, target: Identity, now: Instant) -> Option<Closed> {
        let key = first.key;
        let mut in_the_way = self.open.remove(&key);
        if in_the_way.is_none() && self.open.len() >= MAX_OPEN {
            let oldest = self.open.values().min_by_key(|open| open.number);
            let oldest = oldest.map(|open| open.closed.key);
            in_the_way = oldest.and_then(|key| self.open.remove(&key));
        }
        self.opened += 1;
        let open = Open {
            number: self.opened,
            opened: now,
            touched: now,
            told_apart: HashSet::from([target]),
            closed: first,
        };
        self.open.insert(key, open);
        self.remembered += 1;
        in_the_way.map(|open| self.close(open))
    }

    /// Closes what is due, in the order in which it was opened.
    pub fn close_due(&mut self, now: Instant) -> Vec<Closed> {
        self.close_where(|open| open.due() <= now)
    }

    /// Closes all folds of a session.
    pub fn close_session(&mut self, session: u32) -> Vec<Closed> {
        self.close_where(|open| open.closed.key.session == session)
    }

    /// Closes all folds.
    pub fn close_all(&mut self) -> Vec<Closed> {
        self.close_where(|_| true)
    }

    /// When the next fold is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.open.values().map(Open::due).min()
    }

    fn close_where(&mut self, which: impl Fn(&Open) -> bool) -> Vec<Closed> {
        let mut closed: Vec<Open> = self
            .open
            .extract_if(|_, open| which(open))
            .map(|(_, open)| open)
            .collect();
        closed.sort_by_key(|open| open.number);
        closed.into_iter().map(|open| self.close(open)).collect()
    }

    fn close(&mut self, mut open: Open) -> Closed {
        let told_apart = open.told_apart.len();
        self.remembered -= told_apart;
        open.closed.judged.others = told_apart.saturating_sub(1) as u64;
        open.closed
    }
}

/// Tells files apart by their inodes, and by their paths where the inode isn't known.
pub fn identity(device: u32, inode: u64, path: &[u8]) -> Identity {
    use std::hash::{DefaultHasher, Hash, Hasher};
    if inode != 0 {
        return (u64::from(device), inode);
    }
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    // Beyond every device number, so that no inode is met.
    (1 << 32 | u64::from(device), hasher.finish())
}

/// Tells sockets apart by where they are.
pub fn socket_identity(target: &SocketTarget) -> Identity {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    target.place.hash(&mut hasher);
    (target.family.into(), hasher.finish())
}
