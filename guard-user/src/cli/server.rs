//! `guard server`: the server itself, in the foreground for a service manager, or in the
//! background for a client that needs one.

use std::sync::Arc;

use anyhow::{Context, Result};

use super::background::in_background;
use super::exit::{Exit, Failure};
use crate::doctor;
use crate::server::core::Parts;
use crate::server::daemon::{self, Lock};
use crate::server::host::HostCgroups;
use crate::server::kernel::KernelEngines;
use crate::server::paths::Paths;
use crate::server::policies::Policies;
use crate::session::raw;

/// Run the server that holds the sessions
///
/// There is no need to: `guard run` starts one when it needs it. The systemd unit runs it
/// with --stay.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Load guard at once, and stay when no session is left
    #[arg(long)]
    stay: bool,
    /// Go into the background, and say on standard output when ready
    #[arg(long, hide = true, conflicts_with = "stay")]
    background: bool,
    /// Have the programs in the kernel say what they do, in this process's standard error
    #[arg(long, conflicts_with = "background")]
    debug: bool,
}

/// Runs the server until it leaves.
pub fn run(raw: &Arguments) -> Result<Exit, Failure> {
    super::require_root()?;
    raw::keep_heap_small();
    if raw.background {
        return Ok(in_background());
    }
    // A background server's client has looked already.
    doctor::preflight()?;
    let paths = Paths::system();
    paths.make()?;
    let lock = match Lock::take(&paths)? {
        Ok(lock) => lock,
        Err(holder) => {
            return Err(Failure::guard(format!(
                "There is a server already (process {holder}), and there can be one only. `guard \
                 status` shows what it does."
            )));
        }
    };
    serve(
        &paths,
        lock,
        Way::Foreground {
            stay: raw.stay,
            debug: raw.debug,
        },
        || {
            // Without a service manager there is nobody to tell.
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
            Ok(())
        },
    )?;
    Ok(Exit::Success)
}

/// How a server was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// By a person or a service manager.
    Foreground {
        /// Whether it stays when nothing is left to do.
        stay: bool,
        /// Whether the programs say what they do.
        debug: bool,
    },
    /// By a client.
    Background,
}

/// Serves until the server leaves. `ready` is called when it listens.
pub(super) fn serve(
    paths: &Paths,
    lock: Lock,
    way: Way,
    ready: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(2)
        .build()
        .context("the event loop can't be made")?;
    let parts = Parts {
        paths: paths.clone(),
        engines: Box::new(KernelEngines {
            debug: matches!(way, Way::Foreground { debug: true, .. }),
        }),
        compiler: Arc::new(Policies::of_this_process()),
        cgroups: Box::new(HostCgroups),
        canary: Some("/proc/self/exe".into()),
        stay: matches!(way, Way::Foreground { stay: true, .. }),
        background: way == Way::Background,
    };
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, daemon::run(parts, lock, ready))
}
