//! Command lines: having the programs keep them, and what they have kept.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use aya::maps::MapData;
use guard_ebpf::abi::{COMMAND_LEN, MAX_TASKS};
use guard_ebpf::command::{Command, EarlierKey};
use nix::unistd::Pid;

use super::maps::full;
use super::shared::Shared;
use super::{Engine, load, storage};
use crate::session::raw::pidfd_open;
use crate::system::processes;

/// How often the processes are gone through for those that are not known yet: a child of one that was
/// not known when it was made has to be found itself.
const ROUNDS: usize = 16;

/// What a process needs to come from the beginning of its execution to its arguments.
const PATIENCE: Duration = Duration::from_millis(2);

impl Engine {
    /// Has command lines kept from now on, and tells those of the processes that run. Whatever executes
    /// something meanwhile is known by that. A process of which nothing can be found out is one whose
    /// command line is not known.
    pub(super) fn keep_commands(&mut self) -> Result<()> {
        let kept = self.maps.kept.get(&0, 0);
        if kept.context("it can't be read whether command lines are kept")? != 0 {
            return Ok(());
        }
        let kept = self.maps.kept.set(0, 1, 0);
        kept.context("command lines can't be kept")?;
        let told = self.tell_earlier();
        if told.is_err() {
            // So that the next policy does not take them for known.
            let _ = self.maps.kept.set(0, 0, 0);
        }
        told
    }

    fn tell_earlier(&mut self) -> Result<()> {
        let mut known = HashSet::new();
        for _ in 0..ROUNDS {
            let mut is_complete = true;
            for pid in processes::pids() {
                let Some(start) = processes::start(pid) else {
                    continue;
                };
                if known.contains(&(pid, start)) {
                    continue;
                }
                let Some(command) = command_of(pid) else {
                    // Threads of the kernel's have no executable, nor have those that have ended.
                    is_complete &= fs::read_link(format!("/proc/{pid}/exe")).is_err();
                    continue;
                };
                is_complete = false;
                let key = EarlierKey {
                    pid,
                    reserved: 0,
                    start,
                };
                self.maps
                    .earlier
                    .insert(Shared(key), Shared(command), 0)
                    .map_err(|error| full(error, "command lines", MAX_TASKS))?;
                known.insert((pid, start));
            }
            if is_complete {
                break;
            }
            std::thread::sleep(PATIENCE);
        }
        Ok(())
    }

    /// What a process was executed with, the arguments with a space between them, as the programs have
    /// it; none when it is not known. Before 6.2 they go by the addresses of tasks, which are not known
    /// here: there it is what `/proc` shows, which the process can change.
    pub fn command_of(&self, pid: u32) -> Option<Vec<u8>> {
        if self.features.labels_in_table {
            return joined(&command_of(pid)?);
        }
        let commands = MapData::from_pin(load::pin_directory().join("COMMANDS")).ok()?;
        let process = pidfd_open(Pid::from_raw(pid as i32)).ok()?;
        let map = commands.fd().as_fd();
        let kept: io::Result<Option<_>> =
            storage::get(map, process.as_fd(), Shared(Command::UNKNOWN));
        if let Some(Shared(command)) = kept.ok()? {
            return joined(&command);
        }
        let key = EarlierKey {
            pid,
            reserved: 0,
            start: processes::start(pid)?,
        };
        joined(&self.maps.earlier.get(&Shared(key), 0).ok()?.0)
    }
}

fn joined(command: &Command) -> Option<Vec<u8>> {
    command.joined().map(Iterator::collect)
}

/// What `/proc` says that a process was executed with. None for one that has no arguments yet, and for
/// threads of the kernel's, which never have.
fn command_of(pid: u32) -> Option<Command> {
    let text = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    from_proc(&text)
}

fn from_proc(text: &[u8]) -> Option<Command> {
    if text.is_empty() {
        return None;
    }
    let mut command = Command::UNKNOWN;
    let length = text.len().min(COMMAND_LEN);
    command.text[..length].copy_from_slice(&text[..length]);
    command.length = length as u32;
    let is_ended = text.ends_with(&[0]);
    if text.len() + usize::from(!is_ended) <= COMMAND_LEN {
        // One that wrote over its arguments may have left no NUL at the end.
        command.length += u32::from(!is_ended);
        let arguments = command.text[..command.length as usize].split(|&byte| byte == 0);
        // Behind the last NUL stands nothing.
        command.arguments = arguments.count() as u32 - 1;
    }
    Some(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proc_shows_is_taken_as_a_whole_or_not_at_all() {
        let taken = |text: &[u8]| joined(&from_proc(text).expect("arguments"));
        assert_eq!(taken(b"node\0a.js\0"), Some(b"node a.js".to_vec()));
        assert_eq!(
            taken(b"nginx: master\0\0\0"),
            Some(b"nginx: master".to_vec())
        );
        assert_eq!(taken(b"title"), Some(b"title".to_vec()));
        assert_eq!(taken(&[b'a'; COMMAND_LEN]), None);
        let mut longest = vec![b'a'; COMMAND_LEN - 1];
        assert_eq!(taken(&longest), Some(longest.clone()));
        longest.push(0);
        assert_eq!(taken(&longest), Some(longest[..COMMAND_LEN - 1].to_vec()));
        assert!(from_proc(b"").is_none());
    }
}
