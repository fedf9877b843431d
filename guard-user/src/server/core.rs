//! The server's state and what is common to everything that it does.
//!
//! One thread runs all tasks, so state is borrowed in short steps, never across an await.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::{Mutex, Notify};

use super::canary::Canary;
use super::compiler::Compiler;
use super::enforcer::{Enforcer, Engines, RecordSource};
use super::feed::Feed;
use super::health::Health;
use super::inside::Inside;
use super::paths::Paths;
use super::protocol::{Refusal, Response};
use super::state::{KnownPolicy, SessionState};
use super::watch::Watcher;
use crate::cli::output::sentence;
use crate::events::event::Level;
use crate::session::cgroup::SessionCgroup;
use crate::session::name::Name;
use crate::session::raw::trim_heap;
use crate::session::scope;

/// How many policies of a session records may still name.
pub(super) const KNOWN_POLICIES: usize = 8;
/// How many sessions that have ended can still be asked about.
const MEMORY: usize = 64;

/// Makes the cgroups of sessions.
pub trait CgroupHost {
    /// Makes a cgroup for a session whose first process is this.
    fn create<'host>(
        &'host self,
        session: &'host Name,
        pid: u32,
    ) -> Pin<Box<dyn Future<Output = Result<SessionCgroup>> + 'host>>;
}

/// All that a server is made of.
pub struct Parts {
    /// Where it keeps its things.
    pub paths: Paths,
    /// How it comes to an engine.
    pub engines: Box<dyn Engines>,
    /// Its policy compiler.
    pub compiler: Arc<dyn Compiler>,
    /// What makes cgroups.
    pub cgroups: Box<dyn CgroupHost>,
    /// The program that is run as the canary (`PROGRAM canary`); none for tests without a kernel.
    pub canary: Option<PathBuf>,
    /// Whether it stays when nothing is left to do.
    pub stay: bool,
    /// Whether a client started it in the background, and so in the client's own cgroup.
    pub background: bool,
}

/// The server.
pub struct Server {
    pub(super) parts: Parts,
    pub(super) watcher: Watcher<u32>,
    pub(super) inner: RefCell<Inner>,
    /// Something has ended: a session, a connection.
    pub(super) ended: Notify,
    /// Records have come in.
    pub(super) fed: Notify,
    /// An engine has been loaded: there are records to read.
    pub(super) armed: Notify,
    /// Who tries what must be refused, from the first time on.
    pub(super) canary: Mutex<Option<Canary>>,
    /// Whether sessions are frozen.
    pub(super) is_frozen: Cell<bool>,
    /// How many connections there are.
    pub(super) connections: Cell<usize>,
    /// The server is on its way out: no new work.
    pub(super) leaving: Cell<bool>,
}

/// What changes.
pub(super) struct Inner {
    pub engine: Option<Box<dyn Enforcer>>,
    pub records: Option<Box<dyn RecordSource>>,
    pub sessions: BTreeMap<u32, Session>,
    /// Names of sessions that are about to start.
    pub reserved: BTreeSet<Name>,
    /// Sessions that have ended, the latest last.
    pub memory: VecDeque<Past>,
    pub feed: Feed,
    /// Whether the engine enforces.
    pub health: Health,
    /// The sessions that canaries have had: their records are no events.
    pub canaries: BTreeSet<u32>,
}

/// A session that lives.
pub(super) struct Session {
    pub state: SessionState,
    /// Where it asks why it was refused something.
    pub inside: Option<Inside>,
    /// Whether its client is connected and has yet to tell how the command ended.
    pub is_awaited: bool,
    /// How the command ended.
    pub status: Option<i32>,
    /// Whether its end is under way.
    pub is_ending: bool,
    /// When ends of its tasks may not have been counted: how often in succession it was seen
    /// without a process.
    pub unseen: Option<u32>,
}

/// A session that has ended.
pub(super) struct Past {
    pub id: u32,
    pub name: Name,
    pub summary: Option<String>,
}

/// Why the server can't do what it was asked for.
#[derive(Debug)]
pub struct Refused {
    /// Whose mistake it is.
    pub kind: Refusal,
    /// Whole sentences.
    pub message: String,
}

impl Refused {
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self {
            kind: Refusal::Usage,
            message: message.into(),
        }
    }

    /// There is no session of this name.
    pub(super) fn no_session(name: &Name) -> Self {
        Self::usage(format!(
            "There is no session \"{name}\". `guard status` lists those that there are."
        ))
    }

    pub(super) fn guard(message: impl Into<String>) -> Self {
        Self {
            kind: Refusal::Guard,
            message: message.into(),
        }
    }
}

impl From<anyhow::Error> for Refused {
    fn from(error: anyhow::Error) -> Self {
        let text = format!("{error:#}");
        Self::guard(sentence(&text))
    }
}

impl From<Refused> for Response {
    fn from(refused: Refused) -> Self {
        let Refused { kind, message } = refused;
        Self::Refused { kind, message }
    }
}

impl Server {
    /// A server without sessions. Must be made inside a runtime.
    pub fn new(parts: Parts) -> Result<Rc<Self>> {
        let feed = Feed::new(&parts.paths);
        Ok(Rc::new(Self {
            watcher: Watcher::new().context("policy files can't be watched (inotify)")?,
            parts,
            inner: RefCell::new(Inner {
                engine: None,
                records: None,
                sessions: BTreeMap::new(),
                reserved: BTreeSet::new(),
                memory: VecDeque::new(),
                feed,
                health: Health::default(),
                canaries: BTreeSet::new(),
            }),
            ended: Notify::new(),
            fed: Notify::new(),
            armed: Notify::new(),
            canary: Mutex::new(None),
            is_frozen: Cell::new(false),
            connections: Cell::new(0),
            leaving: Cell::new(false),
        }))
    }

    /// Loads an engine, unless there is one.
    pub(super) fn arm(&self) -> Result<()> {
        if self.inner.borrow().engine.is_some() {
            return Ok(());
        }
        let engine = self
            .parts
            .engines
            .load()
            .context("guard can't be loaded into the kernel (`guard doctor` says more)")?;
        trim_heap();
        self.take_over(engine)
    }

    /// Takes an engine into use.
    pub(super) fn take_over(&self, mut engine: Box<dyn Enforcer>) -> Result<()> {
        engine
            .protect(std::process::id())
            .context("the server can't be protected from sessions")?;
        let records = engine.records().context("records can't be read")?;
        let mut inner = self.inner.borrow_mut();
        inner.engine = Some(engine);
        inner.records = Some(records);
        drop(inner);
        self.armed.notify_waiters();
        self.set_addresses()
            .context("the host's addresses can't be set")
    }

    /// Does something with the engine, which must be there.
    pub(super) fn with_engine<T>(
        &self,
        work: impl FnOnce(&mut dyn Enforcer) -> Result<T>,
    ) -> Result<T> {
        let mut inner = self.inner.borrow_mut();
        let engine = inner.engine.as_mut().context("no engine is loaded")?;
        work(engine.as_mut())
    }

    /// The name of the session that a process is in.
    pub(super) fn session_of(&self, pid: u32) -> Result<Option<String>> {
        let inner = self.inner.borrow();
        let Some(engine) = &inner.engine else {
            return Ok(None);
        };
        Ok(engine.session_of(pid)?.map(|id| {
            inner.sessions.get(&id).map_or_else(
                || format!("#{id}"),
                |session| session.state.name.to_string(),
            )
        }))
    }

    /// The number of the living session of this name.
    pub(super) fn find(&self, name: &Name) -> Option<u32> {
        self.inner
            .borrow()
            .sessions
            .iter()
            .find(|(_, session)| session.state.name == *name)
            .map(|(&id, _)| id)
    }

    /// The tasks of a session; 0 when it is gone.
    pub(super) fn tasks(&self, id: u32) -> u64 {
        let inner = self.inner.borrow();
        match (&inner.engine, inner.sessions.contains_key(&id)) {
            (Some(engine), true) => engine.counters(id).map_or(0, |counters| counters.tasks),
            _ => 0,
        }
    }

    /// Waits until a condition holds, looking whenever something has ended and every few
    /// milliseconds. Whether it came to hold in time.
    pub(super) async fn wait_until(
        &self,
        patience: Option<Duration>,
        holds: impl Fn() -> bool,
    ) -> bool {
        let deadline = patience.map(|patience| tokio::time::Instant::now() + patience);
        let mut pause = Duration::from_millis(2);
        loop {
            if holds() {
                return true;
            }
            if deadline.is_some_and(|deadline| tokio::time::Instant::now() >= deadline) {
                return false;
            }
            tokio::select! {
                () = self.ended.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }

    /// Says something to whoever runs the host: to the server's log, and as an event.
    pub(super) fn notice(&self, session: Option<u32>, level: Level, message: &str) {
        log(message);
        let mut inner = self.inner.borrow_mut();
        let Inner { sessions, feed, .. } = &mut *inner;
        let name = session
            .and_then(|id| sessions.get(&id))
            .map(|session| session.state.name.clone());
        feed.notice(name.as_ref(), level, message);
        feed.flush();
    }

    /// Writes a session's state to disk. When that fails, the session goes on, and a new
    /// server would not know all of it.
    pub(super) fn save(&self, id: u32) {
        let saved = {
            let inner = self.inner.borrow();
            let Some(session) = inner.sessions.get(&id) else {
                return;
            };
            super::state::save(&self.parts.paths.sessions(), &session.state)
        };
        if let Err(error) = saved {
            let message = format!(
                "the state of the session can't be saved in {}: {error}; after a crash of the \
                 server, names of its rules may be missing from events",
                self.parts.paths.sessions().display()
            );
            self.notice(Some(id), Level::Warning, &message);
        }
    }
}

impl Session {
    /// One whose client waits for its command to be started.
    pub fn new(state: SessionState, inside: Inside) -> Self {
        Self {
            state,
            inside: Some(inside),
            is_awaited: true,
            status: None,
            is_ending: false,
            unseen: None,
        }
    }

    /// Adds a policy that is in force from now on, and forgets the oldest.
    pub fn know(&mut self, policy: KnownPolicy) {
        let known = &mut self.state.known;
        known.push(policy);
        let excess = known.len().saturating_sub(KNOWN_POLICIES);
        known.drain(..excess);
    }
}

impl Inner {
    /// Whether a name is taken.
    pub fn is_taken(&self, name: &Name) -> bool {
        let lives = |session: &Session| session.state.name == *name;
        is_reserved(name) || self.reserved.contains(name) || self.sessions.values().any(lives)
    }

    /// Remembers a session that has ended.
    pub fn remember(&mut self, past: Past) {
        self.memory.push_back(past);
        if self.memory.len() > MEMORY {
            self.memory.pop_front();
        }
    }
}

/// Whether a name is that of something of guard's own.
pub(super) fn is_reserved(name: &Name) -> bool {
    [super::canary::NAME, scope::SERVER].contains(&name.as_str())
}

/// Writes a line to the server's log, which is its standard error: a file in the
/// background, the journal under systemd.
pub(super) fn log(message: &str) {
    let time = crate::events::time::Time::now();
    // Nobody is left to be told when this fails.
    let _ = std::io::Write::write_all(
        &mut std::io::stderr(),
        format!("{} {message}\n", time.stamp()).as_bytes(),
    );
}
