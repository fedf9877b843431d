//! Policies: YAML → document → compiled policy.

pub mod compiled;
