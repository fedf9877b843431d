//! Reading a tree of YAML: the checks that are the same for every part of a document.
//!
//! A reader goes on after a mistake and collects all of them.

use super::diagnostics::{Diagnostic, Sources, Span, did_you_mean_or};
use super::document::Selection;
use super::environment::{Environment, Host};
use super::glob::{Letter, TextError, Token, parse_word};
use super::tree::{Node, Value};
use super::variables::{Unexpanded, expand};

/// The key of an item that says what its list is not about.
pub(super) const EXCEPT: &str = "except";

/// Reads one document.
pub(crate) struct Reader<'load> {
    pub sources: &'load Sources,
    pub environment: &'load Environment,
    pub host: &'load dyn Host,
    pub mistakes: &'load mut Vec<Diagnostic>,
}

/// An entry of a mapping.
pub(crate) struct Entry<'tree> {
    pub key: &'tree str,
    pub key_span: Span,
    pub value: &'tree Node,
}

impl Reader<'_> {
    /// Notes a mistake.
    pub fn mistake(&mut self, span: Span, message: impl Into<String>) {
        self.mistakes.push(self.sources.mistake(span, message));
    }

    /// Notes a mistake in a part of a scalar.
    pub fn mistake_in(&mut self, node: &Node, error: TextError) {
        let TextError { at, message } = error;
        let span = node.part(self.sources, at.start, at.end - at.start);
        self.mistake(span, message);
    }

    /// The entries of a mapping whose keys are names that somebody chose. `what` says what the
    /// node should be, as in "`groups` is …".
    pub fn entries<'tree>(&mut self, node: &'tree Node, what: &str) -> Vec<Entry<'tree>> {
        let Value::Map(map) = &node.value else {
            if !matches!(node.value, Value::Null) {
                self.mistake(node.span, format!("{what}, not {}", node.kind()));
            }
            return Vec::new();
        };
        let mut entries: Vec<Entry<'tree>> = Vec::new();
        for (key, value) in map {
            let Value::Scalar(text) = &key.value else {
                self.mistake(key.span, format!("a key is a word, not {}", key.kind()));
                continue;
            };
            if let Some(first) = entries.iter().find(|entry| entry.key == text) {
                let line = self.sources.line(first.key_span);
                self.mistake(
                    key.span,
                    format!("`{text}` is given twice, first in line {line}"),
                );
                continue;
            }
            entries.push(Entry {
                key: text,
                key_span: key.span,
                value,
            });
        }
        entries
    }

    /// The entries of a mapping whose keys are known words.
    pub fn fields<'tree>(
        &mut self,
        node: &'tree Node,
        what: &str,
        known: &[&str],
    ) -> Vec<Entry<'tree>> {
        let mut entries = self.entries(node, what);
        entries.retain(|entry| {
            let valid = known.contains(&entry.key);
            if !valid {
                let near = did_you_mean_or(entry.key, known, "the keys here are");
                let message = format!("unknown key `{}`{near}", entry.key);
                self.mistake(entry.key_span, message);
            }
            valid
        });
        entries
    }

    /// A word. `what` is what is asked for, as in "`because` is …".
    pub fn word<'tree>(&mut self, node: &'tree Node, what: &str) -> Option<&'tree str> {
        match &node.value {
            Value::Scalar(text) if !text.trim().is_empty() => Some(text),
            Value::Scalar(_) | Value::Null => {
                self.mistake(node.span, format!("{what}, and there is nothing"));
                None
            }
            _ => {
                self.mistake(node.span, format!("{what}, not {}", node.kind()));
                None
            }
        }
    }

    /// One or more nodes: a list's items, or the node itself. An empty list is a mistake.
    pub fn one_or_more<'tree>(&mut self, node: &'tree Node, what: &str) -> Vec<&'tree Node> {
        match &node.value {
            Value::List(items) if items.is_empty() => {
                self.mistake(node.span, format!("{what}, and this list is empty"));
                Vec::new()
            }
            Value::List(items) => items.iter().collect(),
            Value::Null => {
                self.mistake(node.span, format!("{what}, and there is nothing"));
                Vec::new()
            }
            _ => vec![node],
        }
    }

    /// The items of a list, or the node itself, apart from those that the list excepts.
    pub fn selection<'tree>(&mut self, node: &'tree Node, what: &str) -> Selection<&'tree Node> {
        let mut of = Vec::new();
        let mut except = Vec::new();
        let mut excepts = false;
        for node in self.one_or_more(node, what) {
            let Some(value) = self.exception(node) else {
                of.push(node);
                continue;
            };
            excepts = true;
            let what = "`except` lists what the list is not about";
            for node in self.one_or_more(value, what) {
                if self.exception(node).is_some() {
                    self.mistake(node.span, "an exception has no exceptions of its own");
                } else {
                    except.push(node);
                }
            }
        }
        Selection {
            of: (!of.is_empty() || !excepts).then_some(of),
            except,
        }
    }

    /// What an item of a list excepts, if that is what it says.
    fn exception<'tree>(&mut self, node: &'tree Node) -> Option<&'tree Node> {
        let Value::Map(map) = &node.value else {
            return None;
        };
        let is_except =
            |(key, _): &&(Node, Node)| matches!(&key.value, Value::Scalar(key) if key == EXCEPT);
        let (_, value) = map.iter().find(is_except)?;
        if let Some((key, _)) = map.iter().find(|entry| !is_except(entry)) {
            self.mistake(
                key.span,
                "`except` stands alone in its item: what it names is taken out of the whole list",
            );
        }
        Some(value)
    }

    /// A glob that isn't about paths. `None` after a mistake, and where it has no value.
    pub fn word_glob(&mut self, node: &Node, text: &str) -> Option<Vec<Token>> {
        let letters = self.expanded(node, text).ok()?;
        let tokens = parse_word(&letters);
        tokens.map_err(|error| self.mistake_in(node, error)).ok()
    }

    /// A word with its variables replaced.
    pub fn expanded(&mut self, node: &Node, text: &str) -> Result<Vec<Letter>, NoValue> {
        expand(text, self.environment).map_err(|error| match error {
            Unexpanded::NoWorkspace => NoValue::NoWorkspace,
            Unexpanded::NoRepository => NoValue::NoRepository,
            Unexpanded::Wrong(error) => {
                self.mistake_in(node, error);
                NoValue::Mistake
            }
        })
    }
}

/// Why a word has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoValue {
    /// It is a mistake, which has been noted.
    Mistake,
    /// It is about the workspace, and this session has none.
    NoWorkspace,
    /// It is about a repository outside the workspace, and there is none.
    NoRepository,
}
