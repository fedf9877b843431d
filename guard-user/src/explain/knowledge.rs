//! What has to be known of a session beside its policy, by whoever knows it: the server, of those that
//! run; nobody, of those that could.

use std::os::fd::BorrowedFd;

use anyhow::Result;
use guard_ebpf::grant::GrantKey;

use super::further;

/// Whose own a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// No session's, as far as is known.
    Nobody,
    /// A session has made it.
    Made(u32),
    /// It lies in a directory that a session has made.
    Below(u32),
    /// A session has made it, and the kernel has dropped it from memory since.
    Remembered(u32),
}

/// What is known of the session beside its policy.
pub trait Knowledge {
    /// The sessions of processes, in their order.
    fn sessions_of(&self, pids: &[u32]) -> Result<Vec<Option<u32>>>;
    /// The session of a process.
    fn session_of(&self, pid: u32) -> Result<Option<u32>> {
        Ok(self.sessions_of(&[pid])?.pop().flatten())
    }
    /// What a process was executed with, the arguments with a space between them, as far as it is known.
    fn command_of(&self, pid: u32) -> Option<Vec<u8>>;
    /// Whose own a file is, by a descriptor of it (`O_PATH` will do).
    fn whose(&self, file: BorrowedFd<'_>) -> Result<Whose>;
    /// The session that has made a socket; none for others.
    fn maker_of(&self, socket: BorrowedFd<'_>) -> Option<u32>;
    /// Whether a process is one of guard's.
    fn is_guard(&self, pid: u32) -> bool;
    /// Whether a session has exceeded one of its policy's limits.
    fn has_exceeded(&self, session: u32, limit: u8) -> bool;
    /// What persons have granted a session, as far as it holds still.
    fn granted(&self, session: u32) -> Vec<GrantKey>;
    /// What a session is called.
    fn name(&self, session: u32) -> String;
}

/// Nothing is any session's own.
pub struct Nothing;

impl Knowledge for Nothing {
    fn sessions_of(&self, pids: &[u32]) -> Result<Vec<Option<u32>>> {
        Ok(vec![None; pids.len()])
    }

    fn command_of(&self, pid: u32) -> Option<Vec<u8>> {
        further::command(pid)
    }

    fn whose(&self, _: BorrowedFd<'_>) -> Result<Whose> {
        Ok(Whose::Nobody)
    }

    fn maker_of(&self, _: BorrowedFd<'_>) -> Option<u32> {
        None
    }

    fn is_guard(&self, _: u32) -> bool {
        false
    }

    fn has_exceeded(&self, _: u32, _: u8) -> bool {
        false
    }

    fn granted(&self, _: u32) -> Vec<GrantKey> {
        Vec::new()
    }

    fn name(&self, session: u32) -> String {
        format!("#{session}")
    }
}
