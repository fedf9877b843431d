//! Taking back a start that has failed half-way.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use super::core::{Server, log};
use super::enforcer::Installed;
use super::runtime;
use crate::session::cgroup::SessionCgroup;
use crate::session::name::Name;

/// How long a child that was refused a session may take to leave.
const UNDO_PATIENCE: Duration = Duration::from_secs(10);

/// What has been done so far, to be undone when the rest fails.
pub(super) struct Undo {
    server: Rc<Server>,
    name: Name,
    pub done: Done,
    is_kept: bool,
}

/// The steps that were done.
#[derive(Default)]
pub(super) struct Done {
    pub policy: Option<Installed>,
    pub session: Option<u32>,
    pub cgroup: Option<SessionCgroup>,
    pub runtime: Option<PathBuf>,
}

impl Undo {
    /// Nothing has been done yet but that the name was reserved.
    pub fn new(server: &Rc<Server>, name: &Name) -> Self {
        Self {
            server: Rc::clone(server),
            name: name.clone(),
            done: Done::default(),
            is_kept: false,
        }
    }

    /// All has gone well, and stays.
    pub fn keep(&mut self) {
        self.is_kept = true;
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        self.server.inner.borrow_mut().reserved.remove(&self.name);
        if !self.is_kept {
            let done = std::mem::take(&mut self.done);
            let undo = undo(Rc::clone(&self.server), self.name.clone(), done);
            tokio::task::spawn_local(undo);
        }
    }
}

/// Takes back what was done. The child may carry the label already: it leaves when its gate
/// closes, and until then the session can't go.
async fn undo(server: Rc<Server>, name: Name, done: Done) {
    if let Some(session) = done.session {
        let ended = || server.with_engine(|engine| engine.end_session(session));
        let is_gone = server
            .wait_until(Some(UNDO_PATIENCE), || ended().is_ok())
            .await;
        if !is_gone {
            log(&format!(
                "session {name} did not start, and a process is still in it; it is removed from \
                 the engine with its policy when that has ended"
            ));
            server.wait_until(None, || ended().is_ok()).await;
        }
    }
    if let Some(policy) = done.policy
        && let Err(error) = server.with_engine(|engine| engine.retire(policy))
    {
        log(&format!(
            "the policy of session {name}, which did not start, can't be removed: {error:#}"
        ));
    }
    if let Some(runtime) = done.runtime {
        // One that stays is in nobody's way.
        let _ = runtime::remove(&runtime);
    }
    if let Some(cgroup) = done.cgroup {
        // One that stays is used by the next session of the name.
        let _ = cgroup.remove();
    }
    server.ended.notify_waiters();
}
