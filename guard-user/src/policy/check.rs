//! What `guard check` says of a policy: its rules in the order in which they are tried.

use std::fmt;

use super::diagnostics::Diagnostics;
use super::environment::{Environment, Host};
use super::load::{Loaded, Loader, Source};

/// A policy that has no mistakes, for people.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The policy.
    pub loaded: Loaded,
}

/// Checks policies as if a session were to be started with them, in this order.
pub fn check(
    sources: &[Source],
    environment: &Environment,
    host: &dyn Host,
) -> Result<Summary, Diagnostics> {
    let loaded = Loader::new(environment, host).load(sources)?;
    Ok(Summary { loaded })
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ruleset = &self.loaded.ruleset;
        let built_in = ruleset
            .rules
            .iter()
            .filter(|rule| rule.info.source.is_none())
            .count();
        let own = ruleset.rules.len() - built_in;
        let plural = if own == 1 { "" } else { "s" };
        writeln!(
            f,
            "no mistakes: {own} rule{plural}, and {built_in} that are built in\n"
        )?;
        for (index, rule) in ruleset.rules.iter().enumerate() {
            writeln!(f, "{:2}. {rule}", index + 1)?;
        }
        writeln!(
            f,
            "\nwhat no rule is about: {}",
            if ruleset.audit {
                "goes through and is recorded (`mode: audit`), as do the refusals above that are not \
             built in"
            } else {
                "the session's own, new files and other hosts are free, all else is refused"
            }
        )?;
        for note in &self.loaded.notes {
            writeln!(f, "note: {note}")?;
        }
        Ok(())
    }
}
