//! For whom a policy is asked that no session runs under: what its variables stand for.

use std::path::PathBuf;

use super::exit::Failure;
use super::run::choose_workspace;
use crate::policy::repository;
use crate::server::compiler::Subject;
use crate::session::identity::{Host, Identity};
use crate::system::mounts;

/// For whom, as `guard run` takes it.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Whom {
    /// For a session of this user's [default: whoever called sudo]
    #[arg(long)]
    user: Option<String>,
    /// For a session with this workspace [default: the working directory, unless it is a home or
    /// system directory]
    #[arg(long, value_name = "DIR")]
    workspace: Option<PathBuf>,
}

impl Whom {
    /// The session that would be started, without policies.
    pub fn subject(&self) -> Result<Subject, Failure> {
        let uid = nix::unistd::getuid().as_raw().to_string();
        let sudo_uid = std::env::var_os("SUDO_UID").unwrap_or_else(|| uid.into());
        let identity = Identity::choose(self.user.as_deref(), Some(&sudo_uid), &Host)?;
        let mounts = mounts::table()
            .map_err(|error| Failure::guard(format!("The mount table can't be read: {error}.")))?;
        let workspace = choose_workspace(self.workspace.as_deref(), &identity)?;
        let repository = workspace
            .as_deref()
            .and_then(|workspace| repository::of(workspace, &identity.home));
        Ok(Subject {
            policies: Vec::new(),
            user: identity.name,
            uid: identity.uid,
            home: identity.home,
            workspace,
            repository,
            audit: false,
            mounts,
        })
    }

    /// Whether somebody in particular is named.
    pub fn is_anybody(&self) -> bool {
        self.user.is_some() || self.workspace.is_some()
    }

    /// Somebody, for tests.
    #[cfg(test)]
    pub fn of(user: &str, workspace: impl Into<PathBuf>) -> Self {
        Self {
            user: Some(user.to_owned()),
            workspace: Some(workspace.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_elses_session_can_be_asked_about() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("project");
        std::fs::create_dir(&place).unwrap();
        let subject = Whom::of("daemon", &place).subject().unwrap();
        assert_eq!((&*subject.user, subject.uid), ("daemon", 1));
        assert_eq!(subject.workspace, Some(place.canonicalize().unwrap()));
    }
}
