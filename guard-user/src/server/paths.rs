//! Where the server keeps its things.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// The directories of one server. Nothing but tests has others than [`Paths::system`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// What is gone after a reboot: socket, lock, states of sessions.
    pub run: PathBuf,
    /// The logs.
    pub log: PathBuf,
}

impl Paths {
    /// The host's own.
    #[must_use]
    pub fn system() -> Self {
        Self {
            run: "/run/guard".into(),
            log: "/var/log/guard".into(),
        }
    }

    /// The control socket.
    #[must_use]
    pub fn control(&self) -> PathBuf {
        self.run.join("control.sock")
    }

    /// The lock that a server holds as long as it lives.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.run.join("server.lock")
    }

    /// The states of the sessions.
    #[must_use]
    pub fn sessions(&self) -> PathBuf {
        self.run.join("sessions")
    }

    /// The runtime directories of the sessions. It can be gone through, and not listed.
    #[must_use]
    pub fn runtime(&self) -> PathBuf {
        self.run.join("runtime")
    }

    /// What a server in the background has to say.
    #[must_use]
    pub fn server_log(&self) -> PathBuf {
        self.log.join("server.log")
    }

    /// Makes the directories, for root only but for the way to the runtime directories. A directory of
    /// somebody else's is refused.
    pub fn make(&self) -> Result<()> {
        for (directory, mode) in [
            (&self.run, WAY),
            (&self.sessions(), PRIVATE),
            (&self.runtime(), WAY),
            (&self.log, PRIVATE),
        ] {
            make_own(directory, mode)
                .with_context(|| format!("the directory {}", directory.display()))?;
        }
        Ok(())
    }
}

/// Root's alone.
const PRIVATE: u32 = 0o700;
/// Who knows a name in it gets there; nobody else sees what there is.
const WAY: u32 = 0o711;

fn make_own(directory: &Path, mode: u32) -> Result<()> {
    let result = DirBuilder::new().mode(mode).create(directory);
    match result {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error.into()),
        _ => {}
    }
    // Not through a symbolic link: what is checked must be what is used.
    let metadata = fs::symlink_metadata(directory)?;
    ensure!(metadata.is_dir(), "it is not a directory");
    let owner = metadata.uid();
    let own = nix::unistd::geteuid().as_raw();
    ensure!(
        owner == own,
        "it belongs to user {owner}, not to {own}; remove it or give it back (chown)"
    );
    if metadata.permissions().mode() & 0o777 != mode {
        fs::set_permissions(directory, fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_made_for_their_owner_only() {
        let base = tempfile::tempdir().unwrap();
        let paths = Paths {
            run: base.path().join("run"),
            log: base.path().join("log"),
        };
        fs::create_dir(&paths.log).unwrap();
        fs::set_permissions(&paths.log, fs::Permissions::from_mode(0o777)).unwrap();
        paths.make().unwrap();
        paths.make().unwrap();
        for (directory, expected) in [
            (&paths.run, WAY),
            (&paths.log, PRIVATE),
            (&paths.sessions(), PRIVATE),
            (&paths.runtime(), WAY),
        ] {
            let mode = fs::metadata(directory).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, expected, "{}", directory.display());
        }
    }

    #[test]
    fn a_link_in_the_place_of_a_directory_is_refused() {
        let base = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/tmp", base.path().join("run")).unwrap();
        let paths = Paths {
            run: base.path().join("run"),
            log: base.path().join("log"),
        };
        let error = format!("{:#}", paths.make().unwrap_err());
        assert!(error.contains("not a directory"), "{error}");
    }
}
