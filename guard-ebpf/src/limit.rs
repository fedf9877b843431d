//! Limiting processes: `task_setrlimit` (`prlimit`), `task_setnice`, `task_setioprio`,
//! `task_setscheduler` (also affinity), `task_movememory` (`move_pages`, `migrate_pages`).
//! Each refuses what a session does to a process that is not its own. What it does to its own
//! is bounded by capabilities and by its cgroup; only the limits of priorities cannot be raised,
//! since that would go around the capability.

use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use guard_ebpf::kernel::ProgramId;
use guard_ebpf::operation::{Facility, Operation};
use guard_ebpf::record::NO_NUMBER;

use crate::access::{Arguments, Task, untyped};
use crate::identity::session_of;
use crate::judge::{self, Act};
use crate::report::Actor;

/// Judges a limit.
#[inline(always)]
fn limit(context: &LsmContext, program: ProgramId) -> i32 {
    match session_of(Task::current()) {
        0 => 0,
        session => judge_limit(Arguments::of(context, program), session),
    }
}

/// Judges a session's limit. (Why it is a function of its own: see `signal::kill`.)
#[inline(never)]
fn judge_limit(arguments: Arguments, session: u32) -> i32 {
    let target = Task::from_argument(arguments.get(0));
    if session_of(target) == session {
        return 0;
    }
    judge::process(Act::new(session, Operation::Limit), &Actor::Current, target)
}

/// Judges resource limits.
#[lsm(hook = "task_setrlimit")]
pub fn task_setrlimit(context: LsmContext) -> i32 {
    let session = session_of(Task::current());
    if session == 0 {
        return 0;
    }
    let arguments = Arguments::of(&context, ProgramId::task_setrlimit);
    match judge_limit(arguments, session) {
        0 => judge_preference(arguments, session),
        verdict => verdict,
    }
}

/// Judges raising the limits up to which a process may put itself above others: beyond them the
/// kernel asks for a capability, and within them for nothing.
#[inline(never)]
fn judge_preference(arguments: Arguments, session: u32) -> i32 {
    /// `RLIMIT_NICE`, `RLIMIT_RTPRIO`.
    const PREFERENCES: core::ops::RangeInclusive<u32> = 13..=14;
    let resource = arguments.get(1) as u32;
    if !PREFERENCES.contains(&resource) {
        return 0;
    }
    // `struct rlimit`: the soft limit, the hard limit.
    let wanted = untyped(arguments.get(2).wrapping_add(8) as *const u8);
    if wanted <= Task::from_argument(arguments.get(0)).hard_limit(resource) {
        return 0;
    }
    judge::machine(
        Act::on_machine(session, Facility::Priority),
        NO_NUMBER,
        resource,
    )
}

/// Judges priorities.
#[lsm(hook = "task_setnice")]
pub fn task_setnice(context: LsmContext) -> i32 {
    limit(&context, ProgramId::task_setnice)
}

/// Judges I/O priorities.
#[lsm(hook = "task_setioprio")]
pub fn task_setioprio(context: LsmContext) -> i32 {
    limit(&context, ProgramId::task_setioprio)
}

/// Judges scheduling and processors.
#[lsm(hook = "task_setscheduler")]
pub fn task_setscheduler(context: LsmContext) -> i32 {
    limit(&context, ProgramId::task_setscheduler)
}

/// Judges the moving of memory between nodes.
#[lsm(hook = "task_movememory")]
pub fn task_movememory(context: LsmContext) -> i32 {
    limit(&context, ProgramId::task_movememory)
}
