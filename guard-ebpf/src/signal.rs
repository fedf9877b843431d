//! Signals.
//!
//! - `task_kill`: every signal that a task sends: `kill` (a pid, a process group, -1),
//!   `tkill`, `tgkill`, pidfds, `rt_sigqueueinfo`, and the death signals of children.
//!   Refuses a session's signals to all that is not its own; signal 0 asks a question and
//!   is always answered.
//! - `file_set_fowner`: remembers which session told an open file to send signals. It
//!   cannot refuse: a task whose setting cannot be remembered is killed.
//! - `file_send_sigiotask`: the signals that open files send (`F_SETOWN`, `F_SETSIG`,
//!   `SIGURG`, leases, directory notification). It may run in an interrupt, so it judges
//!   who set the owner and never the task that runs.

use aya_ebpf::helpers::generated::bpf_send_signal;
use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use aya_log_ebpf::warn;
use guard_ebpf::kernel::ProgramId;
use guard_ebpf::operation::Operation;
use guard_ebpf::session::Owner;

use crate::access::{Arguments, File, FileOwner, Task};
use crate::identity::session_of;
use crate::judge::{self, Act};
use crate::maps::OWNERS;
use crate::report::Actor;

const SIGKILL: u32 = 9;
const SIGIO: u32 = 29;

/// The act of sending a signal.
#[inline(always)]
fn send(session: u32, signal: u32) -> Act {
    Act {
        detail: signal,
        ..Act::new(session, Operation::Signal)
    }
}

/// Judges every signal.
#[lsm(hook = "task_kill")]
pub fn task_kill(context: LsmContext) -> i32 {
    match session_of(Task::current()) {
        0 => 0,
        session => kill(Arguments::of(&context, ProgramId::task_kill), session),
    }
}

/// Judges a session's signal. A function of its own, like all that only sessions come to: a
/// program saves the registers that it uses, and one without a label should have few to save.
#[inline(never)]
fn kill(arguments: Arguments, session: u32) -> i32 {
    let target = Task::from_argument(arguments.get(0));
    let signal = arguments.get(1) as u32;
    // With credentials the sender is not the task that runs: a USB request has completed,
    // and its signal goes to the process that made the request, and to nobody else.
    if signal == 0 || !arguments.is_null(2) || session_of(target) == session {
        return 0;
    }
    judge::process(send(session, signal), &Actor::Current, target)
}

/// Remembers who set an owner.
#[lsm(hook = "file_set_fowner")]
pub fn file_set_fowner(context: LsmContext) -> i32 {
    let arguments = Arguments::of(&context, ProgramId::file_set_fowner);
    let file = File::from_argument(arguments.get(0)).address();
    let current = Task::current();
    let session = session_of(current);
    if session == 0 {
        // The file may have had an owner from a session, or lie where such a file lay.
        let _ = OWNERS.remove(file);
        return 0;
    }
    let owner = Owner {
        session,
        pid: current.pid(),
        tid: current.tid(),
        uid: current.euid(),
        comm: current.comm(),
    };
    if OWNERS.insert(file, owner, 0).is_err() {
        warn!(
            &context,
            "no room to remember whose signal a file sends: killing {}",
            current.pid()
        );
        // SAFETY: sends to the task that runs.
        unsafe { bpf_send_signal(SIGKILL) };
    }
    0
}

/// Judges the signals that open files send.
#[lsm(hook = "file_send_sigiotask")]
pub fn file_send_sigiotask(context: LsmContext) -> i32 {
    let arguments = Arguments::of(&context, ProgramId::file_send_sigiotask);
    let file = FileOwner::from_argument(arguments.get(1)).file_address();
    // SAFETY: an owner is replaced as a whole.
    let Some(owner) = (unsafe { OWNERS.get(file) }) else {
        return 0;
    };
    let owner = *owner;
    let target = Task::from_argument(arguments.get(0));
    if session_of(target) == owner.session {
        return 0;
    }
    // 0 stands for the default.
    let signal = match arguments.get(2) as u32 {
        0 => SIGIO,
        signal => signal,
    };
    judge::process(send(owner.session, signal), &Actor::Owner(owner), target)
}
