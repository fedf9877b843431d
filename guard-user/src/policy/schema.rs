//! The form of a policy as a JSON Schema (2020-12), by which editors complete and check it.
//!
//! Words that a policy can use come from where the reader has them. Keys stand here once more, with
//! what they mean and take; a test fails when they are not the reader's. A new key is a line in the
//! function of its place. What needs more than one document to be seen, such as a name that isn't
//! defined, is left to `guard check`.

use serde_json::{Value, json};

use super::parse::{MODES, RECORDS, VERSION};
use super::presets::PRESETS;
use super::rules::EFFECTS;
use super::schema_cases::case;
use super::shapes::{
    Key, facility, glob, named, object, one_or_more, operation, or_nothing, selection, signal,
    text, word,
};
use crate::system::families;

/// The schema of a document.
#[must_use]
pub fn schema() -> Value {
    let mut schema = object(document(), &["version"]);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("A policy of guard");
    schema
}

/// The keys of a document.
pub(crate) fn document() -> Vec<Key> {
    let version: u32 = VERSION.parse().unwrap_or_default();
    vec![
        (
            "version",
            "The version of the language.",
            json!({ "enum": [version, VERSION] }),
        ),
        (
            "include",
            "Presets and files whose rules, groups and paths are added, behind those of this document.",
            one_or_more(&json!({ "anyOf": [
                { "enum": PRESETS.map(|preset| preset.name) },
                text("/|\\.ya?ml$"),
            ] })),
        ),
        (
            "mode",
            "`audit`: nothing is refused, and what would be is recorded.",
            json!({ "enum": MODES }),
        ),
        (
            "record",
            "`everything`: what is let through is recorded as well, but for the session's own.",
            json!({ "enum": RECORDS }),
        ),
        (
            "limits",
            "What the session may take of the machine.",
            or_nothing(object(limits(), &[])),
        ),
        (
            "groups",
            "Names for processes. One item suffices; of an item every key must fit.",
            named(&selection(&item())),
        ),
        (
            "paths",
            "Names for files: lists of globs.",
            named(&selection(&glob())),
        ),
        (
            "rules",
            "The rules, in order: the first that matches decides.",
            json!({ "type": ["array", "null"], "items": rule() }),
        ),
        (
            "tests",
            "What the policy is expected to say; `guard check --tests` runs them.",
            json!({ "type": ["array", "null"], "items": object(case(), &["operation", "expect"]) }),
        ),
    ]
}

/// The keys of a rule.
pub(crate) fn rule_keys() -> Vec<Key> {
    let mut keys = vec![
        ("name", "What events call it.", word()),
        (
            "because",
            "The reason, which people and agents are shown when it decides.",
            word(),
        ),
        (
            "signals",
            "Which signals; only with the operation `signal`.",
            one_or_more(&signal()),
        ),
        (
            "facilities",
            "Which facilities of the machine; only with the operation `machine`.",
            one_or_more(&facility()),
        ),
        (
            "to",
            "Groups: the processes that it is about. Without it: every process.",
            selection(&word()),
        ),
        (
            "on",
            "Sets of paths, or globs: the files that it is about. Without it: every file.",
            selection(&word()),
        ),
        (
            "via",
            "Sockets that it is about. Without it: every socket.",
            selection(&socket()),
        ),
        (
            "by",
            "Groups, by `exe` alone: the programs that do it. Without it: every program.",
            selection(&word()),
        ),
        (
            "at-most",
            "How often it lets something through; only with `allow`.",
            object(at_most(), &["count", "per"]),
        ),
    ];
    keys.extend(EFFECTS.map(|(effect, _)| {
        let meaning = match effect {
            "allow" => "Lets these operations through.",
            "deny" => "Refuses these operations.",
            _ => "Lets these operations through and records them.",
        };
        (effect, meaning, one_or_more(&operation()))
    }));
    keys
}

/// The keys of `at-most`.
pub(crate) fn at_most() -> Vec<Key> {
    vec![
        (
            "count",
            "How many times.",
            json!({ "type": ["integer", "string"], "minimum": 1, "pattern": "^[0-9]+$" }),
        ),
        (
            "per",
            "In what time: a number with a unit, such as `30s`, `10m`, `1h`, and at most `7d`; or \
             `session`.",
            text("^([0-9]+ *[smhd]|session)$"),
        ),
    ]
}

/// The keys of an item of a group.
pub(crate) fn item_keys() -> Vec<Key> {
    vec![
        (
            "exe",
            "Its executable lies at this path, or matches this glob.",
            glob(),
        ),
        (
            "name",
            "Its command name matches this glob. A process chooses its own name.",
            word(),
        ),
        (
            "user",
            "Its effective user: a name, a number or a variable.",
            word(),
        ),
        (
            "cgroup",
            "Its cgroup (version 2) matches this glob, from the root of the hierarchy.",
            text(r"^(/|\*\*/|\$\{)"),
        ),
        (
            "unit",
            "It belongs to this systemd unit, such as `postgresql.service`, or a glob of such.",
            text(r"^[^/]+$"),
        ),
        (
            "container",
            "It belongs to a container of this id (docker, podman, containerd, CRI-O) or name (LXC, \
             Incus, systemd-nspawn), or to one whose id or name matches this glob; `*` for any.",
            text(r"^[^/]+$"),
        ),
        (
            "command",
            "It was executed with this, a space between the arguments, or with what matches this glob.",
            word(),
        ),
        (
            "ancestor",
            "It comes from a process whose executable lies at this path, or matches this glob.",
            glob(),
        ),
        (
            "listens",
            "It listens at this TCP port, at one of these, or at this address and port.",
            json!({ "anyOf": [one_or_more(&port()), object(listening_keys(), &[])] }),
        ),
        (
            "session",
            "It belongs to the session of this name; `*` for any.",
            text(r"^(\*|[0-9A-Za-z][0-9A-Za-z_-]*)$"),
        ),
    ]
}

/// A port, or a range of them.
fn port() -> Value {
    json!({
        "type": ["integer", "string"],
        "minimum": 1,
        "maximum": u16::MAX,
        "pattern": "^ *[0-9]+ *(- *[0-9]+ *)?$",
    })
}

/// The keys of what a process listens at.
fn listening_keys() -> Vec<Key> {
    let mut keys = socket_keys();
    keys.retain(|(key, ..)| *key != "family");
    keys
}

/// The keys of a socket without a name.
pub(crate) fn socket_keys() -> Vec<Key> {
    let families: Vec<&str> = families::others().collect();
    vec![
        (
            "address",
            "An address, a prefix such as `10.0.0.0/8`, or `any`.",
            one_or_more(&text(r"^(any|[0-9a-fA-F.:]+(/[0-9]+)?|.*\$\{.*)$")),
        ),
        (
            "port",
            "A port, or a range such as `8000-8010`.",
            one_or_more(&port()),
        ),
        (
            "family",
            "A family of sockets that have neither path nor Internet address. It stands alone.",
            one_or_more(&json!({ "enum": families })),
        ),
    ]
}

/// The keys of `limits`.
pub(crate) fn limits() -> Vec<Key> {
    let limit = |pattern: &str| json!({ "type": ["string", "integer"], "pattern": pattern });
    let amount = limit("^([0-9]+[KMGT]?|[0-9]+%|unlimited)$");
    vec![
        (
            "memory",
            "Memory: `8G`, a share of the machine's like `50%`, or `unlimited`.",
            amount.clone(),
        ),
        ("swap", "Swap: the same, of the machine's.", amount),
        (
            "processes",
            "How many processes, each thread counted.",
            limit("^([0-9]+|unlimited)$"),
        ),
        (
            "cpu",
            "Processor time in percent of one processor: `200%` is two.",
            text("^([0-9]+%|unlimited)$"),
        ),
        (
            "weight",
            "From 1 to 10000: its part of processors and disks; each session has 100.",
            limit("^[0-9]+$"),
        ),
    ]
}

fn rule() -> Value {
    let mut rule = object(rule_keys(), &[]);
    let says = EFFECTS.map(|(effect, _)| json!({ "required": [effect] }));
    rule["oneOf"] = json!(says);
    rule
}

fn item() -> Value {
    let mut item = object(item_keys(), &[]);
    item["minProperties"] = json!(1);
    item["not"] = json!({ "anyOf": [
        { "required": ["cgroup", "unit"] },
        { "required": ["cgroup", "container"] },
        { "required": ["unit", "container"] },
    ] });
    item
}

fn socket() -> Value {
    let mut without_file = object(socket_keys(), &[]);
    without_file["minProperties"] = json!(1);
    without_file["not"] = json!({ "anyOf": [
        { "required": ["family", "address"] },
        { "required": ["family", "port"] },
    ] });
    json!({ "anyOf": [text(r"^(/|~|\$|\*\*|@.)"), without_file] })
}
