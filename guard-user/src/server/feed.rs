//! Events on their way out: from the pipeline to logs, summaries and followers.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::PathBuf;
use std::time::Instant;

use guard_ebpf::session::Counters;

use super::core::{Session, log};
use super::enforcer::Enforcer;
use super::follower::{Follower, Following, queue};
use super::paths::Paths;
use super::policies::DEFAULT;
use super::state::SessionState;
use super::told::Told;
use crate::events::event::{
    Body, Event, InForce, Level, Notice, PolicyEdit, SessionChange, SessionStep,
};
use crate::events::filter::Filter;
use crate::events::history::read_since;
use crate::events::log::Log;
use crate::events::machine::Machine;
use crate::events::pipeline::{Names, Pipeline, Pushed};
use crate::events::receipts::Asked;
use crate::events::summary::Summary;
use crate::events::time::Time;
use crate::policy::compiled::RuleInfo;
use crate::session::name::Name;

/// Events on their way out.
pub(super) struct Feed {
    pipeline: Pipeline<Machine>,
    directory: PathBuf,
    books: HashMap<String, Book>,
    followers: Vec<Follower>,
}

/// What is kept of a session.
struct Book {
    log: Log<File>,
    summary: Summary,
    told: Told,
    /// How many events could not be written to the log.
    unlogged: u64,
}

/// What living sessions are called, and who is in them.
struct Living<'server> {
    sessions: &'server BTreeMap<u32, Session>,
    engine: Option<&'server dyn Enforcer>,
}

impl Names for Living<'_> {
    fn session(&self, id: u32) -> Option<&str> {
        let session = self.sessions.get(&id)?;
        Some(session.state.name.as_str())
    }

    fn rule(&self, policy: u32, rule: u8) -> Option<&RuleInfo> {
        self.sessions
            .values()
            .flat_map(|session| &session.state.known)
            .find(|known| known.installed.id == policy)?
            .rules
            .get(usize::from(rule))
    }

    fn sessions_of(&self, pids: &[u32]) -> Vec<Option<u32>> {
        let found = self.engine.map(|engine| engine.sessions_of(pids));
        found.and_then(Result::ok).unwrap_or_default()
    }
}

impl Feed {
    pub fn new(paths: &Paths) -> Self {
        Self {
            pipeline: Pipeline::new(Machine::new()),
            directory: paths.log.clone(),
            books: HashMap::new(),
            followers: Vec::new(),
        }
    }

    /// Takes a record; the session whose last task has ended, when it says so.
    pub fn push(
        &mut self,
        record: &[u8],
        sessions: &BTreeMap<u32, Session>,
        engine: Option<&dyn Enforcer>,
    ) -> Option<u32> {
        let living = Living { sessions, engine };
        match self.pipeline.push(record, Instant::now(), &living) {
            Pushed::Ended { session, .. } => Some(session),
            Pushed::Malformed(error) => {
                log(&format!("a record can't be read: {error}"));
                None
            }
            _ => None,
        }
    }

    /// When to flush next.
    pub fn deadline(&self) -> Option<Instant> {
        let told = self.books.values().filter_map(|book| book.told.due());
        self.pipeline
            .deadline(Instant::now())
            .into_iter()
            .chain(told)
            .min()
    }

    /// Hands out what is ready.
    pub fn flush(&mut self) {
        loop {
            let events = self.pipeline.poll(Instant::now());
            if events.is_empty() {
                break;
            }
            for event in events {
                self.hand_out(&event);
            }
        }
        for (name, book) in &mut self.books {
            book.told.write(name, Instant::now());
        }
    }

    fn hand_out(&mut self, event: &Event) {
        for (name, book) in &mut self.books {
            let is_concerned = match &event.session {
                Some(session) => session == name,
                // What there is to say of the host concerns each session.
                None => matches!(event.body, Body::Notice(_)),
            };
            if !is_concerned {
                continue;
            }
            book.summary.add(event);
            if event.session.is_some() {
                book.told.add(event);
            }
            let before = book.log.missing();
            let news = book.log.append(event);
            book.unlogged += book.log.missing().saturating_sub(before);
            if let Some(body) = news {
                if let Body::Notice(notice) = &body {
                    log(&notice.message);
                }
                self.pipeline.announce(Some(name), Time::now(), body);
            }
        }
        let mut line = None;
        self.followers
            .retain(|follower| follower.send(event, &mut line));
    }

    /// Begins the book of a session, and says where its log is.
    pub fn open(&mut self, name: &Name) -> PathBuf {
        let log = Log::create(&self.directory, name.as_str(), Time::now());
        let path = log.path().to_owned();
        self.books.insert(name.to_string(), Book::new(log));
        path
    }

    /// Goes on with the book of a session that another server began.
    pub fn adopt(&mut self, state: &SessionState) {
        let mut book = Book::new(Log::reopen(state.log.clone()));
        // A log that can't be read costs the summary what was refused before.
        for event in read_since(&state.log, None).into_iter().flatten() {
            book.summary.add(&event);
            book.told.add(&event);
            self.pipeline.resume(&event.id);
        }
        self.pipeline.adopt(state.id, book.summary.lost());
        self.books.insert(state.name.to_string(), book);
        self.keep_receipts(state);
        self.session(state, SessionStep::Adopted, None);
    }

    /// Keeps the last receipts of a session where it can read them.
    pub fn keep_receipts(&mut self, state: &SessionState) {
        if let (Some(book), Some(directory)) =
            (self.books.get_mut(state.name.as_str()), &state.runtime)
        {
            book.told.keep_in(directory.clone(), state.uid);
        }
    }

    /// Receipts of a session.
    pub fn receipts(&self, session: &Name, asked: &Asked) -> Vec<&Event> {
        let book = self.books.get(session.as_str());
        book.map_or_else(Vec::new, |book| book.told.receipts.asked(asked))
    }

    /// Marks the beginning of a call of a tool in a session. False when it has no such name.
    pub fn begin(&mut self, session: &Name, call: &str) -> bool {
        let mark = self.pipeline.mark();
        let book = self.books.get_mut(session.as_str());
        book.is_some_and(|book| book.told.receipts.begin(call, mark))
    }

    /// Makes events of a session's records that wait for more of their kind.
    pub fn close_folds(&mut self, id: u32) {
        self.pipeline.close(id);
        self.flush();
    }

    /// Tells that a session has started.
    pub fn started(&mut self, state: &SessionState) {
        self.session(state, SessionStep::Started, None);
    }

    /// Tells that a session has ended.
    pub fn ended(&mut self, state: &SessionState, status: Option<i32>) {
        self.pipeline.close(state.id);
        self.flush();
        self.session(state, SessionStep::Ended, status);
    }

    fn session(&mut self, state: &SessionState, change: SessionStep, status: Option<i32>) {
        let refused = match (change, self.books.get(state.name.as_str())) {
            (SessionStep::Ended, Some(book)) => book.summary.refused(),
            _ => BTreeMap::new(),
        };
        let body = Body::Session(SessionChange {
            change,
            command: state.command.clone(),
            user: Some(state.user.clone()),
            workspace: state
                .workspace
                .as_ref()
                .map(|path| path.to_string_lossy().into_owned()),
            policy: (change != SessionStep::Ended).then(|| Box::new(in_force(state))),
            status,
            refused,
        });
        self.announce(Some(&state.name), body);
    }

    /// Tells of an edit of a policy.
    pub fn policy(&mut self, session: &Name, edit: PolicyEdit) {
        self.announce(Some(session), Body::Policy(edit));
    }

    /// Tells of anything else.
    pub fn notice(&mut self, session: Option<&Name>, level: Level, message: &str) {
        let message = message.to_owned();
        self.announce(session, Body::Notice(Notice { level, message }));
    }

    fn announce(&mut self, session: Option<&Name>, body: Body) {
        let session = session.map(Name::as_str);
        self.pipeline.announce(session, Time::now(), body);
        self.flush();
    }

    /// Says what the kernel has counted and nobody was told of.
    pub fn count(&mut self, id: u32, counters: &Counters, sessions: &BTreeMap<u32, Session>) {
        let living = Living {
            sessions,
            engine: None,
        };
        self.pipeline.counters(id, counters, Time::now(), &living);
        self.flush();
    }

    /// Finishes what is open of a session, and sums up what was refused to it.
    pub fn summary(&mut self, id: u32, name: &Name) -> Option<String> {
        self.close_folds(id);
        let book = self.books.get(name.as_str())?;
        book.summary.sentence(name.as_str())
    }

    /// Forgets a session, with a last summary.
    pub fn forget(&mut self, id: u32, name: &Name) -> Option<String> {
        let summary = self.summary(id, name);
        self.pipeline.forget(id);
        if let Some(mut book) = self.books.remove(name.as_str())
            && let Some(body) = book.log.close()
        {
            self.announce(Some(name), body);
        }
        summary
    }

    /// How many events of a session could not be written to its log.
    pub fn unlogged(&self, name: &Name) -> u64 {
        self.books
            .get(name.as_str())
            .map_or(0, |book| book.unlogged)
    }

    /// Finishes everything, before the server leaves.
    pub fn close(&mut self) {
        self.pipeline.close_all();
        self.flush();
        self.followers.clear();
    }

    /// Takes on a follower. It gets the events whose ids are greater than the one that comes with it;
    /// all others have been handed out before.
    pub fn follow(&mut self, filter: Filter) -> (Following, String) {
        // What is ready has its id already.
        self.flush();
        let after = self.pipeline.mark();
        let (follower, following) = queue(filter);
        self.followers.push(follower);
        (following, after)
    }
}

/// The policy that a session is under.
fn in_force(state: &SessionState) -> InForce {
    let names = if state.policies.is_empty() {
        vec![DEFAULT.to_owned()]
    } else {
        state.policies.clone()
    };
    let rules = state.known.last().map(|policy| policy.rules.len());
    InForce {
        names,
        files: state
            .files
            .iter()
            .map(|file| file.to_string_lossy().into_owned())
            .collect(),
        rules: rules.and_then(|rules| u32::try_from(rules).ok()),
    }
}

impl Book {
    fn new(log: Log<File>) -> Self {
        Self {
            log,
            summary: Summary::default(),
            told: Told::default(),
            unlogged: 0,
        }
    }
}
