//! Whether a session may do something: its policy as the engine has it, and what else is known.

use std::os::fd::BorrowedFd;

use anyhow::{Context, Result};
use guard_ebpf::grant::GrantKey;

use super::core::{Inner, Refused, Server};
use super::protocol::Response;
use crate::cli::output::sentence;
use crate::explain::{self, Answer, Exposure, Knowledge, Question, Whose};
use crate::policy::compiled::{Compiled, RuleInfo};
use crate::session::name::Name;

impl Server {
    /// Answers a question about a session.
    pub(super) fn explain(&self, name: &Name, question: &Question) -> Response {
        let Some(id) = self.find(name) else {
            return Refused::no_session(name).into();
        };
        match self.answer(id, question) {
            Ok(answer) => Response::Explained(Box::new(answer)),
            // Mostly something that is not there.
            Err(error) => Refused::usage(sentence(&format!("{error:#}"))).into(),
        }
    }

    /// What a session may do to each process.
    pub(super) fn exposures(&self, name: &Name) -> Result<Vec<Exposure>, Refused> {
        let id = self.find(name).ok_or_else(|| Refused::no_session(name))?;
        let inner = self.inner.borrow();
        let (policy, rules) = inner.in_force(id)?;
        Ok(explain::exposures(&policy, rules, id, &*inner)?)
    }

    fn answer(&self, id: u32, question: &Question) -> Result<Answer> {
        let inner = self.inner.borrow();
        let (policy, rules) = inner.in_force(id)?;
        explain::answer(question, &policy, rules, id, &*inner)
    }
}

impl Inner {
    /// The policy of a session as the engine has it, and what its rules are called.
    pub(super) fn in_force(&self, id: u32) -> Result<(Compiled, &[RuleInfo])> {
        let engine = self.engine.as_ref().context("no engine is loaded")?;
        let session = self.sessions.get(&id).context("the session has ended")?;
        let in_force = session.state.known.last();
        let in_force = in_force.context("the session's policy is not known")?;
        Ok((engine.policy_of(id)?, &in_force.rules))
    }
}

impl Knowledge for Inner {
    fn sessions_of(&self, pids: &[u32]) -> Result<Vec<Option<u32>>> {
        let engine = self.engine.as_ref().context("no engine is loaded")?;
        engine.sessions_of(pids)
    }

    fn command_of(&self, pid: u32) -> Option<Vec<u8>> {
        self.engine.as_ref()?.command_of(pid)
    }

    fn whose(&self, file: BorrowedFd<'_>) -> Result<Whose> {
        let engine = self.engine.as_ref().context("no engine is loaded")?;
        engine.whose(file)
    }

    fn maker_of(&self, socket: BorrowedFd<'_>) -> Option<u32> {
        self.engine.as_ref()?.maker_of(socket)
    }

    fn is_guard(&self, pid: u32) -> bool {
        let engine = self.engine.as_ref();
        engine.is_some_and(|engine| engine.is_protected(pid))
    }

    fn has_exceeded(&self, session: u32, limit: u8) -> bool {
        let engine = self.engine.as_ref();
        let exceeded = engine.and_then(|engine| engine.exceeded(session).ok());
        exceeded.is_some_and(|exceeded| exceeded.contains(&limit))
    }

    fn granted(&self, session: u32) -> Vec<GrantKey> {
        self.granted_now(session)
    }

    fn name(&self, session: u32) -> String {
        self.sessions.get(&session).map_or_else(
            || format!("#{session}, which has ended"),
            |session| session.state.name.to_string(),
        )
    }
}
