//! Records for the user side. Nothing here changes a verdict: a full ring buffer costs a
//! record, and that is counted.

use aya_ebpf::helpers::generated::{
    bpf_get_current_cgroup_id, bpf_ktime_get_boot_ns, bpf_loop, bpf_probe_read_kernel_str,
};
use guard_ebpf::abi::{MAX_DEPTH, MAX_EXECUTABLES, NAME_MAX};
use guard_ebpf::operation::MAX_OPERATIONS;
use guard_ebpf::record::{
    self, ExecutableKey, ExecutableRecord, FLAG_ABSTRACT, FLAG_TRUNCATED, FileRecord, Header, Kind,
    MachineRecord, PATH_BUFFER, PATH_ROOM, ProcessRecord, SocketRecord,
};
use guard_ebpf::session::Owner;

use crate::access::{Dentry, Entry, Task, forget};
use crate::identity::{add, counters};
use crate::maps::{EXECUTABLES, RECORDS};

/// Who did it.
pub enum Actor {
    /// The task that runs.
    Current,
    /// Who set the owner of an open file; the task that runs has nothing to do with it.
    Owner(Owner),
}

/// Nanoseconds since boot, suspend included.
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: no arguments.
    unsafe { bpf_ktime_get_boot_ns() }
}

/// Counts a record that there was no room for.
#[inline(always)]
fn lost(header: &Header) {
    if let Some(counters) = counters(header.session) {
        add(
            &mut counters.lost[header.operation as usize & (MAX_OPERATIONS - 1)],
            1,
        );
    }
}

/// A task, for a record.
#[inline(always)]
fn describe(task: Task, parent: u32, cgroup: u64, executable: ExecutableKey) -> record::Task {
    let leader = task.leader();
    record::Task {
        pid: task.pid(),
        tid: task.tid(),
        uid: task.euid(),
        parent,
        start: leader.start(),
        executable,
        cgroup,
        comm: task.comm(),
    }
}

/// The task that runs, for a record.
#[inline(always)]
fn describe_current(executable: ExecutableKey) -> record::Task {
    // SAFETY: no arguments.
    let cgroup = unsafe { bpf_get_current_cgroup_id() };
    let task = Task::current();
    describe(task, task.parent_pid(), cgroup, executable)
}

/// The key of a task's executable; its path is told once. To be asked for before there is
/// room for the record that names it: its path is a record too, and goes before.
#[inline(always)]
fn key(task: Task) -> ExecutableKey {
    let Some(executable) = task.executable() else {
        return ExecutableKey::default();
    };
    let key = ExecutableKey {
        inode: executable.inode().map_or(0, |inode| inode.number()),
        device: executable.super_block().device(),
        reserved: 0,
    };
    let place = (key.inode ^ key.inode >> 10) as u32 ^ key.device;
    if let Some(told) = EXECUTABLES.get_ptr_mut(place & (MAX_EXECUTABLES - 1)) {
        // SAFETY: an element of the map. Two processors that write it at once leave what
        // equals neither, or one of them.
        unsafe {
            if ((*told).inode != key.inode || (*told).device != key.device) && tell(key, executable)
            {
                *told = key;
            }
        }
    }
    key
}

/// Tells the path of an executable; false when there was no room.
#[inline(never)]
fn tell(key: ExecutableKey, executable: Dentry) -> bool {
    let Some(mut entry) = RECORDS.reserve_untyped::<ExecutableRecord>(0) else {
        return false;
    };
    let record = entry.as_mut_ptr();
    // SAFETY: the ring buffer's memory is as large as the record; every field is written.
    unsafe {
        let (length, flags) = write_path(&raw mut (*record).path, executable.entry());
        (*record).header = Header {
            kind: Kind::Executable as u8,
            flags,
            ..Header::default()
        };
        (*record).executable = key;
        (*record).length = length;
        (*record).reserved = 0;
    }
    entry.submit(0);
    true
}

/// Records an operation on a process.
#[inline(always)]
pub fn process(header: &Header, actor: &Actor, target: Task) {
    let executable = match actor {
        Actor::Current => key(Task::current()),
        Actor::Owner(_) => ExecutableKey::default(),
    };
    let target_executable = key(target);
    match RECORDS.reserve_untyped::<ProcessRecord>(0) {
        None => lost(header),
        Some(mut entry) => {
            let record = entry.as_mut_ptr();
            // In place, and not copied.
            // SAFETY: the ring buffer's memory is as large as the record; every field is
            // written.
            unsafe {
                (*record).header = *header;
                (*record).actor = match actor {
                    Actor::Current => describe_current(executable),
                    Actor::Owner(owner) => record::Task {
                        pid: owner.pid,
                        tid: owner.tid,
                        uid: owner.uid,
                        comm: owner.comm,
                        ..record::Task::default()
                    },
                };
                (*record).target = describe(target, 0, target.cgroup_id(), target_executable);
            }
            entry.submit(0);
        }
    }
}

/// Records an operation of the task that runs on a file.
#[inline(always)]
pub fn file(header: &Header, target: Entry) {
    let actor = describe_current(key(Task::current()));
    match RECORDS.reserve_untyped::<FileRecord>(0) {
        None => lost(header),
        Some(mut entry) => {
            let record = entry.as_mut_ptr();
            // SAFETY: the ring buffer's memory is as large as the record; every field is
            // written.
            unsafe {
                let (length, flags) = write_path(&raw mut (*record).path, target);
                (*record).header = Header {
                    flags: header.flags | flags,
                    ..*header
                };
                (*record).actor = actor;
                (*record).inode = target.dentry.inode_number();
                (*record).device = target.super_block().device();
                (*record).length = length;
            }
            entry.submit(0);
        }
    }
}

/// Records the use of a facility that no file stands for.
#[inline(always)]
pub fn machine(header: &Header, capability: u32, number: u32) {
    let actor = describe_current(key(Task::current()));
    match RECORDS.reserve_untyped::<MachineRecord>(0) {
        None => lost(header),
        Some(mut entry) => {
            let record = entry.as_mut_ptr();
            // SAFETY: the ring buffer's memory is as large as the record; every field is
            // written.
            unsafe {
                (*record).header = *header;
                (*record).actor = actor;
                (*record).capability = capability;
                (*record).number = number;
            }
            entry.submit(0);
        }
    }
}

/// What a record says of a socket.
pub struct Peer {
    /// `AF_…`.
    pub family: u16,
    /// `SOCK_…`.
    pub kind: u16,
    /// In the host's order.
    pub port: u16,
    /// IPv6, or IPv4 mapped into it, as it stands in memory.
    pub address: [u64; 2],
    /// The file, for those that have one.
    pub file: Option<Dentry>,
    /// Where the abstract name stands; 0 for none.
    pub name: u64,
}

/// Records an operation of the task that runs on a socket.
#[inline(always)]
pub fn socket(header: &Header, peer: &Peer) {
    let actor = describe_current(key(Task::current()));
    match RECORDS.reserve_untyped::<SocketRecord>(0) {
        None => lost(header),
        Some(mut entry) => {
            let record = entry.as_mut_ptr();
            // SAFETY: the ring buffer's memory is as large as the record; every field is
            // written.
            unsafe {
                let path = &raw mut (*record).path;
                let (length, flags, device) = match peer.file {
                    Some(file) => {
                        let entry = file.entry();
                        let (length, flags) = write_path(path, entry);
                        (length, flags, entry.super_block().device())
                    }
                    None if peer.name != 0 => {
                        let written = bpf_probe_read_kernel_str(
                            path.cast(),
                            NAME_MAX as u32 + 1,
                            peer.name as *const _,
                        );
                        let length = opaque(written as usize) & (2 * NAME_MAX + 1);
                        (length as u32, FLAG_ABSTRACT, 0)
                    }
                    None => (0, 0, 0),
                };
                (*record).header = Header {
                    flags: header.flags | flags,
                    ..*header
                };
                (*record).actor = actor;
                (*record).family = peer.family;
                (*record).kind = peer.kind;
                (*record).port = peer.port;
                (*record).reserved = 0;
                (&raw mut (*record).address)
                    .cast::<[u64; 2]>()
                    .write_unaligned(peer.address);
                (*record).length = length;
                (*record).device = device;
            }
            entry.submit(0);
        }
    }
}

/// Tells that the last task of a session has ended.
#[inline(always)]
pub fn ended(session: u32) {
    let header = Header {
        kind: Kind::Ended as u8,
        session,
        time: now(),
        ..Header::default()
    };
    if let Some(mut entry) = RECORDS.reserve_untyped::<Header>(0) {
        entry.write(header);
        entry.submit(0);
    }
    // No room: the user side looks at the counters every second as well.
}

/// What writing a path needs: shared with the function that the kernel calls for each name.
struct Writing {
    /// The address of what is to be written next.
    this: u64,
    /// Where its name stands.
    name: u64,
    /// What is above it.
    above: Dentry,
    buffer: *mut u8,
    length: u32,
}

/// Writes a name. Straight on, without a branch for one that cannot be read (it is then
/// empty): each branch would double what the verifier has to follow.
unsafe extern "C" fn write_name(_: u32, writing: *mut Writing) -> i64 {
    // SAFETY: what was given to `bpf_loop`.
    let writing = unsafe { &mut *writing };
    let above = writing.above;
    let length = writing.length as usize;
    if above.address() == writing.this || length >= PATH_ROOM {
        return 1;
    }
    // SAFETY: `length` is below PATH_ROOM, and a name and its NUL fit behind that.
    let written = unsafe {
        let place = writing.buffer.add(length);
        bpf_probe_read_kernel_str(place.cast(), NAME_MAX as u32 + 1, writing.name as *const _)
    };
    writing.length = (length + (opaque(written as usize) & (2 * NAME_MAX + 1))) as u32;
    writing.this = above.address();
    writing.name = above.name();
    writing.above = above.parent();
    0
}

/// Writes a path from the leaf to the root, each name followed by a NUL. Returns its length
/// in bytes and the flags that it adds.
#[inline(always)]
unsafe fn write_path(buffer: *mut [u8; PATH_BUFFER], leaf: Entry) -> (u32, u8) {
    let mut writing = Writing {
        this: leaf.dentry.address(),
        name: leaf.dentry.name(),
        above: leaf.directory,
        buffer: buffer.cast(),
        length: forget(0),
    };
    // SAFETY: the function has the form that the helper (5.17) calls.
    unsafe {
        bpf_loop(
            MAX_DEPTH,
            write_name as *mut _,
            (&raw mut writing).cast(),
            0,
        )
    };
    let complete = writing.above.address() == writing.this;
    (writing.length, if complete { 0 } else { FLAG_TRUNCATED })
}

/// A value of which the compiler knows nothing: it would take the mask for needless, and
/// the verifier wants it. (An instruction that does nothing, since one that is not there
/// confuses the line information.)
#[inline(always)]
fn opaque(value: usize) -> usize {
    let mut value = value;
    // SAFETY: does nothing.
    unsafe {
        core::arch::asm!("{value} = {value}", value = inout(reg) value, options(nomem, nostack));
    };
    value
}
