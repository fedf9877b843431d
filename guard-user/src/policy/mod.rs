//! Policies: YAML → document → compiled policy.

pub mod compiled;
pub mod diagnostics;
mod tree;
