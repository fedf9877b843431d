//! The host's own cgroups.

use std::future::Future;
use std::pin::Pin;

use anyhow::{Context, Result};

use super::core::CgroupHost;
use crate::session::cgroup::SessionCgroup;
use crate::session::name::Name;
use crate::system::cgroups::Cgroups;
use crate::system::mounts::Mounts;

/// The cgroups of the host that this process runs on.
#[derive(Clone, Copy, Debug)]
pub struct HostCgroups;

impl CgroupHost for HostCgroups {
    fn create<'host>(
        &'host self,
        session: &'host Name,
        pid: u32,
    ) -> Pin<Box<dyn Future<Output = Result<SessionCgroup>> + 'host>> {
        Box::pin(async move {
            let mounts = Mounts::read().context("the mount table can't be read")?;
            let cgroups = Cgroups::open(&mounts).context(
                "a session needs a cgroup (sudo mount -t cgroup2 cgroup2 /sys/fs/cgroup)",
            )?;
            SessionCgroup::create(cgroups.point(), session, pid).await
        })
    }
}
