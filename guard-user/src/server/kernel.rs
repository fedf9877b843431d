//! The kernel's engine, as the server sees it.

use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::path::Path;

use anyhow::{Context, Result};
use guard_ebpf::grant::{Grant, GrantKey};
use guard_ebpf::session::Counters;
use nix::mount::{MsFlags, mount};

use super::enforcer::{Enforcer, Engines, Features, Installed, RecordSource};
use crate::engine::{self, Engine, LoadOptions, Records};
use crate::explain::Whose;
use crate::policy::compiled::Compiled;
use crate::system::mounts::{Mount, Mounts};

/// Where BPF file systems are mounted.
const BPFFS: &str = "/sys/fs/bpf";

/// The engine that is pinned in bpffs, or will be.
#[derive(Clone, Copy, Debug, Default)]
pub struct KernelEngines {
    /// Have the programs send debug messages to the server's log.
    pub debug: bool,
}

impl Engines for KernelEngines {
    fn open(&self) -> Result<Option<Box<dyn Enforcer>>> {
        Ok(Engine::open()?.map(|engine| Box::new(engine) as Box<dyn Enforcer>))
    }

    fn load(&self) -> Result<Box<dyn Enforcer>> {
        mount_bpffs()?;
        Ok(Box::new(Engine::load(&LoadOptions { debug: self.debug })?))
    }
}

/// Mounts a BPF file system where none is: hosts without systemd may have left that to us.
fn mount_bpffs() -> Result<()> {
    let mounts = Mounts::read().context("the mount table can't be read")?;
    let is_there = |mount: &Mount| mount.kind == "bpf" && mount.point == Path::new(BPFFS);
    if mounts.iter().any(is_there) {
        return Ok(());
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("bpf"), BPFFS, Some("bpf"), flags, Some("mode=700"))
        .with_context(|| format!("no BPF file system can be mounted at {BPFFS}"))
}

impl From<engine::Installed> for Installed {
    fn from(engine::Installed { slot, id }: engine::Installed) -> Self {
        Self { slot, id }
    }
}

impl From<Installed> for engine::Installed {
    fn from(Installed { slot, id }: Installed) -> Self {
        Self { slot, id }
    }
}

impl Enforcer for Engine {
    fn features(&self) -> Features {
        let features = Engine::features(self);
        Features {
            kernel: features.kernel.clone(),
            details: serde_json::to_value(features).unwrap_or_default(),
            degradations: features.degradations.clone(),
            degradations_of_root: features.degradations_of_root.clone(),
        }
    }

    fn install(&mut self, compiled: &Compiled) -> Result<Installed> {
        Ok(Engine::install(self, compiled)?.into())
    }

    fn retire(&mut self, installed: Installed) -> Result<()> {
        Engine::retire(self, installed.into())
    }

    fn forget_file_systems(&mut self, policy: Installed, devices: &[u32]) -> Result<()> {
        Engine::forget_file_systems(self, policy.into(), devices)
    }

    fn start_session(&mut self, policy: Installed, name: &str) -> Result<u32> {
        Engine::start_session(self, policy.into(), name)
    }

    fn set_policy(&mut self, session: u32, policy: Installed) -> Result<()> {
        Engine::set_policy(self, session, policy.into())
    }

    fn exceeded(&self, session: u32) -> Result<Vec<u8>> {
        Engine::exceeded(self, session)
    }

    fn lift_limits(&mut self, session: u32) -> Result<()> {
        Engine::lift_limits(self, session)
    }

    fn grant(&mut self, key: GrantKey, grant: Grant) -> Result<()> {
        Engine::grant(self, key, grant)
    }

    fn grants(&self, session: u32) -> Result<Vec<(GrantKey, Grant)>> {
        Engine::grants(self, session)
    }

    fn revoke(&mut self, key: GrantKey) -> Result<()> {
        Engine::revoke(self, key)
    }

    fn end_session(&mut self, session: u32) -> Result<()> {
        Engine::end_session(self, session)
    }

    fn add_cgroup(&mut self, cgroup: u64, session: u32) -> Result<()> {
        Engine::add_cgroup(self, cgroup, session)
    }

    fn remove_cgroup(&mut self, cgroup: u64) -> Result<()> {
        Engine::remove_cgroup(self, cgroup)
    }

    fn sessions(&self) -> Result<Vec<(u32, Installed)>> {
        let sessions = Engine::sessions(self)?;
        Ok(sessions
            .into_iter()
            .map(|(session, slot, id)| (session, Installed { slot, id }))
            .collect())
    }

    fn policy_of(&self, session: u32) -> Result<Compiled> {
        Engine::policy_of(self, session)
    }

    fn command_of(&self, pid: u32) -> Option<Vec<u8>> {
        Engine::command_of(self, pid)
    }

    fn maker_of(&self, socket: BorrowedFd<'_>) -> Option<u32> {
        Engine::maker_of(self, socket)
    }

    fn whose(&self, file: BorrowedFd<'_>) -> Result<Whose> {
        Engine::whose(self, file)
    }

    fn counters(&self, session: u32) -> Result<Counters> {
        Engine::counters(self, session)
    }

    fn sessions_of(&self, pids: &[u32]) -> Result<Vec<Option<u32>>> {
        Engine::sessions_of(self, pids)
    }

    fn members(&self, session: u32) -> Result<Vec<u32>> {
        let members = Engine::members(self)?;
        Ok(members
            .into_iter()
            .filter(|member| member.session == session)
            .map(|member| member.pid)
            .collect())
    }

    fn forget_lost_tasks(&mut self, session: u32) -> Result<()> {
        Engine::forget_lost_tasks(self, session)
    }

    fn protect(&mut self, pid: u32) -> Result<()> {
        Engine::protect(self, pid)
    }

    fn is_protected(&self, pid: u32) -> bool {
        Engine::is_protected(self, pid)
    }

    fn unprotect(&mut self, pid: u32) -> Result<()> {
        Engine::unprotect(self, pid)
    }

    fn give(&self, session: u32, file: BorrowedFd<'_>) -> Result<Option<u32>> {
        Engine::give(self, session, file)
    }

    fn give_socket(&self, session: u32, socket: BorrowedFd<'_>) -> Result<()> {
        Engine::give_socket(self, session, socket)
    }

    fn set_addresses(&mut self, addresses: &[[u8; 16]]) -> Result<()> {
        Engine::set_addresses(self, addresses)
    }

    fn records(&mut self) -> Result<Box<dyn RecordSource>> {
        Ok(Box::new(Ring(Engine::records(self)?)))
    }

    fn unpin(self: Box<Self>) -> Result<()> {
        Engine::unpin(*self)
    }
}

/// The ring buffer.
struct Ring(Records);

impl AsRawFd for Ring {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl RecordSource for Ring {
    fn drain(&mut self, limit: usize, take: &mut dyn FnMut(&[u8])) -> usize {
        self.0.drain(limit, take)
    }
}
