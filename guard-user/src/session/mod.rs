//! A session: from the command line to a labelled process, and to its end.
//!
//! The client's half (names, identity, command, launch, supervise) runs in `guard run` and
//! is single-threaded; the server's half (cgroups, scopes, processes) runs in the server.

pub mod cgroup;
pub mod command;
pub mod control;
pub mod environment;
pub mod identity;
mod late;
pub mod launch;
pub mod limits;
pub mod name;
pub mod oom;
pub mod outputs;
pub mod processes;
pub(crate) mod raw;
pub mod scope;
pub mod supervise;
pub mod terminal;
