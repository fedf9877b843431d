//! Names: which groups and sets of paths a document sees. Those that it defines, and those
//! of what it includes.

use std::collections::BTreeMap;

use super::diagnostics::{Diagnostic, Sources, did_you_mean_or};
use super::document::{Definition, Document, Item, Named, On, PathGlob, Rule};

/// The names that a document sees.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    groups: Names<Vec<Item>>,
    paths: Names<Vec<PathGlob>>,
}

/// A rule names what isn't there; the mistake has been noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unknown;

/// What names stand for, and where that is said.
type Names<T> = BTreeMap<String, (T, (String, u32))>;

impl Scope {
    /// Adds what an included document sees. `include` is where it is included.
    pub fn add_included(
        &mut self,
        other: &Self,
        include: &Named,
        sources: &Sources,
        mistakes: &mut Vec<Diagnostic>,
    ) {
        merge(
            &mut self.groups,
            &other.groups,
            "group",
            include,
            sources,
            mistakes,
        );
        merge(
            &mut self.paths,
            &other.paths,
            "set of paths",
            include,
            sources,
            mistakes,
        );
    }

    /// Adds what a document defines itself.
    pub fn add_own(
        &mut self,
        document: &Document,
        sources: &Sources,
        mistakes: &mut Vec<Diagnostic>,
    ) {
        define(
            &mut self.groups,
            &document.groups,
            "group",
            sources,
            mistakes,
        );
        define(
            &mut self.paths,
            &document.paths,
            "set of paths",
            sources,
            mistakes,
        );
    }

    /// The items of the groups that a rule names.
    pub fn items(
        &self,
        names: Option<&[Named]>,
        sources: &Sources,
        mistakes: &mut Vec<Diagnostic>,
    ) -> Result<Option<Vec<Item>>, Unknown> {
        let Some(names) = names else {
            return Ok(None);
        };
        let mut items = Vec::new();
        let mut complete = true;
        for name in names {
            if let Some((meaning, _)) = self.groups.get(&name.text) {
                items.extend(meaning.iter().cloned());
            } else {
                complete = false;
                let message = unknown(
                    &name.text,
                    "group",
                    &self.groups,
                    "a set of paths",
                    "on",
                    &self.paths,
                );
                mistakes.push(sources.mistake(name.span, message));
            }
        }
        if complete {
            Ok(Some(items))
        } else {
            Err(Unknown)
        }
    }

    /// The items of the groups of programs that a rule names: of who acts, only the executable
    /// counts. A name is what a process calls itself, and its user and cgroup are the session's.
    pub fn programs(
        &self,
        names: Option<&[Named]>,
        sources: &Sources,
        mistakes: &mut Vec<Diagnostic>,
    ) -> Result<Option<Vec<Item>>, Unknown> {
        for name in names.unwrap_or_default() {
            let Some((items, _)) = self.groups.get(&name.text) else {
                continue;
            };
            let other = |item: &&Item| {
                item.exe.is_none()
                    || item.name.is_some()
                    || item.user.is_some()
                    || item.cgroup.is_some()
            };
            if let Some(item) = items.iter().find(other) {
                let message = format!(
                    "`by` goes by executables alone, and the group `{}` has an item that asks for \
                     something else: `{}`",
                    name.text, item.written
                );
                mistakes.push(sources.mistake(name.span, message));
                return Err(Unknown);
            }
        }
        self.items(names, sources, mistakes)
    }

    /// The globs that a rule names.
    pub fn globs(
        &self,
        rule: &Rule,
        sources: &Sources,
        mistakes: &mut Vec<Diagnostic>,
    ) -> Result<Option<Vec<PathGlob>>, Unknown> {
        let Some(all) = &rule.on else {
            return Ok(None);
        };
        let mut globs = Vec::new();
        let mut complete = true;
        for on in all {
            match on {
                On::Glob(glob) => globs.push(glob.clone()),
                On::Left(_) => {}
                On::Set(name) => {
                    if let Some((meaning, _)) = self.paths.get(&name.text) {
                        globs.extend(meaning.iter().cloned());
                    } else {
                        complete = false;
                        let message = unknown(
                            &name.text,
                            "set of paths",
                            &self.paths,
                            "a group",
                            "to",
                            &self.groups,
                        );
                        mistakes.push(sources.mistake(name.span, message));
                    }
                }
            }
        }
        if complete {
            Ok(Some(globs))
        } else {
            Err(Unknown)
        }
    }
}

fn merge<T: Clone + PartialEq>(
    own: &mut Names<T>,
    other: &Names<T>,
    what: &str,
    include: &Named,
    sources: &Sources,
    mistakes: &mut Vec<Diagnostic>,
) {
    for (name, (meaning, place)) in other {
        match own.get(name) {
            None => {
                own.insert(name.clone(), (meaning.clone(), place.clone()));
            }
            Some((known, _)) if known == meaning => {}
            Some((_, (file, line))) => {
                let (other_file, other_line) = place;
                mistakes.push(sources.mistake(
                    include.span,
                    format!(
                        "`{}` defines the {what} `{name}` ({other_file}:{other_line}) otherwise \
                         than {file}:{line}; give one of them another name",
                        include.text
                    ),
                ));
            }
        }
    }
}

fn define<T: Clone + PartialEq>(
    own: &mut Names<T>,
    definitions: &[Definition<T>],
    what: &str,
    sources: &Sources,
    mistakes: &mut Vec<Diagnostic>,
) {
    for Definition { name, meaning } in definitions {
        match own.get(&name.text) {
            Some((known, (file, line))) if known != meaning => {
                mistakes.push(sources.mistake(
                    name.span,
                    format!(
                        "the {what} `{}` is defined otherwise in {file}:{line}, which is included \
                         here; choose another name",
                        name.text
                    ),
                ));
            }
            _ => {
                let place = sources.place(name.span);
                own.insert(name.text.clone(), (meaning.clone(), place));
            }
        }
    }
}

/// That a name is unknown, with the nearest one, or that it is a name of the other kind.
fn unknown<T, U>(
    name: &str,
    what: &str,
    known: &Names<T>,
    other_what: &str,
    other_key: &str,
    others: &Names<U>,
) -> String {
    if others.contains_key(name) {
        return format!("`{name}` is {other_what}; it is named with `{other_key}`");
    }
    let names: Vec<&str> = known.keys().map(String::as_str).collect();
    let rest = if names.is_empty() {
        "; none is defined here or in what is included".to_owned()
    } else {
        did_you_mean_or(name, &names, "known are")
    };
    format!("there is no {what} `{name}`{rest}")
}
