//! The automaton that matches names: paths, executables, cgroups and command names.
//!
//! The user side compiles all globs of a policy into one deterministic automaton over
//! bytes. The kernel steps it once a byte, from the root down to the leaf, so a verdict
//! costs the length of the name and does not grow with the number of patterns. Nothing
//! is looked up in advance: a directory that is made anew is matched like the one before.

use crate::bits::Bits;

/// How many classes of bytes an automaton can tell apart.
pub const CLASSES: usize = 128;

/// A state: what is matched when the name ends here, and where each class of bytes leads.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The clauses that match when the name ends here.
    pub matches: Bits,
    /// The clauses for which this directory must stay where it is, because of a place below it: they
    /// count the other way for what is done to the directory. A rule that refuses then matches, and
    /// one that lets through everything but that place does not. Of kinds of which a process can have
    /// several: the clauses that must not match when one of them ends here
    /// ([`crate::policy::several`]).
    pub ancestors: Bits,
    /// The next row for each class, as an index into the map of all rows.
    pub next: [u16; CLASSES],
}

/// The row that matches nothing and is never left.
pub const DEAD: u16 = 0;

impl Row {
    /// A row that matches nothing and leads nowhere.
    pub const EMPTY: Self = Self {
        matches: Bits::NONE,
        ancestors: Bits::NONE,
        next: [DEAD; CLASSES],
    };

    /// Where a byte of this class leads.
    #[must_use]
    #[inline(always)]
    pub const fn step(&self, class: u8) -> u16 {
        self.next[class as usize & (CLASSES - 1)]
    }
}

/// The key of `STARTS`: where a policy's automaton starts for names on one file system.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StartKey {
    /// The policy's slot.
    pub slot: u32,
    /// The file system's device number, as the kernel holds it: `major << 20 | minor`.
    pub device: u32,
}

/// The value of `STARTS`: the rows to start from.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// For the path of a file, from the root of its file system.
    pub path: u16,
    /// For the path of a target's executable, from the root of its file system.
    pub executable: u16,
    /// For the path of the actor's executable, from the root of its file system.
    pub actor: u16,
    /// For the path of the executable of a target's ancestor, from the root of its file system.
    pub ancestor: u16,
}

const _: () = {
    assert!(size_of::<Row>() == 32 + 2 * CLASSES);
    assert!(size_of::<StartKey>() == 8);
    assert!(size_of::<Start>() == 8);
    assert!(CLASSES.is_power_of_two());
};
