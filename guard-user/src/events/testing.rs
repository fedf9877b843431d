//! Records as the kernel writes them, and a machine that is made up, for the tests.

use super::resolve::Host;
use super::time::Time;
use super::users::UserName;
use crate::system::processes::Running;
use guard_ebpf::operation::{Facility, Operation, Reason, Verdict};
use guard_ebpf::record::{
    ExecutableKey, ExecutableRecord, FileRecord, Header, Kind, MachineRecord, NO_NUMBER,
    PATH_BUFFER, ProcessRecord, SocketRecord, Task,
};
use std::path::{Path, PathBuf};

/// The bytes of a value of a layout.
pub(crate) trait Layout {
    /// The layout's bytes, as the ring buffer holds them.
    fn bytes(&self) -> Vec<u8>;
}

macro_rules! fields {
    ($value:expr, $($field:ident),+) => {{
        let mut bytes = Vec::new();
        $(bytes.extend($value.$field.bytes());)+
        bytes
    }};
}

macro_rules! integers {
    ($($kind:ty),+) => {$(
        impl Layout for $kind {
            fn bytes(&self) -> Vec<u8> {
                self.to_ne_bytes().to_vec()
            }
        }
    )+};
}

integers!(u8, u16, u32, u64);

impl<const N: usize> Layout for [u8; N] {
    fn bytes(&self) -> Vec<u8> {
        self.to_vec()
    }
}

impl Layout for Header {
    fn bytes(&self) -> Vec<u8> {
        fields!(
            self, kind, operation, verdict, reason, rule, detail, flags, reserved, session, policy,
            time
        )
    }
}

impl Layout for ExecutableKey {
    fn bytes(&self) -> Vec<u8> {
        fields!(self, inode, device, reserved)
    }
}

impl Layout for Task {
    fn bytes(&self) -> Vec<u8> {
        fields!(self, pid, tid, uid, parent, start, executable, cgroup, comm)
    }
}

impl Layout for ProcessRecord {
    fn bytes(&self) -> Vec<u8> {
        fields!(self, header, actor, target)
    }
}

impl Layout for FileRecord {
    fn bytes(&self) -> Vec<u8> {
        fields!(self, header, actor, inode, device, length, path)
    }
}

impl Layout for SocketRecord {
    fn bytes(&self) -> Vec<u8> {
        fields!(
            self, header, actor, family, kind, port, reserved, address, length, device, path
        )
    }
}

impl Layout for MachineRecord {
    fn bytes(&self) -> Vec<u8> {
        fields!(self, header, actor, capability, number)
    }
}

impl Layout for ExecutableRecord {
    fn bytes(&self) -> Vec<u8> {
        fields!(self, header, executable, length, reserved, path)
    }
}

/// A refused operation of session 1 under no rule.
pub(crate) fn header(kind: Kind, operation: Operation) -> Header {
    Header {
        kind: kind as u8,
        operation: operation as u8,
        verdict: Verdict::Deny as u8,
        reason: Reason::Default as u8,
        session: 1,
        policy: 1,
        time: 5_000_000_000,
        ..Header::default()
    }
}

/// A process of user 1000 with one thread.
pub(crate) fn task(pid: u32, comm: &[u8]) -> Task {
    let mut padded = [0; 16];
    padded[..comm.len()].copy_from_slice(comm);
    Task {
        pid,
        tid: pid,
        uid: 1000,
        start: u64::from(pid) * 10_000_000,
        executable: ExecutableKey {
            inode: 7,
            device: 254 << 20,
            reserved: 0,
        },
        cgroup: 42,
        comm: padded,
        ..Task::default()
    }
}

/// A path buffer from the leaf up, and its length.
pub(crate) fn leaf_first(path: &[u8]) -> ([u8; PATH_BUFFER], u32) {
    let mut buffer = [b'?'; PATH_BUFFER];
    for (place, &byte) in buffer.iter_mut().zip(path) {
        // Names are followed by a NUL; `/` reads better in a test.
        *place = if byte == b'/' { 0 } else { byte };
    }
    (buffer, path.len() as u32)
}

/// A signal that `pkill` (pid 4312) of session 1 sent.
pub(crate) fn signal(target: Task, signal: u8) -> ProcessRecord {
    ProcessRecord {
        header: Header {
            detail: signal,
            ..header(Kind::Process, Operation::Signal)
        },
        actor: task(4312, b"pkill"),
        target,
    }
}

/// A deletion by `rm` (pid 4400) of session 1, on the device 254:0; `path` is from the
/// leaf up.
pub(crate) fn deletion(inode: u64, path: &[u8]) -> FileRecord {
    let (path, length) = leaf_first(path);
    FileRecord {
        header: header(Kind::File, Operation::Delete),
        actor: task(4400, b"rm"),
        inode,
        device: 254 << 20,
        length,
        path,
    }
}

/// A connection by `curl` (pid 4440) of session 1 to a stream socket of a family at an address
/// and port.
pub(crate) fn connection(family: u16, address: [u8; 16], port: u16) -> SocketRecord {
    SocketRecord {
        header: header(Kind::Socket, Operation::Connect),
        actor: task(4440, b"curl"),
        family,
        kind: 1,
        port,
        reserved: 0,
        address,
        length: 0,
        device: 0,
        path: [b'?'; PATH_BUFFER],
    }
}

/// A connection to a Unix socket on the device 254:0; `path` is from the leaf up.
pub(crate) fn unix_connection(path: &[u8]) -> SocketRecord {
    let (path, length) = leaf_first(path);
    SocketRecord {
        length,
        device: 254 << 20,
        path,
        ..connection(1, [0; 16], 0)
    }
}

/// The use of a facility by `date` (pid 4460) of session 1.
pub(crate) fn use_of(facility: Facility, capability: u32) -> MachineRecord {
    MachineRecord {
        header: Header {
            detail: facility as u8,
            ..header(Kind::Machine, Operation::Machine)
        },
        actor: task(4460, b"date"),
        capability,
        number: NO_NUMBER,
    }
}

/// A machine with one disk (254:0), a user 1000 and a cgroup 42. It booted at 14:00 on
/// 22 November 2026.
#[derive(Debug, Default)]
pub(crate) struct MadeUp {
    /// How often the mount table was read again.
    pub(crate) reread: u32,
    /// Whether the disk 8:1 is mounted, once the table has been read again.
    pub(crate) mounted: bool,
    /// How often users were looked up.
    pub(crate) asked: u32,
}

impl Host for MadeUp {
    fn visible(&mut self, device: u32, path: &[u8]) -> Option<PathBuf> {
        use std::os::unix::ffi::OsStrExt;
        let path = Path::new(std::ffi::OsStr::from_bytes(path));
        if device == 254 << 20 {
            Some(Path::new("/").join(path))
        } else if device == (8 << 20 | 1) && self.mounted && self.reread > 0 {
            Some(Path::new("/mnt").join(path))
        } else {
            None
        }
    }

    fn reread_mounts(&mut self) {
        self.reread += 1;
    }

    fn executable(&mut self, task: &Task) -> Option<PathBuf> {
        (task.pid == 812).then(|| "/usr/lib/postgresql/15/bin/postgres".into())
    }

    fn running(&mut self, pid: u32) -> Option<Running> {
        let (comm, parent): (&[u8], u32) = match pid {
            1 => (b"init", 0),
            4200 => (b"node", 1),
            4250 => (b"bash", 4200),
            4300 => (b"m\xffke", 4250),
            // Nobody has these pids any more but for somebody who came later.
            4305 => (b"late", 4200),
            // Each of them made the next one.
            6000..7000 => (b"deep", pid - 1),
            _ => return None,
        };
        let start = if pid == 4305 {
            u64::MAX
        } else {
            u64::from(pid) * 10_000_000
        };
        Some(Running {
            comm: comm.to_vec(),
            parent,
            start,
        })
    }

    fn cgroup(&mut self, id: u64) -> Option<PathBuf> {
        (id == 42).then(|| "/system.slice/postgresql.service".into())
    }

    fn user(&mut self, uid: u32) -> UserName {
        self.asked += 1;
        match uid {
            4000 => UserName::Asked,
            _ => UserName::Known((uid == 1000).then(|| "ann".to_owned())),
        }
    }

    fn boot_time(&mut self) -> std::time::Duration {
        std::time::Duration::from_millis(
            Time::parse("2026-11-22T14:00:00Z")
                .expect("a time")
                .milliseconds() as u64,
        )
    }
}
