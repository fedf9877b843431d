//! Grants: what people let a session do although a rule refuses it (`guard allow`).

use std::time::Duration;

use anyhow::{Context, Result};
use guard_ebpf::grant::{Grant, GrantKey, Target};
use guard_ebpf::operation::{Reason, Verdict};
use serde::{Deserialize, Serialize};

use super::core::{Inner, Refused, Server};
use super::protocol::{Allow, GrantStatus, Response};
use crate::cli::output::sentence;
use crate::events::event::Level;
use crate::explain::{self, Answer};
use crate::session::name::Name;
use crate::system::clock::since_boot;
use crate::system::signals;

/// A grant, as a session's state has it: for people, and what the engine knows it by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Granted {
    /// Its number, by which it is taken back. Of one session never used again.
    pub number: u32,
    /// What is granted, in words: the operation and the target.
    pub what: String,
    /// The rule that refuses it; none where it is refused for want of a rule.
    pub rule: Option<String>,
    /// Its key in the engine, without the session.
    pub key: Key,
}

/// A [`GrantKey`] without the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    operation: u16,
    detail: u16,
    rule: u64,
    target: [u64; 3],
}

impl Key {
    fn of(key: GrantKey) -> Self {
        Self {
            operation: key.operation,
            detail: key.detail,
            rule: key.rule,
            target: key.target.0,
        }
    }

    fn in_session(self, session: u32) -> GrantKey {
        GrantKey {
            session,
            operation: self.operation,
            detail: self.detail,
            rule: self.rule,
            target: Target(self.target),
        }
    }
}

impl Inner {
    /// What a session is granted now.
    pub(super) fn grants(&self, id: u32) -> Vec<GrantStatus> {
        let engine = self.engine.as_ref();
        let in_force = engine.and_then(|engine| engine.grants(id).ok());
        let in_force = in_force.unwrap_or_default();
        let Some(session) = self.sessions.get(&id) else {
            return Vec::new();
        };
        let now = since_boot();
        let of = |granted: &Granted| {
            let key = granted.key.in_session(id);
            let (_, grant) = in_force.iter().find(|(other, _)| *other == key)?;
            let left = Duration::from_nanos(grant.expires).checked_sub(now)?;
            Some(GrantStatus {
                number: granted.number,
                what: granted.what.clone(),
                rule: granted.rule.clone(),
                used: grant.used.min(grant.times),
                times: (grant.times != u64::MAX).then_some(grant.times),
                seconds: left.as_secs(),
            })
        };
        session.state.grants.iter().filter_map(of).collect()
    }

    /// What a session is granted, as far as it holds still.
    pub(super) fn granted_now(&self, session: u32) -> Vec<GrantKey> {
        let engine = self.engine.as_ref();
        let grants = engine.and_then(|engine| engine.grants(session).ok());
        let now = since_boot();
        let grants = grants.unwrap_or_default().into_iter();
        grants
            .filter(|(_, grant)| {
                grant.used < grant.times && Duration::from_nanos(grant.expires) > now
            })
            .map(|(key, _)| key)
            .collect()
    }
}

impl Server {
    /// Lets a session do one thing that is refused. `pid` is who asks.
    pub(super) fn allow(&self, request: &Allow, pid: u32) -> Response {
        let name = &request.session;
        let Some(id) = self.find(name) else {
            return Refused::no_session(name).into();
        };
        match self.try_allow(id, request, pid) {
            Ok(grant) => Response::Granted(Box::new(grant)),
            Err(refused) => refused.into(),
        }
    }

    fn try_allow(&self, id: u32, request: &Allow, pid: u32) -> Result<GrantStatus, Refused> {
        let told = |error: anyhow::Error| Refused::usage(sentence(&format!("{error:#}")));
        let (answer, key) = self.refusal(id, request).map_err(told)?;
        check(&answer, request)?;
        let key = key
            .with_context(|| format!("a grant can't be for {}", answer.target))
            .map_err(told)?;
        self.drop_expired(id)?;
        let grant = Grant {
            used: 0,
            times: request.times.unwrap_or(u64::MAX),
            expires: u64::try_from(
                (since_boot() + Duration::from_secs(request.seconds.into())).as_nanos(),
            )
            .unwrap_or(u64::MAX),
        };
        // Known before it holds: a server that takes over then can show it.
        let number = self.note(id, &answer, request, key)?;
        if let Err(error) = self.with_engine(|engine| engine.grant(key, grant)) {
            self.forget(id, &[number]);
            return Err(error.into());
        }
        let status = self
            .inner
            .borrow()
            .grants(id)
            .into_iter()
            .find(|grant| grant.number == number);
        let status = status.ok_or_else(|| Refused::guard("The grant does not hold."))?;
        let message = format!(
            "process {pid} has let the session {} ({}), although {} refuses it",
            status.what,
            bounds(&status),
            under(status.rule.as_deref())
        );
        self.notice(Some(id), Level::Info, &message);
        Ok(status)
    }

    fn refusal(&self, id: u32, request: &Allow) -> Result<(Answer, Result<GrantKey>)> {
        let inner = self.inner.borrow();
        let (policy, rules) = inner.in_force(id)?;
        explain::refusal(&request.question, &policy, rules, id, &*inner)
    }

    /// Writes a grant into the session's state. Returns its number.
    fn note(
        &self,
        id: u32,
        answer: &Answer,
        request: &Allow,
        key: GrantKey,
    ) -> Result<u32, Refused> {
        let mut inner = self.inner.borrow_mut();
        let session = inner.sessions.get_mut(&id);
        let session = session.ok_or_else(|| Refused::no_session(&request.session))?;
        let state = &mut session.state;
        state.granted += 1;
        let number = state.granted;
        let signal = match request.question.signal {
            0 => String::new(),
            signal => format!(" {}", signals::name(signal)),
        };
        let key = Key::of(key);
        // The one before for just this begins anew under the new number.
        state.grants.retain(|other| other.key != key);
        state.grants.push(Granted {
            number,
            what: format!(
                "{}{signal} {}",
                request.question.operation.name(),
                answer.target
            ),
            rule: rule_of(answer),
            key,
        });
        drop(inner);
        self.save(id);
        Ok(number)
    }

    /// Takes back what has expired: it holds no more, and only takes room.
    fn drop_expired(&self, id: u32) -> Result<(), Refused> {
        let now = since_boot();
        let expired = self.with_engine(|engine| {
            let grants = engine.grants(id)?.into_iter();
            let expired: Vec<_> = grants
                .filter(|(_, grant)| Duration::from_nanos(grant.expires) <= now)
                .map(|(key, _)| Key::of(key))
                .collect();
            for key in &expired {
                engine.revoke(key.in_session(id))?;
            }
            Ok(expired)
        })?;
        let mut inner = self.inner.borrow_mut();
        if let Some(session) = inner.sessions.get_mut(&id) {
            let grants = &mut session.state.grants;
            grants.retain(|granted| !expired.contains(&granted.key));
        }
        Ok(())
    }

    /// Takes grants of a session's back: one, or all. `pid` is who asks.
    pub(super) fn revoke(&self, name: &Name, number: Option<u32>, pid: u32) -> Response {
        let Some(id) = self.find(name) else {
            return Refused::no_session(name).into();
        };
        let mut grants = self.inner.borrow().grants(id);
        if let Some(number) = number {
            grants.retain(|grant| grant.number == number);
            if grants.is_empty() {
                return Refused::usage(format!(
                    "Session {name} has no grant {number}. `guard status` lists those that it has."
                ))
                .into();
            }
        }
        let numbers: Vec<_> = grants.iter().map(|grant| grant.number).collect();
        let keys: Vec<_> = {
            let inner = self.inner.borrow();
            let session = inner.sessions.get(&id);
            let all = session.map(|session| session.state.grants.iter());
            let all = all.into_iter().flatten();
            all.filter(|granted| numbers.contains(&granted.number))
                .map(|granted| granted.key.in_session(id))
                .collect()
        };
        let taken =
            self.with_engine(|engine| keys.into_iter().try_for_each(|key| engine.revoke(key)));
        if let Err(error) = taken {
            return Refused::from(error).into();
        }
        self.forget(id, &numbers);
        for grant in &grants {
            let message = format!(
                "process {pid} has taken back that the session may {} (used {}); what it has begun \
                 under it, such as writing to a file that it has open, goes on",
                grant.what,
                times(grant.used)
            );
            self.notice(Some(id), Level::Info, &message);
        }
        Response::Revoked { grants }
    }

    fn forget(&self, id: u32, numbers: &[u32]) {
        let mut inner = self.inner.borrow_mut();
        if let Some(session) = inner.sessions.get_mut(&id) {
            let grants = &mut session.state.grants;
            grants.retain(|granted| !numbers.contains(&granted.number));
        }
        drop(inner);
        self.save(id);
    }
}

/// Fails unless what is asked for is refused, by the rule that is named.
fn check(answer: &Answer, request: &Allow) -> Result<(), Refused> {
    let target = &answer.target;
    match (answer.verdict, answer.reason) {
        (Verdict::Allow, _) => {
            return Err(Refused::usage(format!(
                "The session may do this already, to {target}: {}.",
                answer.because.as_deref().unwrap_or(&answer.whose)
            )));
        }
        (Verdict::Audit, _) => {
            return Err(Refused::usage(format!(
                "The session may do this already, to {target}: it is only recorded."
            )));
        }
        (Verdict::Deny, Reason::Rule | Reason::Default | Reason::Limit | Reason::Forgotten) => {}
        (Verdict::Deny, _) => {
            return Err(Refused::usage(format!(
                "Nobody can grant this: {}.",
                answer
                    .because
                    .as_deref()
                    .unwrap_or("it protects guard itself")
            )));
        }
    }
    let refusing = rule_of(answer);
    match (&request.rule, &refusing) {
        (None, _) => Ok(()),
        (Some(asked), Some(rule)) if asked == rule => Ok(()),
        (Some(asked), None) if asked == "default" => Ok(()),
        (Some(asked), _) => Err(Refused::usage(format!(
            "It is not the rule {asked} that refuses this, but {}.",
            under(refusing.as_deref())
        ))),
    }
}

/// The rule that refuses, by its name; none for want of a rule.
fn rule_of(answer: &Answer) -> Option<String> {
    let by_rule = matches!(answer.reason, Reason::Rule | Reason::Limit);
    answer.rule.clone().filter(|_| by_rule)
}

fn under(rule: Option<&str>) -> String {
    match rule {
        Some(rule) => format!("the rule {rule}"),
        None => "the default, without a rule,".to_owned(),
    }
}

/// How often and how long a grant holds.
fn bounds(grant: &GrantStatus) -> String {
    let seconds = grant.seconds + 1;
    match grant.times {
        Some(count) => format!("{} within {seconds} s", times(count)),
        None => format!("for {seconds} s"),
    }
}

fn times(count: u64) -> String {
    match count {
        1 => "once".to_owned(),
        count => format!("{count} times"),
    }
}
