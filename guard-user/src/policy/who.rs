//! The users and sessions of clauses: what is looked up by a number, and not matched.

use std::collections::{BTreeMap, BTreeSet};

use guard_ebpf::bits::Bits;
use guard_ebpf::session;

use super::document::SessionName;

/// The users of a clause.
#[derive(Default)]
pub(super) struct Users {
    /// One of these; every one where it does not say.
    pub of: Option<BTreeSet<u32>>,
    /// None of these.
    pub except: BTreeSet<u32>,
}

impl Users {
    pub(super) fn named(&self) -> impl Iterator<Item = u32> {
        self.of.iter().flatten().chain(&self.except).copied()
    }

    /// Whether a user is one of them; none is one that no clause names.
    pub(super) fn hold(&self, uid: Option<u32>) -> bool {
        let is_in = |set: &BTreeSet<u32>| uid.is_some_and(|uid| set.contains(&uid));
        self.of.as_ref().is_none_or(is_in) && !is_in(&self.except)
    }
}

/// The sessions of a clause.
#[derive(Default)]
pub(super) struct Sessions {
    /// One of these; none too where it does not say.
    pub of: Option<Names>,
    /// None of these.
    pub except: Names,
}

/// Some sessions.
#[derive(Default)]
pub(super) struct Names {
    /// Whether every one.
    pub any: bool,
    /// Those that are called so, by what stands for their names.
    pub called: BTreeSet<u64>,
}

/// Which session a process belongs to.
#[derive(Clone, Copy)]
pub(super) enum Member {
    /// The one whose name this stands for.
    Of(u64),
    /// One that no clause names.
    Other,
    /// None.
    Nobody,
}

impl Names {
    pub(super) fn add(&mut self, name: &SessionName) {
        match name {
            SessionName::Any => self.any = true,
            SessionName::Called(name) => {
                self.called.insert(session::name(name.as_bytes()));
            }
        }
    }

    fn hold(&self, member: Member) -> bool {
        match member {
            Member::Of(name) => self.any || self.called.contains(&name),
            Member::Other => self.any,
            Member::Nobody => false,
        }
    }
}

impl Sessions {
    pub(super) fn named(&self) -> impl Iterator<Item = u64> {
        let of = self.of.iter().flat_map(|names| &names.called);
        of.chain(&self.except.called).copied()
    }

    pub(super) fn hold(&self, member: Member) -> bool {
        self.of.as_ref().is_none_or(|names| names.hold(member)) && !self.except.hold(member)
    }
}

/// The clauses whose users, or sessions, hold somebody.
pub(super) fn that_hold<T>(all: &BTreeMap<usize, T>, hold: impl Fn(&T) -> bool) -> Bits {
    let mut clauses = Bits::NONE;
    for (clause, some) in all {
        if hold(some) {
            clauses.insert(*clause);
        }
    }
    clauses
}
