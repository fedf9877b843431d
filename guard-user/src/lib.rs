//! Guard's user side: what stands behind the command `guard`.
//!
//! Data flows one way: YAML → document → compiled policy → maps → decision → record → event.

pub mod cli;
pub mod doctor;
pub mod engine;
pub mod events;
pub mod explain;
pub mod hook;
pub mod policy;
pub mod report;
pub mod server;
pub mod session;
pub mod system;
pub mod trial;
