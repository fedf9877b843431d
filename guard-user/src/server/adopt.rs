//! Taking over from a server that has died: its engine, which has gone on enforcing, and
//! its sessions.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result, bail};

use super::core::{Server, Session, log};
use super::enforcer::Installed;
use super::paths::Paths;
use super::proof::Proof;
use super::runtime;
use super::state::{self, KnownPolicy, SessionState};
use crate::events::event::Level;
use crate::events::log::Log;
use crate::events::time::Time;
use crate::session::cgroup::SessionCgroup;
use crate::session::name::Name;
use crate::session::raw::trim_heap;

impl Server {
    /// Takes over the engine that is pinned, if any, and its sessions.
    pub(super) fn adopt(self: &Rc<Self>) -> Result<()> {
        let engine = self
            .parts
            .engines
            .open()
            .context("the engine that is pinned can't be taken over")?;
        let mut live = Vec::new();
        if let Some(engine) = engine {
            if let Some(session) = engine.session_of(std::process::id())? {
                bail!("this is session #{session} of guard; a server can't run inside one");
            }
            trim_heap();
            self.take_over(engine)?;
            live = self.with_engine(|engine| engine.sessions())?;
            // The canary ends with its server; the next one clears away what is left.
            live.retain(|&(id, installed)| {
                let is_canary = self.is_canary(installed);
                if is_canary {
                    self.inner.borrow_mut().canaries.insert(id);
                }
                !is_canary
            });
        }
        self.sort(live)?;
        self.adopt_frozen();
        Ok(())
    }

    /// Sorts the states on disk: sessions that the engine knows go on, others are over.
    fn sort(self: &Rc<Self>, mut live: Vec<(u32, Installed)>) -> Result<()> {
        let directory = self.parts.paths.sessions();
        let states = state::load(&directory).context(directory.display().to_string())?;
        for state in states {
            let state = match state {
                Ok(state) => state,
                Err(message) => {
                    log(&message);
                    continue;
                }
            };
            if let Some(at) = live.iter().position(|&(id, _)| id == state.id) {
                let (_, installed) = live.swap_remove(at);
                self.resume(state, installed);
            } else {
                log(&format!("session {} is over", state.name));
                state::remove(&directory, &state.name)?;
                state.runtime.as_deref().map(runtime::remove).transpose()?;
                // It is empty, or was never ours.
                let _ = state.cgroup.remove();
            }
        }
        for (id, installed) in live {
            let message = format!(
                "session #{id} is enforced, and its state is missing in {}: it goes on as \
                 \"unknown-{id}\", under the policy that it has",
                directory.display()
            );
            self.notice(None, Level::Warning, &message);
            self.resume(unknown(id, &self.parts.paths)?, installed);
        }
        Ok(())
    }

    /// Goes on with a session.
    fn resume(self: &Rc<Self>, mut state: SessionState, installed: Installed) {
        let id = state.id;
        let files = state.files.clone();
        if state.in_force() != Some(installed) {
            // The server died between putting an edit in force and writing that down. What the
            // rules are called shows when the policy is compiled once more.
            state.known.push(KnownPolicy {
                installed,
                rules: Vec::new(),
            });
            state.fingerprint = 0;
        }
        let fingerprint = state.fingerprint;
        log(&format!("session {} goes on", state.name));
        let runtime = state.runtime.clone();
        let uid = state.uid;
        {
            let mut inner = self.inner.borrow_mut();
            inner.feed.adopt(&state);
            let session = Session {
                state,
                inside: None,
                is_awaited: false,
                status: None,
                is_ending: false,
                // Nobody saw whether the programs ran all the time.
                unseen: Some(0),
            };
            inner.sessions.insert(id, session);
        }
        self.listen_again(id, runtime.as_deref(), uid);
        self.watch(id, &files, fingerprint);
    }

    /// Has a session be told of its own refusals as before.
    fn listen_again(self: &Rc<Self>, id: u32, runtime: Option<&Path>, uid: u32) {
        let Some(directory) = runtime else { return };
        match self.listen_inside(id, directory, uid) {
            Ok(inside) => {
                if let Some(session) = self.inner.borrow_mut().sessions.get_mut(&id) {
                    session.inside = Some(inside);
                }
            }
            Err(error) => {
                let message = format!(
                    "the session can't be told why it is refused something; nothing else is \
                     different: {error:#}"
                );
                self.notice(Some(id), Level::Warning, &message);
            }
        }
    }
}

/// All that can be said of a session whose state is lost.
fn unknown(id: u32, paths: &Paths) -> Result<SessionState> {
    let name = Name::new(&format!("unknown-{id}"))?;
    let log = Log::create(&paths.log, name.as_str(), Time::now());
    Ok(SessionState {
        name,
        id,
        started: 0,
        command: Vec::new(),
        user: String::new(),
        uid: 0,
        home: PathBuf::new(),
        workspace: None,
        repository: None,
        policies: Vec::new(),
        audit: false,
        files: Vec::new(),
        fingerprint: 0,
        mistake: None,
        known: Vec::new(),
        cgroup: SessionCgroup {
            directory: PathBuf::new(),
            id: 0,
            unit: None,
        },
        log: log.path().to_owned(),
        mounts: String::new(),
        // Whether it was seen is lost with the state.
        proof: Proof::Missed,
        grants: Vec::new(),
        granted: 0,
        // Its name is in the environment of its processes alone.
        runtime: None,
    })
}
