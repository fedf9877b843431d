//! Names: which groups and sets of paths a document sees. Those that it defines, and those
//! of what it includes.

use std::collections::BTreeMap;

use guard_ebpf::policy::Selector;

use super::diagnostics::{Diagnostic, Sources, did_you_mean_or};
use super::document::{Definition, Document, Item, Named, On, PathGlob, Rule, Selection};

/// The names that a document sees.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    groups: Names<Selection<Item>>,
    paths: Names<Selection<PathGlob>>,
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
        names: Option<&Selection<Named>>,
        sources: &Sources,
        mistakes: &mut Vec<Diagnostic>,
    ) -> Result<Option<Vec<Selection<Item>>>, Unknown> {
        let Some(names) = names else {
            return Ok(None);
        };
        gather(names, sources, mistakes, |name| {
            Found::Named(name, self.group(name))
        })
        .map(Some)
    }

    fn group(&self, name: &Named) -> Result<&Selection<Item>, String> {
        let known = self.groups.get(&name.text).map(|(meaning, _)| meaning);
        let others = ("a set of paths", "on", &self.paths);
        known.ok_or_else(|| unknown(&name.text, "group", &self.groups, others))
    }

    fn set(&self, name: &Named) -> Result<&Selection<PathGlob>, String> {
        let known = self.paths.get(&name.text).map(|(meaning, _)| meaning);
        let others = ("a group", "to", &self.groups);
        known.ok_or_else(|| unknown(&name.text, "set of paths", &self.paths, others))
    }

    /// The items of the groups of programs that a rule names: of who acts, only the executable
    /// counts. A name is what a process calls itself, and its user and cgroup are the session's.
    pub fn programs(
        &self,
        names: Option<&Selection<Named>>,
        sources: &Sources,
        mistakes: &mut Vec<Diagnostic>,
    ) -> Result<Option<Vec<Selection<Item>>>, Unknown> {
        for name in names.into_iter().flat_map(Selection::named) {
            let Ok(group) = self.group(name) else {
                continue;
            };
            if let Some(item) = group
                .named()
                .find(|item| item.kinds() != [Selector::Executable])
            {
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
    ) -> Result<Option<Vec<Selection<PathGlob>>>, Unknown> {
        let Some(on) = &rule.on else {
            return Ok(None);
        };
        gather(on, sources, mistakes, |on| match on {
            On::Glob(glob) => Found::Itself(Some(glob)),
            On::Left(_) => Found::Itself(None),
            On::Set(name) => Found::Named(name, self.set(name)),
        })
        .map(Some)
    }
}

/// What an entry of a list stands for.
enum Found<'a, T> {
    /// For itself, or for nothing in this session.
    Itself(Option<&'a T>),
    /// For what has the name, if anything has.
    Named(&'a Named, Result<&'a Selection<T>, String>),
}

/// What a rule's list comes to: those with the same exceptions together.
fn gather<'a, N, T: Clone + PartialEq + 'a>(
    list: &'a Selection<N>,
    sources: &Sources,
    mistakes: &mut Vec<Diagnostic>,
    find: impl Fn(&'a N) -> Found<'a, T>,
) -> Result<Vec<Selection<T>>, Unknown> {
    let before = mistakes.len();
    let mut complain =
        |name: &Named, message: String| mistakes.push(sources.mistake(name.span, message));
    let mut except = Vec::new();
    for one in &list.except {
        match find(one) {
            Found::Itself(one) => except.extend(one.cloned()),
            Found::Named(name, Err(message)) => complain(name, message),
            Found::Named(
                _,
                Ok(Selection {
                    of: Some(all),
                    except: inner,
                }),
            ) if inner.is_empty() => {
                except.extend(all.iter().cloned());
            }
            Found::Named(name, Ok(_)) => complain(
                name,
                format!(
                    "`{}` has exceptions itself, and can't be one; name what it lists",
                    name.text
                ),
            ),
        }
    }
    let mut all: Vec<Selection<T>> = Vec::new();
    if list.of.is_none() {
        all.push(Selection {
            of: None,
            except: except.clone(),
        });
    }
    for one in list.of.iter().flatten() {
        let mut found = match find(one) {
            Found::Itself(one) => one.cloned().into_iter().collect::<Vec<T>>().into(),
            Found::Named(_, Ok(selection)) => selection.clone(),
            Found::Named(name, Err(message)) => {
                complain(name, message);
                continue;
            }
        };
        found.except.extend(except.iter().cloned());
        let alike = all.iter_mut().find(|other| other.except == found.except);
        match (alike.and_then(|other| other.of.as_mut()), &mut found.of) {
            (Some(known), Some(more)) => known.append(more),
            _ => all.push(found),
        }
    }
    if mistakes.len() == before {
        Ok(all)
    } else {
        Err(Unknown)
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
    (other_what, other_key, others): (&str, &str, &Names<U>),
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
