//! The decision: one verdict from a policy and what the target is.
//!
//! Bit-parallel: each kind of selector yields the set of clauses that it satisfies, the
//! sets are intersected over the kinds that a clause asks for, and the lowest clause left
//! belongs to the first matching rule. The cost does not depend on the number of rules.

use crate::abi::MAX_SIGNAL;
use crate::bits::{Bits, MAX_CLAUSES};
use crate::operation::{MAX_OPERATIONS, Operation, Reason, Verdict};
use crate::policy::{DETAILS, Effect, MAX_RULES, MODE_AUDIT, Policy, SELECTORS, Selector};

/// For each kind of selector, the clauses that the target satisfies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Matched(pub [Bits; SELECTORS]);

impl Matched {
    /// Sets what the target satisfies of one kind.
    #[inline(always)]
    pub const fn set(&mut self, kind: Selector, clauses: Bits) {
        self.0[kind as usize] = clauses;
    }
}

/// A verdict with its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What becomes of the operation.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// The rule's index, when [`Reason::Rule`] or [`Reason::Limit`]; otherwise 0.
    pub rule: u8,
    /// Whether a file that is the session's own is let through whatever the rule says: every
    /// refusal yields to that but those of the guard's own protection, and what a rule lets through
    /// so many times, which it does not count then.
    pub yields: bool,
    /// Whether the rule lets it through so many times only.
    pub limited: bool,
}

impl Decision {
    /// A refusal that no rule stands behind.
    #[must_use]
    pub const fn deny(reason: Reason) -> Self {
        Self {
            verdict: Verdict::Deny,
            reason,
            rule: 0,
            yields: false,
            limited: false,
        }
    }
}

/// The clauses that may still match, while one kind of selector after the other narrows
/// them down. The lowest that is left in the end belongs to the first matching rule.
#[derive(Clone, Copy, Debug)]
pub struct Candidates(Bits);

impl Candidates {
    /// The clauses of the rules about an operation, by its number. `detail` is the signal or the facility
    /// ([`crate::operation::Facility::detail`]), or 0 for operations that have none.
    #[must_use]
    #[inline(always)]
    pub fn about(policy: &Policy, operation: u32, detail: u32) -> Self {
        const SIGNAL: u32 = Operation::Signal as u32;
        const MACHINE: u32 = Operation::Machine as u32;
        let clauses = policy.operations[operation as usize & (MAX_OPERATIONS - 1)];
        let detail = match operation {
            // Behind the signals lie the facilities.
            SIGNAL if detail > MAX_SIGNAL => 0,
            SIGNAL | MACHINE => detail,
            _ => return Self(clauses),
        };
        Self(clauses.and(policy.details[detail as usize & (DETAILS - 1)]))
    }

    /// The candidates with these bits.
    #[must_use]
    #[inline(always)]
    pub const fn from_bits(bits: Bits) -> Self {
        Self(bits)
    }

    /// The clauses that are left.
    #[must_use]
    #[inline(always)]
    pub const fn bits(self) -> Bits {
        self.0
    }

    /// Whether one that is left asks for a kind of selector, so that it has to be looked up.
    #[must_use]
    #[inline(always)]
    pub const fn ask_for(self, policy: &Policy, kind: Selector) -> bool {
        !self.0.and(policy.uses[kind as usize]).is_empty()
    }

    /// Keeps those that are satisfied, or do not ask for the kind.
    #[inline(always)]
    pub const fn narrow(&mut self, policy: &Policy, kind: Selector, satisfied: Bits) {
        self.0 = self.0.and(satisfied.or(policy.uses[kind as usize].not()));
    }

    /// The decision. When none is left, the operation is refused, unless it is `free`.
    #[must_use]
    #[inline(always)]
    pub fn decide(self, policy: &Policy, free: bool) -> Decision {
        let Some(clause) = self.0.first() else {
            if free {
                return Decision {
                    verdict: Verdict::Allow,
                    ..Decision::deny(Reason::Default)
                };
            }
            return soften(
                policy,
                Decision {
                    yields: true,
                    ..Decision::deny(Reason::Default)
                },
            );
        };
        let rule = policy.clause_rule[clause as usize & (MAX_CLAUSES - 1)];
        let effect = policy.effects[rule as usize & (MAX_RULES - 1)];
        let decision = |verdict| Decision {
            verdict,
            reason: Reason::Rule,
            rule,
            yields: false,
            limited: false,
        };
        let limited = policy.limited[rule as usize & (MAX_RULES - 1)] != 0;
        if effect == Effect::Allow as u8 {
            Decision {
                yields: limited,
                limited,
                ..decision(Verdict::Allow)
            }
        } else if effect == Effect::Audit as u8 {
            decision(Verdict::Audit)
        } else if effect == Effect::DenyAlways as u8 {
            decision(Verdict::Deny)
        } else {
            soften(
                policy,
                Decision {
                    yields: true,
                    ..decision(Verdict::Deny)
                },
            )
        }
    }
}

/// Decides on an operation on a target that is not the session's own, of which all is known.
///
/// `detail` is as in [`Candidates::about`]. Rules are tried in order; the first that matches
/// wins; when none does, the operation is refused, but for [`Operation::Create`], which is
/// free where nothing says otherwise.
#[must_use]
pub fn decide(policy: &Policy, operation: Operation, detail: u32, matched: &Matched) -> Decision {
    let mut candidates = Candidates::about(policy, operation as u32, detail);
    for kind in Selector::EVERY {
        if kind.fits(operation.is_on_process()) {
            candidates.narrow(policy, kind, matched.0[kind as usize]);
        }
    }
    candidates.decide(policy, is_free(operation))
}

/// Whether an operation is let through where no rule matches.
#[must_use]
#[inline(always)]
pub const fn is_free(operation: Operation) -> bool {
    matches!(operation, Operation::Create)
}

/// The decision on what a rule lets through no more.
#[must_use]
#[inline(always)]
pub const fn exceeded(policy: &Policy, rule: u8) -> Decision {
    soften(
        policy,
        Decision {
            rule,
            ..Decision::deny(Reason::Limit)
        },
    )
}

/// In `mode: audit` a refusal becomes a record.
#[inline(always)]
const fn soften(policy: &Policy, decision: Decision) -> Decision {
    if policy.mode & MODE_AUDIT != 0 {
        Decision {
            verdict: Verdict::Audit,
            ..decision
        }
    } else {
        decision
    }
}
