//! Limiting processes: `task_setrlimit` (`prlimit`), `task_setnice`, `task_setioprio`,
//! `task_setscheduler` (also affinity), `task_movememory` (`move_pages`, `migrate_pages`).
//! Each refuses what a session does to a process that is not its own. What it does to its own
//! is bounded by capabilities and by its cgroup.

use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use guard_ebpf::kernel::ProgramId;
use guard_ebpf::operation::Operation;

use crate::access::{Arguments, Task};
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
    limit(&context, ProgramId::task_setrlimit)
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
