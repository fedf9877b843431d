//! Wrappers around what the operating system offers, without any policy of their own.

pub mod mounts;
