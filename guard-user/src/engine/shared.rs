//! The kernel's types as aya's maps want them.

use guard_ebpf::automaton::{Row, Start, StartKey};
use guard_ebpf::bits::Bits;
use guard_ebpf::command::{Command, EarlierKey};
use guard_ebpf::grant::{Grant, GrantKey};
use guard_ebpf::policy::{NameKey, Policy, UserKey};
use guard_ebpf::record::ExecutableKey;
use guard_ebpf::session::{
    Counters, EvictedKey, Label, Listener, MAX_LIMITS, Mark, Owner, PortKey, Session, Spent,
};

/// A type of `guard_ebpf` that lies in a map.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Shared<T>(pub T);

/// Types that hold fixed-width integers only, without padding: any bytes make one.
trait Plain: Copy + 'static {}

impl Plain for Bits {}
impl Plain for Command {}
impl Plain for Counters {}
impl Plain for EarlierKey {}
impl Plain for EvictedKey {}
impl Plain for ExecutableKey {}
impl Plain for Grant {}
impl Plain for GrantKey {}
impl Plain for Label {}
impl Plain for Listener {}
impl Plain for Mark {}
impl Plain for NameKey {}
impl Plain for Owner {}
impl Plain for Policy {}
impl Plain for PortKey {}
impl Plain for Row {}
impl Plain for Session {}
impl Plain for [Spent; MAX_LIMITS] {}
impl Plain for Start {}
impl Plain for StartKey {}
impl Plain for UserKey {}

#[allow(private_bounds)]
// SAFETY: the sizes and offsets of these types are asserted where they are defined, so that
// there is no padding, and they consist of integers.
unsafe impl<T: Plain> aya::Pod for Shared<T> {}
