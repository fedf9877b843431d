//! What all documents of a load say together: one ordered list of rules, every name looked
//! up. This is what is compiled, and what people are shown.

use std::fmt;

use guard_ebpf::operation::{Facility, Operation};
use guard_ebpf::policy::{Effect, Limit};

use super::at_most::{SESSION, SESSION_NAME};
use super::compiled::RuleInfo;
use super::document::{Item, PathGlob, Selection, Via};
use crate::session::limits::Limits;
use crate::system::signals;

/// A policy as its documents give it.
#[derive(Clone, Debug)]
pub struct Ruleset {
    /// Whether refusals are only recorded.
    pub audit: bool,
    /// Whether what is let through is recorded as well.
    pub records_all: bool,
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
    /// Which facilities of the machine; every one where it does not say.
    pub facilities: Option<Vec<Facility>>,
    /// To which processes; every one where it does not say.
    pub(crate) to: Option<Vec<Selection<Item>>>,
    /// On which files; every one where it does not say.
    pub(crate) on: Option<Vec<Selection<PathGlob>>>,
    /// Via which sockets; every one where it does not say.
    pub(crate) via: Option<Vec<Selection<Via>>>,
    /// By which programs; by every one where it does not say.
    pub(crate) by: Option<Vec<Selection<Item>>>,
    /// How often.
    pub at_most: Option<Limit>,
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
    pub fn processes(&self) -> Option<Vec<String>> {
        written(self.to.as_ref(), "every process", |item| &item.written)
    }

    /// The files that it is about, as the policy writes them. None means every file.
    #[must_use]
    pub fn files(&self) -> Option<Vec<String>> {
        written(self.on.as_ref(), "every file", |glob| &glob.written)
    }

    /// The sockets that it is about, as the policy writes them. None means every socket.
    #[must_use]
    pub fn sockets(&self) -> Option<Vec<String>> {
        written(self.via.as_ref(), "every socket", Via::written)
    }

    /// The programs by which it is done, as the policy writes them. None means every program.
    #[must_use]
    pub fn programs(&self) -> Option<Vec<String>> {
        written(self.by.as_ref(), "every program", |item| &item.written)
    }

    /// Which signals and facilities it is about, where it says so.
    pub(super) fn details(&self) -> Vec<String> {
        let signals = self.signals.iter().flatten();
        let facilities = self.facilities.iter().flatten();
        signals
            .map(|&number| signals::name(number))
            .chain(facilities.map(|facility| facility.name().to_owned()))
            .collect()
    }
}

impl fmt::Display for RulesetRule {
    /// The rule on a line, and below it, indented, what it is about and why.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operations: Vec<_> = self.operations.iter().map(|o| o.name()).collect();
        write!(f, "{} {}", self.verb(), operations.join(", "))?;
        let details = self.details();
        if !details.is_empty() {
            write!(f, " ({})", details.join(", "))?;
        }
        let name = &self.info.name;
        match &self.info.source {
            Some((file, line)) => write!(f, "  [{name}, {file}:{line}]")?,
            None => write!(f, "  [{name}, built in]")?,
        }
        let has = |fits: fn(Operation) -> bool| self.operations.iter().any(|o| fits(*o));
        if has(Operation::is_on_process) {
            let every = "to every process outside the session";
            lines(f, "to", self.processes(), every)?;
        }
        if self.on.is_some() || has(|o| o.is_on_file() && o != Operation::Machine) {
            let every = "on every file that is not the session's own";
            lines(f, "on", self.files(), every)?;
        }
        if has(|o| o == Operation::Connect) {
            let every = "via every socket that is not the session's own";
            lines(f, "via", self.sockets(), every)?;
        }
        if self.on.is_none() && self.facilities.is_none() && has(|o| o == Operation::Machine) {
            f.write_str("\n    with every facility of the machine")?;
        }
        if self.by.is_some() {
            lines(f, "by", self.programs(), "")?;
        }
        if let Some(Limit { count, seconds }) = self.at_most {
            write!(f, "\n    {}", at_most(count, seconds))?;
        }
        if let Some(because) = &self.info.because {
            write!(f, "\n    because {because}")?;
        }
        Ok(())
    }
}

/// A limit in words.
#[must_use]
pub fn at_most(count: u32, seconds: u32) -> String {
    let times = match count {
        1 => "once".to_owned(),
        count => format!("{count} times"),
    };
    match seconds {
        SESSION => format!("at most {times} in a session"),
        seconds => format!("at most {times} in {}", period(seconds)),
    }
}

/// A time as a policy says it.
#[must_use]
pub fn period(seconds: u32) -> String {
    match seconds {
        SESSION => SESSION_NAME.to_owned(),
        seconds if seconds % 86_400 == 0 => format!("{}d", seconds / 86_400),
        seconds if seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        seconds if seconds % 60 == 0 => format!("{}m", seconds / 60),
        seconds => format!("{seconds}s"),
    }
}

/// Selections as the policy writes them, each with what it excepts. `every` is what there is besides.
fn written<T>(
    selections: Option<&Vec<Selection<T>>>,
    every: &str,
    of: impl Fn(&T) -> &str,
) -> Option<Vec<String>> {
    let one = |selection: &Selection<T>| -> Vec<String> {
        let except: Vec<&str> = selection.except.iter().map(&of).collect();
        let except = if except.is_empty() {
            String::new()
        } else {
            format!(" except {}", except.join("; "))
        };
        match &selection.of {
            None => vec![format!("{every}{except}")],
            Some(all) => all
                .iter()
                .map(|one| format!("{}{except}", of(one)))
                .collect(),
        }
    };
    Some(selections?.iter().flat_map(one).collect())
}

/// What a rule is about, a line for each, or one for all of a kind.
fn lines(
    f: &mut fmt::Formatter<'_>,
    word: &str,
    some: Option<Vec<String>>,
    every: &str,
) -> fmt::Result {
    let Some(some) = some else {
        return write!(f, "\n    {every}");
    };
    for one in some {
        write!(f, "\n    {word} {one}")?;
    }
    Ok(())
}
