//! The server in the background, which a client has started: it takes nothing along of what the
//! client happened to have.

use std::fs::OpenOptions;
use std::io::{self, Write};

use anyhow::{Context, Result};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::sys::stat::{Mode, umask};
use nix::unistd::ForkResult;

use super::exit::Exit;
use super::server::{Way, serve};
use crate::server::client::{BUSY, READY};
use crate::server::daemon::Lock;
use crate::server::paths::Paths;
use crate::session::raw;

/// What would end a server, or keep it from writing its logs and loading its programs.
const LIMITS: [Resource; 6] = [
    Resource::RLIMIT_AS,
    Resource::RLIMIT_CPU,
    Resource::RLIMIT_DATA,
    Resource::RLIMIT_FSIZE,
    Resource::RLIMIT_MEMLOCK,
    Resource::RLIMIT_NPROC,
];

/// Goes into the background and serves. The client that started us reads on our standard
/// output how that went.
pub(super) fn in_background() -> Exit {
    if let Err(error) = leave_client() {
        tell(&format!(
            "Guard's server can't go into the background: {error:#}."
        ));
        return Exit::Guard;
    }
    let paths = Paths::system();
    let result = paths.make().and_then(|()| Lock::take(&paths));
    let lock = match result {
        Ok(Ok(lock)) => lock,
        Ok(Err(_)) => {
            tell(BUSY);
            return Exit::Guard;
        }
        Err(error) => {
            tell(&format!("Guard's server can't be started: {error:#}."));
            return Exit::Guard;
        }
    };
    let mut is_ready = false;
    let served = serve(&paths, lock, Way::Background, || {
        is_ready = true;
        tell(READY);
        // The client waits for the end of what we say.
        let null = OpenOptions::new().write(true).open("/dev/null")?;
        nix::unistd::dup2_stdout(null).context("standard output")
    });
    match served {
        Ok(()) => Exit::Success,
        Err(error) => {
            if !is_ready {
                tell(&format!("Guard's server can't be started: {error:#}."));
            }
            super::output::say(&format!("the server failed: {error:#}"));
            Exit::Guard
        }
    }
}

/// Says something to the client. It may have gone, and then others are served all the same.
fn tell(message: &str) {
    let mut stdout = io::stdout();
    let _ = stdout
        .write_all(message.as_bytes())
        .and_then(|()| stdout.flush());
}

/// Leaves the client's process tree, session and terminal, and all that was inherited from it but
/// the standard streams. The environment is the client's to choose.
fn leave_client() -> Result<()> {
    // SAFETY: nothing has been opened yet, so nobody owns what is closed.
    unsafe { raw::close_from(3) }.context("descriptors")?;
    // SAFETY: there is one thread; the child goes on as this process would have.
    match unsafe { nix::unistd::fork() }.context("fork")? {
        ForkResult::Parent { .. } => std::process::exit(0),
        ForkResult::Child => {
            nix::unistd::setsid().context("setsid")?;
        }
    }
    lift_limits();
    umask(Mode::S_IWGRP | Mode::S_IWOTH);
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None).context("signals")?;
    Ok(())
}

/// Lifts the limits that the client was under. Where that is not allowed the server does with what
/// it has, as it would have anyway.
fn lift_limits() {
    for limit in LIMITS {
        let _ = setrlimit(limit, libc::RLIM_INFINITY, libc::RLIM_INFINITY);
    }
    let descriptors = Resource::RLIMIT_NOFILE;
    if let Ok((_, hard)) = getrlimit(descriptors) {
        let _ = setrlimit(descriptors, hard, hard);
    }
}
