//! Sets of clauses: one bit a clause, two words.

/// How many clauses a policy can have. A clause is one way in which a rule can match:
/// an item of a group, or a set of paths.
pub const MAX_CLAUSES: usize = 128;

/// A set of clauses of one policy.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bits(pub [u64; 2]);

impl Bits {
    /// No clause.
    pub const NONE: Self = Self([0; 2]);
    /// Every clause.
    pub const ALL: Self = Self([u64::MAX; 2]);

    /// The set of one clause. A clause beyond the limit is in no set.
    #[must_use]
    pub const fn one(clause: usize) -> Self {
        match clause {
            0..64 => Self([1 << clause, 0]),
            64..128 => Self([0, 1 << (clause - 64)]),
            _ => Self::NONE,
        }
    }

    /// Adds a clause. A clause beyond the limit is not added.
    pub const fn insert(&mut self, clause: usize) {
        *self = self.or(Self::one(clause));
    }

    /// What is in both.
    #[must_use]
    #[inline(always)]
    pub const fn and(self, other: Self) -> Self {
        Self([self.0[0] & other.0[0], self.0[1] & other.0[1]])
    }

    /// What is in either.
    #[must_use]
    #[inline(always)]
    pub const fn or(self, other: Self) -> Self {
        Self([self.0[0] | other.0[0], self.0[1] | other.0[1]])
    }

    /// What is in one of both, and not in the other.
    #[must_use]
    #[inline(always)]
    pub const fn xor(self, other: Self) -> Self {
        Self([self.0[0] ^ other.0[0], self.0[1] ^ other.0[1]])
    }

    /// What is not in it.
    #[must_use]
    #[inline(always)]
    pub const fn not(self) -> Self {
        Self([!self.0[0], !self.0[1]])
    }

    /// Whether no clause is in it.
    #[must_use]
    #[inline(always)]
    pub const fn is_empty(self) -> bool {
        self.0[0] | self.0[1] == 0
    }

    /// The lowest clause in it.
    #[must_use]
    #[inline(always)]
    pub fn first(self) -> Option<u32> {
        if self.0[0] != 0 {
            Some(lowest(self.0[0]))
        } else if self.0[1] != 0 {
            Some(64 + lowest(self.0[1]))
        } else {
            None
        }
    }
}

/// For each value of the highest six bits of [`SEQUENCE`] shifted, by how much it was.
static SHIFTS: [u8; 64] = {
    let mut shifts = [0; 64];
    let mut shift = 0;
    while shift < 64 {
        shifts[(SEQUENCE << shift >> 58) as usize] = shift;
        shift += 1;
    }
    shifts
};

/// A de Bruijn sequence: its 64 windows of six bits differ.
const SEQUENCE: u64 = 0x03f7_9d71_b4cb_0a89;

/// The index of the lowest bit of a word that is not zero.
///
/// BPF has no instruction for it, and the compiler's replacement is such a table, after which it
/// removes the checks that the verifier wants to see; so it must not know what this is. A search
/// by halves would make the verifier follow the rest of the program once for each of its ways.
#[inline(always)]
fn lowest(word: u64) -> u32 {
    let bit = word & word.wrapping_neg();
    // SAFETY: a valid reference; six bits are an index into 64 elements.
    unsafe {
        let index = core::ptr::read_volatile(&raw const bit).wrapping_mul(SEQUENCE) >> 58;
        u32::from(core::ptr::read_volatile(
            SHIFTS.as_ptr().add(index as usize),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_first_clause_is_the_lowest(words in any::<[u64; 2]>()) {
            let expected = (0..128).find(|&clause| words[clause / 64] >> (clause % 64) & 1 == 1);
            prop_assert_eq!(Bits(words).first().map(|clause| clause as usize), expected);
        }

        #[test]
        fn a_set_of_one_holds_just_that_clause(clause in 0_usize..MAX_CLAUSES) {
            prop_assert_eq!(Bits::one(clause).first(), Some(clause as u32));
            prop_assert_eq!(Bits::one(clause).0.iter().map(|word| word.count_ones()).sum::<u32>(), 1);
        }
    }

    #[test]
    fn a_clause_beyond_the_limit_is_in_no_set() {
        assert!(Bits::one(MAX_CLAUSES).is_empty());
    }
}
