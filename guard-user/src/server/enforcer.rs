//! What the server needs of an engine. The kernel's is the one; tests have another, so that
//! everything around it can be proved without loading a program.

use std::os::fd::{AsRawFd, BorrowedFd};

use anyhow::Result;
use guard_ebpf::grant::{Grant, GrantKey};
use guard_ebpf::session::Counters;

use crate::explain::Whose;
use crate::policy::compiled::Compiled;

/// A policy that the engine holds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(deny_unknown_fields)]
pub struct Installed {
    /// Its slot.
    pub slot: u32,
    /// Its id, never used again on this engine.
    pub id: u32,
}

/// What the engine can and can't do on this kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Features {
    /// The kernel's release.
    pub kernel: String,
    /// Everything else that is worth a word, as `guard status --json` shows it.
    pub details: serde_json::Value,
    /// What cannot be enforced on this kernel, a sentence each.
    pub degradations: Vec<String>,
    /// What cannot be enforced on this kernel on sessions of root.
    #[serde(default)]
    pub degradations_of_root: Vec<String>,
}

/// An engine: loaded, attached and pinned.
pub trait Enforcer {
    /// What it can do here.
    fn features(&self) -> Features;
    /// Puts a compiled policy into the kernel, for no session yet.
    fn install(&mut self, compiled: &Compiled) -> Result<Installed>;
    /// Takes a policy out that no session points to.
    fn retire(&mut self, installed: Installed) -> Result<()>;
    /// Has a policy forget what it says of file systems, which are judged from then on like those
    /// that nobody knew of when it was compiled.
    fn forget_file_systems(&mut self, policy: Installed, devices: &[u32]) -> Result<()>;
    /// Starts a session of a name, without processes, and returns its number.
    fn start_session(&mut self, policy: Installed, name: &str) -> Result<u32>;
    /// Gives a session another policy, in one step.
    fn set_policy(&mut self, session: u32, policy: Installed) -> Result<()>;
    /// Which limits of its policy's rules a session has exceeded.
    fn exceeded(&self, session: u32) -> Result<Vec<u8>>;
    /// Has a session begin anew with all limits.
    fn lift_limits(&mut self, session: u32) -> Result<()>;
    /// Lets a session do something although a rule refuses it. What was granted before for just this
    /// begins anew.
    fn grant(&mut self, key: GrantKey, grant: Grant) -> Result<()>;
    /// What a session was granted, what has expired included.
    fn grants(&self, session: u32) -> Result<Vec<(GrantKey, Grant)>>;
    /// Takes a grant back. One that is gone already is fine.
    fn revoke(&mut self, key: GrantKey) -> Result<()>;
    /// Ends a session that has no processes.
    fn end_session(&mut self, session: u32) -> Result<()>;
    /// Labels whatever is moved into the cgroup of this id.
    fn add_cgroup(&mut self, cgroup: u64, session: u32) -> Result<()>;
    /// Stops labelling what is moved into a cgroup.
    fn remove_cgroup(&mut self, cgroup: u64) -> Result<()>;
    /// All sessions with their policies.
    fn sessions(&self) -> Result<Vec<(u32, Installed)>>;
    /// The policy in force for a session, without the names of its rules.
    fn policy_of(&self, session: u32) -> Result<Compiled>;
    /// What a process was executed with, the arguments with a space between them; none when it is not
    /// known.
    fn command_of(&self, _pid: u32) -> Option<Vec<u8>> {
        None
    }
    /// The session that has made a socket; none for others.
    fn maker_of(&self, _socket: BorrowedFd<'_>) -> Option<u32> {
        None
    }
    /// Whose own a file is.
    fn whose(&self, file: BorrowedFd<'_>) -> Result<Whose>;
    /// What a session did so far.
    fn counters(&self, session: u32) -> Result<Counters>;
    /// The session of a process; `None` for one that is not guarded or not there.
    fn session_of(&self, pid: u32) -> Result<Option<u32>> {
        Ok(self.sessions_of(&[pid])?.pop().flatten())
    }
    /// The sessions of processes, in their order.
    fn sessions_of(&self, pids: &[u32]) -> Result<Vec<Option<u32>>>;
    /// The processes of a session, wherever they have gone.
    fn members(&self, session: u32) -> Result<Vec<u32>>;
    /// Gives up tasks whose ends were not counted, of a session that has no process any more.
    fn forget_lost_tasks(&mut self, session: u32) -> Result<()>;
    /// Makes a process one of guard's own, out of reach for every session.
    fn protect(&mut self, pid: u32) -> Result<()>;
    /// Whether a process is one of guard's own.
    fn is_protected(&self, pid: u32) -> bool;
    /// Takes that back.
    fn unprotect(&mut self, pid: u32) -> Result<()>;
    /// Lets a session go on writing to a file that it is started with, through its descriptor;
    /// unless another session that lives may: that one then.
    fn give(&self, session: u32, file: BorrowedFd<'_>) -> Result<Option<u32>>;
    /// Makes a listening socket of the server's one that this session may connect to, as if it were its
    /// own.
    fn give_socket(&self, session: u32, socket: BorrowedFd<'_>) -> Result<()>;
    /// Says which addresses are the host's own: IPv6, or IPv4 mapped into it.
    fn set_addresses(&mut self, addresses: &[[u8; 16]]) -> Result<()>;
    /// The records that the kernel writes.
    fn records(&mut self) -> Result<Box<dyn RecordSource>>;
    /// Takes the engine out of the kernel.
    fn unpin(self: Box<Self>) -> Result<()>;
}

/// The ring of records: readable (`epoll`) when there are any.
pub trait RecordSource: AsRawFd {
    /// Hands over the records that are there, at most `limit`, and says how many.
    fn drain(&mut self, limit: usize, take: &mut dyn FnMut(&[u8])) -> usize;
}

/// How a server comes to its engine.
pub trait Engines {
    /// Adopts what is pinned; `None` when nothing is.
    fn open(&self) -> Result<Option<Box<dyn Enforcer>>>;
    /// Loads, attaches and pins an engine.
    fn load(&self) -> Result<Box<dyn Enforcer>>;
}
