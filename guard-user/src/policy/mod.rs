//! Policies: YAML → document → compiled policy.

mod automaton;
pub mod compiled;
pub mod diagnostics;
mod glob;
mod tree;
