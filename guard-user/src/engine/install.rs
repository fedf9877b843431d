//! Putting compiled policies into the maps. A policy is complete before a session points to
//! it, and stays until no program can be looking at it any more.

use std::collections::HashSet;

use anyhow::{Context, Result, ensure};
use guard_ebpf::abi::{MAX_EXECUTABLES, MAX_NAMED, MAX_POLICIES, MAX_ROWS, MAX_STARTS};
use guard_ebpf::automaton::{DEAD, Row, Start, StartKey};
use guard_ebpf::policy::{NameKey, Policy, Selector, UserKey};
use guard_ebpf::record::ExecutableKey;

use super::Engine;
use super::grace::grace_period;
use super::maps::{full, within};
use super::shared::Shared;
use crate::policy::compiled::Compiled;

/// The size of `USERS`.
const MAX_USERS: u32 = 4096;

/// A policy that is in the maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Where.
    pub slot: u32,
    /// Its number, which records carry.
    pub id: u32,
}

impl Engine {
    /// Puts a policy into the maps.
    pub fn install(&mut self, compiled: &Compiled) -> Result<Installed> {
        let rows = compiled.rows.len().saturating_sub(1);
        within(rows, "states of the automaton of a policy", MAX_ROWS - 1)?;
        within(
            compiled.starts.len(),
            "file systems of a policy",
            MAX_STARTS,
        )?;
        within(compiled.users.len(), "users of a policy", MAX_USERS)?;
        if !compiled.policy.uses[Selector::Command as usize].is_empty() {
            self.keep_commands()?;
        }
        let slot = self.slots.free()?;
        let first = self.free_rows(u32::try_from(rows)?)?;
        let id = self
            .last_policy
            .checked_add(1)
            .context("policies have run out of numbers")?;
        self.clear_slot(slot)?;
        if let Err(error) = self.fill(slot, id, first, compiled) {
            self.clear_slot(slot)?;
            return Err(error);
        }
        self.last_policy = id;
        let installed = Installed { slot, id };
        self.slots.take(installed)?;
        Ok(installed)
    }

    fn fill(&mut self, slot: u32, id: u32, first: u32, compiled: &Compiled) -> Result<()> {
        let move_row = |row: u16| -> Result<u16> {
            if row == DEAD {
                return Ok(DEAD);
            }
            u16::try_from(u32::from(row) - 1 + first).context("a row lies beyond the last")
        };
        let move_start = |start: Start| -> Result<Start> {
            Ok(Start {
                path: move_row(start.path)?,
                executable: move_row(start.executable)?,
                actor: move_row(start.actor)?,
                ancestor: move_row(start.ancestor)?,
            })
        };
        for (index, row) in compiled.rows.iter().enumerate().skip(1) {
            let mut moved = *row;
            for next in &mut moved.next {
                *next = move_row(*next)?;
            }
            let at = first + u32::try_from(index)? - 1;
            self.maps
                .rows
                .set(at, Shared(moved), 0)
                .context("a row cannot be set")?;
        }
        for &(device, start) in &compiled.starts {
            let key = Shared(StartKey { slot, device });
            self.maps
                .starts
                .insert(key, Shared(move_start(start)?), 0)
                .map_err(|error| full(error, "file systems of policies", MAX_STARTS))?;
        }
        for &(uid, clauses) in &compiled.users {
            let key = Shared(UserKey { slot, uid });
            self.maps
                .users
                .insert(key, Shared(clauses), 0)
                .map_err(|error| full(error, "users of policies", MAX_USERS))?;
        }
        for &(name, clauses) in &compiled.sessions {
            let key = Shared(NameKey {
                slot,
                reserved: 0,
                name,
            });
            self.maps
                .named
                .insert(key, Shared(clauses), 0)
                .map_err(|error| full(error, "names of sessions", MAX_NAMED))?;
        }
        let mut unknown = compiled.policy.unknown;
        for row in &mut unknown {
            *row = move_row(*row)?;
        }
        let policy = Policy {
            id,
            first_row: first,
            rows: u32::try_from(compiled.rows.len().saturating_sub(1))?,
            elsewhere: move_start(compiled.policy.elsewhere)?,
            name_start: move_row(compiled.policy.name_start)?,
            cgroup_start: move_row(compiled.policy.cgroup_start)?,
            socket_start: move_row(compiled.policy.socket_start)?,
            command_start: move_row(compiled.policy.command_start)?,
            listening_start: move_row(compiled.policy.listening_start)?,
            unknown,
            ..compiled.policy
        };
        self.maps
            .policies
            .set(slot, Shared(policy), 0)
            .context("a policy cannot be set")?;
        Ok(())
    }

    /// Removes a policy that no session points to, when no program can be looking at it. Fails
    /// when it has been removed before: another may have its slot by now.
    pub fn retire(&mut self, installed: Installed) -> Result<()> {
        self.slots.ensure_held(installed)?;
        let used = self
            .sessions()?
            .iter()
            .any(|(_, slot, _)| *slot == installed.slot);
        ensure!(!used, "the policy {} is still in force", installed.id);
        grace_period()?;
        self.clear_slot(installed.slot)?;
        self.slots.give_back(installed)
    }

    /// Has a policy forget where it starts on file systems. They are judged from then on like all
    /// others that it does not know.
    pub fn forget_file_systems(&mut self, installed: Installed, devices: &[u32]) -> Result<()> {
        self.slots.ensure_held(installed)?;
        for &device in devices {
            let slot = installed.slot;
            let key = Shared(StartKey { slot, device });
            match self.maps.starts.remove(&key) {
                // It says nothing of that one.
                Err(aya::maps::MapError::KeyNotFound) => {}
                Err(aya::maps::MapError::SyscallError(error))
                    if error.io_error.raw_os_error() == Some(libc::ENOENT) => {}
                result => result.context("a start cannot be removed")?,
            }
        }
        Ok(())
    }

    /// Empties a slot but for the number of the policy that it held.
    fn clear_slot(&mut self, slot: u32) -> Result<()> {
        let id = self
            .maps
            .policies
            .get(&slot, 0)
            .context("a policy cannot be read")?
            .0
            .id;
        let empty = Policy {
            id,
            ..Policy::EMPTY
        };
        self.maps
            .policies
            .set(slot, Shared(empty), 0)
            .context("a policy cannot be cleared")?;
        let starts: Vec<_> = self
            .maps
            .starts
            .keys()
            .filter_map(Result::ok)
            .filter(|key| key.0.slot == slot)
            .collect();
        for key in starts {
            self.maps
                .starts
                .remove(&key)
                .context("a start cannot be removed")?;
        }
        let named: Vec<_> = self
            .maps
            .named
            .keys()
            .filter_map(Result::ok)
            .filter(|key| key.0.slot == slot)
            .collect();
        for key in named {
            self.maps
                .named
                .remove(&key)
                .context("the name of a session cannot be removed")?;
        }
        let users: Vec<_> = self
            .maps
            .users
            .keys()
            .filter_map(Result::ok)
            .filter(|key| key.0.slot == slot)
            .collect();
        for key in users {
            self.maps
                .users
                .remove(&key)
                .context("a user cannot be removed")?;
        }
        Ok(())
    }

    /// The first of enough rows in a sequence that no policy uses. Row 0 is nobody's.
    fn free_rows(&self, wanted: u32) -> Result<u32> {
        let mut taken = Vec::new();
        for slot in self.slots.held() {
            let policy = self
                .maps
                .policies
                .get(&slot, 0)
                .context("a policy cannot be read")?
                .0;
            taken.push((policy.first_row, policy.rows));
        }
        first_gap(taken, wanted).with_context(|| {
            format!(
                "there is no room for the {wanted} states of the policy's automaton: all \
                 policies together can have {MAX_ROWS}; name fewer or simpler patterns"
            )
        })
    }

    /// Finds out which policies an adopted engine has. Those that no session points to were
    /// being put in force or taken out when the server died, and are removed.
    pub(super) fn take_stock(&mut self) -> Result<()> {
        let used: HashSet<u32> = self.sessions()?.iter().map(|(_, slot, _)| *slot).collect();
        for slot in 0..MAX_POLICIES {
            let policy = self
                .maps
                .policies
                .get(&slot, 0)
                .context("a policy cannot be read")?
                .0;
            self.last_policy = self.last_policy.max(policy.id);
            if used.contains(&slot) {
                self.slots.take(Installed {
                    slot,
                    id: policy.id,
                })?;
            } else if policy.id != 0 {
                self.clear_slot(slot)?;
                self.slots.retire(slot);
            }
        }
        self.last_session = self
            .sessions()?
            .iter()
            .map(|(id, ..)| *id)
            .max()
            .unwrap_or(0);
        // Row 0 has matched nothing since the map was made; say so anyway.
        self.maps
            .rows
            .set(0, Shared(Row::EMPTY), 0)
            .context("row 0 cannot be set")?;
        // Who adopts an engine has not been told of any executable.
        for place in 0..MAX_EXECUTABLES {
            self.maps
                .executables
                .set(place, Shared(ExecutableKey::default()), 0)
                .context("an executable cannot be forgotten")?;
        }
        Ok(())
    }
}

/// The first gap of a length between intervals, from 1 on.
fn first_gap(mut taken: Vec<(u32, u32)>, wanted: u32) -> Option<u32> {
    taken.sort_unstable();
    let mut start = 1;
    for (first, count) in taken {
        if first >= start && first - start >= wanted {
            return Some(start);
        }
        start = start.max(first + count);
    }
    (MAX_ROWS.checked_sub(start)? >= wanted).then_some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_taken_from_the_first_gap_that_is_large_enough() {
        assert_eq!(first_gap(vec![], 10), Some(1));
        assert_eq!(first_gap(vec![(1, 10)], 10), Some(11));
        assert_eq!(first_gap(vec![(11, 5), (1, 4)], 6), Some(5));
        assert_eq!(first_gap(vec![(11, 5), (1, 4)], 7), Some(16));
        assert_eq!(first_gap(vec![(1, MAX_ROWS - 1)], 1), None);
        assert_eq!(first_gap(vec![(1, MAX_ROWS - 2)], 1), Some(MAX_ROWS - 1));
        assert_eq!(first_gap(vec![(0, 0), (1, 3)], 2), Some(4));
    }
}
