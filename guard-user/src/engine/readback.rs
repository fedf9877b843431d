//! Policies as the kernel has them: what was installed, read back from the maps, so that a question
//! is answered by what decides.

use anyhow::{Context, Result};
use guard_ebpf::automaton::{DEAD, Row, Start};
use guard_ebpf::policy::Policy;

use super::Engine;
use crate::policy::compiled::Compiled;

impl Engine {
    /// The policy in force for a session. What its rules are called the kernel does not know.
    pub fn policy_of(&self, session: u32) -> Result<Compiled> {
        let sessions = self.sessions()?;
        let (_, slot, _) = sessions
            .iter()
            .find(|(id, ..)| *id == session)
            .with_context(|| format!("there is no session with the number {session}"))?;
        let policy = self
            .maps
            .policies
            .get(slot, 0)
            .context("the policy cannot be read")?
            .0;
        let Policy {
            first_row, rows, ..
        } = policy;
        let own = |row: u16| own_row(row, first_row);
        let own_start = |start: Start| Start {
            path: own(start.path),
            executable: own(start.executable),
            actor: own(start.actor),
            ancestor: own(start.ancestor),
        };
        let mut all = vec![Row::EMPTY];
        for number in first_row..first_row + rows {
            let mut row = self
                .maps
                .rows
                .get(&number, 0)
                .context("a row cannot be read")?
                .0;
            for next in &mut row.next {
                *next = own(*next);
            }
            all.push(row);
        }
        let starts = self.maps.starts.iter().filter_map(Result::ok);
        let starts = starts.filter(|(key, _)| key.0.slot == *slot);
        let users = self.maps.users.iter().filter_map(Result::ok);
        let users = users.filter(|(key, _)| key.0.slot == *slot);
        let named = self.maps.named.iter().filter_map(Result::ok);
        let named = named.filter(|(key, _)| key.0.slot == *slot);
        Ok(Compiled {
            policy: Policy {
                elsewhere: own_start(policy.elsewhere),
                name_start: own(policy.name_start),
                cgroup_start: own(policy.cgroup_start),
                socket_start: own(policy.socket_start),
                command_start: own(policy.command_start),
                listening_start: own(policy.listening_start),
                unknown: policy.unknown.map(own),
                ..policy
            },
            rows: all,
            starts: starts
                .map(|(key, start)| (key.0.device, own_start(start.0)))
                .collect(),
            users: users.map(|(key, clauses)| (key.0.uid, clauses.0)).collect(),
            sessions: named
                .map(|(key, clauses)| (key.0.name, clauses.0))
                .collect(),
            rules: Vec::new(),
        })
    }
}

/// A row's number within its policy.
fn own_row(row: u16, first: u32) -> u16 {
    if row == DEAD {
        return DEAD;
    }
    // A row of its own: it was moved here by as much (`install.rs`).
    (u32::from(row) - first + 1) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_to_where_they_were() {
        assert_eq!(own_row(DEAD, 100), DEAD);
        assert_eq!(own_row(100, 100), 1);
        assert_eq!(own_row(65_535, 65_530), 6);
    }
}
