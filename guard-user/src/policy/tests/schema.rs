//! The schema against the reader: the same keys, and what one takes the other takes.

use std::collections::BTreeSet;

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Hir, HirKind, Look};
use serde_json::Value;
use serde_yaml::options::DuplicateKeyPolicy;

use super::*;
use crate::policy::schema;
use crate::policy::shapes::Key;
use crate::policy::{at_most, cases, groups, limits, parse, presets, rules, schema_cases, sockets};

/// A YAML text as editors see it.
fn json(text: &str) -> Value {
    let options = serde_yaml::options! {
        duplicate_keys: DuplicateKeyPolicy::Error,
        strict_booleans: true,
    };
    serde_yaml::from_str_with_options(text, options)
        .unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// What is wrong with a document by the schema; nothing when it is right.
fn complaints(text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    validate(&schema::schema(), &json(text), "", &mut complaints);
    complaints
}

/// Validates as JSON Schema has it, as far as our schema goes: a keyword that isn't known here
/// would be one that nobody has tested.
fn validate(schema: &Value, value: &Value, at: &str, complaints: &mut Vec<String>) {
    let fits = |schema: &Value| {
        let mut complaints = Vec::new();
        validate(schema, value, at, &mut complaints);
        complaints.is_empty()
    };
    let schemas = |list: &Value| list.as_array().cloned().expect("a list of schemas");
    let mut ensure = |fits: bool, what: &Value| {
        if !fits {
            complaints.push(format!("{at}: {value} is not {what}"));
        }
    };
    let all = schema.as_object().expect("a schema");
    for (keyword, asked) in all {
        match keyword.as_str() {
            "$schema"
            | "title"
            | "description"
            | "properties"
            | "additionalProperties"
            | "items" => {}
            "type" => {
                let types = match asked {
                    Value::Array(types) => types.clone(),
                    one => vec![one.clone()],
                };
                let is = |kind: &Value| match kind.as_str().expect("a type") {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "number" => value.is_number(),
                    "integer" => value.is_u64() || value.is_i64(),
                    "boolean" => value.is_boolean(),
                    "null" => value.is_null(),
                    other => panic!("the type {other}"),
                };
                ensure(types.iter().any(is), asked);
            }
            "enum" => ensure(
                asked.as_array().is_some_and(|all| all.contains(value)),
                asked,
            ),
            "pattern" => {
                let pattern = asked.as_str().expect("a pattern");
                ensure(
                    value.as_str().is_none_or(|text| matches(pattern, text)),
                    asked,
                );
            }
            "minLength" => ensure(value.as_str().is_none_or(|text| !text.is_empty()), asked),
            "minimum" => ensure(
                value.as_i64().is_none_or(|n| Some(n) >= asked.as_i64()),
                asked,
            ),
            "maximum" => ensure(
                value.as_i64().is_none_or(|n| Some(n) <= asked.as_i64()),
                asked,
            ),
            "minItems" => ensure(
                value.as_array().is_none_or(|items| !items.is_empty()),
                asked,
            ),
            "minProperties" => ensure(value.as_object().is_none_or(|map| !map.is_empty()), asked),
            "required" => {
                let names = asked.as_array().expect("names");
                let has = |name: &Value| value.get(name.as_str().expect("a name")).is_some();
                ensure(!value.is_object() || names.iter().all(has), asked);
            }
            "anyOf" => ensure(schemas(asked).iter().any(fits), asked),
            "oneOf" => ensure(
                schemas(asked).iter().filter(|one| fits(one)).count() == 1,
                asked,
            ),
            "not" => ensure(!fits(asked), asked),
            other => panic!("the keyword {other}"),
        }
    }
    for (key, inner) in value.as_object().into_iter().flatten() {
        let at = format!("{at}/{key}");
        let known = schema.pointer(&format!("/properties/{key}"));
        match known.or(all.get("additionalProperties")) {
            Some(Value::Bool(false)) => complaints.push(format!("{at}: an unknown key")),
            Some(schema) => validate(schema, inner, &at, complaints),
            None => {}
        }
    }
    if let (Some(items), Some(list)) = (all.get("items"), value.as_array()) {
        for (index, inner) in list.iter().enumerate() {
            validate(items, inner, &format!("{at}/{index}"), complaints);
        }
    }
}

/// Whether a pattern is found in a text.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parser = ParserBuilder::new().unicode(false).utf8(false).build();
    let hir = parser.parse(pattern).expect("a good pattern");
    let text = text.as_bytes();
    (0..=text.len()).any(|at| go(&hir, text, at, &mut |_| true))
}

/// Tries every way to match from a place; `rest` says whether what follows matches too.
fn go(hir: &Hir, text: &[u8], at: usize, rest: &mut dyn FnMut(usize) -> bool) -> bool {
    match hir.kind() {
        HirKind::Empty => rest(at),
        HirKind::Literal(literal) => {
            text[at..].starts_with(&literal.0) && rest(at + literal.0.len())
        }
        HirKind::Class(class) => {
            let class = match class {
                regex_syntax::hir::Class::Bytes(class) => class.clone(),
                regex_syntax::hir::Class::Unicode(class) => class.to_byte_class().expect("ASCII"),
            };
            let inside = |byte: u8| class.iter().any(|r| (r.start()..=r.end()).contains(&byte));
            text.get(at).is_some_and(|&byte| inside(byte)) && rest(at + 1)
        }
        HirKind::Look(Look::Start) => at == 0 && rest(at),
        HirKind::Look(Look::End) => at == text.len() && rest(at),
        HirKind::Look(other) => panic!("{other:?}"),
        HirKind::Capture(capture) => go(&capture.sub, text, at, rest),
        HirKind::Concat(all) => match all.split_first() {
            None => rest(at),
            Some((first, others)) => {
                let others = Hir::concat(others.to_vec());
                go(first, text, at, &mut |at| go(&others, text, at, rest))
            }
        },
        HirKind::Alternation(all) => all.iter().any(|one| go(one, text, at, rest)),
        HirKind::Repetition(repetition) => {
            let mut ends = BTreeSet::from([at]);
            let mut reached = vec![ends.clone()];
            while let Some(next) = (reached.len() <= text.len()).then(|| {
                let mut next = BTreeSet::new();
                for &at in &ends {
                    go(&repetition.sub, text, at, &mut |end| {
                        next.insert(end);
                        false
                    });
                }
                next
            }) {
                ends.clone_from(&next);
                reached.push(next);
            }
            let least = repetition.min as usize;
            let most = repetition.max.map_or(usize::MAX, |most| most as usize);
            reached
                .into_iter()
                .enumerate()
                .filter(|(times, _)| (least..=most).contains(times))
                .flat_map(|(_, ends)| ends)
                .any(rest)
        }
    }
}

#[test]
fn patterns_are_understood() {
    assert!(matches("^a*b?$", "aab") && matches("^(x|y)+$", "xyx") && matches("b", "abc"));
    assert!(!matches("^a+$", "") && !matches("^[^/]+$", "a/b") && !matches("^(x|y)$", "xy"));
}

/// Every key of the reader is one of the schema's, and the other way round.
#[test]
fn the_keys_are_those_of_the_reader() {
    let tables: [(&str, &[&str], Vec<Key>); 9] = [
        ("document", &parse::DOCUMENT, schema::document()),
        ("rule", &rules::RULE, schema::rule_keys()),
        ("item", &groups::ITEM, schema::item_keys()),
        ("socket", &sockets::SOCKET, schema::socket_keys()),
        ("limits", &limits::LIMITS, schema::limits()),
        ("at-most", &at_most::KEYS, schema::at_most()),
        ("test", &cases::CASE, schema_cases::case()),
        ("given", &cases::GIVEN, schema_cases::given()),
        ("process", &cases::PROCESS, schema_cases::process()),
    ];
    for (what, reader, keys) in tables {
        let reader: BTreeSet<&str> = reader.iter().copied().collect();
        let schema: BTreeSet<&str> = keys.iter().map(|(key, ..)| *key).collect();
        assert_eq!(schema, reader, "the keys of a {what}: see policy/schema.rs");
        // And so do the two themselves say, key by key.
        for key in schema.into_iter().chain(["frobnicate"]) {
            let text = match what {
                "document" => {
                    format!("version: 1\n{key}: 1\n").replace("version: 1\nversion", "version")
                }
                "rule" => format!("version: 1\nrules: [{{ {key}: 1 }}]\n"),
                "item" => format!("version: 1\ngroups: {{ g: [{{ {key}: 1 }}] }}\n"),
                "socket" => {
                    format!("version: 1\nrules: [{{ allow: connect, via: {{ {key}: 1 }} }}]\n")
                }
                "limits" => format!("version: 1\nlimits: {{ {key}: 1 }}\n"),
                "test" => format!("version: 1\ntests: [{{ {key}: 1 }}]\n"),
                "given" | "process" => {
                    format!(
                        "version: 1\ntests: [{{ operation: limit, expect: deny, {what}: {{ {key}: 1 }} }}]\n"
                    )
                }
                _ => format!("version: 1\nrules: [{{ allow: delete, at-most: {{ {key}: 1 }} }}]\n"),
            };
            let unknown = key == "frobnicate";
            let mistakes = try_load(&text)
                .err()
                .map(|all| all.to_string())
                .unwrap_or_default();
            assert_eq!(
                mistakes.contains("unknown key"),
                unknown,
                "{text}{mistakes}"
            );
            let complaints = complaints(&text).join("\n");
            // Below `via` it is one of several forms that does not fit.
            let named = complaints.contains("an unknown key") || what == "socket" || what == "item";
            assert!(
                !unknown || named && !complaints.is_empty(),
                "{text}{complaints}"
            );
            assert!(
                unknown || !complaints.contains("an unknown key"),
                "{text}{complaints}"
            );
        }
    }
}

#[test]
fn what_the_reader_takes_the_schema_takes() {
    let documents = [
        include_str!("../../../../docs/policy.md"),
        include_str!("../../../../README.md"),
    ];
    let examples = documents.iter().flat_map(|document| {
        let blocks = document.split("```yaml\n").skip(1);
        blocks.filter_map(|rest| rest.split("```").next())
    });
    let presets = presets::PRESETS.iter().map(|preset| preset.text);
    let mut count = 0;
    for text in examples.chain(presets) {
        count += 1;
        assert_eq!(complaints(text), [] as [&str; 0], "{text}");
    }
    assert!(count >= 15, "{count}");
    for text in [
        "version: '1'\nrules:\ngroups:\npaths:\nlimits:\n",
        "version: 1\ninclude: default\n",
        "version: 1\nrules: [{ deny: signal, signals: [9, KILL, SIGTERM, RTMIN+1, SIGRTMAX-1, '15'] }]\n",
        "version: 1\ngroups: { a: { user: 1000 }, b: [{ user: \"${user}\", unit: 'a*' }], c: [{ container: '*' }] }\n",
        "version: 1\nrules: [{ allow: connect, via: ['@x', /a, { port: [80, '1-2'] }, { family: vsock }] }]\n",
    ] {
        try_load(text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        assert_eq!(complaints(text), [] as [&str; 0], "{text}");
    }
    let files = "version: 1\ninclude: [../x, a.yml, vms]\n";
    assert_eq!(complaints(files), [] as [&str; 0]);
}

#[test]
fn what_the_schema_refuses_the_reader_refuses() {
    for text in [
        "rules: []\n",
        "version: 2\n",
        "version: 1\nmode: enforced\n",
        "version: 1\nrecord: all\n",
        "version: 1\ninclude: defualt\n",
        "version: 1\nlimits: { memory: much }\n",
        "version: 1\nlimits: { cpu: 2 }\n",
        "version: 1\npaths: { a: [] }\n",
        "version: 1\npaths: { a: x/y }\n",
        "version: 1\ngroups: { a: [{}] }\n",
        "version: 1\ngroups: { a: [{ cgroup: /a, unit: a.service }] }\n",
        "version: 1\ngroups: { a: [{ unit: /a.service }] }\n",
        "version: 1\ngroups: { a: [{ container: a/b }] }\n",
        "version: 1\ngroups: { a: [{ unit: a.service, container: a }] }\n",
        "version: 1\ntests: [{ operation: delete, path: /a }]\n",
        "version: 1\ntests: [{ operation: delete, path: /a, expect: no }]\n",
        "version: 1\ntests: [{ operation: delete, path: /a, own: maybe, expect: deny }]\n",
        "version: 1\nrules: [{ name: a }]\n",
        "version: 1\nrules: [{ allow: [delete], at-most: { count: 1 } }]\n",
        "version: 1\nrules: [{ allow: [delete], at-most: { count: 1, per: 1y } }]\n",
        "version: 1\nrules: [{ allow: [signal], deny: [trace] }]\n",
        "version: 1\nrules: [{ allow: [singal] }]\n",
        "version: 1\nrules: [{ allow: [signal], signals: [99] }]\n",
        "version: 1\nrules: [{ allow: [machine], facilities: [clock] }]\n",
        "version: 1\nrules: [{ allow: [connect], via: [x] }]\n",
        "version: 1\nrules: [{ allow: [connect], via: [{ port: 0 }] }]\n",
        "version: 1\nrules: [{ allow: [connect], via: [{ address: localhost }] }]\n",
        "version: 1\nrules: [{ allow: [connect], via: [{ family: vsock, port: 1 }] }]\n",
    ] {
        assert!(!complaints(text).is_empty(), "{text}");
        assert!(try_load(text).is_err(), "{text}");
    }
}

#[test]
fn the_file_of_the_repository_is_current() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/schema.json");
    let text = crate::cli::output::json(&schema::schema());
    if std::env::var_os("GUARD_UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&file, &text).expect("writable");
    }
    let there = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        there == text,
        "policies/schema.json is not what `guard policy schema` prints"
    );
}
