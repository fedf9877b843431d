//! What all documents of a load say together: one ordered list of rules, every name looked
//! up. This is what is compiled, and what people are shown.

use std::fmt;

use guard_ebpf::operation::Operation;
use guard_ebpf::policy::Effect;

use super::compiled::RuleInfo;
use super::document::{Item, PathGlob};
use crate::session::limits::Limits;
use crate::system::signals;

/// A policy as its documents give it.
#[derive(Clone, Debug)]
pub struct Ruleset {
    /// Whether refusals are only recorded.
    pub audit: bool,
    /// What the session may take of the machine.
    pub limits: Limits,
    /// The rules in the order in which they are tried, the built-in ones first.
    pub rules: Vec<RulesetRule>,
}

/// A rule with what it is about.
#[derive(Clone, Debug)]
pub struct RulesetRule {
    /// Its name, reason and place.
    pub info: RuleInfo,
    /// What it says.
    pub effect: Effect,
    /// About which operations.
    pub operations: Vec<Operation>,
    /// Which signals; every one where it does not say.
    pub signals: Option<Vec<u32>>,
    /// To which processes; every one where it does not say.
    pub(crate) to: Option<Vec<Item>>,
    /// On which files; every one where it does not say.
    pub(crate) on: Option<Vec<PathGlob>>,
}

impl RulesetRule {
    /// What it lets through or refuses, as a verb.
    #[must_use]
    pub const fn verb(&self) -> &'static str {
        match self.effect {
            Effect::Allow => "allow",
            Effect::Deny | Effect::DenyAlways => "deny",
            Effect::Audit => "audit",
        }
    }

    /// The processes that it is about, as the policy writes them. None means every process.
    #[must_use]
    pub fn processes(&self) -> Option<Vec<&str>> {
        let items = self.to.as_ref()?;
        Some(items.iter().map(|item| item.written.as_str()).collect())
    }

    /// The files that it is about, as the policy writes them. None means every file.
    #[must_use]
    pub fn files(&self) -> Option<Vec<&str>> {
        let globs = self.on.as_ref()?;
        Some(globs.iter().map(|glob| glob.written.as_str()).collect())
    }
}

impl fmt::Display for RulesetRule {
    /// The rule on a line, and below it, indented, what it is about and why.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operations: Vec<_> = self.operations.iter().map(|o| o.name()).collect();
        write!(f, "{} {}", self.verb(), operations.join(", "))?;
        if let Some(numbers) = &self.signals {
            let names: Vec<_> = numbers
                .iter()
                .map(|&number| signals::name(number))
                .collect();
            write!(f, " ({})", names.join(", "))?;
        }
        let name = &self.info.name;
        match &self.info.source {
            Some((file, line)) => write!(f, "  [{name}, {file}:{line}]")?,
            None => write!(f, "  [{name}, built in]")?,
        }
        if self.operations.iter().any(|o| o.is_on_process()) {
            match self.processes() {
                Some(processes) => {
                    for process in processes {
                        write!(f, "\n    to {process}")?;
                    }
                }
                None => f.write_str("\n    to every process outside the session")?,
            }
        }
        if self.operations.iter().any(|o| !o.is_on_process()) {
            match self.files() {
                Some(files) => {
                    for file in files {
                        write!(f, "\n    on {file}")?;
                    }
                }
                None => f.write_str("\n    on every file that is not the session's own")?,
            }
        }
        if let Some(because) = &self.info.because {
            write!(f, "\n    because {because}")?;
        }
        Ok(())
    }
}
