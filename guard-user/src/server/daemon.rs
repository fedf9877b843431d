//! The server's life: it takes the lock, adopts what is there, listens, and leaves when
//! nothing is left to do.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::fcntl::{Flock, FlockArg};
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};

use super::core::{Parts, Server, log};
use super::paths::Paths;
use crate::session::scope;

/// The lock that there is one server of.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code)] Flock<File>);

impl Lock {
    /// Takes the lock; none when another server has it, whose process is told as far as it
    /// is known.
    pub fn take(paths: &Paths) -> Result<Result<Self, String>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(paths.lock())
            .with_context(|| paths.lock().display().to_string())?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut lock) => {
                lock.set_len(0)?;
                lock.rewind()?;
                writeln!(lock, "{}", std::process::id())?;
                Ok(Ok(Self(lock)))
            }
            Err((mut file, nix::errno::Errno::EWOULDBLOCK)) => {
                let mut holder = String::new();
                // It may not have written its number yet.
                let _ = file.read_to_string(&mut holder);
                Ok(Err(holder.trim().to_owned()))
            }
            Err((_, error)) => Err(error).context(paths.lock().display().to_string()),
        }
    }
}

/// Runs a server until it leaves. `ready` is called when it listens.
pub async fn run(parts: Parts, _lock: Lock, ready: impl FnOnce() -> Result<()>) -> Result<()> {
    let paths = parts.paths.clone();
    let stay = parts.stay;
    let leaves_client = parts.background && scope::is_host_managed();
    let server = Server::new(parts)?;
    server.adopt()?;
    if stay {
        server.arm()?;
    }
    let listener = listen(&paths)?;
    ready()?;
    log(&format!(
        "guard {} listens at {}",
        env!("CARGO_PKG_VERSION"),
        paths.control().display()
    ));
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // They end with the runtime.
    if leaves_client {
        tokio::task::spawn_local(leave_client_s_cgroup());
    }
    tokio::task::spawn_local(Rc::clone(&server).read_records());
    tokio::task::spawn_local(Rc::clone(&server).flush_in_time());
    tokio::task::spawn_local(Rc::clone(&server).look_after_sessions());
    tokio::task::spawn_local(Rc::clone(&server).reload_on_change());
    tokio::task::spawn_local(Rc::clone(&server).stay_proved());
    tokio::task::spawn_local(Rc::clone(&server).follow_addresses());
    tokio::task::spawn_local(Rc::clone(&server).follow_mounts());
    tokio::select! {
        () = accept(&server, &listener) => {}
        () = server.idle(), if !stay => {}
        _ = terminate.recv() => log("asked to leave (SIGTERM)"),
        _ = interrupt.recv() => log("asked to leave (SIGINT)"),
    }
    server.leaving.set(true);
    // Who connects from now on finds nobody, and asks the next server.
    let gone = fs::remove_file(paths.control());
    drop(listener);
    gone.with_context(|| paths.control().display().to_string())?;
    server.end_canary(&mut *server.canary.lock().await).await;
    server.leave()
}

/// Leaves the cgroup of the login that a client was started from, which systemd may end with
/// all that is in it.
async fn leave_client_s_cgroup() {
    let unit = scope::unit_of_server();
    if let Err(error) = scope::start(&unit, "Guard's server", std::process::id()).await {
        log(&format!(
            "the server stays in the cgroup of its first client, and ends when that login does; \
             sessions stay guarded: {error:#}"
        ));
    }
}

/// Listens at the control socket, for root only.
fn listen(paths: &Paths) -> Result<UnixListener> {
    let path = paths.control();
    // One that a server left behind which was killed: we have the lock, so nobody listens.
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| path.display().to_string());
        }
        _ => {}
    }
    // Its directory is root's own, so nobody comes in between the two steps.
    let listener = UnixListener::bind(&path).with_context(|| path.display().to_string())?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn accept(server: &Rc<Server>, listener: &UnixListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::task::spawn_local(Rc::clone(server).serve(stream));
            }
            Err(error) => {
                log(&format!("a connection could not be accepted: {error}"));
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
