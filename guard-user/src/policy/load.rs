//! Loading: from the names of presets and files to a compiled policy.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::builtin;
use super::cases::Case;
use super::compile::compile;
use super::compiled::{Compiled, RuleInfo};
use super::diagnostics::{Diagnostic, Diagnostics, SourceText, Sources, did_you_mean_or};
use super::document::{Document, Named, Rule, Selection};
use super::environment::{Environment, Host};
use super::presets::{PRESETS, find};
use super::reader::Reader;
use super::ruleset::{Ruleset, RulesetRule};
use super::scope::Scope;
pub use super::source::Source;
use super::source::{included_source, source_name};
use super::tree;
use crate::session::limits::Limits;

/// A loaded policy.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What the documents say.
    pub ruleset: Ruleset,
    /// What the kernel gets.
    pub compiled: Compiled,
    /// The files that were read: what to watch for edits.
    pub files: Vec<PathBuf>,
    /// What is as it is and may surprise: rules that have no place in this session.
    pub notes: Vec<String>,
    /// The tests of the documents that were asked for.
    pub(crate) cases: Vec<Case>,
    /// What was read.
    pub(crate) texts: Sources,
}

/// Loads policies for a session.
pub struct Loader<'load> {
    environment: &'load Environment,
    host: &'load dyn Host,
}

impl<'load> Loader<'load> {
    /// A loader for a session on a host.
    #[must_use]
    pub fn new(environment: &'load Environment, host: &'load dyn Host) -> Self {
        Self { environment, host }
    }

    /// Loads policies and compiles them into one. The rules of an earlier source come first.
    ///
    /// The error holds every mistake that was found, in all files.
    pub fn load(&self, sources: &[Source]) -> Result<Loaded, Diagnostics> {
        let mut load = Load {
            environment: self.environment,
            host: self.host,
            texts: Sources::default(),
            documents: Vec::new(),
            stack: Vec::new(),
            files: Vec::new(),
            names: Vec::new(),
            mistakes: Vec::new(),
            notes: Vec::new(),
            left: Vec::new(),
        };
        let tops: Vec<usize> = sources
            .iter()
            .filter_map(|source| load.read(source, None))
            .collect();
        let documents = tops.iter().map(|&top| &load.documents[top].document);
        let cases = documents.flat_map(|document| document.cases.clone());
        let cases = cases.collect();
        let ruleset = load.ruleset(&tops);
        let mut mistakes = load.mistakes;
        if mistakes.is_empty() {
            match compile(&ruleset, self.environment, self.host) {
                Ok((compiled, notes)) => {
                    load.notes.extend(left_out(&load.left));
                    load.notes.extend(notes);
                    load.notes.extend(self.changeable(&load.files));
                    return Ok(Loaded {
                        ruleset,
                        compiled,
                        files: load.files,
                        notes: load.notes,
                        cases,
                        texts: load.texts,
                    });
                }
                Err(message) => {
                    let names: Vec<_> = sources.iter().map(source_name).collect();
                    mistakes.push(Diagnostic::of_file(names.join(", "), message));
                }
            }
        }
        // Those about files as a whole first, then as they stand in the files.
        let texts = &load.texts.0;
        mistakes.sort_by_key(|mistake| {
            let file = texts.iter().position(|text| text.name == mistake.file);
            let place = mistake.excerpt.as_ref().map(|at| (at.line, at.column));
            (place.is_some(), file, place)
        });
        Err(Diagnostics {
            mistakes,
            files: load.files,
        })
    }
}

impl Loader<'_> {
    /// What is to be said of policies that the session itself could edit.
    fn changeable(&self, files: &[PathBuf]) -> Option<String> {
        let uid = self.environment.uid;
        let own: Vec<_> = files
            .iter()
            .filter(|file| self.host.is_changeable(file, uid))
            .map(|file| file.display().to_string())
            .collect();
        (!own.is_empty()).then(|| {
            let advice = if uid == 0 {
                "keep policies in /etc/guard/policies, owned by root, and run the session as \
                 somebody else"
            } else {
                "so edits while it runs are not taken; keep policies that are to be edited in \
                 /etc/guard/policies, owned by root"
            };
            format!(
                "the session runs as {}, who can edit its policy ({}); {advice}",
                self.environment.user,
                own.join(", ")
            )
        })
    }
}

/// A document that has been read, with what it sees.
struct Read {
    source: Source,
    document: Document,
    /// The documents that it includes.
    includes: Vec<usize>,
    scope: Scope,
}

/// One load under way.
struct Load<'load> {
    environment: &'load Environment,
    host: &'load dyn Host,
    texts: Sources,
    documents: Vec<Read>,
    /// The documents that are being read, the outermost first.
    stack: Vec<(Source, String)>,
    files: Vec<PathBuf>,
    /// All that the files are reached by: names as written, links on the way, where they lead.
    names: Vec<PathBuf>,
    mistakes: Vec<Diagnostic>,
    notes: Vec<String>,
    /// The rules that are left out.
    left: Vec<String>,
}

impl Load<'_> {
    /// Reads a document and what it includes. `from` is the entry that includes it.
    fn read(&mut self, source: &Source, from: Option<&Named>) -> Option<usize> {
        let name = source_name(source);
        // Two names of one file are one document.
        let identity = match source {
            Source::Preset(_) => source.clone(),
            Source::File(path) => {
                let absolute = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                let found = self.host.resolve(&absolute, 0);
                self.names.push(absolute);
                self.names.extend(found.links);
                self.names.push(found.path.clone());
                Source::File(found.path)
            }
        };
        if let Some(start) = self.stack.iter().position(|(other, _)| *other == identity) {
            let circle: Vec<&str> = self.stack[start..]
                .iter()
                .map(|(_, name)| name.as_str())
                .chain([name.as_str()])
                .collect();
            let message = format!("this includes itself: {}", circle.join(" → "));
            self.complain(&name, from, message);
            return None;
        }
        if let Some(known) = self
            .documents
            .iter()
            .position(|read| read.source == identity)
        {
            return Some(known);
        }
        let text = self.text(source, &name, from)?;
        let file = self.texts.0.len();
        self.texts.0.push(SourceText {
            name: name.clone(),
            text,
        });
        let document = match tree::parse(&self.texts, file) {
            Ok(root) => Reader {
                sources: &self.texts,
                environment: self.environment,
                host: self.host,
                mistakes: &mut self.mistakes,
            }
            .document(&root),
            Err(mistake) => {
                self.mistakes.push(mistake);
                return None;
            }
        };
        self.stack.push((identity.clone(), name));
        let mut includes = Vec::new();
        let mut scope = Scope::default();
        for include in &document.includes {
            let other_source = included_source(source, &include.text);
            if let Some(index) = self.read(&other_source, Some(include)) {
                let other = &self.documents[index];
                scope.add_included(&other.scope, include, &self.texts, &mut self.mistakes);
                if let Some(span) = other.document.audit {
                    let (file, line) = self.texts.place(span);
                    let (own, _) = self.texts.place(include.span);
                    self.notes.push(format!(
                        "`mode: audit` in {file}:{line} counts only where {file} is named itself; \
                         for all rules of {own} write it there"
                    ));
                }
                includes.push(index);
            }
        }
        self.stack.pop();
        scope.add_own(&document, &self.texts, &mut self.mistakes);
        self.documents.push(Read {
            source: identity,
            document,
            includes,
            scope,
        });
        Some(self.documents.len() - 1)
    }

    /// The text of a source. None after a mistake.
    fn text(&mut self, source: &Source, name: &str, from: Option<&Named>) -> Option<String> {
        let path = match source {
            Source::Preset(preset) => {
                let Some(text) = find(preset) else {
                    let names = PRESETS.map(|preset| preset.name);
                    let near = did_you_mean_or(preset, &names, "there are");
                    let message = format!(
                        "there is no preset `{preset}`{near} (a file is named with a `/` or with \
                         `.yaml` at its end)"
                    );
                    self.complain(name, from, message);
                    return None;
                };
                return Some(text.to_owned());
            }
            Source::File(path) => path,
        };
        if !self.files.contains(path) {
            self.files.push(path.clone());
        }
        let bytes = match self.host.read(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                let reason = error.to_string();
                let reason = reason.split(" (os error").next().unwrap_or(&reason);
                let message = format!("the policy `{name}` cannot be read: {reason}");
                self.complain(name, from, message);
                return None;
            }
        };
        match String::from_utf8(bytes) {
            Ok(text) => Some(text),
            Err(error) => {
                let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
                let line = good.split(|&byte| byte == b'\n').count();
                self.mistakes.push(Diagnostic::of_file(
                    name,
                    format!("line {line} is not UTF-8, and a policy is"),
                ));
                None
            }
        }
    }

    /// Notes a mistake at the entry that includes a document, or about the document itself.
    fn complain(&mut self, name: &str, from: Option<&Named>, message: String) {
        self.mistakes.push(match from {
            Some(include) => self.texts.mistake(include.span, message),
            None => Diagnostic::of_file(name, message),
        });
    }

    /// All rules in order: a document's own, then those of what it includes. A document that
    /// is reached twice counts where it is reached first; the second time it could not
    /// change anything, since the first rule that matches wins.
    fn ruleset(&mut self, tops: &[usize]) -> Ruleset {
        // Whoever takes away a link has another policy read at the next edit.
        let mut names = std::mem::take(&mut self.names);
        names.sort_unstable();
        names.dedup();
        let mut rules = builtin::rules(&self.environment.protected, &names);
        let mut limits = Limits::default();
        let mut records_all = false;
        let mut seen = BTreeSet::new();
        let mut left: Vec<usize> = tops.iter().rev().copied().collect();
        let documents = std::mem::take(&mut self.documents);
        while let Some(index) = left.pop() {
            if !seen.insert(index) {
                continue;
            }
            let read = &documents[index];
            limits = limits.or(read.document.limits);
            records_all |= read.document.records_all;
            for rule in &read.document.rules {
                rules.extend(self.resolve(rule, &read.scope));
            }
            left.extend(read.includes.iter().rev());
        }
        let audit = tops
            .iter()
            .any(|&top| documents[top].document.audit.is_some());
        Ruleset {
            audit,
            records_all,
            limits,
            rules,
        }
    }

    /// A rule with its names looked up. None after a mistake, and for a rule that has nothing
    /// to be about in this session.
    fn resolve(&mut self, rule: &Rule, scope: &Scope) -> Option<RulesetRule> {
        let place = self.texts.place(rule.span);
        let name = rule.name.as_ref().map_or_else(
            || {
                let file = Path::new(&place.0).file_name();
                let file = file.map_or(place.0.clone().into(), |file| file.to_string_lossy());
                format!("{file}:{}", place.1)
            },
            |name| name.text.clone(),
        );
        let to = scope.items(rule.to.as_ref(), &self.texts, &mut self.mistakes);
        let by = scope.programs(rule.by.as_ref(), &self.texts, &mut self.mistakes);
        let on = scope.globs(rule, &self.texts, &mut self.mistakes);
        let (to, by, on) = (to.ok()?, by.ok()?, on.ok()?);
        let via = rule.via.clone().map(|via| vec![via]);
        if is_nothing(to.as_ref())
            || is_nothing(on.as_ref())
            || is_nothing(via.as_ref())
            || is_nothing(by.as_ref())
        {
            if self.mistakes.is_empty() && !rule.lacks_repository() {
                self.left.push(format!("`{name}`"));
            }
            return None;
        }
        Some(RulesetRule {
            info: RuleInfo {
                name,
                because: rule.because.clone(),
                source: Some(place),
                groups: rule.names(),
                ..RuleInfo::default()
            },
            effect: rule.effect,
            operations: rule.operations.clone(),
            signals: rule.signals.clone(),
            facilities: rule.facilities.clone(),
            to,
            on,
            via,
            by,
            at_most: rule.at_most,
        })
    }
}

/// Whether selections leave nothing that a rule could be about.
fn is_nothing<T>(selections: Option<&Vec<Selection<T>>>) -> bool {
    selections.is_some_and(|all| all.iter().all(Selection::is_nothing))
}

/// What is to be said of rules that have nothing to be about.
fn left_out(rules: &[String]) -> Option<String> {
    let are = match rules {
        [] => return None,
        [one] => format!("the rule {one} is left out: it is"),
        several => format!("the rules {} are left out: they are", several.join(", ")),
    };
    Some(format!(
        "{are} about the workspace, and this session has none"
    ))
}
