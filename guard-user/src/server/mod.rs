//! The server: one process per host that owns the engine, the sessions, the audit log and
//! the control socket; and the client's way to it.

pub mod client;
pub mod enforcer;
pub mod paths;
pub mod protocol;
pub mod state;
pub mod watch;
pub mod wire;
