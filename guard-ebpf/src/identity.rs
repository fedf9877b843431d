//! Who is an actor: the label of a session's tasks.
//!
//! - `task_alloc`: every child and thread of a labelled process gets its label before it
//!   exists; if it cannot be stored, the fork fails: nothing escapes by exhaustion. Refuses
//!   children that begin in another cgroup.
//! - `bprm_creds_for_exec`: a thread that is not the leader becomes the leader when it
//!   executes. One that existed before its process was moved into a session has no label
//!   of its own; it gets the leader's, or the execution fails.
//! - `cgroup_attach_task`: labels what is moved into a session's cgroup. It cannot refuse;
//!   a failure is counted, and no session starts whose first process has no label.
//! - `task_free`: counts; cannot fail.
//! - `tasks`: an iterator that the user side reads; decides nothing.
//!
//! A process is known by its leader: the tracepoint fires once for a whole process, with
//! the leader, and a process's threads all carry the leader's label or none.

use core::ffi::c_void;
use core::ptr::read_volatile;

use aya_ebpf::helpers::generated::bpf_seq_write;
use aya_ebpf::macros::{btf_tracepoint, lsm};
use aya_ebpf::programs::{BtfTracePointContext, LsmContext};
use aya_log_ebpf::{debug, warn};
use guard_ebpf::kernel::ProgramId;
use guard_ebpf::operation::Facility;
use guard_ebpf::record::{Member, NO_NUMBER};
use guard_ebpf::session::{Counters, Label, place};

use crate::access::{Arguments, Cgroup, Task, labels_in_table};
use crate::commands;
use crate::judge::{self, Act};
use crate::maps::{CGROUPS, COUNTERS, LABELS, SESSIONS, TASKS};
use crate::report;

/// Deeper cgroups do not exist by default: `cgroup.max.depth` can be set, and its default
/// is none, but the kernel's own limit is `INT_MAX`. A process that is moved into a cgroup
/// that lies deeper below a session's than this is not labelled.
pub const CGROUP_DEPTH: u32 = 64;

/// `CLONE_INTO_CGROUP` (5.7): the child would begin in another cgroup, without the session's
/// limits.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// `CLONE_THREAD`.
const CLONE_THREAD: u64 = 0x1_0000;

/// `-EAGAIN`: what a fork returns that could not be labelled, as at the limit of processes.
const EAGAIN: i32 = -11;

/// The label of a task itself.
#[inline(always)]
pub fn label_of(task: Task) -> Option<&'static mut Label> {
    if labels_in_table() {
        // SAFETY: an entry is only removed when its task is freed, and only its task writes it.
        TASKS
            .get_ptr_mut(task.address())
            .map(|label| unsafe { &mut *label })
    } else {
        LABELS.get(task)
    }
}

/// The session of a task itself; 0 for none.
#[inline(always)]
fn own_session(task: Task) -> u32 {
    if labels_in_table() {
        // SAFETY: an entry is only removed when its task is freed.
        unsafe { TASKS.get(task.address()) }.map_or(0, |label| label.session)
    } else {
        LABELS.get(task).map_or(0, |label| label.session)
    }
}

/// The session of the process that a task belongs to; 0 for none.
#[inline(always)]
pub fn session_of(task: Task) -> u32 {
    own_session(task.leader())
}

/// The counters of a session.
#[inline(always)]
pub fn counters(session: u32) -> Option<&'static mut Counters> {
    if SESSIONS.get(place(session))?.id != session {
        return None;
    }
    // SAFETY: only ever added to, atomically.
    COUNTERS
        .get_ptr_mut(place(session))
        .map(|counters| unsafe { &mut *counters })
}

/// Adds to a counter and returns what it was.
#[inline(always)]
pub fn add(counter: &mut u64, value: u64) -> u64 {
    let mut value = value;
    // The target has no atomic types in `core`, since its first version had no such
    // instruction; the third version (kernel 5.12) has.
    // SAFETY: a valid, aligned counter.
    unsafe {
        core::arch::asm!(
            "{value} = atomic_fetch_add((u64 *)({counter} + 0), {value})",
            value = inout(reg) value,
            counter = in(reg) core::ptr::from_mut(counter),
        );
    }
    value
}

/// Labels a task that has no label; false when that is impossible.
#[inline(always)]
fn label(task: Task, session: u32) -> bool {
    let label = Label {
        session,
        ..Label::default()
    };
    let stored = if labels_in_table() {
        TASKS.insert(task.address(), label, 0).is_ok()
    } else {
        LABELS.get_or_insert(task, &label).is_some()
    };
    if let Some(counters) = counters(session) {
        if stored {
            add(&mut counters.tasks, 1);
        } else {
            add(&mut counters.unlabelled, 1);
        }
    }
    stored
}

/// Judges a child that begins in another cgroup.
#[inline(never)]
fn judge_cgroup(session: u32) -> i32 {
    let act = Act::on_machine(session, Facility::Cgroups);
    judge::machine(act, NO_NUMBER, NO_NUMBER)
}

/// Inherits the label.
#[lsm(hook = "task_alloc")]
pub fn task_alloc(context: LsmContext) -> i32 {
    let arguments = Arguments::of(&context, ProgramId::task_alloc);
    let child = Task::from_argument(arguments.get(0));
    let is_thread = arguments.get(1) & CLONE_THREAD != 0;
    commands::inherit(Task::current().leader(), child, is_thread);
    let session = session_of(Task::current());
    if session == 0 {
        if labels_in_table() {
            // A task whose end was not seen, since tracing was switched off, may have left its
            // label at the address that this one has now.
            let _ = TASKS.remove(child.address());
        }
        return 0;
    }
    if arguments.get(1) & CLONE_INTO_CGROUP != 0 {
        let verdict = judge_cgroup(session);
        if verdict != 0 {
            return verdict;
        }
    }
    if label(child, session) {
        return 0;
    }
    warn!(
        &context,
        "a task of session {} could not be labelled: its fork fails", session
    );
    EAGAIN
}

/// Counts the tasks that are left.
#[lsm(hook = "task_free")]
pub fn task_free(context: LsmContext) -> i32 {
    let task = Task::from_argument(Arguments::of(&context, ProgramId::task_free).get(0));
    commands::forget(task);
    let session = own_session(task);
    if session == 0 {
        return 0;
    }
    if labels_in_table() {
        let _ = TASKS.remove(task.address());
    }
    if let Some(counters) = counters(session)
        && add(&mut counters.tasks, u64::MAX) == 1
    {
        report::ended(session);
        debug!(&context, "the last task of session {} has ended", session);
    }
    0
}

/// Keeps the label.
#[lsm(hook = "bprm_creds_for_exec")]
pub fn bprm_creds_for_exec(_: LsmContext) -> i32 {
    let current = Task::current();
    let session = session_of(current);
    if session == 0 || own_session(current) != 0 || label(current, session) {
        0
    } else {
        EAGAIN
    }
}

/// Labels what comes into the cgroup.
#[btf_tracepoint(function = "cgroup_attach_task")]
pub fn cgroup_attach_task(context: BtfTracePointContext) -> i32 {
    let arguments = Arguments::of(&context, ProgramId::cgroup_attach_task);
    let cgroup = Cgroup::from_argument(arguments.get(0));
    let task = Task::from_argument(arguments.get(1));
    let mut node = cgroup.node();
    for _ in 0..CGROUP_DEPTH {
        let Some(here) = node else { return 0 };
        // SAFETY: sessions' cgroups are removed after their last process.
        if let Some(&session) = unsafe { CGROUPS.get(here.id()) } {
            if own_session(task) == 0 {
                let labelled = u32::from(label(task, session));
                debug!(
                    &context,
                    "process {} was moved into session {}: labelled {}",
                    task.pid(),
                    session,
                    labelled
                );
            }
            return 0;
        }
        node = here.parent();
    }
    0
}

/// What the kernel calls an iterator with: `struct bpf_iter__task` (5.8).
#[repr(C)]
pub struct TaskIteration {
    meta: *const IterationMeta,
    task: *const u8,
}

/// `struct bpf_iter_meta` (5.8), as far as it is used.
#[repr(C)]
struct IterationMeta {
    seq: *mut c_void,
}

/// Tells which process belongs to which session.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
pub extern "C" fn tasks(iteration: *const TaskIteration) -> i32 {
    // SAFETY: the kernel calls it with this, and the verifier knows the types.
    let (meta, task) = unsafe {
        (
            read_volatile(&raw const (*iteration).meta),
            read_volatile(&raw const (*iteration).task),
        )
    };
    if task.is_null() {
        return 0;
    }
    let task = Task::from_argument(task as u64);
    let pid = task.pid();
    if task.tid() != pid {
        return 0;
    }
    let session = session_of(task);
    if session == 0 {
        return 0;
    }
    let mut member = Member { pid, session };
    // SAFETY: the sequence file is the kernel's, the member as long as said.
    unsafe {
        let seq = read_volatile(&raw const (*meta).seq);
        bpf_seq_write(
            seq.cast(),
            (&raw mut member).cast(),
            size_of::<Member>() as u32,
        );
    }
    0
}
