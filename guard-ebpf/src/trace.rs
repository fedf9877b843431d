//! Tracing and looking into other processes.
//!
//! - `ptrace_access_check`: `PTRACE_ATTACH` and `PTRACE_SEIZE`, `process_vm_readv` and
//!   `process_vm_writev`, `/proc/PID/mem`, `pidfd_getfd` (attach), and `/proc/PID/environ`,
//!   `maps`, `fd`, `root`, `cwd`, `exe`, `ns`, `kcmp`, `process_madvise` (read). Refuses
//!   both to sessions for what is not their own: a descriptor or a root directory that is
//!   read is as good as a process that is attached to.
//! - `ptrace_traceme`: refuses that a session makes a process outside it its tracer.

use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use guard_ebpf::kernel::ProgramId;
use guard_ebpf::operation::Operation;

use crate::access::{Arguments, Task};
use crate::identity::session_of;
use crate::judge::{self, Act};
use crate::report::Actor;

/// `PTRACE_MODE_ATTACH`.
const MODE_ATTACH: u32 = 2;
/// `PTRACE_MODE_NOAUDIT`.
const MODE_NOAUDIT: u32 = 4;

/// Judges debuggers and readers.
#[lsm(hook = "ptrace_access_check")]
pub fn ptrace_access_check(context: LsmContext) -> i32 {
    let arguments = Arguments::of(&context, ProgramId::ptrace_access_check);
    let session = session_of(Task::current());
    if session == 0 {
        return 0;
    }
    let mode = arguments.get(1) as u32;
    let operation = if mode & MODE_ATTACH != 0 {
        Operation::Trace
    } else {
        Operation::Inspect
    };
    let quiet = mode & MODE_NOAUDIT != 0;
    trace(
        session,
        operation,
        quiet,
        Task::from_argument(arguments.get(0)),
    )
}

/// Judges who is made a tracer.
#[lsm(hook = "ptrace_traceme")]
pub fn ptrace_traceme(context: LsmContext) -> i32 {
    let arguments = Arguments::of(&context, ProgramId::ptrace_traceme);
    let session = session_of(Task::current());
    if session == 0 {
        return 0;
    }
    trace(
        session,
        Operation::Trace,
        false,
        Task::from_argument(arguments.get(0)),
    )
}

/// Judges an operation on another process.
#[inline(always)]
fn trace(session: u32, operation: Operation, quiet: bool, target: Task) -> i32 {
    if session_of(target) == session {
        return 0;
    }
    let act = Act {
        quiet,
        ..Act::new(session, operation)
    };
    judge::process(act, &Actor::Current, target)
}
