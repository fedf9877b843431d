//! The canary: a process in a session of its own that tries what must be refused, whenever the
//! server asks it to. Its session is none of the users': it has no events, is not shown, and
//! ends with the server.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use guard_ebpf::operation::{Facility, Operation};
use guard_ebpf::policy::{Effect, Policy};
use guard_ebpf::record::Header;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;

use super::core::{Server, log};
use super::enforcer::Installed;
use super::paths::Paths;
use crate::engine::attempts::{Outcome, Prey};
use crate::policy::compiled::{Compiled, RuleInfo};
use crate::session::cgroup::SessionCgroup;
use crate::session::name::Name;

/// The name of its cgroup, which no session can have.
pub(super) const NAME: &str = "guard-canary";

/// How long it may take to answer. A machine that is busy is no alarm.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long its label may take to show, and its tasks to be gone.
const LABEL_PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer, in bytes.
const MAX_ANSWER: usize = 64 << 10;

/// What each attempt came to, by family.
pub(super) type Outcomes = Vec<(String, Outcome)>;

/// A canary that lives.
pub(super) struct Canary {
    session: u32,
    child: Child,
    ask: pipe::Sender,
    answers: pipe::Receiver,
    prey: Prey,
    /// Where it tries to connect to.
    socket: UnixListener,
}

/// What the next server has to clear away when this one dies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Trace {
    /// Its policy, by which its session is known.
    policy: Installed,
    cgroup: SessionCgroup,
}

/// Its policy: one rule that refuses everything that is not its own.
fn policy() -> Compiled {
    let mut policy = Policy::EMPTY;
    policy.effects[0] = Effect::DenyAlways as u8;
    for operation in Operation::EVERY {
        policy.operations[operation as usize].insert(0);
    }
    let facilities = Facility::EVERY.iter().map(|facility| facility.detail());
    for detail in facilities.chain(1..=guard_ebpf::abi::MAX_SIGNAL) {
        policy.details[detail as usize].insert(0);
    }
    Compiled {
        policy,
        rows: Vec::new(),
        starts: Vec::new(),
        users: Vec::new(),
        sessions: Vec::new(),
        rules: vec![RuleInfo {
            name: NAME.to_owned(),
            ..RuleInfo::default()
        }],
    }
}

/// The session that a record is of; 0 for those that are of none.
pub(super) fn session_of(record: &[u8]) -> u32 {
    let at = std::mem::offset_of!(Header, session);
    let bytes = record.get(at..at + size_of::<u32>());
    let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, u32::from_le_bytes)
}

fn trace_file(paths: &Paths) -> PathBuf {
    paths.run.join("canary.json")
}

impl Canary {
    /// Asks it to try everything, and hands over what came of it.
    async fn try_all(&mut self) -> Result<Outcomes> {
        self.ask.write_all(b"\n").await?;
        let mut answer = Vec::new();
        while answer.last() != Some(&b'\n') {
            let count = self.answers.read_buf(&mut answer).await?;
            ensure!(count > 0, "it has ended");
            ensure!(answer.len() <= MAX_ANSWER, "its answer does not end");
        }
        let outcomes: Outcomes = serde_json::from_slice(&answer).context("its answer")?;
        ensure!(!outcomes.is_empty(), "it tried nothing");
        Ok(outcomes)
    }
}

impl Server {
    /// Has the canary try everything that must be refused. There is one to ask unless this
    /// server was made without.
    pub(super) async fn try_all(&self, canary: &mut Option<Canary>) -> Result<Outcomes> {
        let mut last = None;
        // One that has died, by whatever accident, is no proof of anything.
        for _ in 0..2 {
            if canary.is_none() {
                match self.hatch().await {
                    Ok(hatched) => *canary = Some(hatched),
                    Err(error) => {
                        // What is left of it would keep the engine in the kernel.
                        let _ = self.clear_away().await;
                        return Err(error.context("the canary can't be started"));
                    }
                }
            }
            let Some(living) = canary.as_mut() else { break };
            let outcomes = tokio::time::timeout(PATIENCE, living.try_all()).await;
            match outcomes.unwrap_or_else(|_| bail!("it does not answer")) {
                Ok(outcomes) => {
                    if outcomes.iter().any(|(_, what)| *what != Outcome::Refused) {
                        living.socket = living.prey.prepare().context("the canary's files")?;
                    }
                    return Ok(outcomes);
                }
                Err(error) => last = Some(error.context("the canary can't be asked")),
            }
            self.end_canary(canary).await;
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("there is no canary")))
    }

    /// Starts a canary.
    async fn hatch(&self) -> Result<Canary> {
        let Some(program) = &self.parts.canary else {
            bail!("this server has none");
        };
        self.clear_away().await?;
        let directory = self.parts.paths.run.join("canary");
        let prey = Prey::new(Pid::this(), directory.clone());
        let socket = prey
            .prepare()
            .with_context(|| directory.display().to_string())?;
        let (asked, ask) = io::pipe()?;
        let (answers, answer) = io::pipe()?;
        // It waits for a question before it does anything.
        let child = Command::new(program)
            .args(["canary", &std::process::id().to_string()])
            .arg(&directory)
            .current_dir("/")
            .stdin(asked)
            .stdout(answer)
            .stderr(Stdio::inherit())
            .spawn()
            .with_context(|| program.display().to_string())?;
        let guard = Unhatched(Some(child));
        let pid = guard.0.as_ref().map_or(0, Child::id);
        let cgroup = self.parts.cgroups.create(&Name::new(NAME)?, pid).await?;
        let policy = self.with_engine(|engine| engine.install(&policy()))?;
        let trace = Trace { policy, cgroup };
        self.leave_trace(&trace)?;
        let session = self.with_engine(|engine| {
            let session = engine.start_session(policy, NAME)?;
            engine.add_cgroup(trace.cgroup.id, session)?;
            Ok(session)
        })?;
        self.inner.borrow_mut().canaries.insert(session);
        trace.cgroup.attach(pid)?;
        let is_labelled = || {
            self.with_engine(|engine| engine.session_of(pid))
                .is_ok_and(|found| found == Some(session))
        };
        ensure!(
            self.wait_until(Some(LABEL_PATIENCE), is_labelled).await,
            "it did not get its label"
        );
        self.with_engine(|engine| engine.protect(pid))?;
        Ok(Canary {
            session,
            child: guard.hatched().context("it is gone")?,
            ask: pipe::Sender::from_owned_fd(OwnedFd::from(ask))?,
            answers: pipe::Receiver::from_owned_fd(OwnedFd::from(answers))?,
            prey,
            socket,
        })
    }

    fn leave_trace(&self, trace: &Trace) -> Result<()> {
        let file = trace_file(&self.parts.paths);
        fs::write(&file, serde_json::to_vec(trace)?).with_context(|| file.display().to_string())
    }

    /// Ends the canary, if there is one, with its session.
    pub(super) async fn end_canary(&self, canary: &mut Option<Canary>) {
        let Some(Canary {
            session, mut child, ..
        }) = canary.take()
        else {
            return;
        };
        // It may have ended by itself.
        let _ = child.kill();
        let _ = child.wait();
        let unprotected = self.with_engine(|engine| engine.unprotect(child.id()));
        if let Err(error) = unprotected.and(self.clear_away().await) {
            log(&format!(
                "the canary's session #{session} is left: {error:#}"
            ));
        }
    }

    /// Whether a session is one that a canary has left, of this server or the one before.
    pub(super) fn is_canary(&self, installed: Installed) -> bool {
        trace_of(&self.parts.paths).is_some_and(|trace| trace.policy == installed)
    }

    /// Ends what a canary has left in the engine and among the cgroups.
    async fn clear_away(&self) -> Result<()> {
        let Some(Trace { policy, cgroup }) = trace_of(&self.parts.paths) else {
            return Ok(());
        };
        // It leaves by itself when its server is gone; this is for one that hangs.
        let _ = cgroup.kill();
        let sessions = self.with_engine(|engine| engine.sessions())?;
        let session = sessions.iter().find(|(_, found)| *found == policy);
        if let Some(&(session, _)) = session {
            let end = || {
                self.with_engine(|engine| engine.end_session(session))
                    .is_ok()
            };
            if !self.wait_until(Some(LABEL_PATIENCE), end).await {
                // Its end was not counted while the kernel ran no programs.
                self.with_engine(|engine| {
                    engine.forget_lost_tasks(session)?;
                    engine.end_session(session)
                })?;
            }
        }
        let retired = self.with_engine(|engine| engine.retire(policy));
        if session.is_some() {
            retired?;
        }
        // The next one uses it again when it stays.
        let _ = cgroup.remove();
        match fs::remove_file(trace_file(&self.parts.paths)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// What a canary has left, if anything can be told of it.
fn trace_of(paths: &Paths) -> Option<Trace> {
    let text = fs::read(trace_file(paths)).ok()?;
    serde_json::from_slice(&text).ok()
}

/// A child that is ended unless it becomes a canary.
struct Unhatched(Option<Child>);

impl Unhatched {
    fn hatched(mut self) -> Option<Child> {
        self.0.take()
    }
}

impl Drop for Unhatched {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // It is ours and not reaped yet, so that its number is its own.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What the canary does until the server has gone: for each line that it reads, it tries
/// everything and writes what came of it, on a line.
pub fn sing(server: Pid, directory: &Path) -> io::Result<()> {
    let prey = Prey::new(server, directory.to_owned());
    let mut output = io::stdout().lock();
    for question in io::stdin().lines() {
        question?;
        let mut line = serde_json::to_vec(&prey.try_all())?;
        line.push(b'\n');
        io::Write::write_all(&mut output, &line)?;
        io::Write::flush(&mut output)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use guard_ebpf::decision::{Matched, decide};
    use guard_ebpf::operation::Verdict;

    #[test]
    fn its_policy_refuses_everything() {
        let policy = policy().policy;
        for operation in Operation::EVERY {
            let details: Vec<u32> = match operation {
                Operation::Signal => (1..=guard_ebpf::abi::MAX_SIGNAL).collect(),
                Operation::Machine => Facility::EVERY.iter().map(|f| f.detail()).collect(),
                _ => vec![0],
            };
            for detail in details {
                let decision = decide(&policy, operation, detail, &Matched::default());
                assert_eq!(decision.verdict, Verdict::Deny, "{operation:?} {detail}");
            }
        }
    }

    #[test]
    fn records_are_told_by_their_session() {
        use crate::events::testing::{Layout, header};
        use guard_ebpf::record::Kind;
        let header = Header {
            session: 77,
            ..header(Kind::Process, Operation::Signal)
        };
        assert_eq!(session_of(&header.bytes()), 77);
        assert_eq!(session_of(b"short"), 0);
    }

    #[test]
    fn a_trace_is_found_again() {
        let base = tempfile::tempdir().unwrap();
        let paths = Paths {
            run: base.path().to_owned(),
            log: base.path().to_owned(),
        };
        assert_eq!(trace_of(&paths), None);
        let trace = Trace {
            policy: Installed { slot: 3, id: 4 },
            cgroup: SessionCgroup {
                directory: "/sys/fs/cgroup/guard/guard-canary".into(),
                id: 5,
                unit: None,
            },
        };
        fs::write(trace_file(&paths), serde_json::to_vec(&trace).unwrap()).unwrap();
        assert_eq!(trace_of(&paths), Some(trace));
    }
}
