//! What a policy lets through where one of its rules refuses: the rules before that one, in the same
//! file, that allow the same operation. Whoever is refused is told of them.

use guard_ebpf::policy::Effect;

use super::compiled::{Exception, RuleInfo};
use super::ruleset::{Ruleset, RulesetRule};

/// What people are shown of a rule of a policy.
pub fn info(ruleset: &Ruleset, index: usize, rule: &RulesetRule) -> RuleInfo {
    let refuses = matches!(rule.effect, Effect::Deny | Effect::DenyAlways);
    RuleInfo {
        exceptions: if refuses {
            exceptions(&ruleset.rules[..index], rule)
        } else {
            Vec::new()
        },
        is_final: rule.effect == Effect::DenyAlways,
        ..rule.info.clone()
    }
}

fn exceptions(before: &[RulesetRule], rule: &RulesetRule) -> Vec<Exception> {
    let file = |rule: &RulesetRule| Some(rule.info.source.as_ref()?.0.clone());
    before
        .iter()
        .filter(|one| one.effect == Effect::Allow && file(one).is_some() && file(one) == file(rule))
        .filter_map(|one| {
            let operations: Vec<String> = one
                .operations
                .iter()
                .filter(|operation| rule.operations.contains(operation))
                .map(|operation| operation.name().to_owned())
                .collect();
            (!operations.is_empty()).then(|| Exception {
                rule: one.info.name.clone(),
                operations,
                details: one.details(),
                because: one.info.because.clone(),
            })
        })
        .collect()
}
