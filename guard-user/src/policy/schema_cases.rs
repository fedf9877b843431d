//! The part of the schema that is about a policy's tests.

use guard_ebpf::operation::Verdict;
use serde_json::json;

use super::shapes::{Key, facility, object, operation, signal, text, word};

/// The keys of a test.
pub(crate) fn case() -> Vec<Key> {
    let truth = json!({ "enum": [true, false, "true", "false"] });
    let socket = json!({ "anyOf": [text(r"^(/|~|\$|@.)"), object(test_socket(), &[])] });
    let verdicts = Verdict::EVERY.map(Verdict::name);
    vec![
        ("name", "What it is called when it fails.", word()),
        (
            "given",
            "The session, where it matters.",
            object(given(), &[]),
        ),
        ("operation", "What is done.", operation()),
        ("signal", "Which signal is sent.", signal()),
        (
            "facility",
            "Which facility of the machine is used.",
            facility(),
        ),
        (
            "path",
            "To which file: a path, and no glob.",
            text(r"^(/|~/|~$|\$\{)"),
        ),
        ("directory", "Whether that is a directory.", truth.clone()),
        ("own", "Whether the session has made it.", truth),
        (
            "process",
            "To which process, outside the session.",
            object(process(), &[]),
        ),
        ("socket", "To which socket.", socket),
        (
            "by",
            "By which program: the path of its executable.",
            word(),
        ),
        (
            "expect",
            "What is to come out.",
            json!({ "enum": verdicts }),
        ),
        ("rule", "By which rule.", word()),
    ]
}

/// The keys of a test's `given`.
pub(crate) fn given() -> Vec<Key> {
    vec![
        ("user", "The session's user, by name or number.", word()),
        ("home", "That user's home directory.", word()),
        (
            "workspace",
            "The session's workspace. It need not exist.",
            word(),
        ),
    ]
}

/// The keys of a test's `process`.
pub(crate) fn process() -> Vec<Key> {
    vec![
        ("exe", "The path of its executable.", word()),
        (
            "name",
            "Its command name; without it that of its executable.",
            word(),
        ),
        (
            "user",
            "Its effective user; without it the session's.",
            word(),
        ),
        (
            "cgroup",
            "Its cgroup, from the root of the hierarchy.",
            word(),
        ),
        (
            "command",
            "What it was executed with, a space between the arguments.",
            word(),
        ),
        (
            "ancestor",
            "The path of the executable of what it comes from.",
            word(),
        ),
        (
            "listens",
            "Where it listens: a port, or an address with one.",
            word(),
        ),
        ("session", "The name of its session.", word()),
        (
            "unit",
            "Its systemd unit: short for the cgroup `/system.slice/UNIT`.",
            word(),
        ),
    ]
}

/// The keys of a test's `socket`, where it has no name.
fn test_socket() -> Vec<Key> {
    vec![
        ("address", "Its address.", word()),
        ("port", "Its port.", word()),
        ("family", "Its family, where it has neither.", word()),
    ]
}
