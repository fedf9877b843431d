//! `tests` of a policy: what it is expected to say of an operation. They are read with the policy and
//! run by `guard check --tests` ([`super::verify`]); a session knows nothing of them.

use guard_ebpf::operation::{Facility, Operation, Verdict};

use super::diagnostics::{Span, did_you_mean_or};
use super::document::Named;
use super::reader::{Entry, Reader};
use super::sockets::SOCKET;
use super::tree::{Node, Value};

/// The keys of a test.
pub(super) const CASE: [&str; 13] = [
    "name",
    "given",
    "operation",
    "signal",
    "facility",
    "path",
    "directory",
    "own",
    "process",
    "socket",
    "by",
    "expect",
    "rule",
];

/// The keys of `given`.
pub(super) const GIVEN: [&str; 3] = ["user", "home", "workspace"];

/// The keys of `process`.
pub(super) const PROCESS: [&str; 9] = [
    "exe", "name", "user", "cgroup", "unit", "command", "ancestor", "listens", "session",
];

/// A test.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// What it is called.
    pub name: Option<Named>,
    /// The session: what it says of it, for its keys.
    pub given: Fields,
    /// What is done.
    pub operation: Operation,
    /// Which signal; 0 for other operations.
    pub signal: u32,
    /// Which facility of the machine.
    pub facility: Option<Facility>,
    /// To what.
    pub target: Target,
    /// By which program.
    pub by: Option<Named>,
    /// What is to come out.
    pub expect: Verdict,
    /// Where it says so.
    pub expect_span: Span,
    /// By which rule.
    pub rule: Option<Named>,
    /// Where it stands.
    pub span: Span,
}

/// What a test's operation is done to, variables not filled in yet.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// Nothing but the machine.
    Machine,
    /// A file.
    File {
        path: Named,
        is_directory: bool,
        is_own: bool,
    },
    /// A process, by the keys that are given.
    Process(Fields),
    /// A socket: `/path` or `@name`.
    NamedSocket(Named),
    /// A socket by the keys that are given.
    Socket(Fields),
}

/// Keys with a word each.
pub(crate) type Fields = Vec<(String, Named)>;

/// The word of a key.
pub(crate) fn field<'a>(fields: &'a Fields, key: &str) -> Option<&'a Named> {
    let (_, word) = fields.iter().find(|(known, _)| known == key)?;
    Some(word)
}

/// The keys of a test that name a target.
const TARGETS: [&str; 3] = ["path", "process", "socket"];

impl Reader<'_> {
    /// The tests of a document.
    pub(super) fn cases(&mut self, node: &Node) -> Vec<Case> {
        match &node.value {
            Value::Null => Vec::new(),
            Value::List(items) => items.iter().filter_map(|item| self.case(item)).collect(),
            _ => {
                let kind = node.kind();
                self.mistake(node.span, format!("`tests` is a list, not {kind}"));
                Vec::new()
            }
        }
    }

    fn case(&mut self, node: &Node) -> Option<Case> {
        let before = self.mistakes.len();
        let fields = self.fields(node, "a test is a mapping", &CASE);
        let span = fields.first().map_or(node.span, |field| field.key_span);
        if matches!(node.value, Value::Null) {
            self.mistake(node.span, "a test is a mapping, and there is nothing");
        }
        let known = self.mistakes.len();
        let find = |key: &str| fields.iter().find(|entry| entry.key == key);
        for key in ["operation", "expect"] {
            if find(key).is_none() && known == before {
                self.mistake(span, format!("the test lacks `{key}`"));
            }
        }
        let operation = self.one_of(
            find("operation"),
            &Operation::EVERY.map(Operation::name),
            "operation",
        );
        let operation = Operation::EVERY
            .into_iter()
            .find(|one| Some(one.name()) == operation)?;
        let verdicts = Verdict::EVERY.map(Verdict::name);
        let expect = self.one_of(find("expect"), &verdicts, "verdict")?;
        let expect = Verdict::EVERY
            .into_iter()
            .find(|verdict| verdict.name() == expect)?;
        let facilities: Vec<_> = Facility::EVERY.iter().map(|one| one.name()).collect();
        let facility = self.one_of(find("facility"), &facilities, "facility");
        let signal = find("signal").map_or(0, |entry| self.signal(entry.value));
        let name = find("name").and_then(|entry| self.named(entry));
        let case = Case {
            name,
            given: find("given").map_or_else(Vec::new, |entry| self.words_of(entry, &GIVEN)),
            operation,
            signal,
            facility: Facility::EVERY
                .iter()
                .copied()
                .find(|one| Some(one.name()) == facility),
            target: self.target(&fields)?,
            by: find("by").and_then(|entry| self.named(entry)),
            expect,
            expect_span: find("expect")?.value.span,
            rule: find("rule").and_then(|entry| self.named(entry)),
            span,
        };
        if self.mistakes.len() == before {
            self.case_fits(operation, &fields, span);
        }
        (self.mistakes.len() == before).then_some(case)
    }

    /// What a test's keys name as the target. None after a mistake.
    fn target(&mut self, fields: &[Entry<'_>]) -> Option<Target> {
        let before = self.mistakes.len();
        let find = |key: &str| fields.iter().find(|entry| entry.key == key);
        let is_directory = self.truth(find("directory"));
        let is_own = self.truth(find("own"));
        let target = if let Some(entry) = find("path") {
            Target::File {
                path: self.named(entry)?,
                is_directory,
                is_own,
            }
        } else if let Some(entry) = find("process") {
            Target::Process(self.words_of(entry, &PROCESS))
        } else if let Some(entry) = find("socket") {
            match &entry.value.value {
                Value::Map(_) => Target::Socket(self.words_of(entry, &SOCKET)),
                _ => Target::NamedSocket(self.named(entry)?),
            }
        } else {
            Target::Machine
        };
        (self.mistakes.len() == before).then_some(target)
    }

    /// Whether a test's keys fit its operation.
    fn case_fits(&mut self, operation: Operation, fields: &[Entry<'_>], span: Span) {
        let (targets, detail) = match operation {
            Operation::Signal => ("process", "signal"),
            Operation::Machine => ("path", "facility"),
            Operation::Connect => ("socket", ""),
            _ if operation.is_on_process() => ("process", ""),
            _ => ("path", ""),
        };
        let has = |key: &str| fields.iter().any(|entry| entry.key == key);
        let name = operation.name();
        for entry in fields {
            let key = entry.key;
            let other_target = TARGETS.contains(&key) && key != targets;
            let other_detail = ["signal", "facility"].contains(&key) && key != detail;
            let of_file = ["directory", "own"].contains(&key) && !has("path");
            if other_target || other_detail || of_file {
                let message = format!("`{key}` does not go with the operation `{name}`");
                self.mistake(entry.key_span, message);
            }
        }
        let optional = operation == Operation::Machine;
        for key in [targets, detail] {
            if !(key.is_empty() || has(key) || optional && key == "path") {
                let message = format!("a test of the operation `{name}` needs `{key}`");
                self.mistake(span, message);
            }
        }
    }

    fn signal(&mut self, node: &Node) -> u32 {
        let numbers = self.signals(node);
        if numbers.len() > 1 {
            self.mistake(node.span, "a test is about one signal; make two of it");
        }
        numbers.first().copied().unwrap_or_default()
    }

    /// One of some words.
    fn one_of<'tree>(
        &mut self,
        entry: Option<&Entry<'tree>>,
        valid: &[&str],
        what: &str,
    ) -> Option<&'tree str> {
        let node = entry?.value;
        let word = self.word(node, &format!("this is a word for the {what}"))?;
        if !valid.contains(&word) {
            let near = did_you_mean_or(word, valid, "there are");
            self.mistake(node.span, format!("unknown {what} `{word}`{near}"));
            return None;
        }
        Some(word)
    }

    fn truth(&mut self, entry: Option<&Entry<'_>>) -> bool {
        let Some(Entry { key, value, .. }) = entry else {
            return false;
        };
        let word = self.word(value, &format!("`{key}` is `true` or `false`"));
        if word.is_some_and(|word| !["true", "false"].contains(&word)) {
            self.mistake(value.span, format!("`{key}` is `true` or `false`"));
        }
        word == Some("true")
    }

    fn named(&mut self, entry: &Entry<'_>) -> Option<Named> {
        let text = self.word(entry.value, &format!("`{}` is a word", entry.key))?;
        Some(Named {
            text: text.to_owned(),
            span: entry.value.span,
        })
    }

    /// A mapping with a word for each key.
    fn words_of(&mut self, entry: &Entry<'_>, known: &[&str]) -> Fields {
        let what = format!("`{}` is a mapping", entry.key);
        let fields = self.fields(entry.value, &what, known);
        let words = fields
            .iter()
            .filter_map(|field| Some((field.key.to_owned(), self.named(field)?)));
        words.collect()
    }
}
