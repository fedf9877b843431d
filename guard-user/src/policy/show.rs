//! What `guard policy show` says of policies: their rules in the order in which they are tried.

use std::fmt;

use super::ruleset::Ruleset;

/// A policy for people.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a>(pub &'a Ruleset);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ruleset { audit, rules, .. } = self.0;
        for (index, rule) in rules.iter().enumerate() {
            writeln!(f, "{:2}. {rule}", index + 1)?;
        }
        let rest = if *audit {
            "goes through and is recorded (`mode: audit`), as do the refusals above that are not \
             built in"
        } else {
            "the session's own, new files and other hosts are free, all else is refused"
        };
        writeln!(f, "\nwhat no rule is about: {rest}")?;
        if self.0.records_all {
            writeln!(
                f,
                "what is let through is recorded as well (`record: everything`)"
            )?;
        }
        Ok(())
    }
}
