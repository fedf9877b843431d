//! Judging an operation of a session: what the target is, the decision, the count and the
//! record.
//!
//! Callers have found the session and know that a process is not its own. Whether a file is
//! its own is asked here, and only of one that would be refused.

use guard_ebpf::automaton::{Row, Start, StartKey};
use guard_ebpf::bits::Bits;
use guard_ebpf::decision::{Candidates, Decision, exceeded};
use guard_ebpf::grant::Target;
use guard_ebpf::operation::{Facility, MAX_OPERATIONS, Operation, Reason, Verdict};
use guard_ebpf::policy::{MODE_RECORD, Policy, Selector, UserKey};
use guard_ebpf::record::Kind;
use guard_ebpf::session::{QUIET, Session, place};

use crate::access::{SuperBlock, Task};
use crate::actor::{self, executable};
use crate::budget;
use crate::grants;
use crate::identity::{add, counters};
use crate::maps::{GUARDS, POLICIES, ROWS, SESSIONS, STARTS, USERS};
use crate::outcome::{Outcome, RECORDED, pack};
use crate::report::{self, Actor};
use crate::target;
use crate::walk;

/// `-EPERM`: what every refused operation returns.
pub const EPERM: i32 = -1;

/// A clock tick as `/proc/PID/stat` counts it (`USER_HZ` is 100), in nanoseconds.
pub const TICK: u64 = 10_000_000;

/// What is done, apart from the target.
#[derive(Clone, Copy)]
pub struct Act {
    /// The actor's session.
    pub session: u32,
    /// The number of the [`Operation`].
    pub operation: u32,
    /// The signal's number, or [`Facility::detail`]; 0 for other operations.
    pub detail: u32,
    /// `FLAG_…` of the record.
    pub flags: u8,
    /// Whether the caller asked not to be audited: a refusal is only counted.
    pub quiet: bool,
    /// Whether what is made brings what lies below it: a directory that is moved, a symbolic link.
    /// Making it is then refused on the way to places where nothing may be made, as well.
    pub brings: bool,
}

impl Act {
    /// An operation that has no detail.
    #[inline(always)]
    pub fn new(session: u32, operation: Operation) -> Self {
        Self {
            session,
            operation: operation as u32,
            detail: 0,
            flags: 0,
            quiet: false,
            brings: false,
        }
    }

    /// The use of a facility of the machine's.
    #[inline(always)]
    pub fn on_machine(session: u32, facility: Facility) -> Self {
        Self {
            detail: facility.detail(),
            ..Self::new(session, Operation::Machine)
        }
    }
}

/// The policy that an act is judged under, from beginning to end: an edit may put another in force
/// meanwhile. This one stays where it is until no program looks at it any more.
#[derive(Clone, Copy)]
pub struct Under {
    /// Where it is.
    pub slot: u32,
    /// Its number, for records.
    pub id: u32,
}

impl Under {
    /// None: what is refused for that is not lifted by anything.
    pub const NONE: Self = Self {
        slot: u32::MAX,
        id: 0,
    };

    /// The policy in a slot.
    #[inline(always)]
    pub fn of(policy: &Policy, slot: u32) -> Self {
        Self {
            slot,
            id: policy.id,
        }
    }
}

/// The policy of a session, with its slot. Asked once for each act ([`Under`]).
#[inline(always)]
pub fn policy_of(session: u32) -> Option<(&'static Policy, u32)> {
    let Session { id, slot, .. } = *SESSIONS.get(place(session))?;
    if id == session {
        Some((POLICIES.get(slot)?, slot))
    } else {
        None
    }
}

/// The row of the automaton with this number.
#[inline(always)]
pub fn row(number: u32) -> &'static Row {
    ROWS.get(number).unwrap_or(&Row::EMPTY)
}

/// Where the policy's automaton starts on a file system.
#[inline(always)]
pub fn start(policy: &Policy, slot: u32, file_system: SuperBlock) -> Start {
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
pub fn is_guard(process: Task) -> bool {
    // SAFETY: a stale entry only ever protects too much.
    unsafe { GUARDS.get(process.pid()) }.is_some_and(|&ticks| ticks == process.start() / TICK)
}

/// The decision on an operation on a process.
#[inline(always)]
fn decide_process(policy: &'static Policy, slot: u32, act: Act, by: &Actor, task: Task) -> Outcome {
    let mut candidates = Candidates::about(policy, act.operation, act.detail);
    if candidates.ask_for(policy, Selector::Executable) {
        let end = executable(policy, slot, task, Selector::Executable, |start| {
            start.executable
        });
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
        let clauses = unsafe { USERS.get(key) }
            .copied()
            .unwrap_or(policy.other_users);
        candidates.narrow(policy, Selector::User, clauses);
    }
    if candidates.ask_for(policy, Selector::Cgroup) {
        let mut end = u32::from(policy.unknown[Selector::Cgroup as usize]);
        if let Some(node) = task.cgroup()
            && let Some(depth) = walk::cgroup_depth(node)
        {
            end = walk::cgroup(slot, policy.cgroup_start, node, depth);
        }
        candidates.narrow(policy, Selector::Cgroup, row(end).matches);
    }
    if target::is_asked(candidates, policy) {
        target::narrow(&mut candidates, policy, slot, task);
    }
    match by {
        Actor::Current => {
            actor::narrow(&mut candidates, policy, slot);
        }
        // The task that runs has nothing to do with it, and who has may be gone.
        Actor::Owner(_) => {
            let unknown = u32::from(policy.unknown[Selector::Actor as usize]);
            candidates.narrow(policy, Selector::Actor, row(unknown).matches);
        }
    }
    let outcome = conclude_candidates(slot, candidates, false);
    // No policy and no mode can lift this; it is only asked where one tried.
    if outcome.verdict() != Verdict::Deny as u8 && is_guard(task.leader()) {
        Outcome::deny(Reason::GuardProcess)
    } else {
        outcome
    }
}

/// The decision of the policy in a slot on the candidates that are left, packed. A global
/// function: the verifier looks at it once.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn decide(slot: u32, low: u64, high: u64, free: u32) -> u32 {
    match POLICIES.get(slot) {
        Some(policy) => {
            let decision = Candidates::from_bits(Bits([low, high])).decide(policy, free != 0);
            let recorded = policy.mode & MODE_RECORD != 0;
            pack(decision) | if recorded { RECORDED } else { 0 }
        }
        None => pack(Decision::deny(Reason::Error)),
    }
}

/// The outcome for the candidates that are left. What is `free` is let through where no rule
/// says otherwise.
#[inline(always)]
pub fn conclude_candidates(slot: u32, candidates: Candidates, free: bool) -> Outcome {
    let Bits([low, high]) = candidates.bits();
    Outcome::from_bits(decide(slot, low, high, u32::from(free)))
}

/// Judges an operation on a process that is not the session's own. Returns what the hook
/// returns.
#[inline(always)]
pub fn process(act: Act, actor: &Actor, target: Task) -> i32 {
    let (outcome, under) = match policy_of(act.session) {
        None => (Outcome::deny(Reason::Error), Under::NONE),
        Some((policy, slot)) => {
            let under = Under::of(policy, slot);
            (decide_process(policy, slot, act, actor, target), under)
        }
    };
    let outcome = spend(act, under, outcome);
    let outcome = grants::lift(act, under, outcome, || grants::process(target));
    if conclude(act, outcome) {
        let header = outcome.header(Kind::Process, act, under.id);
        report::process(&header, actor, target);
    }
    outcome.returned()
}

/// Judges the use of a facility that no file stands for. Returns what the hook returns.
/// `capability` and `number` are for the record.
#[inline(always)]
pub fn machine(act: Act, capability: u32, number: u32) -> i32 {
    let (outcome, under) = match policy_of(act.session) {
        None => (Outcome::deny(Reason::Error), Under::NONE),
        Some((policy, slot)) => {
            let under = Under::of(policy, slot);
            let mut candidates = Candidates::about(policy, act.operation, act.detail);
            // What no file stands for matches no path.
            candidates.narrow(policy, Selector::Path, Bits::NONE);
            actor::narrow(&mut candidates, policy, slot);
            (conclude_candidates(slot, candidates, false), under)
        }
    };
    let outcome = grants::lift(act, under, spend(act, under, outcome), Target::facility);
    if conclude(act, outcome) {
        let header = outcome.header(Kind::Machine, act, under.id);
        report::machine(&header, capability, number);
    }
    outcome.returned()
}

/// What becomes of an outcome when the limit of its rule counts.
#[inline(always)]
pub fn spend(act: Act, under: Under, outcome: Outcome) -> Outcome {
    if outcome.is_limited() {
        let spent = spend_one(act.session, under.slot, u32::from(outcome.rule()));
        outcome.spent(spent)
    } else {
        outcome
    }
}

/// Spends one of what a rule of the policy in a slot lets through: the packed decision. A global
/// function: the verifier looks at it once.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn spend_one(session: u32, slot: u32, rule: u32) -> u32 {
    let rule = rule as u8;
    match POLICIES.get(slot) {
        None => pack(Decision::deny(Reason::Error)),
        Some(policy) if budget::spend(session, policy, rule) => pack(Decision {
            verdict: Verdict::Allow,
            rule,
            ..Decision::deny(Reason::Rule)
        }),
        Some(policy) => pack(exceeded(policy, rule)),
    }
}

/// Counts a decision. Returns whether it makes a record.
#[inline(always)]
pub fn conclude(act: Act, outcome: Outcome) -> bool {
    if outcome.reason() == Reason::Own as u8 {
        return false;
    }
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
    let is_told = outcome.verdict() != Verdict::Allow as u8 || outcome.is_granted();
    !act.quiet && (is_told || outcome.is_recorded_only())
}
