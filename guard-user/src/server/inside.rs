//! What a session itself can ask the server: a socket of its own, at which it is told of its own
//! refusals and of nothing else.
//!
//! Whoever connects has been judged before the server hears of it: the socket carries the session's
//! mark, so the engine lets this session connect and no other, and its file is its user's alone. The
//! server looks at the peer's label besides, which keeps out who is in no session. A number that has
//! become another process's by then gives nothing away that this user could not read in the file
//! beside the socket.
//!
//! A session can't wear the server out from here: few connections at a time, one short request on
//! each, little time for it, a pause between them, and an answer of bounded length. Descriptors that
//! come with a request are never taken out of the socket.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::socket::{Backlog, listen};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::core::{Refused, Server};
use super::protocol::{self, Request, Response};
use super::runtime;
use super::undo::Undo;
use crate::session::name::Name;

/// How many connections of a session are served at a time.
const MOST: usize = 4;
/// How many more may wait.
const WAITING: i32 = 16;
/// The longest request, in bytes.
const LONGEST: usize = 1 << 10;
/// How long a session may take to ask, and how long to take the answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// The pause after each connection.
const REST: Duration = Duration::from_millis(10);

/// A session's socket. It is closed with this.
#[derive(Debug)]
pub(super) struct Inside(AbortHandle);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Server {
    /// Makes a session's runtime directory, and listens in it.
    pub(super) fn open_inside(
        self: &Rc<Self>,
        id: u32,
        session: &Name,
        uid: u32,
        undo: &mut Undo,
    ) -> Result<(PathBuf, Inside)> {
        let directory = runtime::create(&self.parts.paths.runtime(), session)
            .context("the session's runtime directory can't be made")?;
        undo.done.runtime = Some(directory.clone());
        let inside = self.listen_inside(id, &directory, uid)?;
        Ok((directory, inside))
    }

    /// Listens for what a session asks, in its runtime directory.
    pub(super) fn listen_inside(
        self: &Rc<Self>,
        id: u32,
        directory: &Path,
        uid: u32,
    ) -> Result<Inside> {
        let path = runtime::socket(directory);
        let listener = bind(&path, uid).with_context(|| path.display().to_string())?;
        self.with_engine(|engine| engine.give_socket(id, listener.as_fd()))?;
        let accept = Rc::clone(self).accept_inside(id, listener);
        Ok(Inside(tokio::task::spawn_local(accept).abort_handle()))
    }

    async fn accept_inside(self: Rc<Self>, id: u32, listener: UnixListener) {
        let places = Arc::new(Semaphore::new(MOST));
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            // What can't be accepted is the session's own loss.
            if let Ok((stream, _)) = listener.accept().await {
                let server = Rc::clone(&self);
                tokio::task::spawn_local(async move {
                    server.serve_inside(id, stream).await;
                    drop(place);
                });
            }
            sleep(REST).await;
        }
    }

    /// Answers one request. Who hangs up, or takes too long, gets no answer.
    async fn serve_inside(self: Rc<Self>, id: u32, mut stream: UnixStream) {
        let Ok(Ok(line)) = timeout(PATIENCE, line(&mut stream)).await else {
            return;
        };
        let pid = stream.peer_cred().ok().and_then(|peer| peer.pid());
        let answer = self
            .answer_inside(id, pid, &line)
            .unwrap_or_else(Response::from);
        let line = protocol::encode(&answer);
        // As above.
        let _ = timeout(PATIENCE, stream.write_all(&line)).await;
    }

    fn answer_inside(
        self: &Rc<Self>,
        id: u32,
        pid: Option<i32>,
        line: &[u8],
    ) -> Result<Response, Refused> {
        let pid = pid.and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0);
        if self.with_engine(|engine| engine.session_of(pid))? != Some(id) {
            return Err(Refused::usage(
                "This socket is for the session alone. Outside of it, root can ask: sudo guard why",
            ));
        }
        match protocol::decode(line) {
            Ok(Request::Why {
                session: None,
                asked,
            }) => Ok(self.why_inside(id, &asked)),
            Ok(Request::Mark { call }) => self.mark(id, &call),
            Ok(_) => Err(Refused::usage(
                "A session can ask why it was refused something, and nothing else. Type the command \
                 in a shell outside.",
            )),
            Err(error) => Err(Refused::usage(error.to_string())),
        }
    }
}

/// A socket that its user can connect to.
fn bind(path: &Path, uid: u32) -> io::Result<UnixListener> {
    // That of a server before this one.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Its directory is root's own, so nobody comes in between the steps.
    let listener = UnixListener::bind(path)?;
    listen(&listener, Backlog::new(WAITING)?)?;
    chown(path, Some(uid), None)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// A line without its newline; an error when none comes.
async fn line(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut piece = [0; 256];
    loop {
        // No room for descriptors: the kernel lets go of those that come.
        let length = stream.read(&mut piece).await?;
        line.extend_from_slice(&piece[..length]);
        if let Some(end) = line.iter().position(|&byte| byte == b'\n') {
            line.truncate(end);
            return Ok(line);
        }
        if length == 0 || line.len() > LONGEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}
