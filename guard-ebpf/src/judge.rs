//! Judging an operation of a session: what the target is, the decision, the count and the
//! record.
//!
//! Callers have found the session and know that the target is not its own.

use guard_ebpf::automaton::{Row, Start, StartKey};
use guard_ebpf::decision::{Decision, Matched, asks_for, decide};
use guard_ebpf::operation::{MAX_OPERATIONS, Operation, Reason, Verdict};
use guard_ebpf::policy::{Policy, Selector, UserKey};
use guard_ebpf::record::{FLAG_DIRECTORY, Header, Kind};
use guard_ebpf::session::QUIET;

use crate::access::{Dentry, SuperBlock, Task};
use crate::identity::{add, counters};
use crate::maps::{GUARDS, POLICIES, ROWS, SESSIONS, STARTS, USERS};
use crate::report::{self, Actor};
use crate::walk;

/// `-EPERM`: what every refused operation returns.
pub const EPERM: i32 = -1;

/// `BPF_FS_MAGIC`: the file system that the engine is pinned in.
const BPF_FS_MAGIC: u64 = 0xcafe_4a11;

/// What is done, apart from the target.
#[derive(Clone, Copy)]
pub struct Act {
    /// The actor's session.
    pub session: u32,
    /// What is done.
    pub operation: Operation,
    /// The signal's number; 0 for other operations.
    pub signal: u32,
    /// `FLAG_…` of the record.
    pub flags: u8,
    /// Whether the caller asked not to be audited: a refusal is only counted.
    pub quiet: bool,
}

/// The policy of a session, with its slot.
#[inline(always)]
fn policy_of(session: u32) -> Option<(&'static Policy, u32)> {
    // SAFETY: sessions are replaced as a whole; a stale one is as good as the one before.
    let slot = unsafe { SESSIONS.get(session) }?.slot;
    Some((POLICIES.get(slot)?, slot))
}

/// The row of the automaton with this number.
#[inline(always)]
fn row(number: u16) -> &'static Row {
    ROWS.get(u32::from(number)).unwrap_or(&Row::EMPTY)
}

/// Where the policy's automaton starts on a file system.
#[inline(always)]
fn start(policy: &Policy, slot: u32, file_system: SuperBlock) -> Start {
    let key = StartKey {
        slot,
        device: file_system.device(),
    };
    // SAFETY: entries are made before the policy is published, and stay while it is.
    unsafe { STARTS.get(key) }
        .copied()
        .unwrap_or(policy.elsewhere)
}

/// Whether a process is one of the guard's own.
#[inline(always)]
fn is_guard(process: Task) -> bool {
    // SAFETY: a stale entry only ever protects too much.
    unsafe { GUARDS.get(process.pid()) }.is_some_and(|&start| start == process.start())
}

/// What a process satisfies, of what the policy asks for.
#[inline(always)]
fn match_process(policy: &'static Policy, slot: u32, operation: Operation, task: Task) -> Matched {
    let mut matched = Matched::default();
    if asks_for(policy, operation, Selector::Executable)
        && let Some(dentry) = task.executable()
        && let Ok(depth) = walk::depth(dentry)
    {
        let start = start(policy, slot, dentry.super_block()).executable;
        let end = row(walk::file(policy, start, dentry, depth));
        matched.set(Selector::Executable, end.matches);
    }
    if asks_for(policy, operation, Selector::Name) {
        let end = row(walk::name(policy, &task.leader().comm()));
        matched.set(Selector::Name, end.matches);
    }
    if asks_for(policy, operation, Selector::User) {
        let key = UserKey {
            slot,
            uid: task.euid(),
        };
        // SAFETY: as in `start`.
        if let Some(&clauses) = unsafe { USERS.get(key) } {
            matched.set(Selector::User, clauses);
        }
    }
    if asks_for(policy, operation, Selector::Cgroup)
        && let Some(node) = task.cgroup()
    {
        let end = row(walk::cgroup(policy, node));
        matched.set(Selector::Cgroup, end.matches);
    }
    matched
}

/// Judges an operation on a process that is not the session's own. Returns what the hook
/// returns.
#[inline(always)]
pub fn process(act: Act, actor: &Actor, target: Task) -> i32 {
    let (decision, policy) = match policy_of(act.session) {
        None => (Decision::deny(Reason::Error), 0),
        Some((policy, slot)) => {
            let matched = match_process(policy, slot, act.operation, target);
            let decision = decide(policy, act.operation, act.signal, &matched);
            let decision = match decision.verdict {
                // No policy and no mode can lift this; it is only asked where one tried.
                Verdict::Allow | Verdict::Audit if is_guard(target.leader()) => {
                    Decision::deny(Reason::GuardProcess)
                }
                _ => decision,
            };
            (decision, policy.id)
        }
    };
    if conclude(act, decision) {
        report::process(&header(Kind::Process, act, decision, policy), actor, target);
    }
    returned(decision)
}

/// Judges the removal of a file or directory. Returns what the hook returns.
#[inline(always)]
pub fn file(act: Act, target: Dentry) -> i32 {
    let directory = target.inode().is_some_and(|inode| inode.is_directory());
    let act = Act {
        flags: act.flags | if directory { FLAG_DIRECTORY } else { 0 },
        ..act
    };
    let (decision, policy) = match policy_of(act.session) {
        None => (Decision::deny(Reason::Error), 0),
        Some((policy, slot)) => (decide_file(policy, slot, act, directory, target), policy.id),
    };
    if conclude(act, decision) {
        report::file(&header(Kind::File, act, decision, policy), target);
    }
    returned(decision)
}

/// The decision on the removal of a file.
#[inline(always)]
fn decide_file(
    policy: &'static Policy,
    slot: u32,
    act: Act,
    directory: bool,
    target: Dentry,
) -> Decision {
    let file_system = target.super_block();
    if file_system.magic() == BPF_FS_MAGIC {
        return Decision::deny(Reason::GuardPin);
    }
    let mut matched = Matched::default();
    match walk::depth(target) {
        Err(reason) => return Decision::deny(reason),
        Ok(depth) => {
            if asks_for(policy, act.operation, Selector::Path) {
                let start = start(policy, slot, file_system).path;
                let end = row(walk::file(policy, start, target, depth));
                let ancestors = if directory {
                    end.ancestors
                } else {
                    Row::EMPTY.ancestors
                };
                matched.set(Selector::Path, end.matches.or(ancestors));
            }
        }
    }
    decide(policy, act.operation, act.signal, &matched)
}

/// Counts a decision. Returns whether it makes a record.
#[inline(always)]
fn conclude(act: Act, decision: Decision) -> bool {
    let Some(counters) = counters(act.session) else {
        return false;
    };
    let verdict = if act.quiet {
        QUIET
    } else {
        decision.verdict as usize
    };
    add(
        &mut counters.verdicts[act.operation as usize & (MAX_OPERATIONS - 1)][verdict & 3],
        1,
    );
    if matches!(decision.reason, Reason::Error | Reason::TooDeep) {
        add(&mut counters.errors, 1);
    }
    !act.quiet && !matches!(decision.verdict, Verdict::Allow)
}

/// What the hook returns.
#[inline(always)]
fn returned(decision: Decision) -> i32 {
    match decision.verdict {
        Verdict::Deny => EPERM,
        Verdict::Allow | Verdict::Audit => 0,
    }
}

/// The record's header.
#[inline(always)]
fn header(kind: Kind, act: Act, decision: Decision, policy: u32) -> Header {
    Header {
        kind: kind as u8,
        operation: act.operation as u8,
        verdict: decision.verdict as u8,
        reason: decision.reason as u8,
        rule: decision.rule,
        signal: act.signal as u8,
        flags: act.flags,
        reserved: 0,
        session: act.session,
        policy,
        time: report::now(),
    }
}
