//! Grants in the maps: what people have let sessions do although a rule refuses it.

use anyhow::{Context, Result};
use guard_ebpf::abi::MAX_GRANTS;
use guard_ebpf::grant::{Grant, GrantKey};
use guard_ebpf::session::place;

use super::Engine;
use super::grace::grace_period;
use super::maps::full;
use super::shared::Shared;

impl Engine {
    /// Lets a session do something. What was granted before for just this begins anew.
    pub fn grant(&mut self, key: GrantKey, grant: Grant) -> Result<()> {
        // Fails unless its place is its own still.
        self.counters(key.session)?;
        self.maps
            .grants
            .insert(Shared(key), Shared(grant), 0)
            .map_err(|error| full(error, "grants", MAX_GRANTS))?;
        // As in `revoke`: one for the same thing has been replaced.
        grace_period()?;
        self.count_grants(key.session)
    }

    /// What a session was granted, what has expired included.
    pub fn grants(&self, session: u32) -> Result<Vec<(GrantKey, Grant)>> {
        let mut found = Vec::new();
        for entry in &self.maps.grants {
            let (key, grant) = entry.context("the grants cannot be read")?;
            if key.0.session == session {
                found.push((key.0, grant.0));
            }
        }
        Ok(found)
    }

    /// Takes a grant back. One that is gone already is fine.
    pub fn revoke(&mut self, key: GrantKey) -> Result<()> {
        match self.maps.grants.remove(&Shared(key)) {
            Err(aya::maps::MapError::KeyNotFound) => {}
            Err(aya::maps::MapError::SyscallError(error))
                if error.io_error.raw_os_error() == Some(libc::ENOENT) => {}
            result => result.context("the grant cannot be taken back")?,
        }
        // A program that has found it may look at its memory still, which the next grant gets.
        grace_period()?;
        self.count_grants(key.session)
    }

    /// Takes back whatever a session was granted.
    pub(super) fn revoke_all(&mut self, session: u32) -> Result<()> {
        for (key, _) in self.grants(session)? {
            self.revoke(key)?;
        }
        self.count_grants(session)
    }

    /// Says how many grants a session has: the programs look for one only where there are any.
    fn count_grants(&mut self, session: u32) -> Result<()> {
        let count = u32::try_from(self.grants(session)?.len())?;
        self.maps
            .granted
            .set(place(session), count, 0)
            .context("the number of grants cannot be set")
    }
}
