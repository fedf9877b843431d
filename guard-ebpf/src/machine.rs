//! What the whole machine shares and no file stands for.
//!
//! - `capable`: refuses capabilities over the machine that stand for a facility. Capabilities in
//!   a user namespace of its own are the session's. It is the only hook that reboot,
//!   `delete_module`, swapping off, `mount_setattr` and much else come by.
//! - `bpf`, `perf_event_open`, `settime`, `syslog`: refuse what they are called for; of the
//!   kernel's log, only what clears or silences it.
//! - `task_to_inode`: remembers whose process a file in `/proc/PID` shows. It cannot refuse; a
//!   mark that could not be made means that the process is not the session's own.

use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use guard_ebpf::kernel::ProgramId;
use guard_ebpf::operation::Facility;
use guard_ebpf::record::NO_NUMBER;
use guard_ebpf::session::{GUARD, Mark};

use crate::access::{Arguments, Inode, Task, UserNamespace};
use crate::identity::session_of;
use crate::judge::{self, Act};
use crate::maps::INODES;

/// `CAP_OPT_NOAUDIT`.
const NOAUDIT: u32 = 2;

/// The facility that a capability stands for, by its number (`linux/capability.h`).
#[inline(always)]
fn facility(capability: u32) -> Option<Facility> {
    Some(match capability {
        // CAP_NET_RAW (13): packets by hand pass for a service's, and end its connections.
        12 | 13 => Facility::Network,
        16 => Facility::Modules,
        17 => Facility::Hardware,
        20 | 32 | 33 | 40 => Facility::Security,
        21 => Facility::Administration,
        22 => Facility::Reboot,
        23 => Facility::Priority,
        25 => Facility::Time,
        26 => Facility::Terminals,
        30 | 34 => Facility::Audit,
        38 => Facility::Perf,
        39 => Facility::Bpf,
        _ => return None,
    })
}

/// Judges capabilities.
#[lsm(hook = "capable")]
pub fn capable(context: LsmContext) -> i32 {
    match session_of(Task::current()) {
        0 => 0,
        session => judge_capability(Arguments::of(&context, ProgramId::capable), session),
    }
}

/// Judges a session's capability. (Why it is a function of its own: see `signal::kill`.)
#[inline(never)]
fn judge_capability(arguments: Arguments, session: u32) -> i32 {
    let capability = arguments.get(1) as u32;
    let Some(facility) = facility(capability) else {
        return 0;
    };
    if !UserNamespace::from_argument(arguments.get(0)).is_first() {
        return 0;
    }
    let act = Act {
        quiet: arguments.get(2) as u32 & NOAUDIT != 0,
        ..Act::on_machine(session, facility)
    };
    judge::machine(act, capability, NO_NUMBER)
}

/// Judges the use of a facility with a number for the record.
#[inline(never)]
fn judge_use(session: u32, facility: Facility, number: u32) -> i32 {
    judge::machine(Act::on_machine(session, facility), NO_NUMBER, number)
}

/// Keeps sessions from BPF.
#[lsm(hook = "bpf")]
pub fn bpf(context: LsmContext) -> i32 {
    match session_of(Task::current()) {
        0 => 0,
        session => {
            let command = Arguments::of(&context, ProgramId::bpf).get(0);
            judge_use(session, Facility::Bpf, command as u32)
        }
    }
}

/// Keeps sessions from performance events.
#[lsm(hook = "perf_event_open")]
pub fn perf_event_open(_: LsmContext) -> i32 {
    match session_of(Task::current()) {
        0 => 0,
        session => judge_use(session, Facility::Perf, NO_NUMBER),
    }
}

/// Keeps sessions from setting the time.
#[lsm(hook = "settime")]
pub fn settime(_: LsmContext) -> i32 {
    match session_of(Task::current()) {
        0 => 0,
        session => judge_use(session, Facility::Time, NO_NUMBER),
    }
}

/// Keeps sessions from clearing the kernel's log.
#[lsm(hook = "syslog")]
pub fn syslog(context: LsmContext) -> i32 {
    /// `SYSLOG_ACTION_READ_CLEAR` to `SYSLOG_ACTION_CONSOLE_LEVEL`.
    const CHANGES: core::ops::RangeInclusive<u32> = 4..=8;
    let session = session_of(Task::current());
    if session == 0 {
        return 0;
    }
    let action = Arguments::of(&context, ProgramId::syslog).get(0) as u32;
    if CHANGES.contains(&action) {
        judge_use(session, Facility::Audit, action)
    } else {
        0
    }
}

/// Remembers whose process a file shows.
#[lsm(hook = "task_to_inode")]
pub fn task_to_inode(context: LsmContext) -> i32 {
    let arguments = Arguments::of(&context, ProgramId::task_to_inode);
    let task = Task::from_argument(arguments.get(0));
    let session = match session_of(task) {
        0 if judge::is_guard(task.leader()) => GUARD,
        0 => return 0,
        session => session,
    };
    let mark = Mark::default();
    if let Some(mark) = INODES.get_or_insert(Inode::from_argument(arguments.get(1)), &mark) {
        mark.process = session;
    }
    0
}
