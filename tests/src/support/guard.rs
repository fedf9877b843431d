//! Guard's own commands, as people type them.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use super::cases::until;
use super::raw;

/// The program under test.
pub const GUARD: &str = "/usr/bin/guard";

/// Where the engine is pinned.
pub const PINS: &str = "/sys/fs/bpf/guard";

/// How long guard may take for what it does at once, on an emulated processor.
pub const PATIENCE: Duration = Duration::from_mins(3);

/// A run of guard that has ended.
#[derive(Debug)]
pub struct Ran {
    /// The exit status, 128 and the signal after a signal.
    pub status: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// Runs guard to its end.
pub fn guard(arguments: &[&str]) -> anyhow::Result<Ran> {
    ran(Command::new(GUARD).args(arguments).stdin(Stdio::null()))
}

/// Runs a command to its end.
pub fn ran(command: &mut Command) -> anyhow::Result<Ran> {
    let output: Output = command.output().with_context(|| format!("{command:?}"))?;
    let status = output.status;
    Ok(Ran {
        status: status
            .code()
            .or_else(|| Some(128 + status.signal()?))
            .unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

impl Ran {
    /// Fails unless it ended with this status.
    pub fn ensure_status(&self, status: i32) -> anyhow::Result<&Self> {
        ensure!(
            self.status == status,
            "it ended with {}, not {status}: {}{}",
            self.status,
            self.out,
            self.err
        );
        Ok(self)
    }

    /// Fails unless standard error has all of these in it.
    pub fn ensure_says(&self, parts: &[&str]) -> anyhow::Result<&Self> {
        for part in parts {
            ensure!(
                self.err.contains(part),
                "it does not say {part:?}: {}",
                self.err
            );
        }
        Ok(self)
    }
}

/// A server that stays, so that sessions start without loading the programs again.
#[derive(Debug)]
pub struct Server(Child);

impl Server {
    /// Starts it and waits until it has loaded its programs.
    pub fn start() -> anyhow::Result<Self> {
        // That of an earlier test's server, which was killed.
        let _ = fs::remove_dir_all("/run/guard");
        let child = Command::new(GUARD)
            .args(["server", "--stay"])
            .stdin(Stdio::null())
            .spawn()
            .context("guard server")?;
        let mut server = Self(child);
        let mut ended = None;
        let ready = until(PATIENCE, || {
            ended = server.0.try_wait().ok().flatten();
            ended.is_some() || Path::new("/run/guard/control.sock").exists()
        });
        ensure!(ready && ended.is_none(), "guard server: {ended:?}");
        Ok(server)
    }

    /// Its process.
    pub fn pid(&self) -> i32 {
        self.0.id() as i32
    }

    /// Ends it as an accident would.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// `guard status --json`.
pub fn status() -> anyhow::Result<Value> {
    let ran = guard(&["status", "--json"])?;
    ran.ensure_status(0)?;
    serde_json::from_str(&ran.out).with_context(|| format!("the status is {}", ran.out))
}

/// A session in `guard status --json`.
pub fn session(name: &str) -> anyhow::Result<Value> {
    let status = status()?;
    let sessions = status["sessions"].as_array().cloned().unwrap_or_default();
    sessions
        .into_iter()
        .find(|session| session["name"] == name)
        .with_context(|| format!("{name} is not in {status}"))
}

/// How often a session's operation got a verdict.
pub fn count(name: &str, operation: &str, verdict: &str) -> anyhow::Result<u64> {
    let session = session(name)?;
    let counts = session["counts"].as_array().context("no counts")?;
    Ok(counts
        .iter()
        .find(|count| count["operation"] == operation && count["verdict"] == verdict)
        .and_then(|count| count["count"].as_u64())
        .unwrap_or(0))
}

/// The events of a session, from its log.
pub fn events(session: &str) -> anyhow::Result<Vec<Value>> {
    let ran = guard(&["tail", "--json", "--no-follow", "--session", session])?;
    ran.ensure_status(0)?;
    ran.out
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("the event {line}")))
        .collect()
}

/// Waits for an event of a session.
pub fn wait_for_event(session: &str, wanted: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
    let mut found = None;
    let mut all = Ok(Vec::new());
    until(PATIENCE, || {
        all = events(session);
        found = all
            .as_ref()
            .ok()
            .and_then(|events| events.iter().rfind(|event| wanted(event)).cloned());
        found.is_some()
    });
    let all = all?;
    found.with_context(|| {
        let last: Vec<String> = all.iter().rev().take(3).map(Value::to_string).collect();
        format!(
            "no such event among {}, the last of them: {}",
            all.len(),
            last.join("\n")
        )
    })
}

/// Writes a policy for root's eyes only and says where.
pub fn policy(name: &str, text: &str) -> anyhow::Result<String> {
    let directory = Path::new("/etc/guard/policies");
    fs::create_dir_all(directory)?;
    let file = directory.join(format!("{name}.yaml"));
    fs::write(&file, text)?;
    Ok(file.display().to_string())
}

/// Whether the programs are still pinned.
pub fn is_pinned() -> bool {
    fs::read_dir(PINS).is_ok_and(|mut entries| entries.next().is_some())
}

/// Kills a process that is not a child.
pub fn kill(pid: i32) -> anyhow::Result<()> {
    raw::call(
        nix::libc::SYS_kill,
        &[pid as usize, nix::libc::SIGKILL as usize],
    )?;
    let gone = until(PATIENCE, || super::process::state(pid).is_none());
    if !gone {
        bail!("process {pid} does not end");
    }
    Ok(())
}
