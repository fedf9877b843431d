//! One policy document after it has been checked: what it says, with the places where it
//! says so. Names are not looked up yet; that needs the documents that it includes.

use guard_ebpf::operation::{Facility, Operation};
use guard_ebpf::policy::{Effect, Limit, Selector};

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
    /// Whether it asks for `record: everything`.
    pub records_all: bool,
    /// What it says of what the session may take of the machine.
    pub limits: Limits,
    /// Its groups of processes.
    pub groups: Vec<Definition<Selection<Item>>>,
    /// Its sets of paths.
    pub paths: Vec<Definition<Selection<PathGlob>>>,
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

/// Some of what there is: one of some, and none of others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selection<T> {
    /// One of these; everything where only exceptions are named.
    pub of: Option<Vec<T>>,
    /// None of these.
    pub except: Vec<T>,
}

impl<T> Selection<T> {
    /// Each with what it stands for; what stands for nothing drops out.
    pub fn filter_map<U>(self, mut f: impl FnMut(T) -> Option<U>) -> Selection<U> {
        let of = self
            .of
            .map(|all| all.into_iter().filter_map(&mut f).collect());
        Selection {
            of,
            except: self.except.into_iter().filter_map(f).collect(),
        }
    }

    /// Everything that it names, exceptions too.
    pub fn named(&self) -> impl Iterator<Item = &T> {
        self.of.iter().flatten().chain(&self.except)
    }

    /// Whether there is nothing that it could be about.
    pub fn is_nothing(&self) -> bool {
        self.of.as_ref().is_some_and(Vec::is_empty)
    }
}

impl<T> From<Vec<T>> for Selection<T> {
    fn from(all: Vec<T>) -> Self {
        Self {
            of: Some(all),
            except: Vec::new(),
        }
    }
}

/// An item of a group: what a process must be, all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Item {
    /// Its executable.
    pub exe: Option<PathGlob>,
    /// Its command name.
    pub name: Option<Vec<Token>>,
    /// Its effective user.
    pub user: Option<u32>,
    /// Its cgroup: one of these globs.
    pub cgroup: Option<Vec<Vec<Part>>>,
    /// What it was executed with.
    pub command: Option<Vec<Token>>,
    /// The executable of what it comes from.
    pub ancestor: Option<PathGlob>,
    /// Where it listens.
    pub listens: Option<SocketText>,
    /// Its session, by name.
    pub session: Option<SessionName>,
    /// As it is written, for people.
    pub written: String,
}

impl Item {
    /// The kinds of things that it asks for.
    pub fn kinds(&self) -> Vec<Selector> {
        let kinds = [
            (self.exe.is_some(), Selector::Executable),
            (self.name.is_some(), Selector::Name),
            (self.user.is_some(), Selector::User),
            (self.cgroup.is_some(), Selector::Cgroup),
            (self.command.is_some(), Selector::Command),
            (self.ancestor.is_some(), Selector::Ancestor),
            (self.listens.is_some(), Selector::Listening),
            (self.session.is_some(), Selector::Session),
        ];
        let asked = kinds.into_iter().filter(|(asks, _)| *asks);
        asked.map(|(_, kind)| kind).collect()
    }
}

/// Some sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SessionName {
    /// Every one.
    Any,
    /// The one of this name.
    Called(String),
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
    pub to: Option<Selection<Named>>,
    /// On which paths; on every file where it does not say.
    pub on: Option<Selection<On>>,
    /// Via which sockets; via every socket where it does not say.
    pub via: Option<Selection<Via>>,
    /// By which groups; by every program where it does not say.
    pub by: Option<Selection<Named>>,
    /// How often.
    pub at_most: Option<Limit>,
    /// Where it stands.
    pub span: Span,
}

/// Some sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SocketText {
    /// What they are told by.
    pub kind: SocketKind,
    /// What stands for them ([`guard_ebpf::socket`]) matches one of these.
    pub patterns: Vec<Vec<Token>>,
    /// As it is written, for people.
    pub written: String,
}

impl Rule {
    /// The groups and sets of paths that it names.
    pub(crate) fn names(&self) -> Vec<String> {
        let sets = self
            .on
            .iter()
            .flat_map(Selection::named)
            .filter_map(|on| match on {
                On::Set(name) => Some(name),
                On::Glob(_) | On::Left(_) => None,
            });
        let groups = [&self.to, &self.by].into_iter().flatten();
        let groups = groups.flat_map(Selection::named);
        groups.chain(sets).map(|name| name.text.clone()).collect()
    }

    /// Whether it is about nothing but a repository outside the workspace, where there is none: most
    /// workspaces hold theirs, or belong to none.
    pub(crate) fn lacks_repository(&self) -> bool {
        let lacks = |on: &On| matches!(on, On::Left(NoValue::NoRepository));
        let of = self.on.as_ref().and_then(|on| on.of.as_ref());
        of.is_some_and(|all| all.iter().all(lacks))
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
