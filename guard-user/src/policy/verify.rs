//! Running the tests of a policy, by the decision that the kernel makes.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use guard_ebpf::decision::Decision;
use guard_ebpf::operation::{Reason, Verdict};

use super::cases::{Case, Fields, field};
use super::compiled::RuleInfo;
use super::diagnostics::{Diagnostic, Diagnostics, did_you_mean_or};
use super::environment::{Environment, Host};
use super::facts::{Facts, Wrong};
use super::load::{Loaded, Loader, Source};

/// Loads policies and runs the tests that they hold; those of what they include are not theirs. The
/// number says how many there were. The error holds every mistake, or every test that failed.
pub fn verify(
    sources: &[Source],
    environment: &Environment,
    host: &dyn Host,
) -> Result<(Loaded, usize), Diagnostics> {
    let loaded = Loader::new(environment, host).load(sources)?;
    let mut policies: BTreeMap<Vec<(&str, &str)>, (Environment, Loaded)> = BTreeMap::new();
    let mut mistakes = Vec::new();
    for case in &loaded.cases {
        // Tests of one session share its policy.
        let key = case.given.iter();
        let key = key.map(|(key, word)| (key.as_str(), word.text.as_str()));
        let wrong = |wrong: Wrong| loaded.texts.mistake(wrong.span, wrong.message);
        let (environment, policy) = match policies.entry(key.collect()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => match given(&case.given, environment, host) {
                Ok(environment) => {
                    let policy = Loader::new(&environment, host).load(sources)?;
                    unknown.insert((environment, policy))
                }
                Err(error) => {
                    mistakes.push(wrong(error));
                    continue;
                }
            },
        };
        match Facts::new(environment, host).decide(case, &policy.compiled) {
            Ok(decision) => mistakes.extend(failure(case, policy, &loaded, decision)),
            Err(error) => mistakes.push(wrong(error)),
        }
    }
    if mistakes.is_empty() {
        let tests = loaded.cases.len();
        return Ok((loaded, tests));
    }
    Err(Diagnostics {
        mistakes,
        files: loaded.files,
    })
}

/// The session that a test is about: the one that is checked for, but for what it says itself.
fn given(given: &Fields, environment: &Environment, host: &dyn Host) -> Result<Environment, Wrong> {
    let mut environment = environment.clone();
    if let Some(word) = field(given, "user") {
        let uid = Facts::new(&environment, host).user(word)?;
        if uid != environment.uid {
            environment.home = match uid {
                0 => "/root".into(),
                _ => format!("/home/{}", word.text).into(),
            };
            environment.user.clone_from(&word.text);
            environment.uid = uid;
            environment.workspace = None;
            environment.repository = None;
        }
    }
    if let Some(word) = field(given, "home") {
        environment.home = Facts::new(&environment, host).path(word)?;
    }
    if let Some(word) = field(given, "workspace") {
        environment.workspace = Some(Facts::new(&environment, host).path(word)?);
        environment.repository = None;
    }
    Ok(environment)
}

/// What to say of a test that did not come out as expected.
fn failure(case: &Case, policy: &Loaded, texts: &Loaded, decision: Decision) -> Option<Diagnostic> {
    let rules = &policy.compiled.rules;
    let rule = match decision.reason {
        Reason::Rule => rules.get(usize::from(decision.rule)),
        _ => None,
    };
    let expected_rule = case.rule.as_ref();
    if let Some(name) = expected_rule
        && !rules.iter().any(|rule| rule.name == name.text)
    {
        let known: Vec<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
        let near = did_you_mean_or(&name.text, &known, "there are");
        let message = format!("there is no rule `{}` in this policy{near}", name.text);
        return Some(texts.texts.mistake(name.span, message));
    }
    let is_by = |name: &str| rule.is_some_and(|rule| rule.name == name);
    let is_right = decision.verdict == case.expect;
    if is_right && expected_rule.is_none_or(|name| is_by(&name.text)) {
        return None;
    }
    let test = match &case.name {
        Some(name) => format!("the test `{}`", name.text),
        None => "this test".to_owned(),
    };
    let by = expected_rule.map_or_else(String::new, |name| format!(" by `{}`", name.text));
    let message = format!(
        "{test} failed: it expects {}{by}, and what comes out is {}",
        case.expect.name(),
        outcome(decision, rule)
    );
    let span = match expected_rule {
        Some(name) if is_right => name.span,
        _ => case.expect_span,
    };
    Some(texts.texts.mistake(span, message))
}

/// A verdict, with what it comes from.
fn outcome(decision: Decision, rule: Option<&RuleInfo>) -> String {
    let verdict = decision.verdict.name();
    match rule {
        Some(RuleInfo {
            name,
            source: Some((file, line)),
            ..
        }) => format!("{verdict} by `{name}` ({file}:{line})"),
        Some(RuleInfo { name, .. }) => format!("{verdict} by `{name}`, which is built in"),
        None if decision.reason == Reason::Own => {
            format!("{verdict}, since it is the session's own")
        }
        None if decision.verdict == Verdict::Allow => {
            format!("{verdict}: no rule is about it, and it is free")
        }
        None => format!("{verdict}: no rule lets it through"),
    }
}
