//! What the programs are told besides policies: of each session its terminal, of the host its
//! own addresses.

use std::collections::HashSet;
use std::net::IpAddr;

use anyhow::{Context, Result};
use guard_ebpf::abi::MAX_ADDRESSES;
use guard_ebpf::session::{Facts, place};

use super::Engine;
use super::maps::{full, within};
use super::shared::Shared;

impl Engine {
    /// Says what is known of a session, before it starts.
    pub fn set_facts(&mut self, session: u32, facts: Facts) -> Result<()> {
        self.maps
            .facts
            .set(place(session), Shared(facts), 0)
            .context("what is known of the session cannot be set")
    }

    /// Says which addresses are this host's own. Those that were and are no more are forgotten
    /// last, so that none is missing meanwhile.
    pub fn set_addresses(&mut self, addresses: &[IpAddr]) -> Result<()> {
        let wanted: HashSet<[u8; 16]> = addresses.iter().map(|&address| octets(address)).collect();
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

/// An address as the programs know it: IPv4 is mapped into IPv6.
fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
    .octets()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    #[test]
    fn addresses_of_version_4_are_mapped() {
        let mapped: Ipv6Addr = "::ffff:10.1.2.3".parse().unwrap();
        assert_eq!(octets("10.1.2.3".parse().unwrap()), mapped.octets());
        assert_eq!(octets("::1".parse().unwrap()), Ipv6Addr::LOCALHOST.octets());
    }
}
