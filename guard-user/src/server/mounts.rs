//! File systems that go while sessions run. A rule that lets something through counts on the file
//! systems that were there when its session started, and knows them by number. The kernel uses
//! the number of one that was unmounted again, so what the rule says of it is forgotten at once:
//! what is mounted next under the number is nowhere let through.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::rc::Rc;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::core::{Server, log};
use crate::system::mounts::{Mount, Mounts, TABLE};

impl Server {
    /// Keeps sessions' policies from counting on file systems that have gone.
    pub(super) async fn follow_mounts(self: Rc<Self>) {
        if let Err(error) = self.watch_mounts().await {
            log(&format!(
                "mounts can no longer be watched ({error}): rules of running sessions that let \
                 something through may count for other file systems, once those that they are \
                 about are unmounted"
            ));
        }
    }

    async fn watch_mounts(&self) -> io::Result<()> {
        let table = File::open(TABLE)?;
        // A change of the table is out of the ordinary for the kernel (proc(5), `POLLPRI`).
        // SAFETY: the file is owned by what is handed over, which nothing replaces, so its
        // descriptor stays open and the same as long as it is registered.
        let table = unsafe { AsyncFd::register_with_interest(table, Interest::PRIORITY) }?;
        loop {
            // What changed before the table was watched is seen here.
            let ids: Vec<u32> = self.inner.borrow().sessions.keys().copied().collect();
            for id in ids {
                self.forget_gone(id);
            }
            let mut ready = table.ready(Interest::PRIORITY).await?;
            ready.clear_ready();
        }
    }

    /// Has a session's policy forget the file systems that have gone since the session started.
    pub(super) fn forget_gone(&self, id: u32) {
        let now = match Mounts::read() {
            Ok(now) => now,
            Err(error) => {
                log(&format!("the mount table can't be read: {error}"));
                return;
            }
        };
        let mut inner = self.inner.borrow_mut();
        let Some(session) = inner.sessions.get_mut(&id) else {
            return;
        };
        let (gone, left) = gone(&session.state.mounts, &now);
        if gone.is_empty() {
            return;
        }
        session.state.mounts = left;
        let in_force = session.state.in_force();
        drop(inner);
        let Some(policy) = in_force else { return };
        let gone: Vec<u32> = gone.into_iter().collect();
        if let Err(error) = self.with_engine(|engine| engine.forget_file_systems(policy, &gone)) {
            log(&format!(
                "the policy of session #{id} still counts on a file system that was unmounted: \
                 {error:#}"
            ));
        }
        self.save(id);
    }

    /// Whether file systems have gone that a policy was compiled for.
    pub(super) fn has_lost(&self, id: u32, mounts: &str) -> bool {
        let inner = self.inner.borrow();
        let session = inner.sessions.get(&id);
        session.is_some_and(|session| session.state.mounts != mounts)
    }
}

/// The file systems of a table none of whose mounts are there any more, and the table without
/// them. A mount is the same when it has the same number and shows the same of the same file
/// system, wherever it was moved.
fn gone(table: &str, now: &Mounts) -> (BTreeSet<u32>, String) {
    let is_there = |mount: &Mount| {
        now.iter().any(|other| {
            (other.id, other.device, &other.root, &other.kind)
                == (mount.id, mount.device, &mount.root, &mount.kind)
        })
    };
    let lines: Vec<(&str, Mount)> = table
        .lines()
        .filter_map(|line| Some((line, Mounts::parse(line).ok()?.iter().next()?.clone())))
        .collect();
    let left: BTreeSet<u32> = lines
        .iter()
        .filter(|(_, mount)| is_there(mount))
        .map(|(_, mount)| mount.device)
        .collect();
    let is_left = |mount: &Mount| left.contains(&mount.device);
    let gone = lines.iter().filter(|(_, mount)| !is_left(mount));
    let gone = gone.map(|(_, mount)| mount.device).collect();
    let rest = lines.iter().filter(|(_, mount)| is_left(mount));
    let rest: String = rest.flat_map(|(line, _)| [line, "\n"]).collect();
    (gone, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
20 1 8:1 / / rw - ext4 /dev/sda1 rw
21 20 0:30 / /run/user/1000 rw - tmpfs tmpfs rw
22 20 0:31 / /tmp rw - tmpfs tmpfs rw
23 20 0:31 /x /srv/x rw - tmpfs tmpfs rw
";

    fn gone_with(now: &str) -> (Vec<u32>, usize) {
        let (gone, left) = gone(TABLE, &Mounts::parse(now).unwrap());
        (gone.into_iter().collect(), left.lines().count())
    }

    #[test]
    fn a_file_system_has_gone_with_its_last_mount() {
        assert_eq!(gone_with(TABLE), (vec![], 4));
        let moved = TABLE.replace("/run/user/1000", "/elsewhere");
        assert_eq!(gone_with(&moved), (vec![], 4));
        let one_less = TABLE.replace("23 20 0:31 /x", "24 20 8:1 /x");
        assert_eq!(gone_with(&one_less), (vec![], 4));
        let without = TABLE.replace("21 20 0:30", "24 20 0:40");
        assert_eq!(gone_with(&without), (vec![30], 3));
    }

    #[test]
    fn another_file_system_of_the_same_number_is_another() {
        let overlay = TABLE.replace(
            "21 20 0:30 / /run/user/1000 rw - tmpfs",
            "21 20 0:30 / /merged rw - overlay",
        );
        assert_eq!(gone_with(&overlay), (vec![30], 3));
        let later = TABLE.replace("21 20 0:30", "29 20 0:30");
        assert_eq!(gone_with(&later), (vec![30], 3));
    }
}
