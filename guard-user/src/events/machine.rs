//! The real machine behind the resolver.

use super::resolve::Host;
use super::users::{UserName, Users};
use crate::system::cgroups::Cgroups;
use crate::system::mounts::Mounts;
use crate::system::{clock, processes};
use guard_ebpf::record::Task;
use std::path::PathBuf;
use std::time::Duration;

/// The machine that this process runs on.
#[derive(Debug, Default)]
pub struct Machine {
    mounts: Mounts,
    cgroups: Option<Cgroups>,
    users: Users,
}

impl Machine {
    /// A machine whose mounts will be read when they are first needed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Host for Machine {
    fn visible(&mut self, device: u32, path: &[u8]) -> Option<PathBuf> {
        self.mounts.visible(device, path)
    }

    fn reread_mounts(&mut self) {
        // Without a readable table the one before is the best there is.
        if let Ok(mounts) = Mounts::read() {
            self.mounts = mounts;
        }
    }

    fn executable(&mut self, task: &Task) -> Option<PathBuf> {
        processes::executable(task.pid, task.start, task.executable.inode)
    }

    fn running(&mut self, pid: u32) -> Option<processes::Running> {
        processes::running(pid)
    }

    fn cgroup(&mut self, id: u64) -> Option<PathBuf> {
        if self.cgroups.is_none() {
            self.cgroups = Mounts::read()
                .and_then(|mounts| Cgroups::open(&mounts))
                .ok();
        }
        self.cgroups.as_ref()?.path(id)
    }

    fn user(&mut self, uid: u32) -> UserName {
        self.users.name(uid)
    }

    fn boot_time(&mut self) -> Duration {
        clock::boot_time()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::record::{FileTarget, FsPath};
    use crate::events::resolve::Resolver;
    use std::time::Instant;

    #[test]
    fn this_machines_own_things_are_named() {
        let mounts = Mounts::read().expect("proc is mounted");
        let own = std::path::Path::new("/proc/self");
        let place = mounts.locate(own).expect("located");
        let target = FileTarget {
            inode: 1,
            device: place.device,
            path: FsPath {
                bytes: b"self".to_vec(),
                truncated: false,
            },
            directory: true,
            how: None,
        };
        let mut resolver = Resolver::new(Machine::new());
        let file = resolver.file(&target, true, Instant::now());
        assert_eq!(file.path, "/proc/self");
        let root = Task {
            pid: 1,
            ..Task::default()
        };
        let process = resolver.process(&root, Instant::now());
        let name = crate::system::users::by_uid(0)
            .expect("readable")
            .map(|user| user.name);
        assert!(name.is_some());
        assert_eq!(process.user, name);
        assert_eq!(process.exe, None, "its key is unknown");
    }
}
