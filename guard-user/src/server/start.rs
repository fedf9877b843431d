//! A session's start. Each step that a later failure has to undo leaves word of it.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use guard_ebpf::abi::MAX_SESSIONS;
use nix::poll::{PollFd, PollFlags, PollTimeout};

use guard_ebpf::policy::MODE_AUDIT;

use super::compiler::{Mistake, Ready, Subject};
use super::core::{Inner, Refused, Server, Session, is_reserved};
use super::fingerprint;
use super::proof::Proof;
use super::protocol::{Response, Start};
use super::state::{KnownPolicy, SessionState};
use super::undo::Undo;
use crate::events::event::Level;
use crate::events::time::Time;
use crate::policy::repository;
use crate::session::cgroup::SessionCgroup;
use crate::session::limits::{Limits, Machine};
use crate::session::name::Name;
use crate::session::{oom, outputs, raw, terminal};
use crate::system::mounts::table;
use crate::system::namespaces::foreign;

/// How long the label may take to be seen on the child.
const LABEL_PATIENCE: Duration = Duration::from_secs(2);
/// What was written so short a time ago may be written once more with the same time stamp.
const FRESH: Duration = Duration::from_millis(20);

/// How many sessions there can be: one place is the canary's.
const LIMIT: usize = MAX_SESSIONS as usize - 1;

impl Server {
    /// Starts a session for a child that waits at its gate.
    pub(super) async fn start(self: &Rc<Self>, start: Start, child: OwnedFd) -> Response {
        match self.try_start(start, &child).await {
            Ok(response) => response,
            Err(refused) => refused.into(),
        }
    }

    async fn try_start(
        self: &Rc<Self>,
        start: Start,
        child: &OwnedFd,
    ) -> Result<Response, Refused> {
        let pid = raw::pidfd_pid(child.as_fd())
            .context("the process that is to be guarded can't be told")?;
        ensure_here(pid)?;
        let name = self.reserve(&start)?;
        let mut undo = Undo::new(self, &name);
        let mounts = table().context("the mount table can't be read")?;
        let repository = start
            .workspace
            .as_deref()
            .and_then(|workspace| repository::of(workspace, &start.home));
        let subject = Subject {
            policies: start.policies.clone(),
            user: start.user.clone(),
            uid: start.uid,
            home: start.home.clone(),
            workspace: start.workspace.clone(),
            repository: repository.clone(),
            audit: start.audit,
            mounts: mounts.clone(),
        };
        let compiled = self.compile(subject).await?;
        let ready = compiled.map_err(|Mistake { message, .. }| {
            Refused::usage(format!(
                "The policy has a mistake, so nothing was started.\n{message}"
            ))
        })?;
        self.arm()?;
        self.ensure_proved().await?;
        let policy = self.with_engine(|engine| engine.install(&ready.compiled))?;
        undo.done.policy = Some(policy);
        let id = self.with_engine(|engine| engine.start_session(policy, &name.to_string()))?;
        undo.done.session = Some(id);
        let shared = self.give_outputs(id, child)?;
        let cgroup = self.parts.cgroups.create(&name, pid).await?;
        undo.done.cgroup = Some(cgroup.clone());
        self.with_engine(|engine| engine.add_cgroup(cgroup.id, id))?;
        let mut warnings = limit(&cgroup, ready.limits).await;
        warnings.extend(shared);
        ensure_alive(child)?;
        warnings.extend(preferred(pid));
        cgroup.attach(pid)?;
        self.check_label(id, pid, child).await?;
        let (runtime, inside) = self.open_inside(id, &name, start.uid, &mut undo)?;

        let log = self.inner.borrow_mut().feed.open(&name);
        let session = Session::new(
            SessionState {
                name: name.clone(),
                id,
                started: u64::try_from(Time::now().milliseconds()).unwrap_or(0),
                command: start.command,
                user: start.user,
                uid: start.uid,
                home: start.home,
                workspace: start.workspace,
                repository,
                policies: start.policies,
                audit: start.audit,
                files: ready.files.clone(),
                fingerprint: ready.fingerprint,
                mistake: None,
                known: vec![KnownPolicy {
                    installed: policy,
                    rules: ready.compiled.rules.clone(),
                }],
                cgroup,
                log,
                mounts,
                proof: Proof::Expected {
                    actor: pid,
                    target: std::process::id(),
                },
                grants: Vec::new(),
                granted: 0,
                runtime: Some(runtime.clone()),
            },
            inside,
        );
        let of_root = session.state.uid == 0;
        let log = session.state.log.clone();
        self.open(id, session);
        undo.keep();
        self.save(id);
        // What was unmounted while the policy was compiled.
        self.forget_gone(id);
        self.watch(id, &ready.files, ready.fingerprint);
        for warning in &warnings {
            self.notice(Some(id), Level::Warning, warning);
        }
        warnings.extend(self.warnings(of_root));
        Ok(Response::Started {
            session: name,
            id,
            server: std::process::id(),
            runtime,
            audits: ready.compiled.policy.mode & MODE_AUDIT != 0,
            warnings,
            notes: ready.notes,
            log,
        })
    }

    /// Lets a session write to the files that its output goes to; a sentence for each that another
    /// session has.
    fn give_outputs(&self, id: u32, child: &OwnedFd) -> Result<BTreeSet<String>> {
        if let Some(terminal) = terminal::of(child.as_fd()) {
            // Where two sessions share one, the second uses what it was started with, and does not
            // open it anew.
            self.with_engine(|engine| engine.give(id, terminal.as_fd()))?;
        }
        let mut taken = BTreeSet::new();
        for output in outputs::of(child.as_fd()) {
            if let Some(other) = self.with_engine(|engine| engine.give(id, output.as_fd()))? {
                let inner = self.inner.borrow();
                let session = inner.sessions.get(&other);
                let name = session.map_or(format!("#{other}"), |it| it.state.name.to_string());
                taken.insert(format!(
                    "the output goes to a file that session {name} was started with too, and only \
                     one session may write to it whatever its policy says; what this one writes \
                     there is refused unless its policy allows it. Give each session a file of its \
                     own, or send the output through a pipe (| cat >> FILE)"
                ));
            }
        }
        Ok(taken)
    }

    /// Finds or checks a name, and keeps it from others.
    fn reserve(&self, start: &Start) -> Result<Name, Refused> {
        let mut inner = self.inner.borrow_mut();
        if inner.sessions.len() + inner.reserved.len() >= LIMIT {
            return Err(Refused::guard(format!(
                "There is no room for more sessions: the limit is {LIMIT}. `guard status` lists \
                 those that there are."
            )));
        }
        let name = match &start.name {
            Some(name) if is_reserved(name) => {
                return Err(Refused::usage(format!(
                    "No session can be called \"{name}\": that is what a part of guard itself is \
                     called. Give it another name (--name)."
                )));
            }
            Some(name) if inner.is_taken(name) => {
                return Err(Refused::usage(format!(
                    "There is a session \"{name}\" already. Give this one another name (--name), \
                     or end that one first: sudo guard stop {name}"
                )));
            }
            Some(name) => name.clone(),
            None => Name::numbered(&start.stem, |name| inner.is_taken(name))
                .map_err(|error| Refused::usage(error.to_string()))?,
        };
        inner.reserved.insert(name.clone());
        Ok(name)
    }

    /// Compiles on a thread of its own.
    pub(super) async fn compile(
        &self,
        subject: Subject,
    ) -> Result<Result<Ready, Mistake>, Refused> {
        let compiler = self.parts.compiler.clone();
        let work = tokio::task::spawn_blocking(move || {
            // Which files are read shows only afterwards. Those that are being written are read
            // again: half a policy may look like a whole one.
            for _ in 0..4 {
                let before = SystemTime::now();
                let ready = compiler.compile(&subject)?;
                if is_older(&ready.files, before) {
                    return Ok(ready);
                }
                std::thread::sleep(FRESH);
            }
            // Somebody writes all the time: whoever watches the files sees the next time.
            compiler.compile(&subject)
        });
        work.await
            .map_err(|error| Refused::guard(format!("The policy compiler failed: {error}.")))
    }

    /// What is to be said aloud before a command starts.
    fn warnings(&self, of_root: bool) -> Vec<String> {
        let inner = self.inner.borrow();
        let degradations = inner.engine.as_ref().map(|engine| engine.features());
        degradations
            .into_iter()
            .flat_map(|features| {
                let of_root = features
                    .degradations_of_root
                    .into_iter()
                    .filter(move |_| of_root);
                features.degradations.into_iter().chain(of_root)
            })
            .chain(inner.health.alarm())
            .collect()
    }

    /// Checks that moving the child into the cgroup has labelled it.
    async fn check_label(&self, id: u32, pid: u32, child: &OwnedFd) -> Result<()> {
        let seen = || {
            self.with_engine(|engine| engine.session_of(pid))
                .is_ok_and(|session| session == Some(id))
        };
        let is_labelled = self.wait_until(Some(LABEL_PATIENCE), seen).await;
        ensure_alive(child)?;
        ensure!(
            is_labelled,
            "the process was moved into the session's cgroup and did not get its label: the \
             engine is loaded and does not work on this kernel; `guard doctor` says more"
        );
        Ok(())
    }

    /// Takes a session among those that live, and tells of it.
    fn open(&self, id: u32, session: Session) {
        let mut inner = self.inner.borrow_mut();
        let Inner { sessions, feed, .. } = &mut *inner;
        feed.keep_receipts(&session.state);
        feed.started(&session.state);
        sessions.insert(id, session);
        feed.flush();
    }

    /// Watches a session's policy files. What was edited since they were read counts as an
    /// edit from now on.
    pub(super) fn watch(self: &Rc<Self>, id: u32, files: &[PathBuf], before: u64) {
        self.watch_again(id, files);
        if fingerprint::now(files) != before {
            let server = Rc::clone(self);
            tokio::task::spawn_local(async move { server.reload(id).await });
        }
    }

    /// Watches files whose contents are known. The way to them may have changed.
    pub(super) fn watch_again(&self, id: u32, files: &[PathBuf]) {
        if !self.inner.borrow().sessions.contains_key(&id) {
            // It has ended meanwhile, and nobody would stop watching.
            return;
        }
        if let Err(error) = self.watcher.set(id, files) {
            let message = format!(
                "the policy files can't be watched: {error}; edits will not take effect in this \
                 session (fs.inotify.max_user_watches may be too low)"
            );
            self.notice(Some(id), Level::Warning, &message);
        }
    }
}

/// Puts limits in force, and says which can't be, a sentence each.
pub(super) async fn limit(cgroup: &SessionCgroup, limits: Limits) -> Vec<String> {
    match Machine::this() {
        Ok(machine) => cgroup.limit(&limits.on(machine)).await,
        Err(error) => vec![format!("the session is not limited: {error}")],
    }
}

/// Has a session's first process be ended before others when memory runs out; a sentence when
/// that is impossible.
fn preferred(pid: u32) -> Option<String> {
    let error = oom::prefer(pid).err()?;
    Some(format!(
        "when memory runs out, the kernel may end others before this session: \
         /proc/{pid}/oom_score_adj: {error}"
    ))
}

/// Whether all files were last written safely before a time.
fn is_older(files: &[PathBuf], time: SystemTime) -> bool {
    files.iter().all(|file| {
        std::fs::metadata(file)
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|modified| modified + FRESH < time)
    })
}

/// Fails when the child sees other files or networks than the server does: paths and addresses
/// in policies would mean something else to it than to the server.
fn ensure_here(pid: u32) -> Result<(), Refused> {
    let foreign = foreign(pid).context("the namespaces of the process can't be told")?;
    let Some(what) = foreign else { return Ok(()) };
    let server = std::process::id();
    Err(Refused::usage(format!(
        "The command has another {what} than guard's server (process {server}), and what a policy \
         says of files and connections would mean something else there. Type it where the server \
         runs, in a shell of the host itself: sudo nsenter -t {server} -m -n -r -- guard run ..."
    )))
}

/// Fails when the child has ended.
fn ensure_alive(child: &OwnedFd) -> Result<()> {
    let mut ended = [PollFd::new(child.as_fd(), PollFlags::POLLIN)];
    let count = nix::poll::poll(&mut ended, PollTimeout::ZERO).context("poll")?;
    ensure!(count == 0, "the process that was to be guarded has ended");
    Ok(())
}
