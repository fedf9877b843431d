//! The decision against a plain reading of it: go through the clauses from the first, take the
//! first of which everything fits.

use guard_ebpf::abi::MAX_SIGNAL;
use guard_ebpf::bits::{Bits, MAX_CLAUSES};
use guard_ebpf::decision::{Candidates, Decision, Matched, decide, is_free};
use guard_ebpf::operation::{Facility, Operation, Reason, Verdict};
use guard_ebpf::policy::{
    Effect, MAX_RULES, MODE_AUDIT, MODE_ENFORCE, MODE_RECORD, Policy, Selector,
};
use proptest::prelude::*;

const EFFECTS: [Effect; 4] = [
    Effect::Allow,
    Effect::Deny,
    Effect::Audit,
    Effect::DenyAlways,
];

/// One clause, in the open.
#[derive(Clone, Debug)]
struct Clause {
    rule: usize,
    operations: Vec<Operation>,
    /// The signals that it is about; every one where it does not say.
    signals: Option<Vec<u32>>,
    /// The kinds of selectors that it asks for.
    uses: Vec<Selector>,
    /// The kinds that the target satisfies.
    satisfied: Vec<Selector>,
}

fn clause() -> impl Strategy<Value = Clause> {
    (
        0..MAX_RULES,
        prop::sample::subsequence(Operation::EVERY.to_vec(), 0..=4),
        prop::option::weighted(0.3, prop::collection::vec(1..=MAX_SIGNAL, 1..8)),
        prop::sample::subsequence(Selector::EVERY.to_vec(), 0..=6),
        prop::sample::subsequence(Selector::EVERY.to_vec(), 3..=6),
    )
        .prop_map(|(rule, operations, signals, uses, satisfied)| Clause {
            rule,
            operations,
            signals,
            uses,
            satisfied,
        })
}

/// Every third rule has a limit.
fn is_limited(rule: usize) -> bool {
    rule % 3 == 1
}

fn policy(clauses: &[Clause], effects: &[usize], audit: bool) -> Policy {
    let mut policy = Policy {
        mode: if audit { MODE_AUDIT } else { MODE_ENFORCE },
        ..Policy::EMPTY
    };
    for (rule, effect) in effects.iter().enumerate() {
        policy.effects[rule] = EFFECTS[*effect] as u8;
    }
    for rule in 0..MAX_RULES {
        policy.limited[rule] = u8::from(is_limited(rule));
    }
    for (index, clause) in clauses.iter().enumerate() {
        policy.clause_rule[index] = clause.rule as u8;
        for operation in &clause.operations {
            policy.operations[*operation as usize].insert(index);
        }
        for kind in &clause.uses {
            policy.uses[*kind as usize].insert(index);
        }
        for signal in 1..=MAX_SIGNAL {
            if clause
                .signals
                .as_ref()
                .is_none_or(|only| only.contains(&signal))
            {
                policy.details[signal as usize].insert(index);
            }
        }
        for facility in Facility::EVERY {
            policy.details[facility.detail() as usize].insert(index);
        }
    }
    policy
}

fn matched(clauses: &[Clause]) -> Matched {
    let mut matched = Matched::default();
    for kind in Selector::EVERY {
        let mut bits = Bits::NONE;
        for (index, clause) in clauses.iter().enumerate() {
            if clause.satisfied.contains(&kind) {
                bits.insert(index);
            }
        }
        matched.set(kind, bits);
    }
    matched
}

fn fits(clause: &Clause, operation: Operation, signal: u32) -> bool {
    let concerns = |kind: &Selector| match kind {
        Selector::Actor => true,
        kind => (*kind == Selector::Path) != operation.is_on_process(),
    };
    clause.operations.contains(&operation)
        && (operation != Operation::Signal
            || (1..=MAX_SIGNAL).contains(&signal)
                && clause
                    .signals
                    .as_ref()
                    .is_none_or(|only| only.contains(&signal)))
        && clause
            .uses
            .iter()
            .filter(|kind| concerns(kind))
            .all(|kind| clause.satisfied.contains(kind))
}

fn plain(
    clauses: &[Clause],
    effects: &[usize],
    audit: bool,
    operation: Operation,
    signal: u32,
) -> Decision {
    let refused = if audit { Verdict::Audit } else { Verdict::Deny };
    let Some(clause) = clauses
        .iter()
        .find(|clause| fits(clause, operation, signal))
    else {
        return Decision {
            verdict: if is_free(operation) {
                Verdict::Allow
            } else {
                refused
            },
            reason: Reason::Default,
            rule: 0,
            yields: !is_free(operation),
            limited: false,
        };
    };
    let limited = is_limited(clause.rule) && EFFECTS[effects[clause.rule]] == Effect::Allow;
    Decision {
        verdict: match EFFECTS[effects[clause.rule]] {
            Effect::Allow => Verdict::Allow,
            Effect::Audit => Verdict::Audit,
            Effect::Deny => refused,
            Effect::DenyAlways => Verdict::Deny,
        },
        reason: Reason::Rule,
        rule: clause.rule as u8,
        yields: limited || EFFECTS[effects[clause.rule]] == Effect::Deny,
        limited,
    }
}

proptest! {
    #[test]
    fn the_first_clause_that_fits_decides(
        clauses in prop::collection::vec(clause(), 0..=MAX_CLAUSES),
        effects in prop::collection::vec(0..EFFECTS.len(), MAX_RULES),
        audit in any::<bool>(),
        signals in prop::collection::vec(0..=MAX_SIGNAL + 4, 8),
    ) {
        let policy = policy(&clauses, &effects, audit);
        let matched = matched(&clauses);
        for operation in Operation::EVERY {
            for &signal in &signals {
                let detail = match operation {
                    Operation::Machine => Facility::Perf.detail(),
                    _ => signal,
                };
                prop_assert_eq!(
                    decide(&policy, operation, detail, &matched),
                    plain(&clauses, &effects, audit, operation, signal),
                    "{:?} {}", operation, signal
                );
            }
        }
    }

    /// As the kernel goes about it: in any order, and only what somebody still asks for.
    #[test]
    fn what_no_candidate_asks_for_need_not_be_looked_up(
        clauses in prop::collection::vec(clause(), 0..=MAX_CLAUSES),
        effects in prop::collection::vec(0..EFFECTS.len(), MAX_RULES),
        order in Just(Selector::EVERY.to_vec()).prop_shuffle(),
        signal in 1..=MAX_SIGNAL,
    ) {
        let policy = policy(&clauses, &effects, false);
        let matched = matched(&clauses);
        for operation in Operation::EVERY {
            let signal = match operation {
                Operation::Machine => Facility::Perf.detail(),
                _ => signal,
            };
            let mut candidates = Candidates::about(&policy, operation as u32, signal);
            for &kind in &order {
                if kind.fits(operation.is_on_process()) && candidates.ask_for(&policy, kind) {
                    candidates.narrow(&policy, kind, matched.0[kind as usize]);
                }
            }
            // On the way the candidates pass through memory as plain bits.
            let candidates = Candidates::from_bits(candidates.bits());
            prop_assert_eq!(
                candidates.decide(&policy, is_free(operation)),
                decide(&policy, operation, signal, &matched)
            );
        }
    }
}

/// A policy of one rule about everything, with one clause that asks for nothing.
fn one_rule(effect: Effect, mode: u32) -> Policy {
    let clause = Clause {
        rule: 0,
        operations: Operation::EVERY.to_vec(),
        signals: None,
        uses: Vec::new(),
        satisfied: Vec::new(),
    };
    let mut policy = policy(&[clause], &[], false);
    policy.effects[0] = effect as u8;
    policy.mode = mode;
    policy
}

#[test]
fn audit_mode_softens_every_refusal_but_the_guards_own() {
    let nothing = Matched::default();
    let verdict =
        |effect, mode| decide(&one_rule(effect, mode), Operation::Delete, 0, &nothing).verdict;
    assert_eq!(verdict(Effect::Deny, MODE_ENFORCE), Verdict::Deny);
    assert_eq!(verdict(Effect::Deny, MODE_AUDIT), Verdict::Audit);
    assert_eq!(verdict(Effect::DenyAlways, MODE_AUDIT), Verdict::Deny);
    assert_eq!(verdict(Effect::Allow, MODE_AUDIT), Verdict::Allow);
    // What is recorded besides changes nothing.
    for effect in [
        Effect::Allow,
        Effect::Deny,
        Effect::Audit,
        Effect::DenyAlways,
    ] {
        for mode in [MODE_ENFORCE, MODE_AUDIT] {
            assert_eq!(verdict(effect, mode | MODE_RECORD), verdict(effect, mode));
        }
    }
    let empty = Policy {
        mode: MODE_AUDIT,
        ..Policy::EMPTY
    };
    let decision = decide(&empty, Operation::Trace, 0, &nothing);
    assert_eq!(
        (decision.verdict, decision.reason),
        (Verdict::Audit, Reason::Default)
    );
}

#[test]
fn a_signal_that_no_rule_can_name_is_refused() {
    let policy = one_rule(Effect::Allow, MODE_ENFORCE);
    let signal = |number| decide(&policy, Operation::Signal, number, &Matched::default()).verdict;
    assert_eq!(signal(1), Verdict::Allow);
    assert_eq!(signal(MAX_SIGNAL), Verdict::Allow);
    assert_eq!(signal(MAX_SIGNAL + 1), Verdict::Deny);
    assert_eq!(signal(u32::MAX), Verdict::Deny);
}

#[test]
fn an_effect_that_is_not_known_refuses() {
    let mut policy = one_rule(Effect::Allow, MODE_ENFORCE);
    policy.effects[0] = 200;
    let decision = decide(&policy, Operation::Delete, 0, &Matched::default());
    assert_eq!(decision.verdict, Verdict::Deny);
}
