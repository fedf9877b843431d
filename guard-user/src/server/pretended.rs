//! An engine that only pretends, for tests and fuzzing of everything around it.
#![allow(
    missing_docs,
    reason = "what an engine's methods are for stands where they are declared"
)]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::future::Future;
use std::io::{PipeReader, PipeWriter};
use std::os::fd::BorrowedFd;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;

use anyhow::{Context, Result, ensure};
use guard_ebpf::grant::{Grant, GrantKey};
use guard_ebpf::session::Counters;

use super::core::CgroupHost;
use super::enforcer::{Enforcer, Engines, Features, Installed, RecordSource};
use crate::engine::slots::Slots;
use crate::explain::Whose;
use crate::policy::compiled::Compiled;
use crate::session::cgroup::SessionCgroup;
use crate::session::name::Name;

/// The engine's state, which outlives servers as pins do. Labels are whoever is listed in a
/// cgroup's file, and alive.
#[derive(Default)]
pub struct Pretended {
    pub is_pinned: bool,
    pub sessions: BTreeMap<u32, Installed>,
    /// How many rules each policy has, by its number.
    pub policies: BTreeMap<u32, usize>,
    pub slots: Slots,
    pub cgroups: BTreeMap<u64, u32>,
    /// To which session each file was given, by its inode.
    pub given: BTreeMap<u64, u32>,
    /// File systems that policies were made to forget.
    pub gone: BTreeSet<(u32, u32)>,
    /// The policies themselves, by their numbers.
    pub compiled: BTreeMap<u32, Compiled>,
    /// The session that made each file, by its inode.
    pub made: BTreeMap<u64, u32>,
    /// Sessions with the limits that they have exceeded.
    pub exceeded: BTreeSet<(u32, u8)>,
    /// What sessions were granted.
    pub grants: Vec<(GrantKey, Grant)>,
    pub addresses: Vec<[u8; 16]>,
    /// Sessions whose tasks were given up.
    pub given_up: BTreeSet<u32>,
    pub last: u32,
    pub directory: PathBuf,
    pub loses_labels: bool,
}

impl Pretended {
    /// Whoever was moved into a session's cgroup.
    fn listed(&self, session: u32) -> Vec<u32> {
        let Ok(entries) = fs::read_dir(&self.directory) else {
            return Vec::new();
        };
        entries
            .flatten()
            .filter(|entry| {
                let id = entry.metadata().map_or(0, |metadata| metadata.ino());
                self.cgroups.get(&id) == Some(&session)
            })
            .filter_map(|entry| fs::read_to_string(entry.path().join("cgroup.procs")).ok())
            .flat_map(|text| {
                let pids = text.lines().filter_map(|line| line.parse().ok());
                pids.collect::<Vec<u32>>()
            })
            .collect()
    }

    /// The processes of a session. Who has ended is among them until its parent notices.
    fn members(&self, session: u32) -> Vec<u32> {
        let mut listed = self.listed(session);
        listed.retain(|pid| Path::new(&format!("/proc/{pid}")).exists());
        listed
    }

    /// How many threads of a session have not ended.
    fn tasks(&self, session: u32) -> u64 {
        if self.given_up.contains(&session) {
            return 0;
        }
        let threads = self.listed(session).into_iter().flat_map(|pid| {
            let threads = fs::read_dir(format!("/proc/{pid}/task"));
            threads.into_iter().flatten().flatten()
        });
        let has_ended = |stat: &str| {
            let state = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
            state.trim_start().starts_with(['Z', 'X'])
        };
        threads
            .filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok())
            .filter(|stat| !has_ended(stat))
            .count() as u64
    }

    /// What an engine finds when it is adopted: policies of no session are removed.
    fn take_stock(&mut self) {
        let used: BTreeMap<u32, u32> = self.sessions.values().map(|p| (p.id, p.slot)).collect();
        self.policies.retain(|id, _| used.contains_key(id));
        self.slots = Slots::default();
        for (id, slot) in used {
            // Two sessions of one policy are no wonder here.
            let _ = self.slots.take(Installed { slot, id }.into());
        }
    }
}

#[derive(Clone)]
pub struct Engine(pub Rc<RefCell<Pretended>>);

impl Engines for Engine {
    fn open(&self) -> Result<Option<Box<dyn Enforcer>>> {
        let is_pinned = self.0.borrow().is_pinned;
        self.0.borrow_mut().take_stock();
        Ok(is_pinned.then(|| Box::new(self.clone()) as Box<dyn Enforcer>))
    }

    fn load(&self) -> Result<Box<dyn Enforcer>> {
        self.0.borrow_mut().is_pinned = true;
        Ok(Box::new(self.clone()))
    }
}

/// A pipe in which nothing ever arrives.
struct Silence(PipeReader, #[allow(dead_code)] PipeWriter);

impl AsRawFd for Silence {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl RecordSource for Silence {
    fn drain(&mut self, _: usize, _: &mut dyn FnMut(&[u8])) -> usize {
        0
    }
}

impl Enforcer for Engine {
    fn features(&self) -> Features {
        Features {
            kernel: "6.12.1-pretended".to_owned(),
            ..Features::default()
        }
    }

    fn install(&mut self, compiled: &Compiled) -> Result<Installed> {
        let mut engine = self.0.borrow_mut();
        engine.last += 1;
        let id = engine.last;
        let slot = engine.slots.free()?;
        let installed = Installed { slot, id };
        engine.slots.take(installed.into())?;
        engine.policies.insert(id, compiled.rules.len());
        engine.compiled.insert(id, compiled.clone());
        Ok(installed)
    }

    fn retire(&mut self, installed: Installed) -> Result<()> {
        let mut engine = self.0.borrow_mut();
        engine.slots.ensure_held(installed.into())?;
        let mut used = engine.sessions.values();
        ensure!(
            !used.any(|used| used.slot == installed.slot),
            "the policy is in force"
        );
        engine.slots.give_back(installed.into())?;
        engine
            .policies
            .remove(&installed.id)
            .context("no such policy")?;
        Ok(())
    }

    fn forget_file_systems(&mut self, policy: Installed, devices: &[u32]) -> Result<()> {
        let mut engine = self.0.borrow_mut();
        engine.slots.ensure_held(policy.into())?;
        let devices = devices.iter().map(|&device| (policy.id, device));
        engine.gone.extend(devices);
        Ok(())
    }

    fn start_session(&mut self, policy: Installed, _: &str) -> Result<u32> {
        let mut engine = self.0.borrow_mut();
        engine.slots.ensure_held(policy.into())?;
        engine.last += 1;
        let id = engine.last;
        engine.sessions.insert(id, policy);
        Ok(id)
    }

    fn set_policy(&mut self, session: u32, policy: Installed) -> Result<()> {
        let mut engine = self.0.borrow_mut();
        engine.slots.ensure_held(policy.into())?;
        let in_force = engine
            .sessions
            .get_mut(&session)
            .context("no such session")?;
        *in_force = policy;
        Ok(())
    }

    fn policy_of(&self, session: u32) -> Result<Compiled> {
        let engine = self.0.borrow();
        let policy = engine.sessions.get(&session).context("no such session")?;
        let compiled = engine.compiled.get(&policy.id);
        compiled.cloned().context("no such policy")
    }

    fn whose(&self, file: BorrowedFd<'_>) -> Result<Whose> {
        let engine = self.0.borrow();
        let inode = nix::sys::stat::fstat(file)?.st_ino;
        let owner = engine.made.get(&inode).copied();
        Ok(owner.map_or(Whose::Nobody, Whose::Made))
    }

    fn exceeded(&self, session: u32) -> Result<Vec<u8>> {
        let engine = self.0.borrow();
        let exceeded = engine.exceeded.iter();
        let of_session = exceeded.filter(|(other, _)| *other == session);
        Ok(of_session.map(|(_, limit)| *limit).collect())
    }

    fn lift_limits(&mut self, session: u32) -> Result<()> {
        let mut engine = self.0.borrow_mut();
        engine.exceeded.retain(|(other, _)| *other != session);
        Ok(())
    }

    fn grant(&mut self, key: GrantKey, grant: Grant) -> Result<()> {
        let mut engine = self.0.borrow_mut();
        engine.grants.retain(|(other, _)| *other != key);
        engine.grants.push((key, grant));
        Ok(())
    }

    fn grants(&self, session: u32) -> Result<Vec<(GrantKey, Grant)>> {
        let engine = self.0.borrow();
        let grants = engine.grants.iter();
        Ok(grants
            .filter(|(key, _)| key.session == session)
            .copied()
            .collect())
    }

    fn revoke(&mut self, key: GrantKey) -> Result<()> {
        self.0
            .borrow_mut()
            .grants
            .retain(|(other, _)| *other != key);
        Ok(())
    }

    fn end_session(&mut self, session: u32) -> Result<()> {
        let mut engine = self.0.borrow_mut();
        ensure!(engine.tasks(session) == 0, "it has tasks");
        engine
            .sessions
            .remove(&session)
            .context("no such session")?;
        engine.cgroups.retain(|_, owner| *owner != session);
        Ok(())
    }

    fn add_cgroup(&mut self, cgroup: u64, session: u32) -> Result<()> {
        self.0.borrow_mut().cgroups.insert(cgroup, session);
        Ok(())
    }

    fn remove_cgroup(&mut self, cgroup: u64) -> Result<()> {
        self.0.borrow_mut().cgroups.remove(&cgroup);
        Ok(())
    }

    fn sessions(&self) -> Result<Vec<(u32, Installed)>> {
        let engine = self.0.borrow();
        Ok(engine
            .sessions
            .iter()
            .map(|(&id, &policy)| (id, policy))
            .collect())
    }

    fn counters(&self, session: u32) -> Result<Counters> {
        let engine = self.0.borrow();
        ensure!(engine.sessions.contains_key(&session), "no such session");
        Ok(Counters {
            tasks: engine.tasks(session),
            ..Counters::default()
        })
    }

    fn sessions_of(&self, pids: &[u32]) -> Result<Vec<Option<u32>>> {
        let engine = self.0.borrow();
        let session_of = |pid: &u32| {
            let mut sessions = engine.sessions.keys().copied();
            sessions.find(|&session| !engine.loses_labels && engine.members(session).contains(pid))
        };
        Ok(pids.iter().map(session_of).collect())
    }

    fn members(&self, session: u32) -> Result<Vec<u32>> {
        Ok(self.0.borrow().members(session))
    }

    fn forget_lost_tasks(&mut self, session: u32) -> Result<()> {
        self.0.borrow_mut().given_up.insert(session);
        Ok(())
    }

    fn protect(&mut self, _: u32) -> Result<()> {
        Ok(())
    }

    fn is_protected(&self, _: u32) -> bool {
        false
    }

    fn unprotect(&mut self, _: u32) -> Result<()> {
        Ok(())
    }

    fn give(&self, session: u32, file: BorrowedFd<'_>) -> Result<Option<u32>> {
        let inode = nix::sys::stat::fstat(file)?.st_ino;
        let mut engine = self.0.borrow_mut();
        let holder = engine.given.get(&inode).copied();
        if let Some(holder) = holder
            && holder != session
            && engine.sessions.contains_key(&holder)
        {
            return Ok(Some(holder));
        }
        engine.given.insert(inode, session);
        Ok(None)
    }

    fn give_socket(&self, _: u32, _: BorrowedFd<'_>) -> Result<()> {
        Ok(())
    }

    fn set_addresses(&mut self, addresses: &[[u8; 16]]) -> Result<()> {
        self.0.borrow_mut().addresses = addresses.to_vec();
        Ok(())
    }

    fn records(&mut self) -> Result<Box<dyn RecordSource>> {
        let (reader, writer) = std::io::pipe()?;
        Ok(Box::new(Silence(reader, writer)))
    }

    fn unpin(self: Box<Self>) -> Result<()> {
        let mut engine = self.0.borrow_mut();
        ensure!(engine.sessions.is_empty(), "sessions are left");
        engine.is_pinned = false;
        Ok(())
    }
}

/// Cgroups that are directories with a file in them.
pub struct Directories(pub PathBuf);

impl CgroupHost for Directories {
    fn create<'host>(
        &'host self,
        session: &'host Name,
        _: u32,
    ) -> Pin<Box<dyn Future<Output = Result<SessionCgroup>> + 'host>> {
        Box::pin(async move {
            // A kernel would not list who has ended.
            let left = self.0.join("guard").join(session.as_str());
            let _ = fs::remove_file(left.join("cgroup.procs"));
            let cgroup = SessionCgroup::create_plain(&self.0, session)?;
            for file in [
                "cgroup.procs",
                "cgroup.freeze",
                "cgroup.kill",
                "memory.max",
                "pids.max",
                "cpu.weight",
            ] {
                fs::write(cgroup.directory.join(file), "")?;
            }
            Ok(cgroup)
        })
    }
}
