//! Judging an operation of a session: what the target is, the decision, the count and the
//! record.
//!
//! Callers have found the session and know that the target is not its own.

use guard_ebpf::automaton::{DEAD, Row, Start, StartKey};
use guard_ebpf::bits::Bits;
use guard_ebpf::decision::{Candidates, Decision};
use guard_ebpf::operation::{MAX_OPERATIONS, Operation, Reason, Verdict};
use guard_ebpf::policy::{Policy, Selector, UserKey};
use guard_ebpf::record::{FLAG_DIRECTORY, Header, Kind};
use guard_ebpf::session::{QUIET, Session, place};

use crate::access::{Dentry, SuperBlock, Task, forget};
use crate::identity::{add, counters};
use crate::maps::{GUARDS, POLICIES, ROWS, SESSIONS, STARTS, USERS};
use crate::report::{self, Actor};
use crate::walk;

/// `-EPERM`: what every refused operation returns.
pub const EPERM: i32 = -1;

/// `BPF_FS_MAGIC`: the file system that the engine is pinned in.
const BPF_FS_MAGIC: u64 = 0xcafe_4a11;

/// A clock tick as `/proc/PID/stat` counts it (`USER_HZ` is 100), in nanoseconds.
const TICK: u64 = 10_000_000;

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
    let Session { id, slot } = *SESSIONS.get(place(session))?;
    if id == session {
        Some((POLICIES.get(slot)?, slot))
    } else {
        None
    }
}

/// The row of the automaton with this number.
#[inline(always)]
fn row(number: u32) -> &'static Row {
    ROWS.get(number).unwrap_or(&Row::EMPTY)
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
    unsafe { GUARDS.get(process.pid()) }.is_some_and(|&ticks| ticks == process.start() / TICK)
}

/// The decision on an operation on a process.
#[inline(always)]
fn decide_process(policy: &'static Policy, slot: u32, act: Act, task: Task) -> Outcome {
    let mut candidates = Candidates::about(policy, act.operation, act.detail);
    if candidates.ask_for(policy, Selector::Executable) {
        let mut end = u32::from(DEAD);
        if let Some(dentry) = task.executable()
            && let Ok(depth) = walk::depth(dentry)
        {
            let start = start(policy, slot, dentry.super_block()).executable;
            end = walk::file(slot, start, dentry, depth);
        }
        candidates.narrow(policy, Selector::Executable, row(end).matches);
    }
    if candidates.ask_for(policy, Selector::Name) {
        let end = walk::name(slot, task.leader().comm_words());
        candidates.narrow(policy, Selector::Name, row(end).matches);
    }
    if candidates.ask_for(policy, Selector::User) {
        let key = UserKey {
            slot,
            uid: task.euid(),
        };
        // SAFETY: as in `start`.
        let clauses = unsafe { USERS.get(key) }.copied().unwrap_or(Bits::NONE);
        candidates.narrow(policy, Selector::User, clauses);
    }
    if candidates.ask_for(policy, Selector::Cgroup) {
        let mut end = u32::from(DEAD);
        if let Some(node) = task.cgroup() {
            end = walk::cgroup(slot, policy.cgroup_start, node);
        }
        candidates.narrow(policy, Selector::Cgroup, row(end).matches);
    }
    let outcome = conclude_candidates(slot, candidates);
    // No policy and no mode can lift this; it is only asked where one tried.
    if outcome.verdict() != Verdict::Deny as u8 && is_guard(task.leader()) {
        Outcome::of(Decision::deny(Reason::GuardProcess))
    } else {
        outcome
    }
}

/// Packs a decision into a number.
#[inline(always)]
fn pack(decision: Decision) -> u32 {
    decision.verdict as u32 | (decision.reason as u32) << 8 | u32::from(decision.rule) << 16
}

/// The decision of the policy in a slot on the candidates that are left, packed. A global
/// function: the verifier looks at it once.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn decide(slot: u32, low: u64, high: u64) -> u32 {
    match POLICIES.get(slot) {
        Some(policy) => pack(Candidates::from_bits(Bits([low, high])).decide(policy)),
        None => pack(Decision::deny(Reason::Error)),
    }
}

/// The outcome for the candidates that are left.
#[inline(always)]
fn conclude_candidates(slot: u32, candidates: Candidates) -> Outcome {
    let Bits([low, high]) = candidates.bits();
    Outcome(decide(slot, low, high))
}

/// Judges an operation on a process that is not the session's own. Returns what the hook
/// returns.
#[inline(always)]
pub fn process(act: Act, actor: &Actor, target: Task) -> i32 {
    let (outcome, policy) = match policy_of(act.session) {
        None => (Outcome::of(Decision::deny(Reason::Error)), 0),
        Some((policy, slot)) => (decide_process(policy, slot, act, target), policy.id),
    };
    if conclude(act, outcome) {
        report::process(&outcome.header(Kind::Process, act, policy), actor, target);
    }
    outcome.returned()
}

/// Judges the removal of a file or directory. Returns what the hook returns.
#[inline(always)]
pub fn file(act: Act, target: Dentry) -> i32 {
    let directory = target.inode().is_some_and(|inode| inode.is_directory());
    let act = Act {
        flags: act.flags | if directory { FLAG_DIRECTORY } else { 0 },
        ..act
    };
    let (outcome, policy) = match policy_of(act.session) {
        None => (Outcome::of(Decision::deny(Reason::Error)), 0),
        Some((policy, slot)) => (decide_file(policy, slot, act, directory, target), policy.id),
    };
    if conclude(act, outcome) {
        report::file(&outcome.header(Kind::File, act, policy), target);
    }
    outcome.returned()
}

/// The decision on the removal of a file.
#[inline(always)]
fn decide_file(
    policy: &'static Policy,
    slot: u32,
    act: Act,
    directory: bool,
    target: Dentry,
) -> Outcome {
    let file_system = target.super_block();
    if file_system.magic() == BPF_FS_MAGIC {
        return Outcome::of(Decision::deny(Reason::GuardPin));
    }
    let depth = match walk::depth(target) {
        Err(reason) => return Outcome::of(Decision::deny(reason)),
        Ok(depth) => depth,
    };
    let mut candidates = Candidates::about(policy, act.operation, act.detail);
    if candidates.ask_for(policy, Selector::Path) {
        let start = start(policy, slot, file_system).path;
        let end = row(walk::file(slot, start, target, depth));
        let ancestors = if directory { end.ancestors } else { Bits::NONE };
        candidates.narrow(policy, Selector::Path, end.matches.or(ancestors));
    }
    conclude_candidates(slot, candidates)
}

/// A packed decision, of which the verifier knows nothing (see [`forget`]).
#[derive(Clone, Copy)]
struct Outcome(u32);

impl Outcome {
    #[inline(always)]
    fn of(decision: Decision) -> Self {
        Self(forget(pack(decision)))
    }

    #[inline(always)]
    fn verdict(self) -> u8 {
        self.0 as u8
    }

    #[inline(always)]
    fn reason(self) -> u8 {
        (self.0 >> 8) as u8
    }

    /// What the hook returns.
    #[inline(always)]
    fn returned(self) -> i32 {
        if self.verdict() == Verdict::Deny as u8 {
            EPERM
        } else {
            0
        }
    }

    /// The record's header.
    #[inline(always)]
    fn header(self, kind: Kind, act: Act, policy: u32) -> Header {
        Header {
            kind: kind as u8,
            operation: act.operation as u8,
            verdict: self.verdict(),
            reason: self.reason(),
            rule: (self.0 >> 16) as u8,
            detail: (act.detail & 63) as u8,
            flags: act.flags,
            reserved: 0,
            session: act.session,
            policy,
            time: report::now(),
        }
    }
}

/// Counts a decision. Returns whether it makes a record.
#[inline(always)]
fn conclude(act: Act, outcome: Outcome) -> bool {
    let Some(counters) = counters(act.session) else {
        return false;
    };
    let verdict = if act.quiet {
        QUIET
    } else {
        outcome.verdict() as usize & 3
    };
    add(
        &mut counters.verdicts[act.operation as usize & (MAX_OPERATIONS - 1)][verdict],
        1,
    );
    if outcome.reason() == Reason::Error as u8 || outcome.reason() == Reason::TooDeep as u8 {
        add(&mut counters.errors, 1);
    }
    !act.quiet && outcome.verdict() != Verdict::Allow as u8
}
