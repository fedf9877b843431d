//! Limits of rules (`at-most`) that a session has exceeded: which, and what lifts them.

use super::core::{Inner, Refused, Server};
use super::protocol::Response;
use super::state::SessionState;
use crate::events::event::Level;
use crate::session::name::Name;

impl SessionState {
    /// The rules of the policy in force that have limits, in the order of the limits.
    pub(super) fn limited(&self) -> Vec<String> {
        let in_force = self.known.last();
        let limited = in_force.map(super::state::KnownPolicy::limited);
        let names = limited.unwrap_or_default().into_iter();
        names.map(str::to_owned).collect()
    }
}

impl Inner {
    /// The rules whose limits a session has exceeded.
    pub(super) fn exceeded(&self, id: u32) -> Vec<String> {
        let engine = self.engine.as_ref();
        let exceeded = engine.and_then(|engine| engine.exceeded(id).ok());
        let Some(session) = self.sessions.get(&id) else {
            return Vec::new();
        };
        let limited = session.state.limited();
        let limits = exceeded.unwrap_or_default().into_iter();
        limits
            .filter_map(|limit| limited.get(usize::from(limit)).cloned())
            .collect()
    }
}

impl Server {
    /// Has a session begin anew with the limits of its rules. `pid` is who asks.
    pub(super) fn lift_limits(&self, name: &Name, pid: u32) -> Response {
        let Some(id) = self.find(name) else {
            return Refused::no_session(name).into();
        };
        let rules = self.inner.borrow().exceeded(id);
        if rules.is_empty() {
            return Response::Resumed { rules };
        }
        if let Err(error) = self.with_engine(|engine| engine.lift_limits(id)) {
            return Refused::from(error).into();
        }
        let message = format!(
            "process {pid} has lifted the limits of {}, which the session had exceeded; they count \
             anew",
            rules.join(", ")
        );
        self.notice(Some(id), Level::Info, &message);
        Response::Resumed { rules }
    }
}
