//! The resolver: from what the kernel calls processes, files and sockets to what people call them.
//!
//! It asks the machine through [`Host`] and remembers the answers within bounds. It never
//! guesses: what can't be known for sure is none.

use super::bounded::Bounded;
use super::event::{Ancestor, File, Machine, Process, Socket};
use super::record::{FileTarget, FsPath, MachineTarget, SocketPlace, SocketTarget};
use super::text::{Raw, text};
use super::time::Time;
use super::users::UserName;
use crate::system::processes::Running;
use crate::system::{capabilities, families};
use guard_ebpf::record::{ExecutableKey, Task};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What the resolver asks of the machine. The real one is [`super::machine::Machine`].
pub trait Host {
    /// Where a file can be seen that lies at `path` from the root of a file system.
    fn visible(&mut self, device: u32, path: &[u8]) -> Option<PathBuf>;

    /// Reads the mount table again.
    fn reread_mounts(&mut self);

    /// The path of a task's executable, if the process still runs and still has it.
    fn executable(&mut self, task: &Task) -> Option<PathBuf>;

    /// The process that has a pid now.
    fn running(&mut self, pid: u32) -> Option<Running>;

    /// The path of a cgroup below the cgroup2 mount.
    fn cgroup(&mut self, id: u64) -> Option<PathBuf>;

    /// The name of a user, as far as it is known without waiting.
    fn user(&mut self, uid: u32) -> UserName;

    /// How much later the time of day is than the time since boot.
    fn boot_time(&mut self) -> Duration;
}

/// How many executables are remembered.
const EXECUTABLES: usize = 4096;

/// How many cgroups and users are remembered.
const OTHERS: usize = 1024;

/// How many ancestors of an actor are told at most.
pub const MAX_ANCESTORS: usize = 16;

/// How long a user's name, or its absence, is taken to stay true.
const USER_AGE: Duration = Duration::from_mins(10);

/// How long a user whose name is being looked up has none.
const USER_REST: Duration = Duration::from_secs(1);

/// How long the mount table is taken to stay true. A device that it does not have is a
/// reason to read it earlier, though never more often than [`MOUNTS_REST`].
const MOUNTS_AGE: Duration = Duration::from_secs(1);

/// How long the mount table is left alone however often it is found wanting.
const MOUNTS_REST: Duration = Duration::from_millis(100);

/// The resolver.
#[derive(Debug)]
pub struct Resolver<H> {
    host: H,
    executables: Bounded<ExecutableKey, FsPath>,
    cgroups: Bounded<u64, PathBuf>,
    /// Names of users, and until when they are taken to be true.
    users: Bounded<u32, (Instant, Option<String>)>,
    mounts_read: Option<Instant>,
}

impl<H: Host> Resolver<H> {
    /// A resolver that knows nothing yet.
    pub fn new(host: H) -> Self {
        Self {
            host,
            executables: Bounded::new(EXECUTABLES),
            cgroups: Bounded::new(OTHERS),
            users: Bounded::new(OTHERS),
            mounts_read: None,
        }
    }

    /// Remembers where an executable lies.
    pub fn learn(&mut self, key: ExecutableKey, path: FsPath) {
        self.executables.insert(key, path);
    }

    /// The time of day of a record's time.
    pub fn time(&mut self, since_boot: u64) -> Time {
        let boot = self.host.boot_time();
        Time::since_epoch(boot.saturating_add(Duration::from_nanos(since_boot)))
    }

    /// A task in people's words.
    pub fn process(&mut self, task: &Task, now: Instant) -> Process {
        let mut raw = Raw::new();
        let comm = task.comm.split(|&byte| byte == 0).next().unwrap_or(&[]);
        let exe = self.executable(task, now);
        let cgroup = self.cgroup(task.cgroup);
        Process {
            pid: task.pid,
            tid: task.tid,
            comm: text("comm", comm, &mut raw),
            exe: exe.map(|path| text("exe", &path, &mut raw)),
            uid: task.uid,
            user: self.user(task.uid, now),
            cgroup: cgroup.map(|path| text("cgroup", path.as_os_str().as_bytes(), &mut raw)),
            ancestors: None,
            raw,
        }
    }

    /// The processes of a session that a task of it comes from, its parent first.
    ///
    /// `None` when that cannot be known any more: who its parent was is known from the record,
    /// everything else from processes that still run. `sessions_of` says which sessions processes are
    /// in.
    pub fn ancestors(
        &mut self,
        task: &Task,
        session: u32,
        sessions_of: impl FnOnce(&[u32]) -> Vec<Option<u32>>,
    ) -> Option<Vec<Ancestor>> {
        let mut found: Vec<(u32, Running)> = Vec::new();
        let (mut pid, mut start) = (task.parent, task.start);
        // One more, to know that the last one is the last.
        while pid != 0 && found.len() <= MAX_ANCESTORS {
            // Who started later than its child has the pid of a parent that is gone.
            let Some(running) = self.host.running(pid).filter(|it| it.start <= start) else {
                break;
            };
            let child = (pid, running);
            (pid, start) = (child.1.parent, child.1.start);
            found.push(child);
        }
        let pids: Vec<u32> = found.iter().map(|(pid, _)| *pid).collect();
        let sessions = sessions_of(&pids);
        let members = sessions.iter().take_while(|it| **it == Some(session));
        let members = members.count().min(MAX_ANCESTORS);
        // Who has ended meanwhile is in no session.
        if members == 0 && self.host.running(*pids.first()?) != Some(found.first()?.1.clone()) {
            return None;
        }
        found.truncate(members);
        let ancestor = |(pid, running): (u32, Running)| {
            let mut raw = Raw::new();
            let comm = text("comm", &running.comm, &mut raw);
            Ancestor { pid, comm, raw }
        };
        Some(found.into_iter().map(ancestor).collect())
    }

    /// A file in people's words. `connected` is false when the file's path does not lead to
    /// the root of its file system.
    pub fn file(&mut self, target: &FileTarget, connected: bool, now: Instant) -> File {
        let mut raw = Raw::new();
        let path = if connected {
            self.path(target.device, &target.path, now)
        } else {
            without_beginning(&target.path.bytes)
        };
        File {
            path: text("path", &path, &mut raw),
            directory: target.directory,
            how: target.how,
            device: device(target.device),
            inode: (target.inode != 0).then_some(target.inode),
            raw,
        }
    }

    /// A socket in people's words. `connected` is as in [`Resolver::file`].
    pub fn socket(&mut self, target: &SocketTarget, connected: bool, now: Instant) -> Socket {
        let mut socket = Socket {
            family: families::name(target.family),
            socktype: families::socktype(target.socktype),
            address: None,
            port: None,
            path: None,
            r#abstract: None,
            raw: Raw::new(),
        };
        match &target.place {
            SocketPlace::Internet(address, port) => {
                socket.address = Some(address.to_string());
                socket.port = Some(*port);
            }
            SocketPlace::File(device, path) => {
                let path = if connected {
                    self.path(*device, path, now)
                } else {
                    without_beginning(&path.bytes)
                };
                socket.path = Some(text("path", &path, &mut socket.raw));
            }
            SocketPlace::Abstract(name) => {
                socket.r#abstract = Some(text("abstract", name, &mut socket.raw));
            }
            SocketPlace::Unknown => {}
        }
        socket
    }

    fn executable(&mut self, task: &Task, now: Instant) -> Option<Vec<u8>> {
        if task.executable.inode == 0 {
            return None;
        }
        if let Some(path) = self.executables.get(&task.executable).cloned() {
            return Some(self.path(task.executable.device, &path, now));
        }
        let path = self.host.executable(task)?;
        Some(path.into_os_string().into_encoded_bytes())
    }

    fn cgroup(&mut self, id: u64) -> Option<PathBuf> {
        // The sender of a signal that an open file sends is known by its pid alone.
        if id == 0 {
            return None;
        }
        if let Some(path) = self.cgroups.get(&id) {
            return Some(path.clone());
        }
        // Numbers are not used again and cgroups can't be renamed, so what is found stays true.
        let path = self.host.cgroup(id)?;
        self.cgroups.insert(id, path.clone());
        Some(path)
    }

    fn user(&mut self, uid: u32, now: Instant) -> Option<String> {
        if let Some((until, name)) = self.users.get(&uid)
            && now < *until
        {
            return name.clone();
        }
        let (age, name) = match self.host.user(uid) {
            UserName::Known(name) => (USER_AGE, name),
            UserName::Asked => (USER_REST, None),
        };
        self.users.insert(uid, (now + age, name.clone()));
        name
    }

    /// A path in the visible tree; `<dev 8:1>/path` when its file system can't be seen, and
    /// `…/path` when its beginning isn't known.
    fn path(&mut self, number: u32, path: &FsPath, now: Instant) -> Vec<u8> {
        if path.truncated {
            return without_beginning(&path.bytes);
        }
        self.refresh_mounts(MOUNTS_AGE, now);
        let mut seen = self.host.visible(number, &path.bytes);
        if seen.is_none() && self.refresh_mounts(MOUNTS_REST, now) {
            seen = self.host.visible(number, &path.bytes);
        }
        if let Some(path) = seen {
            return path.into_os_string().into_encoded_bytes();
        }
        let mut shown = format!("<dev {}>/", device(number)).into_bytes();
        shown.extend_from_slice(&path.bytes);
        shown
    }

    /// Reads the mount table again if it is at least so old.
    fn refresh_mounts(&mut self, age: Duration, now: Instant) -> bool {
        let fresh = self
            .mounts_read
            .is_some_and(|read| now.saturating_duration_since(read) < age);
        if !fresh {
            self.host.reread_mounts();
            self.mounts_read = Some(now);
        }
        !fresh
    }
}

/// What was used of the machine, in people's words.
#[must_use]
pub fn machine(target: MachineTarget) -> Machine {
    Machine {
        facility: target.facility,
        capability: target.capability.map(capabilities::name),
        number: target.number,
    }
}

fn without_beginning(path: &[u8]) -> Vec<u8> {
    ["…/".as_bytes(), path].concat()
}

/// A device number as people write it.
fn device(number: u32) -> String {
    format!("{}:{}", number >> 20, number & ((1 << 20) - 1))
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
