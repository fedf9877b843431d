//! Rules that never decide are told, and no others.

use super::*;
use crate::policy::unreached::unreached;

/// What is said of a policy in a file `p.yaml`.
fn of(rules: &str) -> Vec<String> {
    let text = format!("version: 1\nrules:\n{rules}");
    let host = FakeHost::new().file("p.yaml", text.as_str());
    let sources = [Source::File("p.yaml".into())];
    let loaded = Loader::new(&environment(), &host).load(&sources);
    unreached(&loaded.unwrap().ruleset, "p.yaml")
}

#[test]
fn what_an_earlier_rule_is_about_is_never_reached() {
    let notes = of(concat!(
        "  - { name: all, deny: [delete, overwrite], on: /srv/** }\n",
        "  - { name: some, allow: [delete, create], on: [/srv/db, /srv/db/**] }\n",
    ));
    let expected = "the rule `some` (line 4) never decides about delete: `all` (p.yaml:3) comes before it \
                    and is about all of that";
    assert_eq!(notes, [expected]);
}

#[test]
fn what_is_narrower_covers_nothing() {
    for (first, second) in [
        ("on: /srv/db/**", "on: /srv/**"),
        ("on: /srv/*", "on: /srv/db"),
        ("on: /srv/**", "on: /srv"),
        ("on: /srv/**", "on: \"**/srv/a\""),
        ("on: /srv/**", "on: [/srv/a, /var/a]"),
        ("on: /srv/**", "name: other"),
    ] {
        let rules = format!("  - {{ deny: delete, {first} }}\n  - {{ allow: delete, {second} }}\n");
        assert_eq!(of(&rules), Vec::<String>::new(), "{first}, {second}");
    }
}

#[test]
fn signals_programs_and_sockets_count() {
    let notes =
        |first: &str, second: &str| of(&format!("  - {{ {first} }}\n  - {{ {second} }}\n")).len();
    assert_eq!(notes("deny: signal, signals: [TERM]", "allow: signal"), 0);
    assert_eq!(
        notes(
            "deny: signal, signals: [TERM, HUP]",
            "allow: signal, signals: HUP"
        ),
        1
    );
    assert_eq!(notes("deny: signal", "allow: [signal, trace]"), 1);
    assert_eq!(
        notes(
            "deny: connect, via: /run/**",
            "allow: connect, via: /run/a.sock"
        ),
        1
    );
    assert_eq!(
        notes(
            "deny: connect, via: /run/a.sock",
            "allow: connect, via: \"@a\""
        ),
        0
    );
    let one = "via: { address: 127.0.0.1, port: 80 }";
    let two = "via: { address: 127.0.0.1, port: 81 }";
    assert_eq!(
        notes(
            &format!("deny: connect, {one}"),
            &format!("allow: connect, {one}")
        ),
        1
    );
    assert_eq!(
        notes(
            &format!("deny: connect, {one}"),
            &format!("allow: connect, {two}")
        ),
        0
    );
}

/// A rule that refuses is about other mounts of a place and the directories on the way as well, which
/// one that allows leaves to it.
#[test]
fn what_is_allowed_before_leaves_something_to_refuse() {
    let rules =
        |second: &str| format!("  - {{ allow: delete, on: /srv/** }}\n  - {{ {second} }}\n");
    assert_eq!(
        of(&rules("deny: delete, on: /srv/db/**")),
        Vec::<String>::new()
    );
    assert_eq!(of(&rules("allow: delete, on: /srv/db/**")).len(), 1);
    assert_eq!(
        of("  - { allow: delete }\n  - { deny: delete, on: /srv/** }\n").len(),
        1
    );
}

#[test]
fn no_preset_has_rules_that_never_decide() {
    for preset in crate::policy::presets::PRESETS {
        let sources = [Source::Preset(preset.name.into())];
        let environment = environment();
        let host = FakeHost::new();
        let loaded = Loader::new(&environment, &host).load(&sources);
        let notes = unreached(&loaded.unwrap().ruleset, preset.name);
        assert_eq!(notes, Vec::<String>::new());
    }
}
