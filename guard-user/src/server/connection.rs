//! One connection: who is at the other end, what they ask, what they get.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use nix::cmsg_space;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixAddr, recvmsg};
use tokio::io::Interest;
use tokio::net::UnixStream;

use super::core::{Refused, Server, log};
use super::follower::Following;
use super::protocol::{self, Lines, Misunderstood, Refusal, Request, Response};
use crate::explain::Exposure;

/// How many descriptors of a client's are kept; the others are closed.
const MAX_DESCRIPTORS: usize = 4;

/// How many descriptors the kernel lets come with one message (`SCM_MAX_FD`). With room for fewer,
/// those that did come would stay open unseen.
const MAX_SENT: usize = 253;

/// Processes in a line. Each takes some hundred bytes, and no more than [`protocol::MAX_LINE`] allows
/// when all its names and its path are as long as can be.
const PROCESSES: usize = 100;

/// A connection, the server's end.
struct Connection {
    stream: UnixStream,
    lines: Lines,
    descriptors: Vec<OwnedFd>,
}

/// Counts a connection for as long as it is there.
struct Counted(Rc<Server>);

impl Counted {
    fn new(server: &Rc<Server>) -> Self {
        server.connections.set(server.connections.get() + 1);
        Self(Rc::clone(server))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.set(self.0.connections.get() - 1);
        self.0.ended.notify_waiters();
    }
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug)]
struct Peer {
    pid: u32,
}

impl Server {
    /// Serves a connection until either side hangs up.
    pub(super) async fn serve(self: Rc<Self>, stream: UnixStream) {
        let _counted = Counted::new(&self);
        let mut connection = Connection {
            stream,
            lines: Lines::default(),
            descriptors: Vec::new(),
        };
        let peer = match peer(&connection.stream) {
            Ok(peer) => peer,
            Err(refused) => {
                // Whoever it is may not even listen.
                let _ = connection.send(&refused.into()).await;
                return;
            }
        };
        let mut guarded = None;
        let result = self.talk(&mut connection, peer, &mut guarded).await;
        // Who hangs up before the answer has stopped being interested.
        if let Err(error) = result.or_else(unless_gone) {
            log(&format!(
                "a connection of process {} ended: {error}",
                peer.pid
            ));
        }
        if let Some(id) = guarded {
            self.client_is_gone(id, peer);
        }
    }

    async fn talk(
        self: &Rc<Self>,
        connection: &mut Connection,
        peer: Peer,
        guarded: &mut Option<u32>,
    ) -> io::Result<()> {
        while let Some(line) = connection.line().await? {
            let response = match self.admit(&line, peer) {
                Ok(Request::Start(start)) => self.start_for(connection, peer, start, guarded).await,
                Ok(Request::Follow(filter)) => {
                    let (following, after) = self.inner.borrow_mut().feed.follow(filter);
                    return connection.follow(following, after).await;
                }
                Ok(Request::Finish {
                    session,
                    id,
                    status,
                    remaining,
                }) => tokio::select! {
                    response = self.finish(&session, id, status, remaining) => response,
                    // Who asked has stopped waiting.
                    () = hung_up(&connection.stream) => return Ok(()),
                },
                Ok(Request::Stop { session, grace }) => {
                    self.stop(&session, Duration::from_millis(grace)).await
                }
                Ok(Request::Resume { session }) => self.lift_limits(&session, peer.pid),
                Ok(Request::Allow(request)) => self.allow(&request, peer.pid),
                Ok(Request::Revoke { session, number }) => self.revoke(&session, number, peer.pid),
                Ok(Request::Explain { session, question }) => self.explain(&session, &question),
                Ok(Request::Processes { session }) => match self.exposures(&session) {
                    Ok(processes) => {
                        send_processes(connection, processes).await?;
                        continue;
                    }
                    Err(refused) => refused.into(),
                },
                Ok(Request::Why { session, asked }) => self.why(session.as_ref(), &asked),
                Ok(Request::Mark { .. }) => {
                    Refused::usage("A call of a tool begins inside a session.").into()
                }
                Ok(Request::Status) => Response::Status(Box::new(self.status())),
                Err(refused) => {
                    connection.send(&refused.into()).await?;
                    return Ok(());
                }
            };
            connection.send(&response).await?;
        }
        Ok(())
    }

    /// What a line asks for, if whoever sent it may ask.
    fn admit(&self, line: &[u8], peer: Peer) -> Result<Request, Refused> {
        if self.leaving.get() {
            return Err(Refused {
                kind: Refusal::Leaving,
                message: "The server is leaving.".to_owned(),
            });
        }
        let session = match self.session_of(peer.pid) {
            // Whoever has taken the programs out of the kernel has to be able to end what they
            // guarded, and no label is worth anything any more.
            Err(_) if self.is_frozen.get() => None,
            session => session?,
        };
        if let Some(session) = session {
            return Err(Refused::usage(format!(
                "This is session {session} of guard, and guard can't be used from inside a \
                 session. Type the command in a shell outside."
            )));
        }
        protocol::decode(line).map_err(|error: Misunderstood| Refused::guard(error.to_string()))
    }

    async fn start_for(
        self: &Rc<Self>,
        connection: &mut Connection,
        peer: Peer,
        start: protocol::Start,
        guarded: &mut Option<u32>,
    ) -> Response {
        if guarded.is_some() {
            return Refused::guard("This connection has a session already.").into();
        }
        let Some(child) = connection.descriptors.pop() else {
            return Refused::guard("No process came with the request for a session.").into();
        };
        let response = self.start(start, child).await;
        if let Response::Started { session, id, .. } = &response {
            *guarded = Some(*id);
            if let Err(error) = self.with_engine(|engine| engine.protect(peer.pid)) {
                log(&format!(
                    "process {} can't be protected from session {session}: {error:#}",
                    peer.pid
                ));
            }
        }
        response
    }

    /// The client of a session is gone: nobody will tell how its command ended.
    fn client_is_gone(&self, id: u32, peer: Peer) {
        let mut inner = self.inner.borrow_mut();
        if let Some(session) = inner.sessions.get_mut(&id) {
            session.is_awaited = false;
        }
        if let Some(engine) = &mut inner.engine
            && let Err(error) = engine.unprotect(peer.pid)
        {
            log(&format!(
                "process {} is still listed among guard's own: {error:#}",
                peer.pid
            ));
        }
        drop(inner);
        self.ended.notify_waiters();
    }
}

/// Sends them in lines that are not too long.
async fn send_processes(connection: &mut Connection, processes: Vec<Exposure>) -> io::Result<()> {
    let mut left = processes;
    loop {
        let rest = left.split_off(left.len().min(PROCESSES));
        let more = !rest.is_empty();
        let processes = std::mem::replace(&mut left, rest);
        let response = Response::Processes { processes, more };
        connection.send(&response).await?;
        if !more {
            return Ok(());
        }
    }
}

/// Who is at the other end: root, or the user that the server runs as.
fn peer(stream: &UnixStream) -> Result<Peer, Refused> {
    let credentials = stream
        .peer_cred()
        .map_err(|error| Refused::guard(format!("Your user is not known: {error}.")))?;
    let own = nix::unistd::geteuid().as_raw();
    if credentials.uid() != 0 && credentials.uid() != own {
        return Err(Refused::usage("Only root may talk to guard's server."));
    }
    let pid = credentials.pid().and_then(|pid| u32::try_from(pid).ok());
    match pid {
        Some(pid) if pid > 0 => Ok(Peer { pid }),
        // In a pid namespace that this one can't see.
        _ => Err(Refused::usage(
            "Guard's server can't see your process. Run the command where the server runs, not \
             in another container.",
        )),
    }
}

/// Nothing, when an error only says that the other side has hung up.
fn unless_gone(error: io::Error) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Ok(()),
        _ => Err(error),
    }
}

/// Waits until the other side hangs up.
async fn hung_up(stream: &UnixStream) {
    loop {
        match stream.ready(Interest::READABLE).await {
            Ok(ready) if !ready.is_read_closed() => {
                // Something was sent, which is looked at later.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            _ => return,
        }
    }
}

impl Connection {
    /// The next line; none when the other side has hung up.
    async fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(line) = self.lines.next_line() {
                return Ok(Some(line));
            }
            self.stream.readable().await?;
            match self.stream.try_io(Interest::READABLE, || self.receive()) {
                Ok((piece, _)) if piece.is_empty() => return Ok(None),
                Ok((piece, descriptors)) => {
                    self.descriptors.extend(descriptors);
                    self.descriptors.truncate(MAX_DESCRIPTORS);
                    self.lines.push(&piece).map_err(io::Error::other)?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes what has arrived, descriptors included.
    fn receive(&self) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
        let mut buffer = vec![0; 16 << 10];
        let mut space = cmsg_space!([i32; MAX_SENT]);
        let mut pieces = [IoSliceMut::new(&mut buffer)];
        let message = recvmsg::<UnixAddr>(
            self.stream.as_raw_fd(),
            &mut pieces,
            Some(&mut space),
            MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT,
        )?;
        let descriptors = message
            .cmsgs()?
            .flat_map(|message| match message {
                ControlMessageOwned::ScmRights(descriptors) => descriptors,
                _ => Vec::new(),
            })
            // SAFETY: the kernel has just put these descriptors into our table, and nothing
            // else knows of them.
            .map(|descriptor| unsafe { OwnedFd::from_raw_fd(descriptor) })
            .collect();
        let length = message.bytes;
        buffer.truncate(length);
        Ok((buffer, descriptors))
    }

    async fn send(&self, response: &Response) -> io::Result<()> {
        let line = protocol::encode(response);
        let mut rest = line.as_slice();
        while !rest.is_empty() {
            self.stream.writable().await?;
            match self.stream.try_write(rest) {
                Ok(length) => rest = &rest[length..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Hands on events until either side hangs up.
    async fn follow(&mut self, mut following: Following, after: String) -> io::Result<()> {
        self.send(&Response::Following { after }).await?;
        loop {
            let event = tokio::select! {
                event = following.next() => event,
                () = hung_up(&self.stream) => return Ok(()),
            };
            let Some((line, missed)) = event else {
                return Ok(());
            };
            let event = serde_json::from_str(&line)?;
            let sent = async {
                self.send(&Response::Event(event)).await?;
                if missed > 0 {
                    self.send(&Response::Missed(missed)).await?;
                }
                Ok(())
            };
            let sent: io::Result<()> = sent.await;
            sent?;
        }
    }
}
