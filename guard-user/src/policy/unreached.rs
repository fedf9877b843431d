//! Rules that never decide: those before them are about all that they are about. Only what is sure is
//! told: one rule before it that asks for the same or for less.

use guard_ebpf::operation::Operation;
use guard_ebpf::policy::Effect;

use super::document::{PathGlob, Selection, SocketKind, Via};
use super::glob::{Part, any_name};
use super::ruleset::{Ruleset, RulesetRule};

/// What is to be said of the rules that stand in a file, or in a preset.
#[must_use]
pub fn unreached(ruleset: &Ruleset, file: &str) -> Vec<String> {
    let mut notes = Vec::new();
    for (index, rule) in ruleset.rules.iter().enumerate() {
        let Some((_, line)) = rule.info.source.as_ref().filter(|at| at.0 == file) else {
            continue;
        };
        let before = &ruleset.rules[..index];
        // One rule before it may be about several of its operations.
        let mut covered: Vec<(&RulesetRule, Vec<&str>)> = Vec::new();
        for &operation in &rule.operations {
            let Some(first) = before.iter().find(|one| covers(one, rule, operation)) else {
                continue;
            };
            match covered
                .iter_mut()
                .find(|(one, _)| std::ptr::eq(*one, first))
            {
                Some((_, names)) => names.push(operation.name()),
                None => covered.push((first, vec![operation.name()])),
            }
        }
        for (first, operations) in covered {
            let place = match &first.info.source {
                Some((file, line)) => format!("{file}:{line}"),
                None => "built in".to_owned(),
            };
            notes.push(format!(
                "the rule `{}` (line {line}) never decides about {}: `{}` ({place}) comes before it \
                 and is about all of that",
                rule.info.name,
                operations.join(", "),
                first.info.name,
            ));
        }
    }
    notes
}

/// Whether the first rule is about everything that the second is about, in an operation of the second.
fn covers(first: &RulesetRule, second: &RulesetRule, operation: Operation) -> bool {
    // A glob of a rule that refuses is about more: other mounts of the place, and the directories on
    // the way to it.
    let is_about_all = match operation {
        Operation::Connect => first.via.is_none(),
        _ if operation.is_on_process() => first.to.is_none(),
        _ => first.on.is_none(),
    };
    let is_within = match operation {
        Operation::Connect => selects(first.via.as_ref(), second.via.as_ref(), via),
        Operation::Machine => {
            holds(
                first.facilities.as_ref(),
                second.facilities.as_ref(),
                PartialEq::eq,
            ) && selects(first.on.as_ref(), second.on.as_ref(), glob)
        }
        Operation::Signal => {
            holds(
                first.signals.as_ref(),
                second.signals.as_ref(),
                PartialEq::eq,
            ) && selects(first.to.as_ref(), second.to.as_ref(), PartialEq::eq)
        }
        _ if operation.is_on_process() => {
            selects(first.to.as_ref(), second.to.as_ref(), PartialEq::eq)
        }
        _ => selects(first.on.as_ref(), second.on.as_ref(), glob),
    };
    is_within
        && (is_about_all && first.by.is_none() || is_deny(first) || !is_deny(second))
        && first.operations.contains(&operation)
        && selects(first.by.as_ref(), second.by.as_ref(), PartialEq::eq)
}

const fn is_deny(rule: &RulesetRule) -> bool {
    matches!(rule.effect, Effect::Deny | Effect::DenyAlways)
}

/// Whether each of the second's is within one of the first's. None means all there is.
fn holds<T>(
    first: Option<&Vec<T>>,
    second: Option<&Vec<T>>,
    within: impl Fn(&T, &T) -> bool,
) -> bool {
    let Some(first) = first else {
        return true;
    };
    second.is_some_and(|second| {
        second
            .iter()
            .all(|one| first.iter().any(|wide| within(wide, one)))
    })
}

/// Whether each of the second's is within one of the first's, which excepts nothing that the second does
/// not. None means all there is.
fn selects<T: PartialEq>(
    first: Option<&Vec<Selection<T>>>,
    second: Option<&Vec<Selection<T>>>,
    within: fn(&T, &T) -> bool,
) -> bool {
    holds(first, second, |wide, one| {
        wide.except.iter().all(|but| one.except.contains(but))
            && holds(wide.of.as_ref(), one.of.as_ref(), within)
    })
}

/// Whether the first glob matches all that the second does: it is the same, or `DIRECTORY/**` above it.
fn glob(wide: &PathGlob, one: &PathGlob) -> bool {
    if one.floating && !wide.floating {
        return false;
    }
    let below = |prefix: &[Part]| {
        let rest = one.parts.strip_prefix(prefix);
        rest.is_some_and(|rest| rest.iter().any(|part| matches!(part, Part::Name(_))))
    };
    wide.parts == one.parts
        || matches!(&wide.parts[..], [prefix @ .., Part::AnyDepth, name] if *name == any_name() && below(prefix))
}

fn via(wide: &Via, one: &Via) -> bool {
    match (wide, one) {
        (Via::Path(wide), Via::Path(one)) => glob(wide, one),
        (Via::Text(wide), Via::Text(one)) => match (&wide.kind, &one.kind) {
            (SocketKind::Abstract, SocketKind::Abstract)
            | (SocketKind::Internet { .. }, SocketKind::Internet { .. })
            | (SocketKind::Families(_), SocketKind::Families(_)) => {
                let mut patterns = one.patterns.iter();
                patterns.all(|pattern| wide.patterns.contains(pattern))
            }
            _ => false,
        },
        _ => false,
    }
}
