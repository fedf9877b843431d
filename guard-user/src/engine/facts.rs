//! What the programs are told besides policies: the host's own addresses.

use std::collections::HashSet;

use anyhow::{Context, Result};
use guard_ebpf::abi::MAX_ADDRESSES;

use super::Engine;
use super::maps::{full, within};

impl Engine {
    /// Says which addresses are this host's own: IPv6, or IPv4 mapped into it. Those that were and
    /// are no more are forgotten last, so that none is missing meanwhile.
    pub fn set_addresses(&mut self, addresses: &[[u8; 16]]) -> Result<()> {
        let wanted: HashSet<[u8; 16]> = addresses.iter().copied().collect();
        within(wanted.len(), "addresses of this host", MAX_ADDRESSES)?;
        let known: HashSet<[u8; 16]> = self.maps.addresses.keys().filter_map(Result::ok).collect();
        for address in wanted.difference(&known) {
            self.maps
                .addresses
                .insert(address, 1, 0)
                .map_err(|error| full(error, "addresses of this host", MAX_ADDRESSES))?;
        }
        for address in known.difference(&wanted) {
            self.maps
                .addresses
                .remove(address)
                .context("an address of this host cannot be forgotten")?;
        }
        Ok(())
    }
}
