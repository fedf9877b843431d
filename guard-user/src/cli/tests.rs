//! The command line: help texts as they are shown, and what is taken and refused.

use super::*;
use std::path::{Path, PathBuf};

/// The help of a verb, or of a verb's verb, 100 columns wide.
fn help(verbs: &[&str]) -> String {
    let mut definition = definition().term_width(100);
    definition.build();
    let mut command = &mut definition;
    for verb in verbs {
        command = command.find_subcommand_mut(verb).unwrap();
    }
    command.render_long_help().to_string()
}

/// Compares with the file of the repository; with `GUARD_UPDATE_SNAPSHOTS` set, writes it.
fn compare(name: &str, text: &str) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("src/cli/help/{name}.txt"));
    if std::env::var_os("GUARD_UPDATE_SNAPSHOTS").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        expected == text,
        "{} differs from what is shown (GUARD_UPDATE_SNAPSHOTS=1 writes it anew):\n{text}",
        file.display()
    );
}

#[test]
fn help_is_as_it_was_read_and_found_good() {
    compare("guard", &help(&[]));
    for verb in [
        "run", "plan", "learn", "tail", "report", "why", "hook", "status", "stop", "resume",
        "allow", "revoke", "explain", "ps", "check", "policy", "doctor", "threats", "server",
    ] {
        compare(verb, &help(&[verb]));
    }
    for verb in ["schema", "show", "try"] {
        compare(&format!("policy-{verb}"), &help(&["policy", verb]));
    }
}

#[test]
fn the_definition_is_sound() {
    definition().debug_assert();
}

fn parse(words: &[&str]) -> Result<Verb, String> {
    let words = ["guard"].iter().chain(words);
    Arguments::try_parse_from(words)
        .map(|arguments| arguments.verb)
        .map_err(|error| error.to_string())
}

#[test]
fn a_command_comes_after_the_dashes_with_all_its_own_options() {
    let Ok(Verb::Run(raw)) = parse(&["run", "--name", "a-1", "--", "ls", "--name", "-x"]) else {
        panic!("not taken");
    };
    let text = format!("{:?}", raw.validate().unwrap());
    assert!(
        text.contains(r#"command: ["ls", "--name", "-x"]"#),
        "{text}"
    );
    assert!(text.contains("remaining: Leave"), "{text}");
    for words in [
        &["run"][..],
        &["run", "--"],
        &["run", "ls"],
        &["run", "--remaining", "sometimes", "--", "ls"],
    ] {
        assert!(parse(words).is_err(), "{words:?} was taken");
    }
}

#[test]
fn policies_are_presets_or_files_of_the_callers_directory() {
    let words = ["run", "--policy", "vms", "--policy", "x/a.yaml", "--", "ls"];
    let Ok(Verb::Run(raw)) = parse(&words) else {
        panic!("not taken");
    };
    let text = format!("{:?}", raw.validate().unwrap());
    let file = std::env::current_dir().unwrap().join("x/a.yaml");
    let expected = format!("policies: [\"vms\", \"{}\"]", file.display());
    assert!(text.contains(&expected), "{text}");
}

#[test]
fn what_cannot_be_right_is_refused_before_anything_is_done() {
    let refused = |words: &[&str]| {
        let result = match parse(words).unwrap() {
            Verb::Run(raw) => raw.validate().map(drop),
            Verb::Tail(raw) => raw.validate().map(drop),
            Verb::Stop(raw) => raw.validate().map(drop),
            verb => panic!("{verb:?}"),
        };
        let failure = result.unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        failure.message
    };
    assert!(refused(&["run", "--name", "../x", "--", "ls"]).contains("can't be the name"));
    assert!(refused(&["stop", "a b"]).contains("can't be the name"));
    assert!(refused(&["stop", "a", "--grace", "99999"]).contains("3600 seconds at most"));
    assert!(refused(&["tail", "--session", "."]).contains("can't be the name"));
    let message = refused(&["tail", "--op", "signal,destroy"]);
    assert!(message.contains("no operation \"destroy\""), "{message}");
    assert!(
        message.contains("signal, trace, inspect, delete"),
        "{message}"
    );
    for option in ["--since", "--until"] {
        let message = refused(&["tail", option, "whenever"]);
        assert!(message.contains(option), "{message}");
    }
    let message = refused(&["tail", "--verdict", "deny,refuse"]);
    assert!(message.contains("no verdict \"refuse\""), "{message}");
    let message = refused(&["tail", "--since", "1h", "--until", "2h"]);
    assert!(message.contains("--until is before --since"), "{message}");
    for words in [
        ["tail", "--follow", "--no-follow"],
        ["tail", "--follow", "--until=1h"],
    ] {
        assert!(parse(&words).is_err(), "{words:?} was taken");
    }
}

#[test]
fn whoever_is_not_root_is_told_what_to_type() {
    assert_eq!(require_root().is_ok(), nix::unistd::geteuid().is_root());
    let words = ["guard", "run", "--", "sh", "-c", "echo 'a b'"].map(OsString::from);
    let expected = r"guard run -- sh -c 'echo '\''a b'\'''";
    assert_eq!(typed(words.into_iter()), expected);
}

#[test]
fn completions_and_manual_pages_come_from_the_same_definition() {
    let mut text = Vec::new();
    let shell = clap_complete::Shell::Bash;
    clap_complete::generate(shell, &mut definition(), "guard", &mut text);
    assert!(String::from_utf8(text).unwrap().contains("--remaining"));
    let directory = tempfile::tempdir().unwrap();
    clap_mangen::generate_to(definition(), directory.path()).unwrap();
    assert!(Path::exists(&directory.path().join("guard-run.1")));
}
