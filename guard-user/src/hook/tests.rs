//! Tests of the hooks, against payloads from the documentation of the agents: each is a file that names
//! its source.

use super::install::{Agent, Place, place};
use super::*;
use crate::events::samples;
use serde_json::Map;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// A payload without the lines at its head that tell where it is from.
fn payload(text: &str) -> Payload {
    let body: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with("//"))
        .collect();
    Payload::read(body.join("\n").as_bytes()).expect("a payload")
}

const PAYLOADS: [(&str, &str); 6] = [
    (
        "pre",
        include_str!("payloads/claude-code-pre-tool-use.json"),
    ),
    (
        "post",
        include_str!("payloads/claude-code-post-tool-use.json"),
    ),
    (
        "failed",
        include_str!("payloads/claude-code-post-tool-use-failure.json"),
    ),
    (
        "codex pre",
        include_str!("payloads/codex-pre-tool-use.json"),
    ),
    (
        "codex post",
        include_str!("payloads/codex-post-tool-use.json"),
    ),
    ("stop", include_str!("payloads/claude-code-stop.json")),
];

#[test]
fn the_documented_payloads_are_understood() {
    let step = |name: &str| {
        let found = PAYLOADS.iter().find(|(other, _)| *other == name);
        payload(found.expect("a payload").1).step()
    };
    let call = "toolu_01ABC123...".to_owned();
    assert_eq!(step("pre"), Step::Begins(call.clone()));
    assert_eq!(
        step("post"),
        Step::Ended(call.clone(), "PostToolUse".into())
    );
    assert_eq!(
        step("failed"),
        Step::Ended(call, "PostToolUseFailure".into())
    );
    let call = "exec-58fe245b-9bd8-4ba2-b4f7-c50964aa140c".to_owned();
    assert_eq!(step("codex pre"), Step::Begins(call.clone()));
    assert_eq!(step("codex post"), Step::Ended(call, "PostToolUse".into()));
    assert_eq!(step("stop"), Step::Nothing);
}

#[test]
fn every_payload_says_where_it_is_from() {
    for (name, text) in PAYLOADS {
        let first = text.lines().next().unwrap_or_default();
        assert!(
            first.starts_with("// ") && first.contains("https://"),
            "{name}: {first}"
        );
    }
}

#[test]
fn a_call_without_a_number_is_named_after_its_tool() {
    let text = r#"{"session_id":"abc","hook_event_name":"PreToolUse","tool_name":"Bash"}"#;
    let step = Payload::read(text.as_bytes()).unwrap().step();
    assert_eq!(step, Step::Begins("abc/Bash".into()));
    assert!(Payload::read(b"{}").is_err());
    assert!(Payload::read(b"").is_err());
}

#[test]
fn nothing_is_said_where_nothing_was_refused() {
    assert_eq!(answer("PostToolUse", &[]), None);
}

#[test]
fn an_answer_has_the_documented_form_and_says_what_to_do() {
    let receipts = [samples::named("delete"), samples::named("signal")];
    let answer = answer("PostToolUseFailure", &receipts).expect("an answer");
    let specific = answer["hookSpecificOutput"].as_object().expect("an object");
    assert_eq!(answer.as_object().map(Map::len), Some(1));
    assert_eq!(specific.len(), 2);
    assert_eq!(specific["hookEventName"], "PostToolUseFailure");
    let text = specific["additionalContext"].as_str().expect("a text");
    for part in [
        "refused 4 operations",
        "photos exist once",
        "instead",
        "will help",
        "pkill[4312]",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn many_receipts_are_cut_to_the_last_ones() {
    let receipts = vec![samples::named("signal"); 40];
    let answer = answer("PostToolUse", &receipts).expect("an answer");
    let text = answer["hookSpecificOutput"]["additionalContext"]
        .as_str()
        .unwrap();
    assert!(text.contains("and 35 earlier ones"), "{text}");
    // Claude Code takes 10,000 characters.
    assert!(text.len() < 10_000, "{}", text.len());
}

/// What a file becomes when the hook is installed in it, and that installing it again changes nothing.
fn installed(place: &Place) -> String {
    let change = place
        .change("/usr/bin/guard hook it")
        .unwrap()
        .expect("a change");
    change.write().unwrap();
    assert_eq!(place.change("/usr/bin/guard hook it").unwrap(), None);
    fs::read_to_string(place.file()).unwrap()
}

#[test]
fn a_hook_is_added_to_settings_and_nothing_is_lost() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join(".claude/settings.json");
    let place = Place::Json(file.clone(), Agent::ClaudeCode);
    let fresh: Value = serde_json::from_str(&installed(&place)).unwrap();
    for event in ["PreToolUse", "PostToolUse", "PostToolUseFailure"] {
        let hook = &fresh["hooks"][event][0]["hooks"][0];
        assert_eq!(hook["command"], "/usr/bin/guard hook it", "{event}");
    }
    let before = r#"{ "zeta": 1, "model": "opus", "hooks": { "Stop": [{ "hooks": [] }], "PostToolUse": [
        { "matcher": "Edit|Write", "hooks": [{ "type": "command", "command": "prettier" }] } ] },
        "alpha": [1.5, null] }"#;
    fs::write(&file, before).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let text = installed(&place);
    let (mut after, before): (Value, Value) = (
        serde_json::from_str(&text).unwrap(),
        serde_json::from_str(before).unwrap(),
    );
    assert_eq!(
        after["hooks"]["PostToolUse"].as_array().map(Vec::len),
        Some(2)
    );
    for event in ["PreToolUse", "PostToolUseFailure"] {
        after["hooks"].as_object_mut().unwrap().remove(event);
    }
    after["hooks"]["PostToolUse"].as_array_mut().unwrap().pop();
    assert_eq!(after, before);
    let at = |word: &str| text.find(word);
    assert!(
        at("zeta") < at("model") && at("model") < at("alpha"),
        "{text}"
    );
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn a_file_that_cannot_be_added_to_is_left_alone() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("settings.json");
    let place = Place::Json(file.clone(), Agent::ClaudeCode);
    for text in [
        "{ // a comment\n}",
        "[]",
        r#"{"hooks":[]}"#,
        r#"{"hooks":{"PreToolUse":{}}}"#,
    ] {
        fs::write(&file, text).unwrap();
        let failure = place.change("guard hook it").unwrap_err();
        assert!(
            failure.message.contains("left as it is"),
            "{}",
            failure.message
        );
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
    }
}

#[test]
fn codex_has_its_hooks_where_others_are() {
    let home = tempfile::tempdir().unwrap();
    let codex = home.path().join(".codex");
    let json = Place::Json(codex.join("hooks.json"), Agent::Codex);
    let toml = Place::Toml(codex.join("config.toml"), Agent::Codex);
    let chosen = || place(Agent::Codex, home.path()).unwrap();
    assert_eq!(chosen(), json, "there is nothing yet");
    fs::create_dir(&codex).unwrap();
    fs::write(
        toml.file(),
        "model = \"gpt\"\n[hooks.state.\"x\"]\ntrusted_hash = \"y\"\n",
    )
    .unwrap();
    assert_eq!(chosen(), json, "it only notes what it trusts");
    let before = "# mine\nmodel = \"gpt\" # the best\n\n[[hooks.Stop]]\n[[hooks.Stop.hooks]]\ntype = \"command\"\ncommand = \"bell\"\n";
    fs::write(toml.file(), before).unwrap();
    assert_eq!(chosen(), toml);
    let after = installed(&toml);
    assert!(after.starts_with(before), "{after}");
    let added = "\n[[hooks.PreToolUse]]\nmatcher = \"*\"\n\n[[hooks.PreToolUse.hooks]]\ntype = \"command\"\ncommand = \"/usr/bin/guard hook it\"\ntimeout = 10\n";
    assert!(after.contains(added), "{after}");
    fs::write(json.file(), "{}").unwrap();
    assert_eq!(chosen(), json);
}

#[test]
fn a_link_to_a_file_stays_one() {
    let home = tempfile::tempdir().unwrap();
    let (file, link) = (
        home.path().join("dotfiles.json"),
        home.path().join("hooks.json"),
    );
    fs::write(&file, "{}").unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    installed(&Place::Json(link.clone(), Agent::Codex));
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(fs::read_to_string(&file).unwrap().contains("guard hook it"));
}

#[test]
fn a_change_is_shown_by_the_lines_that_go_and_come() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("hooks.json");
    fs::write(&file, "{\n  \"hooks\": {}\n}\n").unwrap();
    let change = Place::Json(file, Agent::Codex).change("guard hook it");
    let shown = change.unwrap().expect("a change").shown();
    assert!(
        shown.starts_with("-   \"hooks\": {}\n+   \"hooks\": {\n"),
        "{shown}"
    );
    assert!(
        shown.lines().all(|line| line.starts_with(['-', '+'])),
        "{shown}"
    );
    assert!(!shown.contains("+ }\n"), "the end is as before: {shown}");
}
