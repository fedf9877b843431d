//! What values of a policy look like, as JSON Schemas: the pieces that [`super::schema`] is made of.

use guard_ebpf::abi::MAX_SIGNAL;
use guard_ebpf::operation::{Facility, Operation};
use serde_json::{Value, json};

use super::reader::EXCEPT;
use crate::system::signals;

/// A key: its name, what it means, what it takes.
pub(crate) type Key = (&'static str, &'static str, Value);

pub(super) fn operation() -> Value {
    json!({ "enum": Operation::EVERY.map(Operation::name) })
}

pub(super) fn facility() -> Value {
    let names: Vec<_> = Facility::EVERY.iter().map(|one| one.name()).collect();
    json!({ "enum": names })
}

/// A signal. The reader takes small letters as well; here they are a matter of style.
pub(super) fn signal() -> Value {
    let names: Vec<&str> = signals::names().collect();
    json!({ "anyOf": [
        { "enum": names },
        text("^(SIG)?([A-Z0-9]+|RTMIN[+][0-9]+|RTMAX-[0-9]+)$"),
        { "type": "integer", "minimum": 1, "maximum": MAX_SIGNAL },
    ] })
}

pub(super) fn glob() -> Value {
    text(r"^(/|~/|~$|\*\*/|\$\{)")
}

/// A text of a certain form.
pub(super) fn text(pattern: &str) -> Value {
    json!({ "type": "string", "pattern": pattern })
}

/// Any word, as YAML has them: what looks like a number is one to an editor.
pub(super) fn word() -> Value {
    json!({ "type": ["string", "number", "boolean"], "minLength": 1 })
}

/// A list of values, or one alone.
pub(super) fn one_or_more(value: &Value) -> Value {
    json!({ "anyOf": [value, { "type": "array", "items": value, "minItems": 1 }] })
}

/// A list of values and of exceptions, or one of them alone.
pub(super) fn selection(value: &Value) -> Value {
    let exception = (EXCEPT, "What the list is not about.", one_or_more(value));
    let exception = object(vec![exception], &[EXCEPT]);
    one_or_more(&json!({ "anyOf": [value, exception] }))
}

/// A mapping from names that somebody chose.
pub(super) fn named(value: &Value) -> Value {
    json!({ "type": ["object", "null"], "additionalProperties": value })
}

/// The value, or nothing behind the colon.
pub(super) fn or_nothing(mut value: Value) -> Value {
    value["type"] = json!(["object", "null"]);
    value
}

/// A mapping with these keys and no others.
pub(super) fn object(keys: Vec<Key>, required: &[&str]) -> Value {
    let properties: serde_json::Map<String, Value> = keys
        .into_iter()
        .map(|(key, meaning, mut value)| {
            value["description"] = json!(meaning);
            (key.to_owned(), value)
        })
        .collect();
    let mut object = json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object
}
