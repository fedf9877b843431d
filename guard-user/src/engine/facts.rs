//! What programs are told of a session apart from its policy, and of the host.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, Result};
use aya::maps::{Array, HashMap, Map, MapData};
use guard_ebpf::abi::MAX_ADDRESSES;
use guard_ebpf::session::{Facts, place};

use super::maps::{full, within};
use super::shared::Shared;
use super::{Engine, load};

/// Opens a map by its pin; none where the programs have no such map.
fn pinned(name: &str) -> Result<Option<MapData>> {
    let path = load::pin_directory().join(name);
    if !Path::exists(&path) {
        return Ok(None);
    }
    let data = MapData::from_pin(&path);
    let data =
        data.with_context(|| format!("the engine's map {} cannot be opened", path.display()))?;
    Ok(Some(data))
}

impl Engine {
    /// Says what there is to know of a session. To be called before it has a process.
    pub fn set_facts(&mut self, session: u32, facts: Facts) -> Result<()> {
        let Some(data) = pinned("FACTS")? else {
            return Ok(());
        };
        let mut map: Array<MapData, Shared<Facts>> =
            Map::Array(data).try_into().context("FACTS")?;
        map.set(place(session), Shared(facts), 0)
            .context("the session's facts cannot be set")
    }

    /// Says which addresses are the host's own (IPv6, or IPv4 mapped into it), and which are
    /// not any more.
    pub fn set_addresses(&mut self, addresses: &[[u8; 16]]) -> Result<()> {
        within(
            addresses.len(),
            "addresses of the host's own",
            MAX_ADDRESSES,
        )?;
        let Some(data) = pinned("ADDRESSES")? else {
            return Ok(());
        };
        let mut map: HashMap<MapData, [u8; 16], u32> =
            Map::HashMap(data).try_into().context("ADDRESSES")?;
        let now: HashSet<[u8; 16]> = addresses.iter().copied().collect();
        let before: HashSet<[u8; 16]> = map.keys().filter_map(Result::ok).collect();
        for address in before.difference(&now) {
            map.remove(address)
                .context("an address cannot be taken out of the engine")?;
        }
        for address in now.difference(&before) {
            map.insert(address, 1, 0)
                .map_err(|error| full(error, "addresses of the host's own", MAX_ADDRESSES))?;
        }
        Ok(())
    }
}
