//! Grants: what a person has let one session do to one thing although a rule refuses it
//! (`guard allow`). The key says what may be done, the value how often and until when.

use crate::operation::Facility;

/// What a grant is for: the key of `GRANTS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GrantKey {
    /// The session.
    pub session: u32,
    /// The number of the [`crate::operation::Operation`].
    pub operation: u16,
    /// The signal's number, or [`Facility::detail`]; 0 for other operations.
    pub detail: u16,
    /// Which rule refuses it ([`rule`]): under any other it is not granted.
    pub rule: u64,
    /// To what it is done.
    pub target: Target,
}

/// How often, and until when: the value of `GRANTS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// How often it was asked for. More often than `times` when some came too late.
    pub used: u64,
    /// How often it may be used.
    pub times: u64,
    /// Until when: nanoseconds since boot, suspend included.
    pub expires: u64,
}

/// What stands for a target in a [`GrantKey`]: three words that nothing else has.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Target(pub [u64; 3]);

impl Target {
    /// A process, by its pid and when it started, in clock ticks since boot (100 a second), as in
    /// `/proc/PID/stat`.
    #[must_use]
    #[inline(always)]
    pub const fn process(pid: u32, start: u64) -> Self {
        Self([pid as u64, start, 1])
    }

    /// A file, by the device number of its file system (`major << 20 | minor`), the number of its
    /// inode and, where [`crate::places::has_generations`], its generation (elsewhere 0).
    #[must_use]
    #[inline(always)]
    pub const fn file(device: u32, inode: u64, generation: u32) -> Self {
        Self([(generation as u64) << 32 | device as u64, inode, 2])
    }

    /// An address of the Internet: IPv6, or IPv4 mapped into it, as it stands in memory, and the
    /// port.
    #[must_use]
    #[inline(always)]
    pub const fn address(address: [u64; 2], port: u16) -> Self {
        Self([address[0], address[1], (port as u64) << 8 | 3])
    }

    /// A facility of the machine's, by whatever way it is used that no file stands for.
    #[must_use]
    #[inline(always)]
    pub const fn facility() -> Self {
        Self([0, 0, 4])
    }

    /// What no grant is for.
    pub const NONE: Self = Self([0; 3]);
}

/// In place of a rule's number: no rule stands behind the refusal.
pub const NO_RULE: u64 = 0;

/// What stands for a rule, by its name (FNV-1a): it stays the same when the policy is edited.
/// Names come from whoever writes the policy, so nobody gains from two that have one number.
#[must_use]
pub const fn rule(name: &[u8]) -> u64 {
    let mut number = 0xcbf2_9ce4_8422_2325_u64;
    let mut at = 0;
    while at < name.len() {
        number = (number ^ name[at] as u64).wrapping_mul(0x0100_0000_01b3);
        at += 1;
    }
    if number == NO_RULE { 1 } else { number }
}

/// The detail of an operation on a facility, for a [`GrantKey`].
#[must_use]
pub const fn on_facility(facility: Facility) -> u16 {
    facility.detail() as u16
}

const _: () = {
    assert!(size_of::<GrantKey>() == 40);
    assert!(size_of::<Grant>() == 24);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_has_different_keys() {
        let targets = [
            Target::process(7, 9),
            Target::process(9, 7),
            Target::file(7, 9, 0),
            Target::file(7, 9, 1),
            Target::address([7, 9], 0),
            Target::address([7, 9], 1),
            Target::facility(),
            Target::NONE,
        ];
        for (index, one) in targets.iter().enumerate() {
            assert!(!targets[index + 1..].contains(one), "{one:?}");
        }
    }

    #[test]
    fn a_rule_has_a_number_by_its_name() {
        // The published test vector of FNV-1a, 64 bits.
        assert_eq!(rule(b"foobar"), 0x8594_4171_f739_67e8);
        assert_ne!(rule(b"photos"), rule(b"photo"));
        assert_ne!(rule(b""), NO_RULE);
    }
}
