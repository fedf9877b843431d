//! Limits of rules: how often a rule may let something through.
//!
//! Which way it fails: a limit that cannot be found refuses. What counts is counted before it is
//! done, so that it counts too if it then fails. A limit that was exceeded stays so until somebody
//! lifts it (`guard resume`).

use guard_ebpf::policy::{Limit, MAX_RULES, Policy};
use guard_ebpf::session::{MAX_LIMITS, Spent, place};

use crate::identity::add;
use crate::maps::SPENT;
use crate::report;

/// Nanoseconds.
const SECOND: u64 = 1_000_000_000;

/// Spends one of what a rule lets a session do. False when there is none left.
#[inline(always)]
pub fn spend(session: u32, policy: &Policy, rule: u8) -> bool {
    let limited = policy.limited[rule as usize & (MAX_RULES - 1)];
    let index = limited.wrapping_sub(1) as usize & (MAX_LIMITS - 1);
    let limit = policy.limits[index];
    let Some(all) = SPENT.get_ptr_mut(place(session)) else {
        return false;
    };
    // SAFETY: an element of the map, of which each word is read and written in one step.
    let spent = unsafe { &mut (*all)[index] };
    let goes = limited != 0 && spent.exceeded == 0 && take(limit, spent);
    if !goes {
        spent.exceeded = 1;
    }
    goes
}

/// Takes one of the present window, or begins the next.
#[inline(always)]
fn take(limit: Limit, spent: &mut Spent) -> bool {
    let Limit { count, seconds } = limit;
    let now = report::now() / SECOND;
    // SAFETY: a valid reference; others write the word meanwhile.
    let window = unsafe { core::ptr::read_volatile(&raw const spent.window) };
    let is_over = window == 0 || now.wrapping_sub(window >> 32) >= u64::from(seconds);
    if is_over && exchange(&mut spent.window, window, now << 32 | 1) {
        return true;
    }
    // Another has begun the next window if this one was over. Whoever comes too late adds nothing:
    // the count would run into the time.
    if !is_over && window as u32 >= count {
        return false;
    }
    (add(&mut spent.window, 1) as u32) < count
}

/// Puts a value in place of another, in one step. False when it is not that any more.
#[inline(always)]
fn exchange(place: &mut u64, old: u64, new: u64) -> bool {
    let mut found = old;
    // (Why in assembly: see `identity::add`. The instruction has the old value in r0.)
    // SAFETY: a valid, aligned word.
    unsafe {
        core::arch::asm!(
            "r0 = cmpxchg_64({place} + 0, r0, {new})",
            place = in(reg) core::ptr::from_mut(place),
            new = in(reg) new,
            inout("r0") found,
        );
    }
    found == old
}
