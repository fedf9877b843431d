//! What `guard explain` and `guard ps` are asked about: a session that runs, or a policy without one.

use super::exit::Failure;
use super::whom::Whom;
use crate::policy::compiled::Compiled;
use crate::server::client::{self, unexpected};
use crate::server::compiler::{Compiler as _, Subject};
use crate::server::paths::Paths;
use crate::server::policies::Policies;
use crate::server::protocol::{Request, Response};
use crate::session::name::Name;

/// A session, or policies.
#[derive(Debug, clap::Args)]
pub struct Under {
    /// In which session
    #[arg(long)]
    session: Option<String>,
    /// Under which policy, without a session: a file, or the name of a preset; can be given several
    /// times
    #[arg(long, value_name = "FILE", conflicts_with = "session")]
    policy: Vec<String>,
    #[command(flatten)]
    whom: Whom,
}

impl Under {
    /// The policies that are asked about, for a session that could be started; none where a session
    /// that runs is.
    pub fn policy(&self) -> Result<Option<Compiled>, Failure> {
        if self.policy.is_empty() {
            if self.whom.is_anybody() {
                return Err(Failure::usage(
                    "--user and --workspace say for whom a policy is asked: name one with --policy. \
                     A session that runs has its own.",
                ));
            }
            return Ok(None);
        }
        let subject = Subject {
            policies: self.policy.clone(),
            ..self.whom.subject()?
        };
        let ready = Policies::of_this_process().compile(&subject);
        let ready = ready.map_err(|mistake| Failure::usage(mistake.message))?;
        Ok(Some(ready.compiled))
    }

    /// The session of the name that was given, or the only one that there is.
    pub fn session(&self, paths: &Paths) -> Result<Name, Failure> {
        let nobody = "There is no session. Name a policy: --policy default.";
        client::find(paths)?.ok_or_else(|| Failure::usage(nobody))?;
        match &self.session {
            Some(name) => Name::new(name).map_err(|error| Failure::usage(error.to_string())),
            None => only_one(paths, nobody),
        }
    }

    /// A policy by its name, for tests.
    #[cfg(test)]
    pub fn of(policy: &str) -> Self {
        Self {
            session: None,
            policy: vec![policy.to_owned()],
            whom: Whom::default(),
        }
    }
}

fn only_one(paths: &Paths, nobody: &str) -> Result<Name, Failure> {
    let status = match client::ask(paths, &Request::Status)? {
        Response::Status(status) => status,
        other => return Err(unexpected(&other)),
    };
    match &status.sessions[..] {
        [] => Err(Failure::usage(nobody)),
        [one] => Ok(one.name.clone()),
        several => {
            let names: Vec<_> = several.iter().map(|one| one.name.to_string()).collect();
            Err(Failure::usage(format!(
                "There are several sessions; name one with --session: {}.",
                names.join(", ")
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_that_runs_has_a_user_and_a_workspace() {
        let workspace = tempfile::tempdir().unwrap();
        let mut under = Under::of("default");
        under.whom = Whom::of("daemon", workspace.path());
        assert!(under.policy().is_ok_and(|policy| policy.is_some()));
        under.policy.clear();
        let failure = under.policy().unwrap_err();
        assert!(failure.message.contains("name one with --policy"));
        under.whom = Whom::default();
        assert!(under.policy().is_ok_and(|policy| policy.is_none()));
    }
}
