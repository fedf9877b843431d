//! The client's end of the control socket: blocking, for a process with one thread.

use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};

use super::protocol::{self, Lines, Misunderstood, Request, Response};

/// A connection to the server.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    lines: Lines,
}

/// Why nothing came back.
#[derive(Debug)]
pub enum Lost {
    /// The server hung up: it is leaving, or has crashed. Another may be had.
    HungUp,
    /// What came back makes no sense.
    Misunderstood(Misunderstood),
    /// The socket failed.
    Io(io::Error),
}

impl std::fmt::Display for Lost {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::HungUp => formatter.write_str(
                "Guard's server ended in the middle of a conversation. Sessions stay guarded; \
                 /var/log/guard/server.log may say why. Try again.",
            ),
            Self::Misunderstood(why) => why.fmt(formatter),
            Self::Io(error) => write!(formatter, "The control socket failed: {error}."),
        }
    }
}

impl Connection {
    /// Connects to the server that listens at a path.
    pub fn connect(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        Ok(Self::new(stream))
    }

    /// Takes over a connected socket.
    #[must_use]
    pub fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            lines: Lines::default(),
        }
    }

    /// Sends a request, with a descriptor or without.
    pub fn send(&mut self, request: &Request, with: Option<BorrowedFd<'_>>) -> Result<(), Lost> {
        let line = protocol::encode(request);
        let mut sent = 0;
        if let Some(descriptor) = with {
            let descriptors = [descriptor.as_raw_fd()];
            sent = sendmsg::<UnixAddr>(
                self.stream.as_raw_fd(),
                &[IoSlice::new(&line)],
                &[ControlMessage::ScmRights(&descriptors)],
                MsgFlags::MSG_NOSIGNAL,
                None,
            )
            .map_err(|error| lost(error.into()))?;
        }
        self.stream.write_all(&line[sent..]).map_err(lost)
    }

    /// Waits for the next response.
    pub fn receive(&mut self) -> Result<Response, Lost> {
        loop {
            if let Some(response) = self.receive_within(None)? {
                return Ok(response);
            }
        }
    }

    /// Waits for the next response so many milliseconds, or for as long as it takes. None where no
    /// whole one came.
    pub fn receive_within(&mut self, patience: Option<u16>) -> Result<Option<Response>, Lost> {
        let timeout = patience.map_or(PollTimeout::NONE, PollTimeout::from);
        loop {
            if let Some(line) = self.lines.next_line() {
                return protocol::decode(&line)
                    .map(Some)
                    .map_err(Lost::Misunderstood);
            }
            let mut waits = [PollFd::new(self.stream.as_fd(), PollFlags::POLLIN)];
            match poll(&mut waits, timeout) {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(lost(error.into())),
            }
            let mut piece = [0; 16 << 10];
            match self.stream.read(&mut piece) {
                Ok(0) => return Err(Lost::HungUp),
                Ok(length) => self
                    .lines
                    .push(&piece[..length])
                    .map_err(Lost::Misunderstood)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(lost(error)),
            }
        }
    }

    /// The socket, to be waited for.
    #[must_use]
    pub fn stream(&self) -> &UnixStream {
        &self.stream
    }
}

fn lost(error: io::Error) -> Lost {
    match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Lost::HungUp,
        _ => Lost::Io(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::cmsg_space;
    use nix::sys::socket::{ControlMessageOwned, recvmsg};
    use std::io::IoSliceMut;
    use std::os::fd::AsFd;

    #[test]
    fn a_descriptor_travels_with_the_first_byte() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut connection = Connection::new(ours);
        let (reader, _writer) = io::pipe().unwrap();
        connection
            .send(&Request::Status, Some(reader.as_fd()))
            .unwrap();
        let mut buffer = [0; 1];
        let mut space = cmsg_space!([i32; 1]);
        let mut pieces = [IoSliceMut::new(&mut buffer)];
        let message = recvmsg::<UnixAddr>(
            theirs.as_raw_fd(),
            &mut pieces,
            Some(&mut space),
            MsgFlags::MSG_CMSG_CLOEXEC,
        )
        .unwrap();
        let came = message.cmsgs().unwrap().any(
            |message| matches!(message, ControlMessageOwned::ScmRights(fds) if fds.len() == 1),
        );
        assert!(came);
    }

    #[test]
    fn a_server_that_hangs_up_is_told_from_one_that_talks_nonsense() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut connection = Connection::new(ours);
        theirs.write_all(b"hello\n").unwrap();
        assert!(matches!(
            connection.receive(),
            Err(Lost::Misunderstood(Misunderstood::Malformed(_)))
        ));
        theirs.write_all(b"{\"v\":9}\n").unwrap();
        assert!(matches!(
            connection.receive(),
            Err(Lost::Misunderstood(Misunderstood::Version(9)))
        ));
        drop(theirs);
        assert!(matches!(connection.receive(), Err(Lost::HungUp)));
    }
}
