//! Which processes belong to which sessions.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;

use anyhow::{Context, Result};
use aya::maps::MapData;
use guard_ebpf::record::Member;
use guard_ebpf::session::Label;
use nix::unistd::Pid;

use super::shared::Shared;
use super::{Engine, load, storage};
use crate::session::raw::pidfd_open;

impl Engine {
    /// The processes that belong to sessions. A process that has left its session's cgroup
    /// is among them.
    pub fn members(&self) -> Result<Vec<Member>> {
        let path = load::pin_directory().join("tasks");
        let mut bytes = Vec::new();
        File::open(&path)
            .and_then(|mut file| file.read_to_end(&mut bytes))
            .with_context(|| format!("{} cannot be read", path.display()))?;
        let word = |bytes: &[u8]| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        Ok(bytes
            .chunks_exact(size_of::<Member>())
            .map(|chunk| Member {
                pid: word(chunk),
                session: word(&chunk[4..]),
            })
            .collect())
    }

    /// The sessions of processes, by their numbers in the first pid namespace; none for one that
    /// belongs to none, or is not there.
    ///
    /// Where labels lie in task storage, each process is asked for its own. The table of older
    /// kernels goes by addresses: there all processes of the machine are gone through, once.
    pub fn sessions_of(&self, pids: &[u32]) -> Result<Vec<Option<u32>>> {
        if self.features.labels_in_table {
            let members = self.members()?;
            let session_of = |pid: &u32| {
                let member = members.iter().find(|member| member.pid == *pid);
                member.map(|member| member.session)
            };
            return Ok(pids.iter().map(session_of).collect());
        }
        let labels = MapData::from_pin(load::pin_directory().join("LABELS"))
            .context("the labels cannot be opened")?;
        let labels = labels.fd().as_fd();
        let session_of = |pid: &u32| -> io::Result<Option<u32>> {
            // Who has ended has no label, at whichever step that is found.
            let label = pidfd_open(Pid::from_raw(*pid as i32)).and_then(|process| {
                storage::get(labels, process.as_fd(), Shared(Label::default()))
            });
            match label.as_ref().map_err(io::Error::raw_os_error) {
                Err(Some(libc::ESRCH | libc::EINVAL)) => Ok(None),
                _ => Ok(label?.map(|Shared(label)| label.session)),
            }
        };
        let sessions: io::Result<Vec<_>> = pids.iter().map(session_of).collect();
        sessions.context("the label of a process cannot be read")
    }
}
