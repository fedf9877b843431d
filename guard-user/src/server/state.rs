//! The states of sessions on disk, from which a new server takes over when one has died.
//!
//! A file is replaced as a whole: written beside, synced, renamed. So it is the old or the
//! new state, never half of one.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::compiler::Subject;
use super::enforcer::Installed;
use super::grants::Granted;
use super::proof::Proof;
use crate::policy::compiled::RuleInfo;
use crate::session::cgroup::SessionCgroup;
use crate::session::name::Name;

/// The version of the form. A file of another version is not read.
const VERSION: u32 = 1;

/// How the file of a session that is not complete yet ends.
const TEMPORARY: &str = "new";

/// All that a server must know of a session and that the engine doesn't.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionState {
    /// Its name.
    pub name: Name,
    /// Its number on this engine.
    pub id: u32,
    /// When it was started: milliseconds since 1970, UTC.
    pub started: u64,
    /// The command, to be shown.
    pub command: Vec<String>,
    /// The user's name.
    pub user: String,
    /// The user's number.
    pub uid: u32,
    /// The user's home directory.
    pub home: PathBuf,
    /// The workspace, if any.
    pub workspace: Option<PathBuf>,
    /// The repository that the workspace belongs to, where it lies outside of it.
    pub repository: Option<PathBuf>,
    /// The policies: names of presets and absolute paths; empty for the default policy.
    pub policies: Vec<String>,
    /// Whether nothing is refused, only recorded, whatever the policies say of their mode.
    #[serde(default)]
    pub audit: bool,
    /// All files that the policy in force was read from, or that a mistake is in.
    pub files: Vec<PathBuf>,
    /// What the files looked like when they were last compiled; 0 when that is not known.
    pub fingerprint: u64,
    /// Why the files as they are now are not in force, if so.
    pub mistake: Option<String>,
    /// The policies of which records may still come, the one in force last.
    pub known: Vec<KnownPolicy>,
    /// Its cgroup.
    pub cgroup: SessionCgroup,
    /// Its log.
    pub log: PathBuf,
    /// The mount table when it was started (`/proc/self/mountinfo`): what rules that let
    /// something through go by.
    pub mounts: String,
    /// Where the proof is that it enforces.
    pub proof: Proof,
    /// What people have let it do although a rule refuses it.
    #[serde(default)]
    pub grants: Vec<Granted>,
    /// How many grants it has had: the number of the last one.
    #[serde(default)]
    pub granted: u32,
    /// Its runtime directory; none when it could not be made.
    pub runtime: Option<PathBuf>,
}

/// A policy by its id, and what its rules are called.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownPolicy {
    /// Where the engine has it.
    pub installed: Installed,
    /// Its rules in the order of their indices.
    pub rules: Vec<RuleInfo>,
}

impl KnownPolicy {
    /// The rules that have limits, by name, in the order of the limits.
    pub fn limited(&self) -> Vec<&str> {
        let mut limited: Vec<_> = self
            .rules
            .iter()
            .filter_map(|rule| Some((rule.limit?, rule.name.as_str())))
            .collect();
        limited.sort_unstable();
        limited.into_iter().map(|(_, name)| name).collect()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<Body> {
    v: u32,
    session: Body,
}

#[derive(Deserialize)]
struct Versioned {
    v: u32,
}

impl SessionState {
    /// Whom and what its policy is compiled for.
    #[must_use]
    pub fn subject(&self) -> Subject {
        Subject {
            policies: self.policies.clone(),
            user: self.user.clone(),
            uid: self.uid,
            home: self.home.clone(),
            workspace: self.workspace.clone(),
            repository: self.repository.clone(),
            audit: self.audit,
            mounts: self.mounts.clone(),
        }
    }

    /// The policy in force.
    #[must_use]
    pub fn in_force(&self) -> Option<Installed> {
        self.known.last().map(|policy| policy.installed)
    }
}

/// Writes a session's state.
pub fn save(directory: &Path, state: &SessionState) -> io::Result<()> {
    let envelope = Envelope {
        v: VERSION,
        session: state,
    };
    let text = serde_json::to_vec(&envelope)?;
    let file = file_of(directory, &state.name);
    let new = file.with_extension(TEMPORARY);
    let mut writer = File::create(&new)?;
    writer.write_all(&text)?;
    writer.sync_all()?;
    fs::rename(&new, &file)?;
    File::open(directory)?.sync_all()
}

/// Removes a session's state. One that is gone already is fine.
pub fn remove(directory: &Path, name: &Name) -> io::Result<()> {
    match fs::remove_file(file_of(directory, name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Reads all states; for each file that can't be read, why. What a write has left behind
/// that was cut short is removed.
pub fn load(directory: &Path) -> io::Result<Vec<Result<SessionState, String>>> {
    let mut states = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("json") => states.push(
                read(&path).map_err(|error| format!("{} can't be read: {error}", path.display())),
            ),
            Some(TEMPORARY) => fs::remove_file(&path)?,
            _ => {}
        }
    }
    Ok(states)
}

/// The state of a session that lives, as far as it can be read.
#[must_use]
pub fn find(directory: &Path, name: &Name) -> Option<SessionState> {
    read(&file_of(directory, name)).ok()
}

fn read(path: &Path) -> Result<SessionState, String> {
    let text = fs::read(path).map_err(|error| error.to_string())?;
    let Versioned { v } = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    if v != VERSION {
        return Err(format!(
            "it has version {v} of the form, and this guard reads version {VERSION}"
        ));
    }
    let envelope: Envelope<SessionState> =
        serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    let state = envelope.session;
    if file_of(Path::new(""), &state.name).as_os_str() != path.file_name().unwrap_or_default() {
        return Err(format!("it is about another session, {}", state.name));
    }
    Ok(state)
}

fn file_of(directory: &Path, name: &Name) -> PathBuf {
    directory.join(format!("{name}.json"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn state(name: &str) -> SessionState {
        SessionState {
            name: Name::new(name).unwrap(),
            id: 3,
            started: 1_700_000_000_000,
            command: vec!["sh".into()],
            user: "ann".into(),
            uid: 1000,
            home: "/home/ann".into(),
            workspace: Some("/home/ann/work".into()),
            repository: None,
            policies: Vec::new(),
            audit: false,
            files: Vec::new(),
            fingerprint: 0,
            mistake: None,
            known: vec![KnownPolicy {
                installed: Installed { slot: 1, id: 2 },
                rules: Vec::new(),
            }],
            cgroup: SessionCgroup {
                directory: "/sys/fs/cgroup/guard/a-1".into(),
                id: 77,
                unit: None,
            },
            log: "/var/log/guard/a-1-20261122T140312.000Z.jsonl".into(),
            mounts: String::new(),
            proof: Proof::Seen,
            grants: Vec::new(),
            granted: 0,
            runtime: None,
        }
    }

    #[test]
    fn a_state_is_found_again_until_it_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let mut first = state("a-1");
        save(directory.path(), &first).unwrap();
        first.mistake = Some("a.yaml:1:1: no".into());
        save(directory.path(), &first).unwrap();
        assert_eq!(load(directory.path()).unwrap(), [Ok(first.clone())]);
        assert_eq!(first.in_force(), Some(Installed { slot: 1, id: 2 }));
        remove(directory.path(), &first.name).unwrap();
        remove(directory.path(), &first.name).unwrap();
        assert_eq!(load(directory.path()).unwrap(), []);
    }

    #[test]
    fn a_write_that_was_cut_short_leaves_the_state_before() {
        let directory = tempfile::tempdir().unwrap();
        save(directory.path(), &state("a-1")).unwrap();
        let torn = directory.path().join("a-1.new");
        fs::write(&torn, b"{\"v\":1,\"sess").unwrap();
        assert_eq!(load(directory.path()).unwrap(), [Ok(state("a-1"))]);
        assert!(!torn.exists());
    }

    #[test]
    fn files_that_are_damaged_foreign_or_renamed_are_named_and_the_rest_is_read() {
        let directory = tempfile::tempdir().unwrap();
        save(directory.path(), &state("a-1")).unwrap();
        let good = fs::read(directory.path().join("a-1.json")).unwrap();
        fs::write(directory.path().join("torn.json"), &good[..good.len() / 2]).unwrap();
        fs::write(directory.path().join("old.json"), "{\"v\":0}").unwrap();
        fs::write(directory.path().join("other.json"), &good).unwrap();
        let states = load(directory.path()).unwrap();
        let why: Vec<_> = states
            .iter()
            .filter_map(|state| state.as_ref().err().cloned())
            .collect();
        let why = why.join("\n");
        assert_eq!(
            states.iter().filter(|state| state.is_ok()).count(),
            1,
            "{why}"
        );
        for part in [
            "torn.json can't be read",
            "version 0 of the form",
            "another session, a-1",
        ] {
            assert!(why.contains(part), "{why}");
        }
    }
}
