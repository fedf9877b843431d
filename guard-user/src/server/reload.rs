//! Edits of policies: compiled anew, put in force in one step, or rejected as a whole.

use std::rc::Rc;

use super::compiler::Ready;
use super::core::{Inner, Server, log};
use super::fingerprint;
use super::start::limit;
use super::state::KnownPolicy;
use crate::events::event::{Level, PolicyChange, PolicyEdit};
use crate::session::limits::Limits;
use crate::system::links::is_changeable;

impl Server {
    /// Reloads policies whenever their files change.
    pub(super) async fn reload_on_change(self: Rc<Self>) {
        loop {
            match self.watcher.changed().await {
                Ok(sessions) => {
                    for id in sessions {
                        self.reload(id).await;
                    }
                }
                Err(error) => {
                    log(&format!(
                        "policy files can no longer be watched ({error}); edits will not take \
                         effect"
                    ));
                    return;
                }
            }
        }
    }

    /// Compiles a session's policy anew when its files have changed, and puts it in force.
    pub(super) async fn reload(self: &Rc<Self>, id: u32) {
        let found;
        let subject = {
            let inner = self.inner.borrow();
            let Some(session) = inner.sessions.get(&id) else {
                return;
            };
            found = fingerprint::now(&session.state.files);
            if session.state.files.is_empty() || found == session.state.fingerprint {
                // Touched, or saved as it was. The way to the files may be another, though.
                let files = session.state.files.clone();
                drop(inner);
                self.watch_again(id, &files);
                return;
            }
            session.state.subject()
        };
        if let Some(message) = self.suspicion(id) {
            // Said once for each edit; the policy in force stays the one from before.
            self.reject(id, message);
            let files = {
                let mut inner = self.inner.borrow_mut();
                let Some(session) = inner.sessions.get_mut(&id) else {
                    return;
                };
                session.state.fingerprint = found;
                session.state.files.clone()
            };
            self.save(id);
            // The way to the files may be another, and who owns them may yet change.
            self.watch_again(id, &files);
            return;
        }
        let mounts = subject.mounts.clone();
        let (files, fingerprint) = match self.compile(subject).await {
            Ok(Ok(_)) if self.has_lost(id, &mounts) => {
                // It counts on a file system that has been unmounted meanwhile.
                let server = Rc::clone(self);
                tokio::task::spawn_local(async move { server.reload(id).await });
                return;
            }
            Ok(Ok(ready)) => {
                let files = ready.files.clone();
                let fingerprint = ready.fingerprint;
                match self.put_in_force(id, &ready) {
                    Ok(()) => {
                        self.limit_anew(id, ready.limits).await;
                        (files, fingerprint)
                    }
                    Err(error) => {
                        let message = format!("it could not be put in force: {error:#}");
                        self.reject(id, message);
                        (files, fingerprint)
                    }
                }
            }
            Ok(Err(mistake)) => {
                self.reject(id, mistake.message);
                (mistake.files, mistake.fingerprint)
            }
            Err(refused) => {
                log(&refused.message);
                return;
            }
        };
        if let Some(session) = self.inner.borrow_mut().sessions.get_mut(&id) {
            session.state.files.clone_from(&files);
            session.state.fingerprint = fingerprint;
        }
        self.save(id);
        self.watch(id, &files, fingerprint);
    }

    /// Why an edit may be the session's own doing: its user could change one of the files. A
    /// session must not loosen its policy. Root can change every file, and is told at the
    /// start that this protects nothing from it.
    fn suspicion(&self, id: u32) -> Option<String> {
        let inner = self.inner.borrow();
        let state = &inner.sessions.get(&id)?.state;
        let uid = state.uid;
        if uid == 0 {
            return None;
        }
        let file = state.files.iter().find(|file| is_changeable(file, uid))?;
        Some(format!(
            "the edit of {} may be the session's own: {}, as whom it runs, can change that file. \
             Keep policies that are to be edited in /etc/guard/policies, owned by root",
            file.display(),
            state.user
        ))
    }

    /// Switches a session to a new policy, then removes the one before.
    fn put_in_force(&self, id: u32, ready: &Ready) -> anyhow::Result<()> {
        if !self.inner.borrow().sessions.contains_key(&id) {
            // It has ended while its policy was compiled.
            return Ok(());
        }
        let policy = self.with_engine(|engine| engine.install(&ready.compiled))?;
        if let Err(error) = self.with_engine(|engine| engine.set_policy(id, policy)) {
            let _ = self.with_engine(|engine| engine.retire(policy));
            return Err(error);
        }
        let mut inner = self.inner.borrow_mut();
        let Inner {
            engine,
            sessions,
            feed,
            ..
        } = &mut *inner;
        let Some(session) = sessions.get_mut(&id) else {
            return Ok(());
        };
        let before = session.state.in_force();
        let limited = session.state.limited();
        session.know(KnownPolicy {
            installed: policy,
            rules: ready.compiled.rules.clone(),
        });
        session.state.mistake = None;
        let is_same = limited == session.state.limited();
        if let (Some(engine), Some(before)) = (engine, before) {
            if let Err(error) = engine.retire(before) {
                log(&format!(
                    "a policy before an edit can't be removed: {error:#}"
                ));
            }
            // What was counted belongs to other rules now.
            if !is_same && let Err(error) = engine.lift_limits(id) {
                log(&format!(
                    "the limits of rules can't be begun anew: {error:#}"
                ));
            }
        }
        let edit = PolicyEdit {
            change: PolicyChange::Applied,
            files: shown(&ready.files),
            rules: u32::try_from(ready.compiled.rules.len()).ok(),
            message: (!ready.notes.is_empty()).then(|| ready.notes.join("\n")),
        };
        log(&format!(
            "the edited policy of session {} is in force",
            session.state.name
        ));
        feed.policy(&session.state.name, edit);
        feed.flush();
        Ok(())
    }

    /// Gives a session the limits of its edited policy.
    async fn limit_anew(&self, id: u32, limits: Limits) {
        let cgroup = {
            let inner = self.inner.borrow();
            let session = inner.sessions.get(&id);
            session.map(|session| session.state.cgroup.clone())
        };
        let Some(cgroup) = cgroup else { return };
        for warning in limit(&cgroup, limits).await {
            self.notice(Some(id), Level::Warning, &warning);
        }
    }

    /// Says that an edit has a mistake; the policy before it stays in force.
    fn reject(&self, id: u32, message: String) {
        let mut inner = self.inner.borrow_mut();
        let Inner { sessions, feed, .. } = &mut *inner;
        let Some(session) = sessions.get_mut(&id) else {
            return;
        };
        log(&format!(
            "the edited policy of session {} is not in force, the one before stays:\n{message}",
            session.state.name
        ));
        let edit = PolicyEdit {
            change: PolicyChange::Rejected,
            files: shown(&session.state.files),
            rules: session
                .state
                .known
                .last()
                .and_then(|policy| u32::try_from(policy.rules.len()).ok()),
            message: Some(message.clone()),
        };
        session.state.mistake = Some(message);
        feed.policy(&session.state.name, edit);
        feed.flush();
    }
}

fn shown(files: &[std::path::PathBuf]) -> Vec<String> {
    files
        .iter()
        .map(|file| file.to_string_lossy().into_owned())
        .collect()
}
