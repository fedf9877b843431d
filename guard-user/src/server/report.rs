//! What `guard status` shows, put together.

use std::rc::Rc;

use guard_ebpf::operation::{Operation, Verdict};
use guard_ebpf::session::Counters;

use super::core::{Inner, Server, Session};
use super::protocol::{Count, SessionStatus, Status};

impl Server {
    /// What there is now.
    pub(super) fn status(self: &Rc<Self>) -> Status {
        // What was counted and what was read should be of one moment.
        self.drain();
        let inner = self.inner.borrow();
        Status {
            server: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            stays: self.parts.stay,
            engine: inner.engine.as_ref().map(|engine| engine.features()),
            alarm: inner.health.alarm(),
            proved: inner.health.proved(),
            sessions: inner
                .sessions
                .iter()
                .map(|(&id, session)| session_status(&inner, id, session))
                .collect(),
        }
    }
}

fn session_status(inner: &Inner, id: u32, session: &Session) -> SessionStatus {
    let mut counters = inner
        .engine
        .as_ref()
        .and_then(|engine| engine.counters(id).ok())
        .unwrap_or_default();
    let state = &session.state;
    state.proof.subtract_from(&mut counters);
    SessionStatus {
        name: state.name.clone(),
        id,
        started: state.started,
        command: state.command.clone(),
        user: state.user.clone(),
        uid: state.uid,
        workspace: state.workspace.clone(),
        policies: state.policies.clone(),
        policy: state.in_force().map_or(0, |policy| policy.id),
        mistake: state.mistake.clone(),
        tasks: counters.tasks,
        counts: counts(&counters),
        lost: counters.lost.iter().sum(),
        unlogged: inner.feed.unlogged(&state.name),
        errors: counters.errors,
        unlabelled: counters.unlabelled,
        forgotten: counters.forgotten + counters.unidentified,
        exceeded: inner.exceeded(id),
        grants: inner.grants(id),
        cgroup: state.cgroup.directory.clone(),
        log: state.log.clone(),
    }
}

fn counts(counters: &Counters) -> Vec<Count> {
    Operation::EVERY
        .into_iter()
        .flat_map(|operation| {
            Verdict::EVERY.map(|verdict| Count {
                operation: operation.name().to_owned(),
                verdict: verdict.name().to_owned(),
                count: counters.count(operation, verdict),
            })
        })
        .filter(|count| count.count > 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_happened_is_left_out() {
        let mut counters = Counters::default();
        counters.verdicts[Operation::Delete as usize][Verdict::Deny as usize] = 3;
        let expected = Count {
            operation: "delete".to_owned(),
            verdict: "deny".to_owned(),
            count: 3,
        };
        assert_eq!(counts(&counters), [expected]);
    }
}
