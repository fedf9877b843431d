//! Wrappers around what the operating system offers, without any policy of their own.

pub mod capabilities;
pub mod cgroups;
pub mod clock;
pub mod families;
pub mod files;
pub mod links;
pub mod mounts;
pub mod namespaces;
pub mod processes;
pub mod signals;
pub mod users;
