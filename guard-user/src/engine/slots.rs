//! Which slots for policies are in use. Two policies in one slot would be two sessions under one
//! of them, so a slot is given back only by the policy that has it.

use std::collections::{BTreeMap, VecDeque};

use anyhow::{Context, Result, ensure};
use guard_ebpf::abi::MAX_POLICIES;

use super::Installed;

/// The slots for policies.
#[derive(Debug, Default)]
pub struct Slots {
    /// The policies that are in use, or were installed and belong to no session yet, by slot.
    held: BTreeMap<u32, u32>,
    /// Slots that were used before, the longest ago first: they are taken last.
    retired: VecDeque<u32>,
}

impl Slots {
    /// A slot that nobody has. It stays free until it is taken.
    pub fn free(&self) -> Result<u32> {
        let is_held = |slot: u32| self.held.contains_key(&slot);
        (0..MAX_POLICIES)
            .find(|&slot| !is_held(slot) && !self.retired.contains(&slot))
            .or_else(|| self.retired.iter().copied().find(|&slot| !is_held(slot)))
            .with_context(|| {
                format!("there is no room for another policy: the limit is {MAX_POLICIES}")
            })
    }

    /// Takes a slot for a policy. Fails when another has it.
    pub fn take(&mut self, Installed { slot, id }: Installed) -> Result<()> {
        let holder = self.held.get(&slot);
        ensure!(
            holder.is_none(),
            "the slot {slot} is taken by the policy {holder:?}"
        );
        self.retired.retain(|&retired| retired != slot);
        self.held.insert(slot, id);
        Ok(())
    }

    /// Fails when a policy does not have its slot, or has it no more.
    pub fn ensure_held(&self, Installed { slot, id }: Installed) -> Result<()> {
        ensure!(
            self.held.get(&slot) == Some(&id),
            "the policy {id} is not in the slot {slot} any more"
        );
        Ok(())
    }

    /// Gives the slot of a policy back, to be taken after all others.
    pub fn give_back(&mut self, policy: Installed) -> Result<()> {
        self.ensure_held(policy)?;
        self.held.remove(&policy.slot);
        self.retire(policy.slot);
        Ok(())
    }

    /// Has a slot be taken after all others that was found to be nobody's.
    pub fn retire(&mut self, slot: u32) {
        if !self.retired.contains(&slot) {
            self.retired.push_back(slot);
        }
    }

    /// The slots that are in use.
    pub fn held(&self) -> impl Iterator<Item = u32> {
        self.held.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(slots: &mut Slots, id: u32) -> Installed {
        let policy = Installed {
            slot: slots.free().unwrap(),
            id,
        };
        slots.take(policy).unwrap();
        policy
    }

    #[test]
    fn a_slot_is_given_back_once_and_only_by_who_has_it() {
        let mut slots = Slots::default();
        let first = put(&mut slots, 1);
        slots.give_back(first).unwrap();
        assert!(slots.give_back(first).is_err());
        // All others come first, then it is taken once more.
        let others: Vec<_> = (2..=MAX_POLICIES).map(|id| put(&mut slots, id)).collect();
        assert!(others.iter().all(|other| other.slot != first.slot));
        let again = put(&mut slots, MAX_POLICIES + 1);
        assert_eq!(again.slot, first.slot);
        assert!(slots.give_back(first).is_err());
        assert!(slots.take(first).is_err());
        assert!(slots.free().is_err());
        slots.ensure_held(again).unwrap();
    }

    #[test]
    fn slots_are_never_shared_however_often_they_are_given_back() {
        let mut slots = Slots::default();
        let mut live: Vec<Installed> = Vec::new();
        let mut gone: Vec<Installed> = Vec::new();
        for id in 1..1000 {
            let policy = put(&mut slots, id);
            assert!(live.iter().all(|other| other.slot != policy.slot));
            live.push(policy);
            if live.len() > 3 {
                let ended = live.remove(0);
                slots.give_back(ended).unwrap();
                gone.push(ended);
            }
            for policy in &gone {
                assert!(slots.give_back(*policy).is_err());
            }
        }
    }

    #[test]
    fn a_slot_that_is_held_is_not_handed_out_even_if_it_was_retired() {
        let mut slots = Slots::default();
        let policy = put(&mut slots, 1);
        slots.retire(policy.slot);
        for id in 2..=MAX_POLICIES {
            assert_ne!(put(&mut slots, id).slot, policy.slot);
        }
        assert!(slots.free().is_err());
    }
}
