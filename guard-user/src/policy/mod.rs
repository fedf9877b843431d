//! Policies.

pub mod compiled;
