//! The server: one process per host that owns the engine, the sessions, the audit log and
//! the control socket; and the client's way to it.

pub(crate) mod addresses;
mod adopt;
pub mod canary;
pub mod client;
pub mod compiler;
mod connection;
pub mod core;
pub mod daemon;
pub mod enforcer;
mod explain;
mod feed;
mod fingerprint;
mod finish;
mod follower;
mod grants;
mod health;
pub mod host;
mod inside;
pub mod inside_client;
pub mod kernel;
mod life;
mod mounts;
pub mod paths;
pub mod policies;
pub mod proof;
pub mod protocol;
mod reload;
mod report;
mod resume;
pub mod runtime;
mod start;
pub mod state;
mod status;
mod told;
mod undo;
pub mod watch;
mod why;
pub mod wire;

#[cfg(any(test, fuzzing))]
pub mod pretended;
#[cfg(test)]
mod tests;
