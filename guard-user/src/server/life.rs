//! What the server does by itself as long as it lives: reading records, handing out events,
//! looking after sessions, noticing that nothing is left to do.

use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::io::unix::AsyncFd;

use super::core::{Inner, Server, log};
use super::{canary, proof};

/// How often sessions are looked at, should no record tell of their end.
const LOOK: Duration = Duration::from_secs(1);
/// How long a server with nothing to do waits for more to do.
const IDLE: Duration = Duration::from_secs(1);
/// How many records are taken at a time before others get their turn.
pub(super) const BATCH: usize = 512;

/// A descriptor that somebody else owns and keeps open.
struct Borrowed(RawFd);

impl AsRawFd for Borrowed {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

impl Server {
    /// Reads records as they come, from when there is an engine.
    pub(super) async fn read_records(self: Rc<Self>) {
        let descriptor = loop {
            let armed = self.armed.notified();
            let found = {
                let inner = self.inner.borrow();
                inner.records.as_ref().map(|records| records.as_raw_fd())
            };
            match found {
                Some(descriptor) => break descriptor,
                None => armed.await,
            }
        };
        // SAFETY: the records own the descriptor and are never dropped or replaced while the
        // server lives; this task ends with it.
        let ring = match unsafe { AsyncFd::register(Borrowed(descriptor)) } {
            Ok(ring) => ring,
            Err(error) => {
                log(&format!("records can't be waited for: {error:?}"));
                return;
            }
        };
        loop {
            let Ok(mut ready) = ring.readable().await else {
                return;
            };
            if self.drain() < BATCH {
                ready.clear_ready();
                // What came in between is seen here, and what comes later wakes us.
                self.drain();
            }
            tokio::task::yield_now().await;
        }
    }

    /// Takes the records that are there, and says how many there were.
    pub(super) fn drain(self: &Rc<Self>) -> usize {
        let mut inner = self.inner.borrow_mut();
        let Inner {
            records,
            sessions,
            feed,
            canaries,
            engine,
            ..
        } = &mut *inner;
        let Some(records) = records else { return 0 };
        let engine = engine.as_deref();
        let mut over = Vec::new();
        let mut proved = Vec::new();
        let count = records.drain(BATCH, &mut |record| {
            // What is refused to the canary is no event.
            if canaries.contains(&canary::session_of(record)) {
                return;
            }
            let taken = proof::take(record, sessions);
            proved.extend(taken.map(|taken| taken.session));
            if !taken.is_some_and(|taken| taken.is_proof) {
                over.extend(feed.push(record, sessions, engine));
            }
        });
        feed.flush();
        drop(inner);
        for id in proved {
            self.save(id);
        }
        if count > 0 {
            self.fed.notify_waiters();
        }
        for id in over {
            let server = Rc::clone(self);
            tokio::task::spawn_local(async move { server.end_if_over(id).await });
        }
        count
    }

    /// Hands out events when their time has come.
    pub(super) async fn flush_in_time(self: Rc<Self>) {
        loop {
            let fed = self.fed.notified();
            let deadline = self.inner.borrow().feed.deadline();
            match deadline {
                Some(deadline) => {
                    // Not at once, so that what comes together goes out together.
                    let wake = deadline.max(Instant::now() + Duration::from_millis(5));
                    tokio::time::sleep_until(wake.into()).await;
                    self.inner.borrow_mut().feed.flush();
                }
                None => fed.await,
            }
        }
    }

    /// Looks at all sessions now and then: what they did, and whether they are over.
    pub(super) async fn look_after_sessions(self: Rc<Self>) {
        loop {
            tokio::time::sleep(LOOK).await;
            let ids: Vec<u32> = self.inner.borrow().sessions.keys().copied().collect();
            if ids.is_empty() {
                continue;
            }
            self.drain();
            for id in ids {
                {
                    let mut inner = self.inner.borrow_mut();
                    let Inner {
                        engine,
                        sessions,
                        feed,
                        ..
                    } = &mut *inner;
                    if let Some(Ok(counters)) = engine.as_ref().map(|engine| engine.counters(id)) {
                        feed.count(id, &counters, sessions);
                    }
                }
                self.give_up_lost(id);
                let server = Rc::clone(&self);
                tokio::task::spawn_local(async move { server.end_if_over(id).await });
            }
        }
    }

    /// Waits until nothing has been left to do for a while.
    pub(super) async fn idle(&self) {
        let is_idle = || {
            let inner = self.inner.borrow();
            inner.sessions.is_empty() && inner.reserved.is_empty() && self.connections.get() == 0
        };
        loop {
            let ended = self.ended.notified();
            if !is_idle() {
                ended.await;
                continue;
            }
            tokio::time::sleep(IDLE).await;
            if is_idle() {
                return;
            }
        }
    }

    /// Leaves: the engine goes when no session needs it, and stays in force otherwise.
    pub(super) fn leave(&self) -> Result<()> {
        let mut inner = self.inner.borrow_mut();
        inner.feed.close();
        let Some(engine) = inner.engine.take() else {
            return Ok(());
        };
        if inner.sessions.is_empty() && engine.sessions()?.is_empty() {
            log("no session is left; the engine is removed");
            engine.unpin().context("the engine can't be removed")
        } else {
            log("sessions are left; they stay guarded");
            Ok(())
        }
    }
}
