//! A session's cgroup: made, filled, emptied, removed.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::control::{self, write};
use super::limits::Numbers;
use super::name::Name;
use super::scope;

/// Where guard's cgroups are on hosts without systemd, below the cgroup2 mount.
const PARENT: &str = "guard";

/// The cgroup inside a session's scope that holds its processes.
const LEAF: &str = "session";

/// The cgroup of a session.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SessionCgroup {
    /// Its directory.
    pub directory: PathBuf,
    /// Its id, which is the directory's inode number.
    pub id: u64,
    /// The systemd unit around it, if any, which ends by itself.
    pub unit: Option<String>,
}

impl SessionCgroup {
    /// Makes the cgroup of a session below a cgroup2 mount, for a first process that
    /// systemd needs to start a scope.
    pub async fn create(mount: &Path, session: &Name, pid: u32) -> Result<Self> {
        if !scope::is_host_managed() {
            return Self::create_plain(mount, session);
        }
        let unit = scope::unit(session);
        let description = format!("Guard session {session}");
        let cgroup = scope::start(&unit, &description, pid).await?;
        let below = cgroup.strip_prefix("/").unwrap_or(&cgroup);
        Self::at(mount.join(below).join(LEAF), Some(unit))
    }

    /// Makes a plain directory: `guard/NAME`.
    pub fn create_plain(mount: &Path, session: &Name) -> Result<Self> {
        let parent = mount.join(PARENT);
        make(&parent)?;
        control::hand_down(mount);
        control::hand_down(&parent);
        Self::at(parent.join(session.as_str()), None)
    }

    fn at(directory: PathBuf, unit: Option<String>) -> Result<Self> {
        make(&directory)?;
        let id = fs::metadata(&directory)
            .with_context(|| shown(&directory))?
            .ino();
        let cgroup = Self {
            directory,
            id,
            unit,
        };
        // One that was left behind can be used again when it is empty.
        let strangers = cgroup.processes();
        anyhow::ensure!(
            strangers.is_empty(),
            "the cgroup {} is there already and has processes in it ({strangers:?}); give the \
             session another name",
            shown(&cgroup.directory)
        );
        Ok(cgroup)
    }

    /// Moves a process in, with all its threads.
    pub fn attach(&self, pid: u32) -> Result<()> {
        Self::enter(&self.directory, pid).with_context(|| {
            format!(
                "process {pid} can't be moved into the cgroup {}",
                shown(&self.directory)
            )
        })
    }

    /// The processes in it and in the cgroups below it.
    pub fn processes(&self) -> Vec<u32> {
        self.places().into_iter().map(|(_, pid)| pid).collect()
    }

    /// The same, each with the directory of the cgroup that it is in.
    pub fn places(&self) -> Vec<(PathBuf, u32)> {
        let mut found = Vec::new();
        for directory in self.tree() {
            // One that vanishes meanwhile has no processes.
            let text = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
            let pids = text.lines().filter_map(|pid| pid.parse::<u32>().ok());
            found.extend(pids.map(|pid| (directory.clone(), pid)));
        }
        found
    }

    /// Moves a process into a cgroup. One that is in it already gets the label once more, if
    /// it has none.
    pub fn enter(directory: &Path, pid: u32) -> io::Result<()> {
        write(&directory.join("cgroup.procs"), &pid.to_string())
    }

    /// Whether it has been frozen.
    pub fn is_frozen(&self) -> bool {
        fs::read_to_string(self.directory.join("cgroup.freeze"))
            .is_ok_and(|text| text.trim() == "1")
    }

    /// Puts limits in force, and says what can't be limited here, a sentence each.
    ///
    /// Where there is a unit its limits are systemd's, which would undo what others write.
    pub async fn limit(&self, numbers: &Numbers) -> Vec<String> {
        match (&self.unit, self.directory.parent()) {
            (Some(unit), Some(scope)) => match scope::limit(unit, numbers).await {
                Ok(()) => control::check(scope, numbers),
                Err(error) => vec![format!("the session is not limited: {error:#}")],
            },
            _ => control::limit(&self.directory, numbers),
        }
    }

    /// Stops all that is in it, or lets it go on (`cgroup.freeze`, Linux 5.2). The kernel may
    /// take a moment to stop who is in the middle of a system call.
    pub fn freeze(&self, frozen: bool) -> io::Result<()> {
        write(
            &self.directory.join("cgroup.freeze"),
            if frozen { "1" } else { "0" },
        )
    }

    /// Kills every process in it at once (`cgroup.kill`, Linux 5.14).
    pub fn kill(&self) -> io::Result<()> {
        write(&self.directory.join("cgroup.kill"), "1")
    }

    /// Removes it with all cgroups below it. One that is gone already is fine.
    pub fn remove(&self) -> io::Result<()> {
        for directory in self.tree().into_iter().rev() {
            match fs::remove_dir(&directory) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if let (None, Some(parent)) = (&self.unit, self.directory.parent()) {
            // It stays while other sessions are in it.
            let _ = fs::remove_dir(parent);
        }
        Ok(())
    }

    /// Its directory and all below, parents first.
    fn tree(&self) -> Vec<PathBuf> {
        let mut found = vec![self.directory.clone()];
        let mut next = 0;
        while let Some(directory) = found.get(next).cloned() {
            next += 1;
            let Ok(entries) = fs::read_dir(&directory) else {
                continue;
            };
            for entry in entries.flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    found.push(entry.path());
                }
            }
        }
        found
    }
}

fn make(directory: &Path) -> Result<()> {
    match fs::create_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("the cgroup {} can't be made", shown(directory)))
        }
        _ => Ok(()),
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_cgroup_is_made_once_and_removed_with_what_is_below() {
        let mount = tempfile::tempdir().unwrap();
        let name = Name::new("a-1").unwrap();
        let cgroup = SessionCgroup::create_plain(mount.path(), &name).unwrap();
        assert_eq!(cgroup.directory, mount.path().join("guard/a-1"));
        assert_eq!(cgroup.id, fs::metadata(&cgroup.directory).unwrap().ino());
        assert_eq!(
            SessionCgroup::create_plain(mount.path(), &name).unwrap(),
            cgroup
        );
        fs::create_dir_all(cgroup.directory.join("x/y")).unwrap();
        cgroup.remove().unwrap();
        assert!(!mount.path().join("guard").exists());
        cgroup.remove().unwrap();
    }

    #[test]
    fn processes_are_those_of_the_whole_tree() {
        let mount = tempfile::tempdir().unwrap();
        let name = Name::new("a-1").unwrap();
        let cgroup = SessionCgroup::create_plain(mount.path(), &name).unwrap();
        fs::write(cgroup.directory.join("cgroup.procs"), "1\n2\n").unwrap();
        fs::create_dir(cgroup.directory.join("x")).unwrap();
        fs::write(cgroup.directory.join("x/cgroup.procs"), "3\n").unwrap();
        assert_eq!(cgroup.processes(), [1, 2, 3]);
    }

    #[test]
    fn a_cgroup_that_cannot_be_filled_is_named() {
        let mount = tempfile::tempdir().unwrap();
        let name = Name::new("a-1").unwrap();
        let cgroup = SessionCgroup::create_plain(mount.path(), &name).unwrap();
        let error = format!("{:#}", cgroup.attach(1).unwrap_err());
        assert!(error.contains("process 1 can't be moved"), "{error}");
        let missing = mount.path().join("missing");
        let error = SessionCgroup::create_plain(&missing, &name).unwrap_err();
        assert!(format!("{error:#}").contains("can't be made"), "{error:#}");
    }
}
