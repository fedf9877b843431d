//! A compiled policy, as the kernel holds it.

use crate::automaton::Start;
use crate::bits::{Bits, MAX_CLAUSES};
use crate::operation::MAX_OPERATIONS;
use crate::session::MAX_LIMITS;

/// How many rules a policy can have, the built-in ones that are compiled into it included.
pub const MAX_RULES: usize = 64;

/// The room for details: signals by their numbers, and behind them facilities (see
/// [`crate::operation::Facility::detail`]). A power of two, so that a mask keeps an index
/// inside (the verifier before 6.3 does not follow a comparison of 32 bits).
pub const DETAILS: usize = 128;

/// What a clause can ask of a target. Each kind is answered by a set of clauses.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Selector {
    /// The path of a process's executable.
    Executable = 0,
    /// A process's command name.
    Name = 1,
    /// A process's effective user.
    User = 2,
    /// A process's cgroup (version 2).
    Cgroup = 3,
    /// A file's path, or what stands for a socket's address (see [`crate::socket`]).
    Path = 4,
    /// The path of the actor's executable.
    Actor = 5,
    /// The command line that a process was executed with.
    Command = 6,
    /// The paths of the executables of a process's ancestors.
    Ancestor = 7,
    /// Where a process listens for connections.
    Listening = 8,
    /// The session that a process belongs to.
    Session = 9,
}

/// How many kinds of selectors there are.
pub const SELECTORS: usize = 10;

impl Selector {
    /// All kinds, in the order of their numbers.
    pub const EVERY: [Self; SELECTORS] = [
        Self::Executable,
        Self::Name,
        Self::User,
        Self::Cgroup,
        Self::Path,
        Self::Actor,
        Self::Command,
        Self::Ancestor,
        Self::Listening,
        Self::Session,
    ];

    /// Whether a clause about this operation can ask for it: of a target that is a process, or of
    /// one that is a file or a socket. Of the actor every clause can.
    #[must_use]
    pub const fn fits(self, on_process: bool) -> bool {
        match self {
            Self::Actor => true,
            Self::Path => !on_process,
            _ => on_process,
        }
    }
}

impl Selector {
    /// Whether looking it up can fail although it is there.
    #[must_use]
    pub const fn can_be_unknown(self) -> bool {
        matches!(
            self,
            Self::Command | Self::Ancestor | Self::Listening | Self::Session
        )
    }
}

/// What a rule says.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Let it through.
    Allow = 0,
    /// Refuse it.
    Deny = 1,
    /// Let it through and record it.
    Audit = 2,
    /// Refuse it, even in `mode: audit`: the guard's own protection.
    DenyAlways = 3,
}

/// How often a rule may let something through: an element of [`Policy::limits`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    /// How often; 0 for no limit.
    pub count: u32,
    /// Within so many seconds of the first time.
    pub seconds: u32,
}

/// [`Policy::mode`]: rules are enforced, and refusals are recorded.
pub const MODE_ENFORCE: u32 = 0;
/// In [`Policy::mode`]: refusals are recorded and nothing is refused.
pub const MODE_AUDIT: u32 = 1;
/// In [`Policy::mode`]: what is let through is recorded as well, but for what is the session's own.
pub const MODE_RECORD: u32 = 2;

/// A compiled policy: an element of `POLICIES`. It is complete before a session points to
/// it and is never changed while one does.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Number of this compilation, never used again on this engine; 0 is none.
    pub id: u32,
    /// [`MODE_ENFORCE`], or any of [`MODE_AUDIT`] and [`MODE_RECORD`].
    pub mode: u32,
    /// The first of this policy's rows.
    pub first_row: u32,
    /// How many rows it has.
    pub rows: u32,
    /// Where the automaton starts on file systems without an entry in `STARTS`.
    pub elsewhere: Start,
    /// Where the automaton starts for command names.
    pub name_start: u16,
    /// Where the automaton starts for cgroups (from `/`, the root of the hierarchy).
    pub cgroup_start: u16,
    /// Where the automaton starts for sockets that have no file (see [`crate::socket`]).
    pub socket_start: u16,
    /// Where the automaton starts for command lines, the arguments with a space between them.
    pub command_start: u16,
    /// Where the automaton starts for what a process listens at (see [`crate::socket`]).
    pub listening_start: u16,
    /// For each kind of selector, the row that stands for what could not be looked up: it matches
    /// the clauses of rules that refuse all but some; and where the look-up itself can fail (command
    /// lines, ancestors, sockets, sessions), of all rules that refuse.
    pub unknown: [u16; SELECTORS],
    /// Zero.
    pub reserved: u16,
    /// The clauses that every user satisfies that `USERS` does not name.
    pub other_users: Bits,
    /// The clauses that every process of a session satisfies that `NAMED` does not name.
    pub other_sessions: Bits,
    /// The clauses that every process satisfies that belongs to no session.
    pub no_session: Bits,
    /// The clauses that a process satisfies whatever its ancestors are, but for exceptions.
    pub any_ancestors: Bits,
    /// The clauses that a process satisfies wherever it listens, but for exceptions.
    pub any_listening: Bits,
    /// For each kind of selector, the clauses that ask for it.
    pub uses: [Bits; SELECTORS],
    /// For each operation, the clauses of the rules about it.
    pub operations: [Bits; MAX_OPERATIONS],
    /// For each detail of an operation (signals by their numbers, facilities by
    /// [`crate::operation::Facility::detail`]), the clauses that do not exclude it. Place 0
    /// is not used.
    pub details: [Bits; DETAILS],
    /// The class of each byte.
    pub classes: [u8; 256],
    /// For each clause, its rule.
    pub clause_rule: [u8; MAX_CLAUSES],
    /// For each rule, its [`Effect`].
    pub effects: [u8; MAX_RULES],
    /// For each rule, the place of its limit in `limits`, counted from 1; 0 when it has none.
    pub limited: [u8; MAX_RULES],
    /// The limits, and how far the session has come with each in `SPENT`.
    pub limits: [Limit; MAX_LIMITS],
    /// For each rule, what stands for it in grants ([`crate::grant::rule`]).
    pub numbers: [u64; MAX_RULES],
}

impl Policy {
    /// A policy without rules: the session's own is allowed, all else is refused.
    pub const EMPTY: Self = Self {
        id: 0,
        mode: MODE_ENFORCE,
        first_row: 0,
        rows: 0,
        elsewhere: Start {
            path: 0,
            executable: 0,
            actor: 0,
            ancestor: 0,
        },
        name_start: 0,
        cgroup_start: 0,
        socket_start: 0,
        command_start: 0,
        listening_start: 0,
        unknown: [0; SELECTORS],
        reserved: 0,
        other_users: Bits::NONE,
        other_sessions: Bits::NONE,
        no_session: Bits::NONE,
        any_ancestors: Bits::NONE,
        any_listening: Bits::NONE,
        uses: [Bits::NONE; SELECTORS],
        operations: [Bits::NONE; MAX_OPERATIONS],
        details: [Bits::NONE; DETAILS],
        classes: [0; 256],
        clause_rule: [0; MAX_CLAUSES],
        effects: [Effect::Deny as u8; MAX_RULES],
        limited: [0; MAX_RULES],
        limits: [Limit {
            count: 0,
            seconds: 0,
        }; MAX_LIMITS],
        numbers: [crate::grant::NO_RULE; MAX_RULES],
    };
}

/// The key of `USERS`: the clauses of a policy that ask for a user.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UserKey {
    /// The policy's slot.
    pub slot: u32,
    /// The user's number.
    pub uid: u32,
}

/// The key of `NAMED`: the clauses of a policy that ask for a session by its name.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NameKey {
    /// The policy's slot.
    pub slot: u32,
    /// Zero.
    pub reserved: u32,
    /// What stands for the name ([`crate::session::name`]).
    pub name: u64,
}

/// What a process satisfies of a kind of which it can have several: one that fits will do, and none
/// may be excepted. `any` are the clauses that want none in particular.
#[must_use]
#[inline(always)]
pub const fn several(any: Bits, fits: Bits, excepted: Bits) -> Bits {
    any.or(fits).and(excepted.not())
}

const _: () = {
    use core::mem::offset_of;
    assert!(offset_of!(Policy, other_users) == 56);
    assert!(offset_of!(Policy, classes) == 56 + 16 * (5 + SELECTORS + MAX_OPERATIONS + DETAILS));
    assert!(size_of::<NameKey>() == 16);
    assert!(offset_of!(Policy, limits) == offset_of!(Policy, effects) + 2 * MAX_RULES);
    assert!(offset_of!(Policy, numbers) == offset_of!(Policy, limits) + 8 * MAX_LIMITS);
    assert!(size_of::<Policy>() == offset_of!(Policy, numbers) + 8 * MAX_RULES);
    assert!(align_of::<Policy>() == 8);
};
