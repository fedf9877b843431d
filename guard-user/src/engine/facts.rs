//! What the programs are told besides policies: the host's own addresses.

use std::collections::HashSet;

use anyhow::{Context, Result};
use guard_ebpf::abi::{ANY_ADDRESS, MAX_ADDRESSES};

use super::Engine;
use super::maps::full;

impl Engine {
    /// Says which addresses are this host's own: IPv6, or IPv4 mapped into it. None that is one is
    /// missing meanwhile. Of more than there is room for, every address is taken for one.
    pub fn set_addresses(&mut self, addresses: &[[u8; 16]]) -> Result<()> {
        let wanted: HashSet<[u8; 16]> = addresses.iter().copied().collect();
        let known: HashSet<[u8; 16]> = self.maps.addresses.keys().filter_map(Result::ok).collect();
        for step in steps(&known, &wanted, MAX_ADDRESSES as usize) {
            match step {
                Step::Add(address) => self
                    .maps
                    .addresses
                    .insert(address, 1, 0)
                    .map_err(|error| full(error, "addresses of this host", MAX_ADDRESSES))?,
                Step::Forget(address) => self
                    .maps
                    .addresses
                    .remove(&address)
                    .context("an address of this host cannot be forgotten")?,
            }
        }
        Ok(())
    }
}

/// A change of the addresses that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Add([u8; 16]),
    Forget([u8; 16]),
}

/// What to do so that the addresses that are wanted are known. Those that go are forgotten last;
/// where there is not room for both, every address is this host's until it is done, and where
/// there is not room for all, it stays so.
fn steps(
    known: &HashSet<[u8; 16]>,
    wanted: &HashSet<[u8; 16]>,
    room: usize,
) -> impl Iterator<Item = Step> {
    let new: Vec<_> = wanted.difference(known).copied().collect();
    let gone: Vec<_> = known
        .difference(wanted)
        .copied()
        .filter(|address| *address != ANY_ADDRESS)
        .collect();
    let stays = wanted.len() > room;
    let any = (wanted.len() + gone.len() > room).then_some(Step::Add(ANY_ADDRESS));
    let was_any = any.is_some() || known.contains(&ANY_ADDRESS);
    let not_any = (was_any && !stays).then_some(Step::Forget(ANY_ADDRESS));
    let forget = gone.into_iter().map(Step::Forget);
    let add = if stays { Vec::new() } else { new };
    let add = add.into_iter().map(Step::Add);
    let (first, last): (Vec<_>, Vec<_>) = if any.is_some() {
        (forget.collect(), add.collect())
    } else {
        (add.collect(), forget.collect())
    };
    any.into_iter().chain(first).chain(last).chain(not_any)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(numbers: impl IntoIterator<Item = u8>) -> HashSet<[u8; 16]> {
        numbers.into_iter().map(|number| [number; 16]).collect()
    }

    proptest! {
        #[test]
        fn no_address_is_missing_at_any_time(
            known in proptest::collection::hash_set(0_u8..20, 0..=8),
            was_any: bool,
            wanted in proptest::collection::hash_set(0_u8..20, 0..12),
        ) {
            const ROOM: usize = 8;
            let (known, wanted) = (set(known), set(wanted));
            let mut now = known.clone();
            if was_any {
                now.insert(ANY_ADDRESS);
            }
            let begin = now.clone();
            for step in steps(&begin, &wanted, ROOM) {
                match step {
                    Step::Add(address) => prop_assert!(now.insert(address) || address == ANY_ADDRESS),
                    Step::Forget(address) => prop_assert!(now.remove(&address)),
                }
                prop_assert!(now.len() <= ROOM + 1);
                let stay = known.intersection(&wanted);
                prop_assert!(
                    now.contains(&ANY_ADDRESS) || stay.into_iter().all(|one| now.contains(one))
                );
            }
            if wanted.len() > ROOM {
                prop_assert!(now.contains(&ANY_ADDRESS));
            } else {
                prop_assert_eq!(now, wanted);
            }
        }
    }
}
