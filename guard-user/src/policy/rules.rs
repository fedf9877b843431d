//! Rules: what a rule says, and whether its keys fit together.

use guard_ebpf::operation::Operation;
use guard_ebpf::policy::Effect;

use super::diagnostics::{Span, did_you_mean, did_you_mean_or, list};
use super::document::{Named, On, Rule};
use super::parse::is_glob;
use super::reader::{Entry, NoValue, Reader};
use super::tree::{Node, Value};
use crate::system::signals;

/// The keys of a rule.
const RULE: [&str; 8] = [
    "name", "allow", "deny", "audit", "signals", "to", "on", "because",
];

/// What a rule can say.
const EFFECTS: [(&str, Effect); 3] = [
    ("allow", Effect::Allow),
    ("deny", Effect::Deny),
    ("audit", Effect::Audit),
];

impl Reader<'_> {
    /// The rules of a document.
    pub fn rules(&mut self, node: &Node) -> Vec<Rule> {
        let items = match &node.value {
            Value::Null => return Vec::new(),
            Value::List(items) => items,
            _ => {
                let kind = node.kind();
                self.mistake(node.span, format!("`rules` is a list, not {kind}"));
                return Vec::new();
            }
        };
        let rules: Vec<Rule> = items.iter().filter_map(|item| self.rule(item)).collect();
        for (index, rule) in rules.iter().enumerate() {
            let Some(name) = &rule.name else { continue };
            let same = |other: &&Rule| other.name.as_ref().is_some_and(|n| n.text == name.text);
            if let Some(first) = rules[..index].iter().find(same) {
                let line = self.sources.line(first.span);
                let message = format!(
                    "another rule is called `{}`, in line {line}; events would not tell them apart",
                    name.text
                );
                self.mistake(name.span, message);
            }
        }
        rules
    }

    fn rule(&mut self, node: &Node) -> Option<Rule> {
        let before = self.mistakes.len();
        let fields = self.fields(node, "a rule is a mapping", &RULE);
        let span = fields.first().map_or(node.span, |field| field.key_span);
        let mut says: Option<(&str, Effect, Span)> = None;
        let mut rule = Rule {
            name: None,
            because: None,
            effect: Effect::Deny,
            operations: Vec::new(),
            signals: None,
            to: None,
            on: None,
            span,
        };
        let mut keys = Keys::default();
        for Entry {
            key,
            key_span,
            value,
        } in fields
        {
            match key {
                "name" => rule.name = self.label(value, "the name of a rule is a word"),
                "because" => {
                    rule.because = self
                        .word(value, "`because` is a sentence")
                        .map(|text| text.trim().to_owned());
                }
                "signals" => {
                    keys.signals = Some(key_span);
                    rule.signals = Some(self.signals(value));
                }
                "to" => {
                    keys.to = Some(key_span);
                    rule.to = Some(self.names(value, "`to` names groups of processes"));
                }
                "on" => {
                    keys.on = Some(key_span);
                    rule.on = Some(self.on(value));
                }
                _ => {
                    let effect = EFFECTS.iter().find(|(name, _)| *name == key);
                    let effect = effect.map_or(Effect::Deny, |(_, effect)| *effect);
                    if let Some((first, ..)) = says {
                        self.mistake(
                            key_span,
                            format!("a rule says either `{first}` or `{key}`; make two of it"),
                        );
                        continue;
                    }
                    says = Some((key, effect, key_span));
                    rule.operations = self.operations(value);
                }
            }
        }
        match says {
            Some((_, effect, _)) => rule.effect = effect,
            None if matches!(node.value, Value::Map(_)) => {
                self.mistake(
                    span,
                    "a rule says `allow`, `deny` or `audit`, and this one nothing",
                );
            }
            None if matches!(node.value, Value::Null) => {
                self.mistake(node.span, "a rule is a mapping, and there is nothing");
            }
            None => {}
        }
        if self.mistakes.len() == before {
            self.fitting(&rule, &keys);
        }
        (self.mistakes.len() == before).then_some(rule)
    }

    /// Whether a rule's selectors fit its operations.
    fn fitting(&mut self, rule: &Rule, keys: &Keys) {
        let named = |on_process: bool| -> Vec<&str> {
            let fitting = |operation: &&Operation| operation.is_on_process() == on_process;
            let operations = rule.operations.iter().filter(fitting);
            operations.map(|operation| operation.name()).collect()
        };
        let (processes, files) = (named(true), named(false));
        if let Some(signals) = keys.signals
            && !rule.operations.contains(&Operation::Signal)
        {
            self.mistake(
                signals,
                "`signals` narrows the operation `signal`, which is not here",
            );
        }
        let acts = |operations: &[&str], on: &str| {
            let verb = if operations.len() == 1 { "acts" } else { "act" };
            format!("{} {verb} on {on}", list(operations))
        };
        match (keys.to, keys.on) {
            (Some(to), _) if processes.is_empty() => {
                let acts = acts(&files, "files");
                self.mistake(
                    to,
                    format!("`to` names processes, and {acts}; name those with `on`"),
                );
            }
            (_, Some(on)) if files.is_empty() => {
                let acts = acts(&processes, "processes");
                self.mistake(
                    on,
                    format!("`on` names files, and {acts}; name those with `to`"),
                );
            }
            (Some(to), None) if !files.is_empty() => {
                let acts = acts(&files, "files");
                self.mistake(
                    to,
                    format!("`to` names processes, and {acts} too: add `on`, or make two rules"),
                );
            }
            (None, Some(on)) if !processes.is_empty() => {
                let acts = acts(&processes, "processes");
                self.mistake(
                    on,
                    format!("`on` names files, and {acts} too: add `to`, or make two rules"),
                );
            }
            _ => {}
        }
    }

    /// A name that is shown in events: one line.
    fn label(&mut self, node: &Node, what: &str) -> Option<Named> {
        let text = self.word(node, what)?;
        if text.chars().any(char::is_control) {
            self.mistake(
                node.span,
                "the name of a rule is one line without control characters",
            );
            return None;
        }
        Some(Named {
            text: text.to_owned(),
            span: node.span,
        })
    }

    fn operations(&mut self, node: &Node) -> Vec<Operation> {
        let mut operations = Vec::new();
        for node in self.one_or_more(node, "a rule lists operations") {
            let Some(word) = self.word(node, "an operation is a word") else {
                continue;
            };
            match Operation::EVERY.into_iter().find(|o| o.name() == word) {
                Some(operation) if operations.contains(&operation) => {
                    self.mistake(node.span, format!("`{word}` is in this list twice"));
                }
                Some(operation) => operations.push(operation),
                None => {
                    let valid = Operation::EVERY.map(Operation::name);
                    let near = did_you_mean_or(word, &valid, "the operations are");
                    self.mistake(node.span, format!("unknown operation `{word}`{near}"));
                }
            }
        }
        operations
    }

    fn signals(&mut self, node: &Node) -> Vec<u32> {
        let mut numbers = Vec::new();
        for node in self.one_or_more(node, "`signals` lists signals") {
            let Some(word) = self.word(node, "a signal is a name or a number") else {
                continue;
            };
            match signals::number(word) {
                Some(number) => numbers.push(number),
                None if word == "0" => self.mistake(
                    node.span,
                    "signal 0 only asks whether a process is there; it is never refused",
                ),
                None => {
                    let bare = word.strip_prefix("SIG").unwrap_or(word);
                    let mut near = did_you_mean(bare, signals::names());
                    if near.is_empty() {
                        near = "; names are those of signal(7), numbers go from 1 to 64".into();
                    }
                    self.mistake(node.span, format!("unknown signal `{word}`{near}"));
                }
            }
        }
        numbers
    }

    fn on(&mut self, node: &Node) -> Vec<On> {
        let what = "`on` names sets of paths or globs";
        let mut all = Vec::new();
        for node in self.one_or_more(node, what) {
            let Some(text) = self.word(node, what) else {
                continue;
            };
            if is_glob(text) {
                match self.path_glob(node, text) {
                    Ok(glob) => all.push(On::Glob(Some(glob))),
                    Err(NoValue::NoWorkspace) => all.push(On::Glob(None)),
                    Err(NoValue::Mistake) => {}
                }
            } else {
                all.push(On::Set(Named {
                    text: text.to_owned(),
                    span: node.span,
                }));
            }
        }
        all
    }
}

/// Where a rule's keys stand.
#[derive(Default)]
struct Keys {
    signals: Option<Span>,
    to: Option<Span>,
    on: Option<Span>,
}
