//! What processes were executed with, kept for policies that ask for it (`command`). Nothing is done
//! until one does ([`KEPT`]), and then for every process of the machine: any can be a target.
//!
//! - `bprm_committed_creds`: keeps the arguments of what a process executes. It sleeps when they have
//!   been swapped out.
//! - `task_alloc` (`identity.rs`): a child has what its parent was executed with, until it executes
//!   something itself.
//! - Of processes that have not executed anything since, the user side tells ([`EARLIER`]).
//!
//! None of it can refuse: a command line that cannot be kept is not known (`target.rs`).

use core::mem::offset_of;

use aya_ebpf::helpers::generated::bpf_copy_from_user;
use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use guard_ebpf::abi::COMMAND_LEN;
use guard_ebpf::command::{Command, EarlierKey};
use guard_ebpf::kernel::ProgramId;

use crate::access::{Arguments, Binary, Task, address_of, labels_in_table};
use crate::identity::add;
use crate::judge::TICK;
use crate::maps::{COMMAND_TABLE, COMMANDS, EARLIER, KEPT};

/// What is kept at first, and of what nothing can be kept. (Not a constant: the kernel copies it from
/// where it lies.)
static UNKNOWN: Command = Command::UNKNOWN;

/// Whether command lines are kept.
#[inline(always)]
fn are_kept() -> bool {
    KEPT.get(0).is_some_and(|kept| *kept != 0)
}

/// What is kept of a process that has executed something, by its leader.
#[inline(always)]
fn kept(leader: Task) -> Option<&'static mut Command> {
    if labels_in_table() {
        // SAFETY: as with labels (`identity.rs`).
        COMMAND_TABLE
            .get_ptr_mut(leader.address())
            .map(|command| unsafe { &mut *command })
    } else {
        COMMANDS.get(leader)
    }
}

/// What the user side has told of a process.
#[inline(always)]
fn earlier(leader: Task) -> Option<&'static Command> {
    let key = EarlierKey {
        pid: leader.pid(),
        reserved: 0,
        start: leader.start() / TICK,
    };
    // SAFETY: an entry is made once, and not changed.
    unsafe { EARLIER.get(key) }
}

/// Where the command line of a process lies, by its leader; 0 for none.
#[inline(always)]
pub fn of(leader: Task) -> u64 {
    if let Some(command) = kept(leader) {
        return address_of(command);
    }
    earlier(leader).map_or(0, |command| address_of(command))
}

/// Keeps for a task what another one has; nothing where that is not known.
#[inline(always)]
fn keep(task: Task, command: &Command) -> bool {
    if labels_in_table() {
        COMMAND_TABLE.insert(task.address(), command, 0).is_ok()
    } else {
        COMMANDS.get_or_insert(task, command).is_some()
    }
}

/// Gives a child what its parent was executed with. A thread needs none of its own.
#[inline(always)]
pub fn inherit(parent: Task, child: Task, is_thread: bool) {
    if !are_kept() || is_thread {
        return;
    }
    let is_known = match kept(parent) {
        Some(command) => keep(child, command),
        None => match earlier(parent) {
            Some(command) => keep(child, command),
            None => false,
        },
    };
    if !is_known {
        // A task whose end was not seen may have left its own at this address.
        forget(child);
    }
}

/// Forgets what is kept by the address of a task.
#[inline(always)]
pub fn forget(task: Task) {
    if labels_in_table() && are_kept() {
        let _ = COMMAND_TABLE.remove(task.address());
    }
}

/// Keeps the arguments of what is executed: the whole text, with which that of the environment begins,
/// and how many they are. The environment behind the last one is overwritten by nothing, and read by
/// nobody: the map is root's.
#[lsm(hook = "bprm_committed_creds", sleepable)]
pub fn bprm_committed_creds(context: LsmContext) -> i32 {
    if !are_kept() {
        return 0;
    }
    let arguments = Arguments::of(&context, ProgramId::bprm_committed_creds);
    let binary = Binary::from_argument(arguments.get(0));
    // It has become the leader, if it was not.
    let leader = Task::current();
    if kept(leader).is_none() && !keep(leader, &UNKNOWN) {
        return 0;
    }
    let Some(command) = kept(leader) else {
        return 0;
    };
    add(&mut command.sequence, 1);
    let place = binary.place();
    // Behind the strings of arguments and environment stands the name of the file.
    let length = binary.end().wrapping_sub(place);
    let length = if length < COMMAND_LEN as u64 {
        length as u32
    } else {
        COMMAND_LEN as u32
    };
    // SAFETY: as many bytes as there is room for, of the task's own memory.
    let failed = unsafe {
        let text = core::ptr::from_mut(command)
            .cast::<u8>()
            .add(offset_of!(Command, text));
        bpf_copy_from_user(text.cast(), length, place as *const _)
    };
    command.length = length;
    command.arguments = if failed == 0 {
        binary.arguments()
    } else {
        u32::MAX
    };
    add(&mut command.sequence, 1);
    0
}
