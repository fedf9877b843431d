//! Grants: what a person has let a session do although a rule refuses it (`guard allow`).
//!
//! They are asked for only of what would be refused, and only where the session has any. They lift
//! nothing of the guard's own protection, and nothing that could not be looked up.
//!
//! Which way it fails: what is not found, has expired or is used up stays refused.

use guard_ebpf::decision::Decision;
use guard_ebpf::grant::{GrantKey, NO_RULE, Target};
use guard_ebpf::operation::{Operation, Reason, Verdict};
use guard_ebpf::places::{has_generations, magic};
use guard_ebpf::policy::MAX_RULES;
use guard_ebpf::session::place;

use crate::access::{Entry, Task};
use crate::connect::{AF_INET, AF_INET6};
use crate::identity::add;
use crate::judge::{Act, TICK, Under, is_guard};
use crate::maps::{GRANTED, GRANTS, POLICIES};
use crate::outcome::{Outcome, pack};
use crate::report::{self, Peer};

/// What stands for a process. Nothing does for one of the guard's own.
#[inline(always)]
pub fn process(task: Task) -> Target {
    if is_guard(task.leader()) {
        Target::NONE
    } else {
        Target::process(task.pid(), task.leader().start() / TICK)
    }
}

/// What stands for a file. Nothing does for one that is not there yet, nor for those of procfs, whose
/// numbers change whenever the kernel has dropped them.
#[inline(always)]
pub fn file(act: Act, target: Entry) -> Target {
    let file_system = target.super_block();
    let magic = file_system.magic();
    if act.operation == Operation::Create as u32 || magic == magic::PROC {
        return Target::NONE;
    }
    let generation = if has_generations(magic) {
        target.dentry.inode_generation()
    } else {
        0
    };
    Target::file(
        file_system.device(),
        target.dentry.inode_number(),
        generation,
    )
}

/// What stands for a socket: its file, or its address. Nothing does for a name that whoever comes
/// first takes.
#[inline(always)]
pub fn socket(act: Act, peer: &Peer) -> Target {
    match peer.file {
        Some(file) => self::file(act, file.entry()),
        None if matches!(peer.family, AF_INET | AF_INET6) => {
            Target::address(peer.address, peer.port)
        }
        None => Target::NONE,
    }
}

/// What becomes of an outcome when the session has a grant for just this. What makes no record uses
/// none up: each use is told.
#[inline(always)]
pub fn lift(act: Act, under: Under, outcome: Outcome, target: impl FnOnce() -> Target) -> Outcome {
    if act.quiet
        || !outcome.can_be_lifted()
        || GRANTED
            .get(place(act.session))
            .is_none_or(|&count| count == 0)
    {
        return outcome;
    }
    let Target([first, second, third]) = target();
    let what = u64::from(act.operation) | u64::from(act.detail) << 16;
    outcome.lifted(lift_by(
        u64::from(under.slot) << 32 | u64::from(act.session),
        u64::from(outcome.bits()) << 32 | what,
        first,
        second,
        third,
    ))
}

/// Looks for a grant and uses it: the packed decision. A global function: the verifier looks at it
/// once. `who` is the session and the policy's slot, `what` the operation, the detail and the outcome so
/// far.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn lift_by(who: u64, what: u64, first: u64, second: u64, third: u64) -> u32 {
    let session = who as u32;
    let outcome = Outcome::from_bits((what >> 32) as u32);
    let Some(policy) = POLICIES.get((who >> 32) as u32) else {
        return outcome.bits();
    };
    let number = if outcome.is_under_rule() {
        policy.numbers[outcome.rule() as usize & (MAX_RULES - 1)]
    } else {
        NO_RULE
    };
    let key = GrantKey {
        session,
        operation: what as u16,
        detail: (what >> 16) as u16,
        rule: number,
        target: Target([first, second, third]),
    };
    let Some(grant) = GRANTS.get_ptr_mut(key) else {
        return outcome.bits();
    };
    // SAFETY: an element of the map. The user side waits for this program to end before another grant
    // can have the memory of one that it has removed.
    let grant = unsafe { &mut *grant };
    if report::now() >= grant.expires || add(&mut grant.used, 1) >= grant.times {
        return outcome.bits();
    }
    pack(Decision {
        verdict: Verdict::Allow,
        rule: outcome.rule(),
        ..Decision::deny(Reason::Grant)
    })
}
