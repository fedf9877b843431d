//! Rules that are about nothing that is on this machine now: no process that they name runs, and no
//! place that they name is there. That can be as it should be, and a name that was mistyped looks
//! like it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use guard_ebpf::operation::Operation;

use super::compiled::Compiled;
use super::document::{PathGlob, Selection, Via};
use super::evaluate::ProcessFacts;
use super::ruleset::{Ruleset, RulesetRule};

/// What is to be said of the rules that stand in a file, or in a preset. `exists` says whether there is
/// something at a path.
#[must_use]
pub fn unmatched(
    ruleset: &Ruleset,
    compiled: &Compiled,
    file: &str,
    processes: &[ProcessFacts],
    exists: &dyn Fn(&Path) -> bool,
) -> Vec<String> {
    let mut touched = vec![false; ruleset.rules.len()];
    for process in processes {
        for rule in compiled.about_process(process) {
            touched[usize::from(rule)] = true;
        }
    }
    let mut notes = Vec::new();
    for (rule, touched) in ruleset.rules.iter().zip(touched) {
        let Some((_, line)) = rule.info.source.as_ref().filter(|at| at.0 == file) else {
            continue;
        };
        let mut note = |what: &str| {
            notes.push(format!(
                "the rule `{}` (line {line}) is about nothing that is here now: {what}",
                rule.info.name
            ));
        };
        if rule.to.is_some() && rule.operations.iter().any(|one| one.is_on_process()) && !touched {
            note("no process that runs is one that it names");
        }
        if let Some(missing) = missing(rule, exists) {
            note(&format!("there is no {}", missing.display()));
        }
    }
    notes
}

/// The first place that a rule names, when none of those is there. A place where something may not be
/// made need not be there.
fn missing(rule: &RulesetRule, exists: &dyn Fn(&Path) -> bool) -> Option<PathBuf> {
    if rule.operations.contains(&Operation::Create) {
        return None;
    }
    let on = rule.on.iter().flatten();
    let on = on.flat_map(|selection| places(selection, |glob| Some(glob)));
    let via = rule.via.iter().flatten();
    let via = via.flat_map(|selection| {
        places(selection, |one| match one {
            Via::Path(glob) => Some(glob),
            Via::Text(_) => None,
        })
    });
    let places: Vec<Option<PathBuf>> = on.chain(via).collect();
    let is_somewhere = |place: &Option<PathBuf>| place.as_deref().is_none_or(exists);
    if places.iter().any(is_somewhere) {
        return None;
    }
    places.into_iter().next().flatten()
}

/// Where each of some begins; none for what is everywhere, or has no place, and where only exceptions
/// are named.
fn places<T>(selection: &Selection<T>, glob: fn(&T) -> Option<&PathGlob>) -> Vec<Option<PathBuf>> {
    match &selection.of {
        Some(of) => of.iter().map(|one| glob(one).and_then(beginning)).collect(),
        None => vec![None],
    }
}

/// The beginning of a glob that means itself; none for one that is about every directory.
fn beginning(glob: &PathGlob) -> Option<PathBuf> {
    if glob.floating {
        return None;
    }
    let mut path = PathBuf::from("/");
    path.extend(
        glob.parts
            .iter()
            .map_while(|part| part.as_literal().map(OsString::from_vec)),
    );
    Some(path)
}
