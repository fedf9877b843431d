//! From a tree of YAML to a document: which keys there are, and what their values mean.

use super::diagnostics::did_you_mean_or;
use super::document::{Definition, Document, Named, PathGlob, Selection};
use super::glob::parse_path;
use super::reader::{Entry, NoValue, Reader};
use super::tree::{Node, Value};

/// The version that this guard knows.
pub(super) const VERSION: &str = "1";

/// What `mode` can say.
pub(super) const MODES: [&str; 2] = ["enforce", "audit"];

/// What `record` can say.
pub(super) const RECORDS: [&str; 2] = ["refusals", "everything"];

/// The keys of a document.
pub(super) const DOCUMENT: [&str; 9] = [
    "version", "include", "mode", "record", "limits", "groups", "paths", "rules", "tests",
];

impl Reader<'_> {
    /// Reads a document.
    pub fn document(&mut self, root: &Node) -> Document {
        let mut document = Document::default();
        if matches!(root.value, Value::Null) {
            self.mistake(
                root.span,
                "the policy is empty; it begins with `version: 1`",
            );
            return document;
        }
        let entries = self.fields(root, "a policy is a mapping", &DOCUMENT);
        if matches!(root.value, Value::Map(_)) && !entries.iter().any(|e| e.key == "version") {
            self.mistake(
                root.span,
                "the version is missing; write `version: 1` first",
            );
        }
        for Entry { key, value, .. } in entries {
            match key {
                "version" => self.version(value),
                "include" => {
                    document.includes = self.names(value, "`include` names presets and files");
                    self.no_doubles(&document.includes);
                }
                "mode" => {
                    let word = self.either(value, "mode", &MODES);
                    document.audit = (word == Some("audit")).then_some(value.span);
                }
                "record" => {
                    let word = self.either(value, "record", &RECORDS);
                    document.records_all = word == Some("everything");
                }
                "limits" => document.limits = self.limits(value),
                "groups" => document.groups = self.groups(value),
                "paths" => document.paths = self.path_sets(value),
                "rules" => document.rules = self.rules(value),
                _ => document.cases = self.cases(value),
            }
        }
        document
    }

    fn version(&mut self, node: &Node) {
        let Some(version) = self.word(node, "the version is a number") else {
            return;
        };
        if version != VERSION {
            self.mistake(
                node.span,
                format!("version `{version}` is not known; this guard knows version {VERSION}"),
            );
        }
    }

    /// One of two words. None after a mistake.
    fn either(
        &mut self,
        node: &Node,
        what: &str,
        words: &[&'static str; 2],
    ) -> Option<&'static str> {
        let [first, second] = words;
        let word = self.word(node, &format!("the {what} is `{first}` or `{second}`"))?;
        let known = words.iter().find(|known| **known == word);
        if known.is_none() {
            let near = did_you_mean_or(word, words, &format!("the {what}s are"));
            self.mistake(node.span, format!("unknown {what} `{word}`{near}"));
        }
        known.copied()
    }

    fn names(&mut self, node: &Node, what: &str) -> Vec<Named> {
        let nodes = self.one_or_more(node, what).into_iter();
        nodes.filter_map(|node| self.name_of(node, what)).collect()
    }

    /// A name.
    pub(super) fn name_of(&mut self, node: &Node, what: &str) -> Option<Named> {
        self.word(node, what).map(|text| Named {
            text: text.to_owned(),
            span: node.span,
        })
    }

    /// A list of names.
    pub(super) fn selected_names(&mut self, node: &Node, what: &str) -> Selection<Named> {
        self.selection(node, what)
            .filter_map(|node| self.name_of(node, what))
    }

    /// Notes names that a list holds twice.
    fn no_doubles(&mut self, names: &[Named]) {
        for (index, name) in names.iter().enumerate() {
            if names[..index].iter().any(|other| other.text == name.text) {
                self.mistake(name.span, format!("`{}` is in this list twice", name.text));
            }
        }
    }

    /// Whether a name can be told from a glob.
    pub(super) fn definition_name(&mut self, entry: &Entry<'_>, what: &str) -> Named {
        if is_glob(entry.key) {
            self.mistake(
                entry.key_span,
                format!("the name of a {what} does not begin like a glob"),
            );
        }
        Named {
            text: entry.key.to_owned(),
            span: entry.key_span,
        }
    }

    fn path_sets(&mut self, node: &Node) -> Vec<Definition<Selection<PathGlob>>> {
        let entries = self.entries(node, "`paths` maps names to lists of globs");
        let mut sets = Vec::new();
        for entry in entries {
            let name = self.definition_name(&entry, "set of paths");
            let meaning = self
                .selection(entry.value, "a set of paths lists globs")
                .filter_map(|node| {
                    let text = self.word(node, "a glob is a word")?;
                    self.path_glob(node, text).ok()
                });
            sets.push(Definition { name, meaning });
        }
        sets
    }

    /// A glob of paths.
    pub(super) fn path_glob(&mut self, node: &Node, text: &str) -> Result<PathGlob, NoValue> {
        let letters = self.expanded(node, text)?;
        match parse_path(&letters) {
            Ok(parts) => Ok(PathGlob {
                parts,
                floating: text.starts_with("**/"),
                written: text.to_owned(),
            }),
            Err(error) => {
                self.mistake_in(node, error);
                Err(NoValue::Mistake)
            }
        }
    }
}

/// Whether a value of `on` is a glob rather than a name.
pub(super) fn is_glob(text: &str) -> bool {
    text.starts_with(['/', '~', '$']) || text.starts_with("**")
}
