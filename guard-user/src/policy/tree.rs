//! YAML as a tree whose every node knows where it stands.
//!
//! A policy is not read into types by serde directly: serde stops at the first mistake, and
//! somebody who writes a policy wants to see all of them.

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess};
use serde_yaml::options::{DuplicateKeyPolicy, MergeKeyPolicy};
use serde_yaml::{Error, NonFiniteFloatPolicy, Spanned};

use super::diagnostics::{Diagnostic, Sources, Span};

/// A node of a document.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Where it stands. Of a list or a mapping: where it begins.
    pub span: Span,
    /// What it is.
    pub value: Value,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// Nothing.
    Null,
    /// A word or a number.
    Scalar(String),
    /// `[…]` or lines that begin with `-`.
    List(Vec<Node>),
    /// `{…}` or lines of `key: value`, in the order in which they stand, doubles included.
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// What people call such a node.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Scalar(_) => "a word",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// The span of a part of a scalar's text; of the whole scalar where the text is written
    /// otherwise in the source (escapes, folded lines).
    pub fn part(&self, sources: &Sources, offset: usize, length: usize) -> Span {
        let Value::Scalar(text) = &self.value else {
            return self.span;
        };
        let source = &sources.0[self.span.file].text;
        let Some(written) = source.get(self.span.start..self.span.end) else {
            return self.span;
        };
        let quoted = written.starts_with(['"', '\'']);
        let inner = written.get(usize::from(quoted)..written.len() - usize::from(quoted));
        if inner == Some(text.as_str()) && offset + length <= text.len() {
            self.span.part(usize::from(quoted) + offset, length)
        } else {
            self.span
        }
    }
}

/// Reads the one document of a text.
pub(crate) fn parse(sources: &Sources, file: usize) -> Result<Node, Diagnostic> {
    let text = &sources.0[file].text;
    let options = serde_yaml::options! {
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::Error,
        // `on` is a key of ours and `no` may be a name: only `true` and `false` are booleans.
        strict_booleans: true,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        // Aliases are welcome, and a page of them must not become gigabytes.
        alias_limits: serde_yaml::alias_limits! { max_total_replayed_events: 10_000 },
        with_snippet: false,
    };
    serde_yaml::from_str_with_options::<Spanned<Raw>>(text, options)
        .map(|raw| node(raw, text, file))
        .map_err(|error| syntax_error(sources, file, &error))
}

/// A node as the YAML library reports it.
enum Raw {
    Null,
    Text(String),
    /// A number or a boolean: what it is was said by how it is written.
    Written,
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<Raw>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visitor)
    }
}

struct Visitor;

impl<'de> de::Visitor<'de> for Visitor {
    type Value = Raw;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("YAML")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Raw, E> {
        Ok(Raw::Written)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Raw, E> {
        Ok(Raw::Written)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Raw, E> {
        Ok(Raw::Written)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Raw, E> {
        Ok(Raw::Written)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Raw, E> {
        Ok(Raw::Written)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Raw, E> {
        Ok(Raw::Written)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Raw::Map(map))
    }
}

fn node(raw: Spanned<Raw>, text: &str, file: usize) -> Node {
    let span = span(raw.referenced, text, file);
    let value = match raw.value {
        Raw::Null => Value::Null,
        Raw::Text(text) => Value::Scalar(text),
        Raw::Written => {
            // An alias stands elsewhere than what it stands for.
            let at = self::span(raw.defined, text, file);
            let written = text.get(at.start..at.end).unwrap_or_default();
            Value::Scalar(written.trim().to_owned())
        }
        Raw::List(items) => Value::List(
            items
                .into_iter()
                .map(|item| node(item, text, file))
                .collect(),
        ),
        Raw::Map(entries) => Value::Map(
            entries
                .into_iter()
                .map(|(key, value)| (node(key, text, file), node(value, text, file)))
                .collect(),
        ),
    };
    Node { span, value }
}

/// The library's locations in bytes. Those of syntax errors have a line and a column only.
fn span(location: serde_yaml::Location, text: &str, file: usize) -> Span {
    let span = location.span();
    if let Some(start) = span.byte_offset() {
        let start = (start as usize).min(text.len());
        let length = span.byte_len().unwrap_or(0) as usize;
        return Span {
            file,
            start,
            end: (start + length).min(text.len()),
        };
    }
    let line_start = text
        .split_inclusive('\n')
        .take((location.line() as usize).saturating_sub(1))
        .map(str::len)
        .sum::<usize>();
    let line = text[line_start..].lines().next().unwrap_or_default();
    let before = line
        .chars()
        .take((location.column() as usize).saturating_sub(1))
        .map(char::len_utf8)
        .sum::<usize>();
    let start = line_start + before;
    Span {
        file,
        start,
        end: start,
    }
}

/// What is wrong with a text that isn't YAML, with the usual reason where there is one.
fn syntax_error(sources: &Sources, file: usize, error: &Error) -> Diagnostic {
    let text = &sources.0[file].text;
    let Some(location) = error.location() else {
        return Diagnostic::of_file(&sources.0[file].name, format!("not YAML: {error}"));
    };
    let mut span = span(location, text, file);
    let here = &text[span.start..];
    let line_start = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
    let before = &text[line_start..span.start];
    let message = match error {
        Error::UnknownAnchor { .. } if here.starts_with('*') || before.ends_with('*') => {
            "a value that begins with `*` must stand in quotes".to_owned()
        }
        Error::MultipleDocuments { .. } => {
            "a policy is one document; remove the `---` and what follows it".to_owned()
        }
        Error::MergeKeyNotAllowed { .. } => {
            "merge keys (`<<`) are not part of a policy; write the entries out".to_owned()
        }
        _ if here.starts_with(['@', '%', '`']) => {
            let first = &here[..1];
            format!("a value that begins with `{first}` must stand in quotes")
        }
        _ if before.ends_with("${") || here.starts_with('{') && before.ends_with('$') => {
            let dollar = before.rfind('$').unwrap_or(0);
            span.start = line_start + dollar;
            "inside `[…]` a value with `${…}` must stand in quotes".to_owned()
        }
        _ => {
            let message = bare_message(error);
            let hint = if message.contains("block") || message.contains("document start") {
                "; is the indentation right?"
            } else {
                ""
            };
            format!("not YAML: {message}{hint}")
        }
    };
    sources.mistake(span, message)
}

/// The library's message without the place, which stands in front already.
fn bare_message(error: &Error) -> String {
    let message = error.to_string();
    match message.rfind(" at line ") {
        Some(end) => message[..end].to_owned(),
        None => message,
    }
}

#[cfg(test)]
mod tests {
    use super::super::diagnostics::SourceText;
    use super::*;

    fn sources(text: &str) -> Sources {
        Sources(vec![SourceText {
            name: "p.yaml".into(),
            text: text.into(),
        }])
    }

    fn outline(node: &Node, text: &str) -> String {
        let at = &text[node.span.start..node.span.end];
        match &node.value {
            Value::Null => "null".into(),
            Value::Scalar(value) => format!("{value}@{at}"),
            Value::List(items) => {
                let items: Vec<_> = items.iter().map(|item| outline(item, text)).collect();
                format!("[{}]", items.join(", "))
            }
            Value::Map(entries) => {
                let entries: Vec<_> = entries
                    .iter()
                    .map(|(key, value)| format!("{}: {}", outline(key, text), outline(value, text)))
                    .collect();
                format!("{{{}}}", entries.join(", "))
            }
        }
    }

    #[test]
    fn every_node_knows_what_is_written() {
        let text = "on: [\"a b\", 9, 0x10, 007, 1e999, true, no, ~]\nä: 'q'\non: &k x\nz: *k\n";
        let node = parse(&sources(text), 0).expect("YAML");
        assert_eq!(
            outline(&node, text),
            "{on@on: [a b@\"a b\", 9@9, 0x10@0x10, 007@007, 1e999@1e999, true@true, no@no, null], \
             ä@ä: q@'q', on@on: x@x, z@z: x@*k}"
        );
    }

    #[test]
    fn syntax_errors_are_shown_with_the_usual_reason() {
        let shown = |text: &str| parse(&sources(text), 0).expect_err("not YAML").to_string();
        assert_eq!(
            shown("on: **/x\n"),
            "p.yaml:1:5: a value that begins with `*` must stand in quotes\non: **/x\n    ^"
        );
        assert_eq!(
            shown("a: [${home}/x]\n"),
            "p.yaml:1:5: inside `[…]` a value with `${…}` must stand in quotes\na: [${home}/x]\n    ^"
        );
        assert_eq!(
            shown("a: 1\n---\nb: 2\n"),
            "p.yaml:3:1: a policy is one document; remove the `---` and what follows it\nb: 2\n^"
        );
        assert_eq!(
            shown("a: [b\n"),
            "p.yaml:1:4: not YAML: unclosed bracket '['\na: [b\n   ^"
        );
        assert_eq!(
            shown("a: @x\n"),
            "p.yaml:1:4: a value that begins with `@` must stand in quotes\na: @x\n   ^"
        );
        assert_eq!(
            shown("<<: {a: 1}\n"),
            "p.yaml:1:1: merge keys (`<<`) are not part of a policy; write the entries out\n<<: {a: 1}\n^^"
        );
    }
}
