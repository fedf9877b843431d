//! A session's end: found out, carried out, asked for.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use nix::unistd::Pid;

use super::core::{Inner, Past, Refused, Server, Session, log};
use super::protocol::{Remaining, Response};
use super::runtime;
use crate::cli::output::sentence;
use crate::session::cgroup::SessionCgroup;
use crate::session::name::Name;
use crate::session::processes::living;
use crate::session::raw;

/// How long the kernel may take to let go of tasks that have ended.
const SETTLE: Duration = Duration::from_millis(300);
/// How long processes may take to end by themselves when a session's remains are killed.
const GRACE: Duration = Duration::from_secs(5);
/// How long killed processes may take to be gone.
const KILL_PATIENCE: Duration = Duration::from_secs(10);
/// How long a session without tasks waits for its client to tell how the command ended.
const CLIENT_PATIENCE: Duration = Duration::from_secs(2);

impl Server {
    /// Ends a session if its last task has ended, once its client has told the status of
    /// the command.
    pub(super) async fn end_if_over(self: &Rc<Self>, id: u32) {
        let is_over = {
            let mut inner = self.inner.borrow_mut();
            let Inner {
                engine, sessions, ..
            } = &mut *inner;
            match (engine, sessions.get_mut(&id)) {
                (Some(engine), Some(session)) if !session.is_ending => {
                    let is_over = engine
                        .counters(id)
                        .is_ok_and(|counters| counters.tasks == 0);
                    session.is_ending = is_over;
                    is_over
                }
                _ => false,
            }
        };
        if is_over {
            let told = || !self.is_awaited(id);
            self.wait_until(Some(CLIENT_PATIENCE), told).await;
            self.end(id);
        }
    }

    fn is_awaited(&self, id: u32) -> bool {
        let inner = self.inner.borrow();
        inner
            .sessions
            .get(&id)
            .is_some_and(|session| session.is_awaited)
    }

    /// Ends a session that has no tasks left.
    fn end(self: &Rc<Self>, id: u32) {
        self.drain();
        let over = {
            let mut inner = self.inner.borrow_mut();
            let Inner {
                engine,
                sessions,
                feed,
                ..
            } = &mut *inner;
            let (Some(engine), Some(session)) = (engine, sessions.get_mut(&id)) else {
                return;
            };
            if let Err(error) = engine.end_session(id) {
                // Somebody was moved in at the last moment; the next look finds out.
                log(&format!(
                    "session {} can't be ended yet: {error:#}",
                    session.state.name
                ));
                session.is_ending = false;
                return;
            }
            for policy in &session.state.known {
                // Those before the one in force are gone already, and the engine says so.
                let _ = engine.retire(policy.installed);
            }
            feed.ended(&session.state, session.status);
            feed.flush();
            session_over(&mut inner, id)
        };
        let Some(session) = over else { return };
        let state = session.state;
        if let Err(error) = self.watcher.set(id, &[]) {
            log(&format!("policy files are still watched: {error}"));
        }
        if let Err(error) = super::state::remove(&self.parts.paths.sessions(), &state.name) {
            log(&format!(
                "the state of session {} can't be removed: {error}",
                state.name
            ));
        }
        if let Some(runtime) = &state.runtime
            && let Err(error) = runtime::remove(runtime)
        {
            log(&format!("{} can't be removed: {error}", runtime.display()));
        }
        self.ended.notify_waiters();
        let server = Rc::clone(self);
        tokio::task::spawn_local(async move { server.remove_cgroup(&state.cgroup).await });
    }

    /// Removes a cgroup. The last process may be on its way out of it still.
    async fn remove_cgroup(&self, cgroup: &SessionCgroup) {
        let is_gone = self
            .wait_until(Some(KILL_PATIENCE), || cgroup.remove().is_ok())
            .await;
        if !is_gone {
            log(&format!(
                "the cgroup {} can't be removed",
                cgroup.directory.display()
            ));
        }
    }

    /// Takes note of the end of a session's command, and does with the rest of the session
    /// what was asked for.
    pub(super) async fn finish(
        self: &Rc<Self>,
        name: &Name,
        id: u32,
        status: i32,
        remaining: Remaining,
    ) -> Response {
        let lives = || self.find(name) == Some(id);
        if !lives() {
            return self.finished(name, id, 0);
        }
        if let Some(session) = self.inner.borrow_mut().sessions.get_mut(&id) {
            session.status = Some(status);
            session.is_awaited = false;
        }
        let is_over = || self.tasks(id) == 0;
        if !self.wait_until(Some(SETTLE), is_over).await {
            match remaining {
                Remaining::Leave => {}
                Remaining::Wait => {
                    self.wait_until(None, is_over).await;
                }
                Remaining::Kill => {
                    self.kill(id, GRACE).await;
                }
            }
        }
        let left = if is_over() {
            self.end_if_over(id).await;
            // Another look may have found the end before this one.
            self.wait_until(Some(SETTLE), || !lives()).await;
            0
        } else {
            // Tasks that the kernel has yet to let go of are no processes that still run.
            self.living(id).len() as u64
        };
        self.finished(name, id, left)
    }

    fn finished(&self, name: &Name, id: u32, left: u64) -> Response {
        let mut inner = self.inner.borrow_mut();
        let Inner {
            sessions,
            feed,
            memory,
            ..
        } = &mut *inner;
        let lives = sessions
            .get(&id)
            .is_some_and(|session| session.state.name == *name);
        let summary = if lives {
            feed.flush();
            feed.summary(id, name)
        } else {
            memory
                .iter()
                .rfind(|past| past.id == id && past.name == *name)
                .and_then(|past| past.summary.clone())
        };
        Response::Finished { left, summary }
    }

    /// Ends all processes of a session, by force where they don't go by themselves.
    pub(super) async fn stop(self: &Rc<Self>, name: &Name, grace: Duration) -> Response {
        let Some(id) = self.find(name) else {
            return Refused::no_session(name).into();
        };
        let processes = self.living(id).len() as u64;
        self.kill(id, grace).await;
        let is_over = self
            .wait_until(Some(KILL_PATIENCE), || self.tasks(id) == 0)
            .await;
        let left = if is_over {
            self.end_if_over(id).await;
            self.wait_until(Some(CLIENT_PATIENCE), || self.find(name) != Some(id))
                .await;
            0
        } else {
            self.living(id).len().max(1) as u64
        };
        Response::Stopped { processes, left }
    }

    async fn kill(&self, id: u32, grace: Duration) {
        // What is frozen ends by force only.
        let grace = if self.is_frozen.get() {
            Duration::ZERO
        } else {
            grace
        };
        self.signal(id, libc::SIGTERM);
        // A stopped process ends when it goes on.
        self.signal(id, libc::SIGCONT);
        let is_over = || self.tasks(id) == 0;
        // Who waits to be noticed by a parent is counted still, and nothing is waited for then.
        let is_dead = || is_over() || self.living(id).is_empty();
        self.wait_until(Some(grace), is_dead).await;
        if is_over() {
            return;
        }
        let cgroup = self
            .inner
            .borrow()
            .sessions
            .get(&id)
            .map(|session| session.state.cgroup.clone());
        if let Some(Err(error)) = cgroup.map(|cgroup| cgroup.kill()) {
            log(&format!("a session's cgroup can't be killed: {error}"));
        }
        // Those that have left the cgroup, and what they fork meanwhile.
        let kill_rest = || {
            self.signal(id, libc::SIGKILL);
            is_dead()
        };
        self.wait_until(Some(KILL_PATIENCE), kill_rest).await;
    }

    /// The living processes of a session, in its cgroup or not.
    pub(super) fn living(&self, id: u32) -> Vec<u32> {
        let members = self
            .with_engine(|engine| engine.members(id))
            .unwrap_or_else(|error| {
                log(&sentence(&format!("{error:#}")));
                // Those of which it is known without the engine.
                let inner = self.inner.borrow();
                let session = inner.sessions.get(&id);
                session.map_or_else(Vec::new, |session| session.state.cgroup.processes())
            });
        living(Path::new("/proc"), &members)
    }

    /// Sends a signal to all living processes of a session.
    fn signal(&self, id: u32, signal: i32) {
        for pid in self.living(id) {
            use std::os::fd::AsFd;
            // The number may mean another process by now: the pidfd holds on to one, and the
            // label says whose that is.
            let Ok(pidfd) = raw::pidfd_open(Pid::from_raw(pid as i32)) else {
                continue;
            };
            let is_still = self
                .with_engine(|engine| engine.session_of(pid))
                .is_ok_and(|session| session == Some(id));
            if is_still {
                // It may have ended just now.
                let _ = raw::pidfd_send_signal(pidfd.as_fd(), signal);
            }
        }
    }
}

/// Takes a session from among the living, and remembers what can still be asked of it.
fn session_over(inner: &mut Inner, id: u32) -> Option<Session> {
    let session = inner.sessions.remove(&id)?;
    let name = session.state.name.clone();
    let summary = inner.feed.forget(id, &name);
    inner.remember(Past { id, name, summary });
    Some(session)
}
