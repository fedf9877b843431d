//! Shell scripts that play an agent: run as a user without guard, and in a session under the
//! default policy.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, chown, fchown};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::agent::AGENT;
use super::cases::until;
use super::guard::{GUARD, PATIENCE};
use crate::init::{DEADLINE, PATH};

/// Where the scripts are in the machine: nobody's but root's.
pub const PLACE: &str = "/opt/guard-tests";

/// Stands at the beginning of every script.
const COMMON: &str = include_str!("common.sh");

/// What is left of a test's time when a script has had the most that it may take.
const SPARE: Duration = Duration::from_secs(20);

/// Who runs a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// An ordinary user.
    Agent,
    /// Root.
    Root,
}

impl User {
    /// The login name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Root => "root",
        }
    }

    /// The home directory.
    pub fn home(self) -> &'static Path {
        Path::new(match self {
            Self::Agent => "/home/agent",
            Self::Root => "/root",
        })
    }

    /// The directory in which scripts run.
    pub fn workspace(self) -> PathBuf {
        self.home().join("work")
    }

    fn uid(self) -> u32 {
        match self {
            Self::Agent => AGENT,
            Self::Root => 0,
        }
    }

    /// A home as new, and nothing of an earlier run's anywhere: the workspace with one file.
    pub fn begin(self) -> anyhow::Result<()> {
        for place in ["/tmp", "/dev/shm"] {
            empty(Path::new(place))?;
        }
        empty(self.home())?;
        let workspace = self.workspace();
        fs::create_dir_all(&workspace)?;
        fs::write(workspace.join("there"), "before\n")?;
        for path in [self.home(), &workspace, &workspace.join("there")] {
            chown(path, Some(self.uid()), Some(self.uid()))?;
        }
        Ok(())
    }

    /// The environment of a login.
    fn environment(self) -> BTreeMap<&'static str, PathBuf> {
        BTreeMap::from([
            ("PATH", PATH.into()),
            ("HOME", self.home().into()),
            ("USER", self.name().into()),
            ("LOGNAME", self.name().into()),
            ("SHELL", "/bin/bash".into()),
            ("LANG", "C.UTF-8".into()),
            ("TERM", "xterm".into()),
            ("WORKSPACE", self.workspace()),
            ("SCRIPTS", PLACE.into()),
        ])
    }
}

/// What came of a script.
#[derive(Debug)]
pub struct Ended {
    /// The exit status, 128 and the signal after a signal.
    pub status: i32,
    /// What it wrote.
    pub text: String,
    /// How long it took.
    pub took: Duration,
}

/// Puts a script into the machine and says where.
pub fn install(name: &str, text: &str) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(PLACE)?;
    let path = Path::new(PLACE).join(format!("{name}.sh"));
    fs::write(&path, format!("{COMMON}\n{text}"))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

/// Runs a script as `user`, without guard.
pub fn free(user: User, script: &Path) -> anyhow::Result<Ended> {
    free_only(user, script, "")
}

/// Runs the part of a script that this word stands for as `user`, without guard.
pub fn free_only(user: User, script: &Path, only: &str) -> anyhow::Result<Ended> {
    let mut command = Command::new("bash");
    command.arg(script);
    if user != User::Root {
        command.uid(user.uid()).gid(user.uid());
    }
    run(user, &mut command, only, &mut || drop_caches(user))
}

/// Runs a script in a session of `user` under the default policy.
pub fn guarded(user: User, session: &str, script: &Path) -> anyhow::Result<Ended> {
    watched(user, session, script, &mut || drop_caches(user))
}

/// The same, and `meanwhile` is called every few milliseconds.
pub fn watched(
    user: User,
    session: &str,
    script: &Path,
    meanwhile: &mut dyn FnMut(),
) -> anyhow::Result<Ended> {
    let mut command = Command::new(GUARD);
    command
        .args(["run", "--user", user.name(), "--name", session])
        .arg("--workspace")
        .arg(user.workspace())
        .args(["--", "bash"])
        .arg(script);
    run(user, &mut command, "", meanwhile)
}

fn run(
    user: User,
    command: &mut Command,
    only: &str,
    meanwhile: &mut dyn FnMut(),
) -> anyhow::Result<Ended> {
    let start = Instant::now();
    let (mut reader, writer) = std::io::pipe()?;
    // As a user's shell makes it: who opens `/dev/stdout` opens the pipe anew.
    fchown(&writer, Some(user.uid()), Some(user.uid()))?;
    let mut child = command
        .env_clear()
        .envs(user.environment())
        .env("ONLY", only)
        .current_dir(user.workspace())
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0)
        .spawn()
        .with_context(|| format!("{command:?}"))?;
    // The command's own ends of the pipe go with it, and what a script leaves running has its end
    // for as long as it lives: nobody waits for that.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let text = Arc::new(Mutex::new(Vec::new()));
    let written = Arc::clone(&text);
    let reading = std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = reader.read(&mut bytes) {
            written
                .lock()
                .expect("nobody panics with it")
                .extend_from_slice(&bytes[..count]);
        }
    });
    let mut status = None;
    until(longest()?, || {
        meanwhile();
        status = child.try_wait().ok().flatten();
        status.is_some()
    });
    let took = start.elapsed();
    if status.is_none() {
        child.kill()?;
        child.wait()?;
    }
    until(Duration::from_secs(1), || reading.is_finished());
    let text = String::from_utf8_lossy(&text.lock().expect("nobody panics with it")).into_owned();
    let status = status.with_context(|| format!("it did not end: {text}"))?;
    Ok(Ended {
        status: status
            .code()
            .or_else(|| Some(128 + status.signal()?))
            .unwrap_or(-1),
        text,
        took,
    })
}

/// The longest that a script may take.
fn longest() -> anyhow::Result<Duration> {
    let seconds = std::env::var(DEADLINE).context(DEADLINE)?.parse()?;
    Ok(Duration::from_secs(seconds).saturating_sub(SPARE))
}

/// Does what a script asks for that makes a file called `drop`: the kernel forgets what it can.
fn drop_caches(user: User) {
    let wish = user.workspace().join("drop");
    if wish.exists() {
        nix::unistd::sync();
        let _ = fs::write("/proc/sys/vm/drop_caches", "3");
        let _ = fs::remove_file(wish);
    }
}

/// The refusals of a session that has ended, as its log tells of them.
pub fn refusals(session: &str) -> anyhow::Result<Vec<Value>> {
    let mut events = Vec::new();
    let ended = until(PATIENCE, || {
        events = log(session).unwrap_or_default();
        events.iter().any(|event| event["change"] == "ended")
    });
    ensure!(ended, "the log of {session} does not end: {events:?}");
    events.retain(|event| event["verdict"] == "deny" || event["event"] == "lost");
    Ok(events)
}

fn log(session: &str) -> anyhow::Result<Vec<Value>> {
    let mut events = Vec::new();
    for entry in fs::read_dir("/var/log/guard")? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // Behind the name stands the time.
        if name
            .rsplit_once('-')
            .is_some_and(|(name, _)| name == session)
        {
            let text = fs::read_to_string(&path)?;
            events.extend(
                text.lines()
                    .filter_map(|line| serde_json::from_str(line).ok()),
            );
        }
    }
    Ok(events)
}

/// Removes all that is in a directory.
fn empty(directory: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())
        } else {
            fs::remove_file(entry.path())
        }
        .with_context(|| entry.path().display().to_string())?;
    }
    Ok(())
}
