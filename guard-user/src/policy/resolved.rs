//! A policy as one document again: what it includes is in it, names are looked up, variables
//! filled in. Who loads it gets what the documents that it comes from gave.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::document::{Item, PathGlob, Selection, SessionName, SocketKind, SocketText, Via};
use super::groups::CONTAINERS;
use super::ruleset::{Ruleset, RulesetRule, period};
use super::spell::{path, path_glob, word};
use crate::events::text::{harmless, is_printable};
use crate::session::limits::Limits;
use crate::system::signals;

/// Writes the document. `of` says in a line what it comes from. The error names what no document
/// can hold.
pub fn resolved(ruleset: &Ruleset, of: &str) -> Result<String, String> {
    let mut writer = Writer::default();
    for rule in &ruleset.rules {
        // Those that are built in come with every policy.
        if let Some((file, line)) = &rule.info.source {
            writer
                .rule(rule, &[format!("{file}:{line}")])
                .ok_or_else(|| format!("the rule `{}` names what is not UTF-8", rule.info.name))?;
        }
    }
    let mode = if ruleset.audit { "mode: audit\n" } else { "" };
    let record = if ruleset.records_all {
        "record: everything\n"
    } else {
        ""
    };
    let keys = format!("{mode}{record}{}", limits(ruleset.limits));
    Ok(writer.finish(&[of.to_owned()], &keys))
}

/// A document that is being written.
#[derive(Default)]
pub(crate) struct Writer {
    names: Names,
    sections: Sections,
}

impl Writer {
    /// Adds a rule, with comments above it. `None` when it names what no document can hold.
    pub(crate) fn rule(&mut self, rule: &RulesetRule, comments: &[String]) -> Option<()> {
        for comment in comments {
            self.sections.rules.push_str("  ");
            self.sections.rules.push_str(&self::comment(comment));
        }
        write_rule(rule, &mut self.names, &mut self.sections)
    }

    /// The document. `comments` stand at its top, `keys` before what it names.
    pub(crate) fn finish(self, comments: &[String], keys: &str) -> String {
        let mut text: String = comments.iter().map(|it| comment(it)).collect();
        text.push_str("version: 1\n");
        text.push_str(keys);
        let Sections {
            groups,
            paths,
            rules,
        } = self.sections;
        for (key, entries) in [("groups", groups), ("paths", paths), ("rules", rules)] {
            if !entries.is_empty() {
                text.extend(["\n", key, ":\n", &entries]);
            }
        }
        text
    }
}

/// A line that says nothing to whoever reads policies, whatever stands in it.
fn comment(text: &str) -> String {
    let text = harmless(text).replace('\n', "\\n");
    format!("# {text}").trim_end().to_owned() + "\n"
}

/// The entries of a document, by the key that they stand below.
#[derive(Default)]
struct Sections {
    groups: String,
    paths: String,
    rules: String,
}

/// Adds a rule, and the groups and sets of paths that it needs. `None` when it can't be written.
fn write_rule(rule: &RulesetRule, names: &mut Names, sections: &mut Sections) -> Option<()> {
    let Sections {
        groups,
        paths,
        rules,
    } = sections;
    // Named one by one, so that a new key is not forgotten here.
    let RulesetRule {
        info,
        effect: _,
        operations,
        signals,
        facilities,
        to,
        on,
        via,
        by,
        at_most,
    } = rule;
    let name = names.rule(&info.name);
    let _ = writeln!(rules, "  - name: {}", scalar(&name));
    let mut entry = |key: &str, value: &str| {
        // What is a list begins on a line of its own.
        let space = if value.starts_with('\n') { "" } else { " " };
        let _ = writeln!(rules, "    {key}:{space}{value}");
    };
    let words: Vec<&str> = operations.iter().map(|one| one.name()).collect();
    entry(rule.verb(), &format!("[{}]", words.join(", ")));
    if let Some(numbers) = signals {
        let words: Vec<String> = numbers.iter().map(|one| signals::name(*one)).collect();
        entry("signals", &format!("[{}]", words.join(", ")));
    }
    if let Some(facilities) = facilities {
        let words: Vec<&str> = facilities.iter().map(|one| one.name()).collect();
        entry("facilities", &format!("[{}]", words.join(", ")));
    }
    for (key, items) in [("to", to), ("by", by)] {
        if let Some(selections) = items {
            let ending = if key == "to" { "" } else { "-programs" };
            let mut all = Vec::new();
            for selection in selections {
                let group = names.group(&name, ending);
                let _ = writeln!(groups, "  {}:", scalar(&group));
                for line in lines(selection, item)? {
                    let _ = writeln!(groups, "    - {line}");
                }
                all.push(scalar(&group));
            }
            match all.as_slice() {
                [group] => entry(key, group),
                _ => entry(key, &format!("[{}]", all.join(", "))),
            }
        }
    }
    let glob = |glob: &PathGlob| Some(quoted(&path_glob(glob)?));
    match on.as_deref() {
        None => {}
        Some([selection]) => entry("on", &list(&lines(selection, glob)?)),
        Some(selections) => {
            let mut all = Vec::new();
            for selection in selections {
                let set = scalar(&names.group(&name, "-files"));
                let _ = writeln!(paths, "  {set}:");
                for line in lines(selection, glob)? {
                    let _ = writeln!(paths, "    - {line}");
                }
                all.push(set);
            }
            entry("on", &format!("[{}]", all.join(", ")));
        }
    }
    for selection in via.iter().flatten() {
        entry("via", &list(&lines(selection, socket)?));
    }
    if let Some(limit) = at_most {
        let (count, per) = (limit.count, period(limit.seconds));
        entry("at-most", &format!("{{ count: {count}, per: {per} }}"));
    }
    if let Some(because) = &info.because {
        entry("because", &quoted(because));
    }
    Some(())
}

/// The items of a selection, the last of them what it excepts.
fn lines<T>(selection: &Selection<T>, one: impl Fn(&T) -> Option<String>) -> Option<Vec<String>> {
    let of = selection.of.iter().flatten().map(&one);
    let mut lines = of.collect::<Option<Vec<String>>>()?;
    if !selection.except.is_empty() {
        let except: Option<Vec<String>> = selection.except.iter().map(one).collect();
        lines.push(format!("{{ except: [{}] }}", except?.join(", ")));
    }
    Some(lines)
}

fn item(item: &Item) -> Option<String> {
    let mut keys = Vec::new();
    if let Some(glob) = &item.exe {
        keys.push(format!("exe: {}", quoted(&path_glob(glob)?)));
    }
    if let Some(tokens) = &item.name {
        keys.push(format!("name: {}", quoted(&word(tokens)?)));
    }
    if let Some(uid) = item.user {
        keys.push(format!("user: {uid}"));
    }
    match item.cgroup.as_deref() {
        None => {}
        Some([glob]) => keys.push(format!("cgroup: {}", quoted(&path(glob)?))),
        // A unit is a cgroup of that name anywhere, and what lies below.
        Some([unit, _]) => {
            let text = path(unit)?;
            keys.push(format!("unit: {}", quoted(text.strip_prefix("/**/")?)));
        }
        Some([first, ..]) => {
            let text = path(first)?;
            let (before, after) = CONTAINERS[0];
            let id = text.strip_prefix("/**/")?.strip_prefix(before)?;
            keys.push(format!("container: {}", quoted(id.strip_suffix(after)?)));
        }
        Some([]) => return None,
    }
    if let Some(tokens) = &item.command {
        keys.push(format!("command: {}", quoted(&word(tokens)?)));
    }
    if let Some(glob) = &item.ancestor {
        keys.push(format!("ancestor: {}", quoted(&path_glob(glob)?)));
    }
    if let Some(text) = &item.listens {
        keys.push(format!("listens: {}", without_file(text)?));
    }
    match &item.session {
        None => {}
        Some(SessionName::Any) => keys.push("session: \"*\"".to_owned()),
        Some(SessionName::Called(name)) => keys.push(format!("session: {}", quoted(name))),
    }
    Some(format!("{{ {} }}", keys.join(", ")))
}

fn socket(via: &Via) -> Option<String> {
    let text = match via {
        Via::Path(glob) => return Some(quoted(&path_glob(glob)?)),
        Via::Text(text) => text,
    };
    without_file(text)
}

fn without_file(text: &SocketText) -> Option<String> {
    let keys = match &text.kind {
        SocketKind::Abstract => {
            let [tokens] = text.patterns.as_slice() else {
                return None;
            };
            return Some(quoted(&word(tokens)?));
        }
        SocketKind::Internet { addresses, ports } => vec![("address", addresses), ("port", ports)],
        SocketKind::Families(names) => vec![("family", names)],
    };
    let keys: Vec<String> = keys
        .into_iter()
        .filter(|(_, values)| !values.is_empty())
        .map(|(key, values)| {
            let values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
            format!("{key}: [{}]", values.join(", "))
        })
        .collect();
    Some(format!("{{ {} }}", keys.join(", ")))
}

fn limits(limits: Limits) -> String {
    let Limits {
        memory,
        swap,
        processes,
        cpu,
        weight,
    } = limits;
    let amounts = [
        ("memory", memory),
        ("swap", swap),
        ("processes", processes),
        ("cpu", cpu),
    ];
    let amounts = amounts
        .into_iter()
        .filter_map(|(key, limit)| Some(format!("{key}: {}", limit?)));
    let weight = weight.map(|weight| format!("weight: {weight}"));
    let keys: Vec<String> = amounts.chain(weight).collect();
    if keys.is_empty() {
        return String::new();
    }
    format!("limits: {{ {} }}\n", keys.join(", "))
}

/// The names that are taken. Documents may call their rules alike, one document may not.
#[derive(Default)]
struct Names {
    rules: BTreeSet<String>,
    groups: BTreeSet<String>,
}

impl Names {
    /// The name of a rule, with a number where it is taken.
    fn rule(&mut self, name: &str) -> String {
        free(&mut self.rules, name)
    }

    /// The name of a rule's group: the rule's, where it can be one.
    fn group(&mut self, rule: &str, ending: &str) -> String {
        let name = if is_plain(rule) { rule } else { "group" };
        free(&mut self.groups, &format!("{name}{ending}"))
    }
}

fn free(taken: &mut BTreeSet<String>, name: &str) -> String {
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    let mut all = std::iter::once(name.to_owned()).chain(numbered);
    let name = all.find(|name| !taken.contains(name)).unwrap_or_default();
    taken.insert(name.clone());
    name
}

/// Values as lines of a list.
fn list(values: &[String]) -> String {
    values.iter().fold(String::new(), |mut text, value| {
        let _ = write!(text, "\n      - {value}");
        text
    })
}

/// Whether YAML and people take a word as it is.
fn is_plain(word: &str) -> bool {
    let ordinary = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    word.starts_with(|first: char| first.is_ascii_alphabetic())
        && word.bytes().all(ordinary)
        && !["null", "true", "false"].contains(&word.to_ascii_lowercase().as_str())
}

fn scalar(text: &str) -> String {
    if is_plain(text) {
        text.to_owned()
    } else {
        quoted(text)
    }
}

/// A text in quotes, with what a terminal or YAML could take for something else as escapes.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            _ if is_printable(character) => quoted.push(character),
            _ => {
                let _ = write!(quoted, "\\U{:08X}", u32::from(character));
            }
        }
    }
    quoted.push('"');
    quoted
}
