//! What a client could say to the server. The first byte says how many descriptors come with it, how
//! it is cut into pieces, and whether it is a request, to be put in its envelope, or the bare bytes. The
//! server has an engine that only pretends. Whatever was said, it hangs up when the client does, and
//! answers the next.

#![no_main]

use std::cell::RefCell;
use std::fs;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, LazyLock, mpsc};
use std::thread;
use std::time::Duration;

use guard_user::server::core::Parts;
use guard_user::server::daemon::{self, Lock};
use guard_user::server::paths::Paths;
use guard_user::server::policies::Policies;
use guard_user::server::pretended::{Directories, Engine, Pretended};
use guard_user::server::protocol::{Request, VERSION, encode};
use libfuzzer_sys::fuzz_target;
use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};

/// How long the server may take for an answer: what takes longer is a hang.
const PATIENCE: Duration = Duration::from_secs(20);

/// In the first byte: what follows is a request without its envelope.
const ENVELOPE: u8 = 0x20;

/// Where the server listens, which is started with the first client.
static SOCKET: LazyLock<PathBuf> = LazyLock::new(|| {
    let base = tempfile::tempdir().expect("a directory").keep();
    let paths = Paths {
        run: base.join("run"),
        log: base.join("log"),
    };
    let socket = paths.control();
    let (ready, is_ready) = mpsc::channel();
    thread::spawn(move || serve(&base, paths, &ready));
    is_ready.recv().expect("a server");
    socket
});

fn serve(base: &Path, paths: Paths, ready: &mpsc::Sender<()>) {
    paths.make().expect("directories");
    fs::create_dir(base.join("cgroup")).expect("a directory");
    let lock = Lock::take(&paths).expect("a lock").expect("nobody has it");
    let engine = Pretended {
        directory: base.join("cgroup/guard"),
        ..Pretended::default()
    };
    let parts = Parts {
        paths,
        engines: Box::new(Engine(Rc::new(RefCell::new(engine)))),
        compiler: Arc::new(Policies::default()),
        cgroups: Box::new(Directories(base.join("cgroup"))),
        canary: None,
        stay: true,
        background: false,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    tokio::task::LocalSet::new()
        .block_on(&runtime, async {
            daemon::run(parts, lock, || Ok(ready.send(())?)).await
        })
        .expect("a server that stays");
}

/// Sends all of it, in pieces, with descriptors. What the server no longer wants is not sent.
fn send(stream: &mut UnixStream, how: u8, data: &[u8]) {
    let descriptors = vec![stream.as_raw_fd(); usize::from(how & 7)];
    let piece = [data.len().max(1), 1, 7, 4096][usize::from(how >> 3 & 3)];
    for (number, piece) in data.chunks(piece.max(data.len() / 64)).enumerate() {
        let sent = if number == 0 && !descriptors.is_empty() {
            let rights = [ControlMessage::ScmRights(&descriptors)];
            sendmsg::<UnixAddr>(
                stream.as_raw_fd(),
                &[IoSlice::new(piece)],
                &rights,
                MsgFlags::MSG_NOSIGNAL,
                None,
            )
            .map(|sent| assert_eq!(sent, piece.len(), "a piece is small"))
            .map_err(Into::into)
        } else {
            stream.write_all(piece)
        };
        match sent {
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
                ) =>
            {
                return;
            }
            sent => sent.expect("it takes what it is sent"),
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&how, data)) = data.split_first() else {
        return;
    };
    let connect = || {
        let stream = UnixStream::connect(&*SOCKET).expect("a server that listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket");
        stream
    };
    let wrapped;
    let line = if how & ENVELOPE == 0 {
        data
    } else {
        let head = format!("{{\"v\":{VERSION},\"body\":");
        wrapped = [head.as_bytes(), data, b"}\n"].concat();
        &wrapped
    };
    let mut stream = connect();
    send(&mut stream, how, line);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        read => {
            read.expect("it hangs up in time");
        }
    }
    // It is there for whoever comes next.
    let mut next = connect();
    next.write_all(&encode(&Request::Status))
        .expect("it listens");
    let mut first = [0];
    next.read_exact(&mut first).expect("it answers in time");
});
