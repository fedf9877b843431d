//! What a session may do to each process that runs.

use anyhow::Result;
use guard_ebpf::abi::MAX_SIGNAL;
use guard_ebpf::operation::{Operation, Verdict};
use serde::{Deserialize, Serialize};

use super::grantable::{self, Subject};
use super::{Knowledge, facts, further, on_process, within_limits};
use crate::events::names;
use crate::policy::compiled::{Compiled, RuleInfo};
use crate::system::mounts::Mounts;
use crate::system::processes;
use crate::system::signals;

/// A process, and what a session may do to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exposure {
    /// Its pid.
    pub pid: u32,
    /// Its effective user.
    pub uid: u32,
    /// Its command name; bytes that are no UTF-8 are replaced.
    pub comm: String,
    /// The path of its executable; none for those of the kernel's.
    pub exe: Option<String>,
    /// Whose it is.
    pub owner: Owner,
    /// The signals that it may be sent, beside signal 0.
    pub signals: Signals,
    /// What else may be done to it.
    #[serde(with = "names::list")]
    pub operations: Vec<Operation>,
    /// The rules that are about it, whichever of them decides.
    pub rules: Vec<String>,
    /// The groups that these rules name.
    pub groups: Vec<String>,
}

/// Whose a process is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Owner {
    /// The session's own.
    Own,
    /// Another session's, which is called so.
    Session(String),
    /// One of guard's.
    Guard,
    /// No session's.
    Nobody,
}

/// Some signals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Signals {
    /// Every one.
    All,
    /// Those of these names.
    Some(Vec<String>),
}

impl Exposure {
    /// Whether something may be done to it although it is not the session's own.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        let is_nothing = matches!(&self.signals, Signals::Some(names) if names.is_empty())
            && self.operations.is_empty();
        self.owner != Owner::Own && !is_nothing
    }
}

/// Every process that runs, the kernel's own left out, in the order of their pids. What rules let
/// only certain programs do (`by`) is not counted.
pub fn exposures(
    policy: &Compiled,
    rules: &[RuleInfo],
    session: u32,
    known: &dyn Knowledge,
) -> Result<Vec<Exposure>> {
    let mounts = Mounts::read()?;
    let granted = known.granted(session);
    let by = policy.by(None);
    let pids = processes::pids();
    let labels = known.sessions_of(&pids)?;
    let mut all = Vec::new();
    for (pid, label) in pids.into_iter().zip(labels) {
        // One that has ended meanwhile is none.
        let Ok(process) = facts::process(&mounts, pid) else {
            continue;
        };
        if process.executable.is_none() && facts::is_kernels(pid) {
            continue;
        }
        let facts = further::with(process.facts, pid, policy, &mounts, known, label);
        let is_own = label == Some(session);
        let is_guard = known.is_guard(pid);
        let subject = Subject::Process(pid, process.start);
        let may = |operation, signal| {
            let decision = on_process(by, (operation, signal), &facts, (is_own, is_guard));
            let decision = within_limits(decision, policy, session, known);
            let is_granted = || {
                let done = (operation, signal, None);
                let key = grantable::key(session, done, decision, rules, &subject);
                grantable::can_be_lifted(decision) && key.is_ok_and(|key| granted.contains(&key))
            };
            decision.verdict != Verdict::Deny || (!granted.is_empty() && is_granted())
        };
        let numbers: Vec<u32> = (1..=MAX_SIGNAL)
            .filter(|&signal| may(Operation::Signal, signal))
            .collect();
        let others = Operation::EVERY.into_iter();
        let others = others.filter(|one| one.is_on_process() && *one != Operation::Signal);
        let about: Vec<&RuleInfo> = policy
            .about_process(&facts)
            .filter_map(|rule| rules.get(usize::from(rule)))
            .collect();
        all.push(Exposure {
            pid,
            uid: facts.uid,
            comm: String::from_utf8_lossy(&facts.name).into_owned(),
            exe: process
                .executable
                .as_ref()
                .map(|path| path.to_string_lossy().into_owned()),
            owner: match label {
                _ if is_own => Owner::Own,
                _ if is_guard => Owner::Guard,
                Some(other) => Owner::Session(known.name(other)),
                None => Owner::Nobody,
            },
            signals: if numbers.len() == MAX_SIGNAL as usize {
                Signals::All
            } else {
                Signals::Some(numbers.into_iter().map(signals::name).collect())
            },
            operations: others.filter(|&one| may(one, 0)).collect(),
            rules: once(about.iter().map(|info| &info.name)),
            groups: once(about.iter().flat_map(|info| &info.groups)),
        });
    }
    Ok(all)
}

/// Each name once, in their order.
fn once<'a>(names: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for name in names {
        if !all.contains(name) {
            all.push(name.clone());
        }
    }
    all
}
