//! One policy document after it has been checked: what it says, with the places where it
//! says so. Names are not looked up yet; that needs the documents that it includes.

use guard_ebpf::operation::{Facility, Operation};
use guard_ebpf::policy::{Effect, Limit};

use super::cases::Case;
use super::diagnostics::Span;
use super::glob::{Part, Token};
use super::reader::NoValue;
use crate::session::limits::Limits;

/// A document.
#[derive(Clone, Debug, Default)]
pub(crate) struct Document {
    /// What it includes.
    pub includes: Vec<Named>,
    /// Where it asks for `mode: audit`.
    pub audit: Option<Span>,
    /// What it says of what the session may take of the machine.
    pub limits: Limits,
    /// Its groups of processes.
    pub groups: Vec<Definition<Vec<Item>>>,
    /// Its sets of paths.
    pub paths: Vec<Definition<Vec<PathGlob>>>,
    /// Its rules, in order.
    pub rules: Vec<Rule>,
    /// Its tests.
    pub cases: Vec<Case>,
}

/// A name and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub text: String,
    pub span: Span,
}

/// What a name stands for.
#[derive(Clone, Debug)]
pub(crate) struct Definition<T> {
    pub name: Named,
    pub meaning: T,
}

/// An item of a group: what a process must be, all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// Its executable.
    pub exe: Option<PathGlob>,
    /// Its command name.
    pub name: Option<Vec<Token>>,
    /// Its effective user.
    pub user: Option<u32>,
    /// Its cgroup: one of these globs.
    pub cgroup: Option<Vec<Vec<Part>>>,
    /// As it is written, for people.
    pub written: String,
}

/// A glob of paths.
#[derive(Clone, Debug)]
pub(crate) struct PathGlob {
    /// What it matches.
    pub parts: Vec<Part>,
    /// Whether it begins with `**/`: it counts on every file system.
    pub floating: bool,
    /// As it is written, for people.
    pub written: String,
}

impl PartialEq for PathGlob {
    fn eq(&self, other: &Self) -> bool {
        self.parts == other.parts && self.floating == other.floating
    }
}

impl Eq for PathGlob {}

/// A rule, its selectors by name.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// Its name.
    pub name: Option<Named>,
    /// Why it is there.
    pub because: Option<String>,
    /// What it says.
    pub effect: Effect,
    /// About which operations.
    pub operations: Vec<Operation>,
    /// Which signals; all where it does not say.
    pub signals: Option<Vec<u32>>,
    /// Which facilities; all where it does not say.
    pub facilities: Option<Vec<Facility>>,
    /// To which groups; to every process where it does not say.
    pub to: Option<Vec<Named>>,
    /// On which paths; on every file where it does not say.
    pub on: Option<Vec<On>>,
    /// Via which sockets; via every socket where it does not say.
    pub via: Option<Vec<Via>>,
    /// By which groups; by every program where it does not say.
    pub by: Option<Vec<Named>>,
    /// How often.
    pub at_most: Option<Limit>,
    /// Where it stands.
    pub span: Span,
}

/// Some sockets.
#[derive(Clone, Debug)]
pub(crate) enum Via {
    /// Those that have a file at these paths.
    Path(PathGlob),
    /// Those without one.
    Text(SocketText),
}

impl Via {
    /// As it is written, for people.
    pub fn written(&self) -> &str {
        match self {
            Self::Path(glob) => &glob.written,
            Self::Text(text) => &text.written,
        }
    }
}

/// What sockets without a file are told by, variables filled in.
#[derive(Clone, Debug)]
pub(crate) enum SocketKind {
    /// A name, which is their one pattern.
    Abstract,
    /// Addresses and ports; no list where every one is meant.
    Internet {
        addresses: Vec<String>,
        ports: Vec<String>,
    },
    /// Families.
    Families(Vec<String>),
}

/// Sockets without a file.
#[derive(Clone, Debug)]
pub(crate) struct SocketText {
    /// What they are told by.
    pub kind: SocketKind,
    /// What stands for them ([`guard_ebpf::socket`]) matches one of these.
    pub patterns: Vec<Vec<Token>>,
    /// As it is written, for people.
    pub written: String,
}

impl Rule {
    /// Whether it is about nothing but a repository outside the workspace, where there is none: most
    /// workspaces hold theirs, or belong to none.
    pub(crate) fn lacks_repository(&self) -> bool {
        let lacks = |on: &On| matches!(on, On::Left(NoValue::NoRepository));
        self.on.as_ref().is_some_and(|all| all.iter().all(lacks))
    }
}

/// What a rule is on.
#[derive(Clone, Debug)]
pub(crate) enum On {
    /// A set of paths.
    Set(Named),
    /// A glob.
    Glob(PathGlob),
    /// A glob that has no meaning in this session, and why.
    Left(NoValue),
}
