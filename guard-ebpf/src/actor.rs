//! Who acts, for rules that ask (`by`): the executable of the task that runs.
//!
//! Which way it fails: an executable of which it cannot be said where it lies is none that a rule asks
//! for, and for a rule that refuses all but some it is not among those.

use guard_ebpf::automaton::{DEAD, Start};
use guard_ebpf::decision::Candidates;
use guard_ebpf::policy::{Policy, Selector};

use crate::access::{Dentry, Task};
use crate::judge::{row, start};
use crate::maps::POLICIES;
use crate::walk;

/// The row at which a task's executable ends, from the start that is picked; the one for what is
/// unknown when it has none, or it cannot be said where that lies.
#[inline(always)]
pub fn executable(
    policy: &Policy,
    slot: u32,
    task: Task,
    kind: Selector,
    pick: fn(Start) -> u16,
) -> u32 {
    let mut end = u32::from(policy.unknown[kind as usize]);
    if let Some(entry) = task.executable().map(Dentry::entry)
        && let Ok(depth) = walk::depth(entry)
    {
        let start = pick(start(policy, slot, entry.super_block()));
        end = walk::file(slot, start, entry, depth);
    }
    end
}

/// The row at which the executable of the task that runs ends. A global function: the verifier
/// looks at it once.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn walk_actor(slot: u32) -> u32 {
    match POLICIES.get(slot) {
        Some(policy) => executable(policy, slot, Task::current(), Selector::Actor, |start| {
            start.actor
        }),
        None => u32::from(DEAD),
    }
}

/// Narrows down by what the task that runs is. Returns whether somebody asked.
#[inline(always)]
pub fn narrow(candidates: &mut Candidates, policy: &Policy, slot: u32) -> bool {
    let asked = candidates.ask_for(policy, Selector::Actor);
    if asked {
        candidates.narrow(policy, Selector::Actor, row(walk_actor(slot)).matches);
    }
    asked
}
