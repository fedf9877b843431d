//! The pipeline: records go in, events come out. It does no I/O but what its [`Host`]
//! does; whoever drives it reads the ring buffer, the clock and the counters.

use super::counted::Reported;
use super::event::{Body, Event, Loss, Lost, Process, Target, VERSION};
use super::fold::{Closed, Folder, Identity, Joined, Key, identity, socket_identity};
use super::ids::Ids;
use super::judged::judged;
use super::record::{Record, RecordError, What};
use super::resolve::{self, Host, Resolver};
use super::time::Time;
use crate::policy::compiled::RuleInfo;
use guard_ebpf::operation::{MAX_OPERATIONS, Reason};
use guard_ebpf::record::Task;
use guard_ebpf::session::Counters;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// What sessions and rules are called. The server knows.
pub trait Names {
    /// The name of a session.
    fn session(&self, id: u32) -> Option<&str>;

    /// A rule of a policy, by the policy's id and the rule's index. Policies that are no
    /// longer in force are asked for too, for as long as records of theirs can arrive.
    fn rule(&self, policy: u32, rule: u8) -> Option<&RuleInfo>;

    /// The sessions that processes are in now; none for those that are in none, or have ended.
    fn sessions_of(&self, pids: &[u32]) -> Vec<Option<u32>>;
}

/// What a record was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// An operation; its event will come out.
    Operation,
    /// The path of an executable.
    Executable,
    /// The end of a session's last task. All that happened before is ready to come out.
    Ended {
        /// The session.
        session: u32,
        /// When.
        time: Time,
    },
    /// Not a record. It was counted, and an event will say so.
    Malformed(RecordError),
}

/// How often malformed records are spoken of.
const MALFORMED_PAUSE: Duration = Duration::from_secs(1);

/// From records to events.
#[derive(Debug)]
pub struct Pipeline<H> {
    resolver: Resolver<H>,
    folder: Folder,
    ids: Ids,
    reported: HashMap<u32, Reported>,
    malformed: u64,
    malformed_said: Option<Instant>,
    ready: Vec<Event>,
}

impl<H: Host> Pipeline<H> {
    /// A pipeline that nothing has gone through yet.
    pub fn new(host: H) -> Self {
        Self {
            resolver: Resolver::new(host),
            folder: Folder::default(),
            ids: Ids::default(),
            reported: HashMap::new(),
            malformed: 0,
            malformed_said: None,
            ready: Vec::new(),
        }
    }

    /// Takes what the ring buffer holds: one record.
    pub fn push(&mut self, bytes: &[u8], now: Instant, names: &impl Names) -> Pushed {
        match Record::decode(bytes) {
            Ok(Record::Process {
                what,
                actor,
                target,
            }) => {
                let identity = (u64::from(target.pid), target.start);
                self.operation(&what, &actor, identity, now, names, |resolver| {
                    Target::Process(resolver.process(&target, now))
                });
                Pushed::Operation
            }
            Ok(Record::File {
                what,
                actor,
                target,
            }) => {
                let identity = identity(target.device, target.inode, &target.path.bytes);
                let connected = what.reason != Reason::Disconnected;
                self.operation(&what, &actor, identity, now, names, |resolver| {
                    Target::File(resolver.file(&target, connected, now))
                });
                Pushed::Operation
            }
            Ok(Record::Socket {
                what,
                actor,
                target,
            }) => {
                let connected = what.reason != Reason::Disconnected;
                let identity = socket_identity(&target);
                self.operation(&what, &actor, identity, now, names, |resolver| {
                    Target::Socket(resolver.socket(&target, connected, now))
                });
                Pushed::Operation
            }
            Ok(Record::Machine {
                what,
                actor,
                target,
            }) => {
                let number = |number: Option<u32>| number.map_or(u64::MAX, u64::from);
                let identity = (number(target.capability), number(target.number));
                self.operation(&what, &actor, identity, now, names, |_| {
                    Target::Machine(resolve::machine(target))
                });
                Pushed::Operation
            }
            Ok(Record::Executable { key, path }) => {
                self.resolver.learn(key, path);
                Pushed::Executable
            }
            Ok(Record::Ended { session, time }) => {
                let time = self.resolver.time(time);
                self.close(session);
                Pushed::Ended { session, time }
            }
            Err(error) => {
                self.malformed += 1;
                Pushed::Malformed(error)
            }
        }
    }

    fn operation(
        &mut self,
        what: &What,
        actor: &Task,
        identity: Identity,
        now: Instant,
        names: &impl Names,
        target: impl FnOnce(&mut Resolver<H>) -> Target,
    ) {
        let key = Key {
            session: what.session,
            policy: what.policy,
            operation: what.operation,
            verdict: what.verdict,
            reason: what.reason,
            rule: what.rule,
            signal: what.signal,
            facility: what.facility,
            actor: (actor.pid, actor.start),
        };
        match self.folder.join(&key, identity, what.time, now) {
            Joined::Counted => {}
            Joined::Wanted => {
                let target = target(&mut self.resolver);
                self.folder.example(&key, target);
            }
            Joined::Not => {
                let target = target(&mut self.resolver);
                let sessions_of = |pids: &[u32]| names.sessions_of(pids);
                let ancestors = self.resolver.ancestors(actor, what.session, sessions_of);
                let actor = Process {
                    ancestors,
                    ..self.resolver.process(actor, now)
                };
                let first = Closed {
                    key,
                    time: self.resolver.time(what.time),
                    session: Some(session_name(names, what.session)),
                    last: what.time,
                    judged: Box::new(judged(what, actor, target, names)),
                };
                if let Some(closed) = self.folder.open(first, identity, now) {
                    self.finish(closed);
                }
            }
        }
    }

    /// Compares a session's counters, as the kernel holds them now, with what has been said
    /// about them, and says the rest: lost records, processes without a label.
    pub fn counters(&mut self, session: u32, counters: &Counters, time: Time, names: &impl Names) {
        let bodies = self.reported.entry(session).or_default().news(counters);
        let name = session_name(names, session);
        for body in bodies {
            self.announce(Some(&name), time, body);
        }
    }

    /// Takes over a session from a server before this one, with the lost records that its
    /// log already tells of ([`super::summary::Summary::lost`]).
    pub fn adopt(&mut self, session: u32, lost: [u64; MAX_OPERATIONS]) {
        self.reported.entry(session).or_default().adopt(lost);
    }

    /// Finishes what is open of a session.
    pub fn close(&mut self, session: u32) {
        for closed in self.folder.close_session(session) {
            self.finish(closed);
        }
    }

    /// Forgets a session that has ended. Its counters are to be compared once more before.
    pub fn forget(&mut self, session: u32) {
        self.close(session);
        self.reported.remove(&session);
    }

    /// Finishes all that is open, before the server leaves.
    pub fn close_all(&mut self) {
        for closed in self.folder.close_all() {
            self.finish(closed);
        }
        self.say_malformed();
    }

    /// Puts something that the server knows among the events.
    pub fn announce(&mut self, session: Option<&str>, time: Time, body: Body) {
        self.make(session.map(str::to_owned), time, body);
    }

    /// An id between those of the events that have been polled for and all others.
    pub fn mark(&mut self) -> String {
        self.ids.next(Time::now())
    }

    /// Takes note of an id that a server before this one gave: those of this one are greater, even
    /// if the clock was set back between them.
    pub fn resume(&mut self, id: &str) {
        self.ids.resume(id);
    }

    /// The events that are ready by now, in their order.
    pub fn poll(&mut self, now: Instant) -> Vec<Event> {
        for closed in self.folder.close_due(now) {
            self.finish(closed);
        }
        let rested = self
            .malformed_said
            .is_none_or(|said| now.saturating_duration_since(said) >= MALFORMED_PAUSE);
        if self.malformed > 0 && rested {
            self.say_malformed();
            self.malformed_said = Some(now);
        }
        std::mem::take(&mut self.ready)
    }

    /// When to poll next, if nothing else happens before. A time in the past means now.
    #[must_use]
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        if !self.ready.is_empty() {
            return Some(now);
        }
        let malformed = (self.malformed > 0).then(|| {
            self.malformed_said
                .map_or(now, |said| said + MALFORMED_PAUSE)
        });
        [self.folder.deadline(), malformed]
            .into_iter()
            .flatten()
            .min()
    }

    fn say_malformed(&mut self) {
        let count = std::mem::take(&mut self.malformed);
        if count > 0 {
            let loss = Loss {
                what: Lost::Malformed,
                operation: None,
                count,
                because: "records do not have the layout of this version of guard; the verdicts \
                          were in force all the same; please report this"
                    .to_owned(),
            };
            self.make(None, Time::now(), Body::Lost(loss));
        }
    }

    fn finish(&mut self, closed: Closed) {
        let mut judged = closed.judged;
        if judged.count > 1 {
            judged.until = Some(self.resolver.time(closed.last).max(closed.time));
        }
        self.make(closed.session, closed.time, Body::Verdict(judged));
    }

    fn make(&mut self, session: Option<String>, time: Time, body: Body) {
        let mut event = Event {
            v: VERSION,
            time,
            session,
            id: String::new(),
            body,
        };
        event.id = self.ids.next(event.latest());
        self.ready.push(event);
    }
}

fn session_name(names: &impl Names, id: u32) -> String {
    names
        .session(id)
        .map_or_else(|| format!("#{id}"), str::to_owned)
}

#[cfg(test)]
#[path = "pipeline_tests.rs"]
mod tests;
