//! System V shared memory, semaphores and message queues.
//!
//! - `…_alloc_security`, `…_free_security`: remember what a session made. They refuse nothing; an
//!   object that could not be remembered is not the session's own.
//! - `…ctl`: judge removing an object and changing its owner, and setting semaphores.
//! - `ipc_permission`: judges attaching and posting with the right to write.
//! - `msg_queue_msgrcv`: judges receiving, which takes the message away. The kernel passes over a
//!   message that is refused: the caller waits on, or is told that there is none.

use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use guard_ebpf::kernel::ProgramId;
use guard_ebpf::operation::Facility;
use guard_ebpf::record::NO_NUMBER;

use crate::access::{Arguments, IpcObject, Task};
use crate::identity::session_of;
use crate::judge::{self, Act};
use crate::maps::IPC_OBJECTS;

/// `IPC_RMID` and `IPC_SET`.
const REMOVE: u32 = 0;
const SET: u32 = 1;
/// `SETVAL` and `SETALL` of semaphores.
const SET_VALUE: u32 = 16;
const SET_ALL: u32 = 17;
/// `SHM_LOCK` and `SHM_UNLOCK`.
const LOCK: u32 = 11;
const UNLOCK: u32 = 12;
/// `S_IWUGO`, of which the caller asks for any.
const WRITE: u32 = 0o222;

/// Remembers an object that a session makes.
#[inline(always)]
fn made(context: &LsmContext, program: ProgramId) -> i32 {
    let session = session_of(Task::current());
    if session != 0 {
        let object = IpcObject::from_argument(Arguments::of(context, program).get(0));
        let _ = IPC_OBJECTS.insert(object.address(), session, 0);
    }
    0
}

/// Forgets an object: its memory may become another's.
#[inline(always)]
fn freed(context: &LsmContext, program: ProgramId) -> i32 {
    let object = IpcObject::from_argument(Arguments::of(context, program).get(0));
    let _ = IPC_OBJECTS.remove(object.address());
    0
}

/// Judges what a session does to an object. (Why it is a function of its own: see
/// `signal::kill`.)
#[inline(never)]
fn judge_object(session: u32, object: IpcObject) -> i32 {
    // SAFETY: entries are removed when the object is freed.
    if unsafe { IPC_OBJECTS.get(object.address()) }.is_some_and(|&owner| owner == session) {
        return 0;
    }
    let act = Act::on_machine(session, Facility::Ipc);
    judge::machine(act, NO_NUMBER, object.id())
}

/// Judges a command to an object.
#[inline(always)]
fn control(context: &LsmContext, program: ProgramId) -> i32 {
    let session = session_of(Task::current());
    if session == 0 {
        return 0;
    }
    let arguments = Arguments::of(context, program);
    // `IPC_INFO` and its like have no object.
    if arguments.is_null(0) {
        return 0;
    }
    match arguments.get(1) as u32 {
        REMOVE | SET | SET_VALUE | SET_ALL | LOCK | UNLOCK => {
            judge_object(session, IpcObject::from_argument(arguments.get(0)))
        }
        _ => 0,
    }
}

/// Marks shared memory.
#[lsm(hook = "shm_alloc_security")]
pub fn shm_alloc_security(context: LsmContext) -> i32 {
    made(&context, ProgramId::shm_alloc_security)
}

/// Forgets shared memory.
#[lsm(hook = "shm_free_security")]
pub fn shm_free_security(context: LsmContext) -> i32 {
    freed(&context, ProgramId::shm_free_security)
}

/// Judges the removal of shared memory.
#[lsm(hook = "shm_shmctl")]
pub fn shm_shmctl(context: LsmContext) -> i32 {
    control(&context, ProgramId::shm_shmctl)
}

/// Marks semaphores.
#[lsm(hook = "sem_alloc_security")]
pub fn sem_alloc_security(context: LsmContext) -> i32 {
    made(&context, ProgramId::sem_alloc_security)
}

/// Forgets semaphores.
#[lsm(hook = "sem_free_security")]
pub fn sem_free_security(context: LsmContext) -> i32 {
    freed(&context, ProgramId::sem_free_security)
}

/// Judges the removal of semaphores.
#[lsm(hook = "sem_semctl")]
pub fn sem_semctl(context: LsmContext) -> i32 {
    control(&context, ProgramId::sem_semctl)
}

/// Marks queues.
#[lsm(hook = "msg_queue_alloc_security")]
pub fn msg_queue_alloc_security(context: LsmContext) -> i32 {
    made(&context, ProgramId::msg_queue_alloc_security)
}

/// Forgets queues.
#[lsm(hook = "msg_queue_free_security")]
pub fn msg_queue_free_security(context: LsmContext) -> i32 {
    freed(&context, ProgramId::msg_queue_free_security)
}

/// Judges the removal of queues.
#[lsm(hook = "msg_queue_msgctl")]
pub fn msg_queue_msgctl(context: LsmContext) -> i32 {
    control(&context, ProgramId::msg_queue_msgctl)
}

/// Judges taking messages from queues.
#[lsm(hook = "msg_queue_msgrcv")]
pub fn msg_queue_msgrcv(context: LsmContext) -> i32 {
    match session_of(Task::current()) {
        0 => 0,
        session => {
            let queue = Arguments::of(&context, ProgramId::msg_queue_msgrcv).get(0);
            judge_object(session, IpcObject::from_argument(queue))
        }
    }
}

/// Judges writing to objects.
#[lsm(hook = "ipc_permission")]
pub fn ipc_permission(context: LsmContext) -> i32 {
    let session = session_of(Task::current());
    if session == 0 {
        return 0;
    }
    let arguments = Arguments::of(&context, ProgramId::ipc_permission);
    if arguments.get(1) as u32 & WRITE == 0 {
        return 0;
    }
    judge_object(session, IpcObject::from_argument(arguments.get(0)))
}
