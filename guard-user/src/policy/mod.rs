//! Policies: YAML → document → compiled policy.

pub mod at_most;
mod automaton;
mod builtin;
mod cases;
mod clauses;
mod compile;
pub mod compiled;
pub mod diagnostics;
pub(crate) mod document;
mod endpoints;
mod entries;
pub mod environment;
pub mod evaluate;
mod exceptions;
mod expression;
mod facts;
pub(crate) mod glob;
mod groups;
mod limits;
pub mod load;
mod matching;
mod parse;
mod places;
pub mod presets;
mod reader;
pub mod repository;
pub mod resolved;
mod rules;
pub mod ruleset;
pub mod schema;
mod schema_cases;
mod scope;
mod shapes;
pub mod show;
mod sockets;
mod source;
mod spell;
mod tree;
pub mod unmatched;
pub mod unreached;
mod variables;
pub mod verify;
mod who;
pub mod workspace;

#[cfg(test)]
mod tests;
