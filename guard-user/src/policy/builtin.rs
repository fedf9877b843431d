//! The rules that come before every policy: the guard's own files and its control socket. No
//! policy lifts them, and `mode: audit` does not soften them.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use guard_ebpf::operation::Operation;
use guard_ebpf::policy::Effect;

use super::compiled::RuleInfo;
use super::document::{PathGlob, Via};
use super::environment::Protected;
use super::glob::{Part, Token};
use super::ruleset::RulesetRule;

/// What no session does to the guard's places.
const OPERATIONS: [Operation; 5] = [
    Operation::Delete,
    Operation::Overwrite,
    Operation::Attributes,
    Operation::Create,
    Operation::Mount,
];

/// The directory with the control socket, to which no session connects.
const STATE: &str = "/run/guard";

/// What is always protected: the rule's name, the directory, the reason.
const PLACES: [(&str, &str, &str); 3] = [
    (
        "guard-policies",
        "/etc/guard",
        "a session must not change the policies it is under",
    ),
    (
        "guard-log",
        "/var/log/guard",
        "a session must not change the record of what it did",
    ),
    (
        "guard-state",
        STATE,
        "a session must not reach the guard's control socket",
    ),
];

/// How many built-in rules there are.
pub(crate) fn count(protected: &Protected) -> usize {
    PLACES.len() + usize::from(!protected.paths.is_empty())
}

/// The built-in rules, in order. `policies` are the files that the policy was read from, and the
/// links that lead to them.
pub(crate) fn rules(protected: &Protected, policies: &[PathBuf]) -> Vec<RulesetRule> {
    let place = |(name, place, because): &(&str, &str, &str)| {
        let on = globs(Path::new(place));
        let mut rule = rule(name, because, on.to_vec());
        if *place == STATE {
            rule.operations.push(Operation::Connect);
            rule.via = Some(vec![Vec::from(on.map(Via::Path)).into()]);
        }
        rule
    };
    let mut rules: Vec<RulesetRule> = PLACES.iter().map(place).collect();
    // The first rule is the one about policies, wherever they lie.
    let files = policies.iter().map(|file| globs(file)[0].clone());
    let policies = rules.first_mut().and_then(|rule| rule.on.as_mut());
    if let Some(on) = policies.and_then(|on| on.first_mut()?.of.as_mut()) {
        on.extend(files);
    }
    if !protected.paths.is_empty() {
        let on = protected.paths.iter().flat_map(|path| globs(path));
        rules.push(rule(
            "guard-program",
            "a session must not change the guard itself",
            on.collect(),
        ));
    }
    rules
}

fn rule(name: &str, because: &str, on: Vec<PathGlob>) -> RulesetRule {
    RulesetRule {
        info: RuleInfo {
            name: name.to_owned(),
            because: Some(because.to_owned()),
            ..RuleInfo::default()
        },
        effect: Effect::DenyAlways,
        operations: OPERATIONS.to_vec(),
        signals: None,
        facilities: None,
        to: None,
        on: Some(vec![on.into()]),
        via: None,
        by: None,
        at_most: None,
    }
}

/// A place itself and everything below it.
fn globs(path: &Path) -> [PathGlob; 2] {
    let itself: Vec<Part> = path
        .as_os_str()
        .as_bytes()
        .split(|&byte| byte == b'/')
        .filter(|name| !name.is_empty())
        .map(Part::literal)
        .collect();
    let below = [
        itself.clone(),
        vec![Part::AnyDepth, Part::Name(vec![Token::AnyRun])],
    ]
    .concat();
    [(itself, ""), (below, "/**")].map(|(parts, ending)| PathGlob {
        parts,
        floating: false,
        written: format!("{}{ending}", path.display()),
    })
}
