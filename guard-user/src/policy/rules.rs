//! Rules: what a rule says, and whether its keys fit together.

use guard_ebpf::operation::{Facility, Operation};
use guard_ebpf::policy::Effect;

use super::diagnostics::{Span, did_you_mean, did_you_mean_or, list};
use super::document::{Named, On, Rule, Selection};
use super::parse::is_glob;
use super::reader::{Entry, NoValue, Reader};
use super::tree::{Node, Value};
use crate::system::signals;

/// The keys of a rule.
pub(super) const RULE: [&str; 12] = [
    "name",
    "allow",
    "deny",
    "audit",
    "signals",
    "facilities",
    "to",
    "on",
    "via",
    "by",
    "at-most",
    "because",
];

/// What a rule can say.
pub(super) const EFFECTS: [(&str, Effect); 3] = [
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
            facilities: None,
            to: None,
            on: None,
            via: None,
            by: None,
            at_most: None,
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
                "facilities" => {
                    keys.facilities = Some(key_span);
                    rule.facilities = Some(self.facilities(value));
                }
                "to" => {
                    keys.to = Some(key_span);
                    rule.to = Some(self.selected_names(value, "`to` names groups of processes"));
                }
                "on" => {
                    keys.on = Some(key_span);
                    rule.on = Some(self.on(value));
                }
                "via" => {
                    keys.via = Some(key_span);
                    rule.via = Some(self.via(value));
                }
                "by" => {
                    rule.by = Some(self.selected_names(value, "`by` names groups of programs"));
                }
                "at-most" => {
                    keys.at_most = Some(key_span);
                    rule.at_most = self.at_most(value);
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
        let narrowed = [
            ("signals", keys.signals, Operation::Signal),
            ("facilities", keys.facilities, Operation::Machine),
        ];
        for (key, span, operation) in narrowed {
            if let Some(span) = span
                && !rule.operations.contains(&operation)
            {
                let name = operation.name();
                self.mistake(
                    span,
                    format!("`{key}` narrows the operation `{name}`, which is not here"),
                );
            }
        }
        if let Some(span) = keys.at_most
            && rule.effect != Effect::Allow
        {
            self.mistake(
                span,
                "`at-most` says how often a rule lets something through, and this one does not",
            );
        }
        let selected: Vec<(Targets, Span)> = Targets::EVERY
            .into_iter()
            .zip([keys.to, keys.on, keys.via])
            .filter_map(|(targets, span)| Some((targets, span?)))
            .collect();
        let others = |selected: Targets| {
            let others = Targets::EVERY.into_iter().filter(move |it| *it != selected);
            others.filter(|it| !it.operations(rule).is_empty())
        };
        for &(targets, span) in &selected {
            if !targets.operations(rule).is_empty() {
                continue;
            }
            let (key, noun) = (targets.key(), targets.noun());
            if let Some(other) = others(targets).next() {
                let acts = other.acts(rule);
                let advice = if selected.iter().any(|(targets, _)| *targets == other) {
                    format!("leave `{key}` out")
                } else {
                    other.advice(rule)
                };
                self.mistake(span, format!("`{key}` names {noun}, and {acts}; {advice}"));
                return;
            }
        }
        for &(targets, span) in &selected {
            let missing = |it: &Targets| selected.iter().all(|(selected, _)| selected != it);
            if let Some(other) = others(targets).find(missing) {
                let (key, noun) = (targets.key(), targets.noun());
                let (acts, other) = (other.acts(rule), other.key());
                self.mistake(
                    span,
                    format!(
                        "`{key}` names {noun}, and {acts} too: add `{other}`, or make two rules"
                    ),
                );
                return;
            }
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

    pub(super) fn signals(&mut self, node: &Node) -> Vec<u32> {
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

    fn facilities(&mut self, node: &Node) -> Vec<Facility> {
        let mut facilities = Vec::new();
        for node in self.one_or_more(node, "`facilities` lists facilities of the machine") {
            let Some(word) = self.word(node, "a facility is a word") else {
                continue;
            };
            if let Some(facility) = Facility::EVERY.iter().find(|one| one.name() == word) {
                facilities.push(*facility);
            } else {
                let valid: Vec<_> = Facility::EVERY.iter().map(|one| one.name()).collect();
                let near = did_you_mean_or(word, &valid, "the facilities are");
                self.mistake(node.span, format!("unknown facility `{word}`{near}"));
            }
        }
        facilities
    }

    fn on(&mut self, node: &Node) -> Selection<On> {
        let what = "`on` names sets of paths or globs";
        self.selection(node, what).filter_map(|node| {
            let named = self.name_of(node, what)?;
            if !is_glob(&named.text) {
                return Some(On::Set(named));
            }
            match self.path_glob(node, &named.text) {
                Ok(glob) => Some(On::Glob(glob)),
                Err(NoValue::Mistake) => None,
                Err(why) => Some(On::Left(why)),
            }
        })
    }
}

/// Where a rule's keys stand.
#[derive(Default)]
struct Keys {
    signals: Option<Span>,
    facilities: Option<Span>,
    to: Option<Span>,
    on: Option<Span>,
    via: Option<Span>,
    at_most: Option<Span>,
}

/// The kinds of targets, each of which has a key of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Targets {
    Processes,
    Files,
    Sockets,
}

impl Targets {
    const EVERY: [Self; 3] = [Self::Processes, Self::Files, Self::Sockets];

    /// The key that names such targets.
    const fn key(self) -> &'static str {
        match self {
            Self::Processes => "to",
            Self::Files => "on",
            Self::Sockets => "via",
        }
    }

    const fn noun(self) -> &'static str {
        match self {
            Self::Processes => "processes",
            Self::Files => "files",
            Self::Sockets => "sockets",
        }
    }

    /// The operations of a rule on such targets.
    fn operations(self, rule: &Rule) -> Vec<&'static str> {
        let fits = |operation: &&Operation| match self {
            Self::Processes => operation.is_on_process(),
            Self::Files => operation.is_on_file(),
            Self::Sockets => **operation == Operation::Connect,
        };
        let operations = rule.operations.iter().filter(fits);
        operations.map(|operation| operation.name()).collect()
    }

    /// "`signal` and `trace` act on processes".
    fn acts(self, rule: &Rule) -> String {
        let operations = self.operations(rule);
        let verb = if operations.len() == 1 { "acts" } else { "act" };
        let noun = if operations == [Operation::Machine.name()] {
            "the machine"
        } else {
            self.noun()
        };
        format!("{} {verb} on {noun}", list(&operations))
    }

    /// How to name such targets.
    fn advice(self, rule: &Rule) -> String {
        if self.operations(rule) == [Operation::Machine.name()] {
            return "narrow that with `facilities`, or with `on`".to_owned();
        }
        format!("name those with `{}`", self.key())
    }
}
