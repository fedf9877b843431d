//! Sessions in the maps: their policy, cgroups, processes and counters.

use anyhow::{Context, Result, bail, ensure};
use guard_ebpf::abi::MAX_SESSIONS;
use guard_ebpf::session::{self, Counters, MAX_LIMITS, Session, Spent, place};

use super::maps::full;
use super::shared::Shared;
use super::{Engine, Installed};
use crate::system::processes;

/// The size of `CGROUPS`.
const MAX_CGROUPS: u32 = MAX_SESSIONS * 4;
/// The size of `GUARDS`.
const MAX_GUARDS: u32 = 1024;

impl Engine {
    /// Makes a session of a name, with its counters at zero. Returns its number.
    pub fn start_session(&mut self, policy: Installed, name: &str) -> Result<u32> {
        let first = (self.last_session + 1).max(seconds_since_boot()?);
        let sessions = self.sessions()?;
        let taken = |id: u32| {
            sessions
                .iter()
                .any(|(other, ..)| place(*other) == place(id))
        };
        let Some(id) = (first..first + MAX_SESSIONS).find(|id| !taken(*id)) else {
            bail!("there is no room for more sessions: the limit is {MAX_SESSIONS}");
        };
        self.maps
            .counters
            .set(place(id), Shared(Counters::default()), 0)
            .context("the session's counters cannot be set")?;
        self.lift(id)?;
        self.revoke_all(id)?;
        self.point(id, policy, session::name(name.as_bytes()))?;
        self.last_session = id;
        Ok(id)
    }

    /// Puts a policy in force for a session, in one step. Fails when the session has ended.
    pub fn set_policy(&mut self, session: u32, policy: Installed) -> Result<()> {
        // Fails unless its place is its own still.
        self.counters(session)?;
        let before = self.maps.sessions.get(&place(session), 0);
        let name = before.context("the session cannot be read")?.0.name;
        self.point(session, policy, name)
    }

    /// Which limits of its policy's rules a session has exceeded.
    pub fn exceeded(&self, session: u32) -> Result<Vec<u8>> {
        // Fails unless its place is its own still.
        self.counters(session)?;
        let spent = self.maps.spent.get(&place(session), 0);
        let spent = spent.context("the session's limits cannot be read")?.0;
        Ok((0..)
            .zip(spent)
            .filter(|(_, spent)| spent.exceeded != 0)
            .map(|(limit, _)| limit)
            .collect())
    }

    /// Has a session begin anew with all limits.
    pub fn lift_limits(&mut self, session: u32) -> Result<()> {
        self.counters(session)?;
        self.lift(session)
    }

    fn lift(&mut self, session: u32) -> Result<()> {
        let none = [Spent::default(); MAX_LIMITS];
        self.maps
            .spent
            .set(place(session), Shared(none), 0)
            .context("the session's limits cannot be set")
    }

    /// Writes a session into its place.
    fn point(&mut self, session: u32, policy: Installed, name: u64) -> Result<()> {
        let value = Shared(Session {
            id: session,
            slot: policy.slot,
            name,
        });
        self.maps
            .sessions
            .set(place(session), value, 0)
            .context("the session cannot be set")
    }

    /// Removes a session that has no tasks left.
    pub fn end_session(&mut self, session: u32) -> Result<()> {
        let tasks = self.counters(session)?.tasks;
        ensure!(tasks == 0, "the session has {tasks} tasks left");
        // The owners that it set go with it: its number may come again.
        let owned: Vec<u64> = self
            .maps
            .owners
            .iter()
            .filter_map(Result::ok)
            .filter(|(_, owner)| owner.0.session == session)
            .map(|(file, _)| file)
            .collect();
        for file in owned {
            // Another process may have set another owner meanwhile.
            let _ = self.maps.owners.remove(&file);
        }
        self.forget_belongings(session);
        self.revoke_all(session)?;
        let cgroups: Vec<u64> = self
            .maps
            .cgroups
            .iter()
            .filter_map(Result::ok)
            .filter(|(_, owner)| *owner == session)
            .map(|(cgroup, _)| cgroup)
            .collect();
        for cgroup in cgroups {
            self.remove_cgroup(cgroup)?;
        }
        self.maps
            .sessions
            .set(place(session), Shared(Session::default()), 0)
            .context("the session cannot be removed")
    }

    /// Forgets what a session listened on, which IPC objects it made, and which of its files have
    /// gone from memory: room for others.
    fn forget_belongings(&mut self, session: u32) {
        let listeners: Vec<_> = self
            .maps
            .listeners
            .iter()
            .filter_map(Result::ok)
            .filter(|(_, listener)| listener.0.session == session)
            .map(|(place, _)| place)
            .collect();
        for place in listeners {
            // It may have been closed meanwhile.
            let _ = self.maps.listeners.remove(&place);
        }
        let objects: Vec<u64> = self
            .maps
            .ipc_objects
            .iter()
            .filter_map(Result::ok)
            .filter(|(_, owner)| *owner == session)
            .map(|(object, _)| object)
            .collect();
        for object in objects {
            // It may have been freed meanwhile.
            let _ = self.maps.ipc_objects.remove(&object);
        }
        let files: Vec<_> = self
            .maps
            .evicted
            .iter()
            .filter_map(Result::ok)
            .filter(|(_, owner)| *owner == session)
            .map(|(file, _)| file)
            .collect();
        for file in files {
            // It may be in memory again.
            let _ = self.maps.evicted.remove(&file);
        }
    }

    /// Labels whatever is moved into a cgroup from now on. `cgroup` is the inode number of
    /// its directory.
    pub fn add_cgroup(&mut self, cgroup: u64, session: u32) -> Result<()> {
        self.maps
            .cgroups
            .insert(cgroup, session, 0)
            .map_err(|error| full(error, "cgroups", MAX_CGROUPS))
    }

    /// Stops labelling what is moved into a cgroup.
    pub fn remove_cgroup(&mut self, cgroup: u64) -> Result<()> {
        self.maps
            .cgroups
            .remove(&cgroup)
            .context("the cgroup cannot be removed from the engine")
    }

    /// The sessions: number, slot of the policy in force, its number.
    pub fn sessions(&self) -> Result<Vec<(u32, u32, u32)>> {
        let mut sessions = Vec::new();
        for entry in self.maps.sessions.iter() {
            let Session { id, slot, .. } = entry.context("the sessions cannot be listed")?.0;
            if id == 0 {
                continue;
            }
            let policy = self
                .maps
                .policies
                .get(&slot, 0)
                .context("a policy cannot be read")?;
            sessions.push((id, slot, policy.0.id));
        }
        Ok(sessions)
    }

    /// What a session did.
    pub fn counters(&self, session: u32) -> Result<Counters> {
        let entry = self.maps.sessions.get(&place(session), 0);
        let entry = entry.context("the session cannot be read")?;
        ensure!(
            entry.0.id == session,
            "there is no session with the number {session}"
        );
        let counters = self
            .maps
            .counters
            .get(&place(session), 0)
            .context("the session's counters cannot be read")?;
        Ok(counters.0)
    }

    /// Takes a process among the guard's own, which no policy can give up.
    pub fn protect(&mut self, pid: u32) -> Result<()> {
        let start = start_ticks(pid)?;
        self.maps
            .guards
            .insert(pid, start, 0)
            .map_err(|error| full(error, "processes of guard", MAX_GUARDS))
    }

    /// Whether a process is one of the guard's own.
    pub fn is_protected(&self, pid: u32) -> bool {
        let start = self.maps.guards.get(&pid, 0);
        start.is_ok_and(|start| start_ticks(pid).is_ok_and(|now| now == start))
    }

    /// Takes a process out of the guard's own.
    pub fn unprotect(&mut self, pid: u32) -> Result<()> {
        match self.maps.guards.remove(&pid) {
            Err(aya::maps::MapError::SyscallError(error))
                if error.io_error.raw_os_error() == Some(libc::ENOENT) =>
            {
                Ok(())
            }
            result => result.context("the process cannot be taken out of the guard's own"),
        }
    }
}

/// When a process started, in clock ticks (of which there are 100 a second on every
/// architecture, `USER_HZ`) since boot.
fn start_ticks(pid: u32) -> Result<u64> {
    processes::start(pid).with_context(|| format!("/proc/{pid}/stat cannot be read"))
}

fn seconds_since_boot() -> Result<u32> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: a valid place for the result.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    ensure!(result == 0, "the clock cannot be read");
    Ok(u32::try_from(time.tv_sec).unwrap_or(u32::MAX / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_of_a_process_is_after_that_of_its_parent() {
        let own = start_ticks(std::process::id()).unwrap();
        let parent = start_ticks(std::os::unix::process::parent_id()).unwrap();
        assert!(own >= parent && parent > 0);
        assert!(start_ticks(u32::MAX).is_err());
    }
}
