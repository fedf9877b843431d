//! Tests in policies: what they say when they fail, and that those of the presets don't.

use super::*;
use crate::policy::verify::verify;

/// Runs the tests of a policy in a file `p.yaml`: how many there were, or what is wrong.
fn run(text: &str) -> Result<usize, String> {
    let host = FakeHost::new()
        .file("p.yaml", text)
        .link("/srv/link", "/srv/data", false);
    verify(&[Source::File("p.yaml".into())], &environment(), &host)
        .map(|(_, tests)| tests)
        .map_err(|mistakes| mistakes.to_string())
}

/// Runs one test, given by its keys, under some rules.
fn one(rules: &str, keys: &str) -> Result<usize, String> {
    run(&format!("version: 1\n{rules}tests:\n  - {{ {keys} }}\n"))
}

#[test]
fn every_preset_passes_its_tests() {
    for preset in crate::policy::presets::PRESETS {
        let source = [Source::Preset(preset.name.into())];
        let (loaded, tests) = verify(&source, &environment(), &FakeHost::new())
            .unwrap_or_else(|mistakes| panic!("{mistakes}"));
        assert!(tests > 4, "{} has {tests} tests", preset.name);
        // Every rule of its own is one that a test is about.
        let rules = loaded.ruleset.rules.iter();
        let own = rules
            .filter(|rule| matches!(&rule.info.source, Some((file, _)) if file == preset.name));
        let is_tested = |name: &str| {
            let of = |case: &crate::policy::cases::Case| {
                case.rule.as_ref().is_some_and(|rule| rule.text == name)
            };
            loaded.cases.iter().any(of)
        };
        for rule in own.filter(|_| preset.name != "default" && preset.name != "strict") {
            assert!(
                is_tested(&rule.info.name),
                "{}: {}",
                preset.name,
                rule.info.name
            );
        }
    }
}

#[test]
fn a_test_that_fails_names_what_came_out_and_by_which_rule() {
    const RULES: &str = "rules:\n  - { name: mine, allow: [delete], on: /srv/mine }\n";
    assert_eq!(
        one("", "name: a, operation: delete, path: /a, expect: allow").expect_err("a failure"),
        "p.yaml:3:53: the test `a` failed: it expects allow, and what comes out is deny: no rule lets it through
  - { name: a, operation: delete, path: /a, expect: allow }
                                                    ^^^^^"
    );
    for (keys, message) in [
        (
            "name: a, operation: delete, path: /srv/mine, expect: deny",
            "the test `a` failed: it expects deny, and what comes out is allow by `mine` (p.yaml:3)\n",
        ),
        (
            "operation: delete, path: /srv/x, expect: allow, rule: mine",
            "this test failed: it expects allow by `mine`, and what comes out is deny: no rule lets it through\n",
        ),
        (
            "operation: delete, path: /etc/guard, expect: deny, rule: mine",
            "this test failed: it expects deny by `mine`, and what comes out is deny by `guard-policies`, which is built in\n",
        ),
        (
            "operation: delete, path: /srv/x, own: true, expect: deny",
            "this test failed: it expects deny, and what comes out is allow, since it is the session's own\n",
        ),
        (
            "operation: create, path: /srv/x, expect: audit",
            "this test failed: it expects audit, and what comes out is allow: no rule is about it, and it is free\n",
        ),
        (
            "operation: delete, path: /srv/mine, expect: allow, rule: mien",
            "there is no rule `mien` in this policy; did you mean `mine`?\n",
        ),
        (
            "operation: delete, path: mine, expect: allow",
            "a path of a test begins with `/`",
        ),
        (
            "operation: signal, signal: 9, process: { user: alcie }, expect: deny",
            "there is no user `alcie` on this host; did you mean `alice`?",
        ),
        (
            "operation: connect, socket: { address: localhost, port: 1 }, expect: deny",
            "`localhost` is no address",
        ),
        (
            "operation: connect, socket: { port: 1 }, expect: deny",
            "a socket of a test has an `address` and a `port`",
        ),
        (
            "given: { user: root }, operation: delete, path: '${workspace}/x', expect: deny",
            "this session has no workspace; give the test one",
        ),
    ] {
        let said = one(RULES, keys).expect_err("a failure");
        assert!(
            said.starts_with("p.yaml:5:") && said.contains(message),
            "{said}"
        );
        assert_eq!(said.lines().count(), 3, "{said}");
    }
}

#[test]
fn a_test_sees_the_session_that_it_is_given() {
    const RULES: &str = "rules:
  - { name: work, allow: [delete], on: '${workspace}/**' }
  - { name: home, audit: [delete], on: ~/keep }
  - { name: mine, allow: [signal], to: mine }
groups: { mine: [{ exe: /usr/bin/node, user: '${user}' }] }
";
    for keys in [
        "operation: delete, path: '${workspace}/a', expect: allow, rule: work",
        "operation: delete, path: /home/alice/work/a, expect: allow, rule: work",
        "given: { workspace: ~/other }, operation: delete, path: /home/alice/work/a, expect: deny",
        "given: { workspace: ~/other }, operation: delete, path: ~/other/a, expect: allow",
        "given: { user: root }, operation: delete, path: /root/keep, expect: audit, rule: home",
        "given: { user: 5, home: /srv/five }, operation: delete, path: ~/keep, expect: audit",
        "operation: signal, signal: TERM, process: { exe: /usr/bin/node }, expect: allow",
        "operation: signal, signal: TERM, process: { exe: /usr/bin/node, user: root }, expect: deny",
        "given: { user: root }, operation: signal, signal: TERM, process: { exe: /usr/bin/node, user: '${user}' }, expect: allow",
    ] {
        assert_eq!(one(RULES, keys), Ok(1), "{keys}");
    }
}

#[test]
fn every_kind_of_target_is_found_as_the_kernel_finds_it() {
    const RULES: &str = "rules:
  - { name: data, allow: [delete, overwrite], on: /srv/data/** }
  - { name: by-git, allow: [attributes], on: /srv/x, by: git }
  - { name: net, allow: [connect], via: ['@a*', /run/s, { address: 127.0.0.1, port: 80 }, { family: vsock }] }
  - { name: clock, allow: [machine], facilities: [time] }
  - { name: usb, allow: [machine], facilities: [devices], on: /dev/usb }
  - { name: named, allow: [trace], to: named }
  - { name: contained, allow: [limit], to: contained }
groups: { git: [{ exe: /usr/bin/git }], named: [{ name: averylongprogra }], contained: [{ unit: a.service }] }
";
    for keys in [
        // What a link leads to is on btrfs; the link itself is not.
        "operation: overwrite, path: /srv/link/a, expect: allow, rule: data",
        "operation: delete, path: /srv/link/a, expect: allow, rule: data",
        "operation: delete, path: /srv/link, expect: deny",
        "operation: attributes, path: /srv/x, by: /usr/bin/git, expect: allow, rule: by-git",
        "operation: attributes, path: /srv/x, by: /usr/bin/rm, expect: deny",
        "operation: attributes, path: /srv/x, expect: deny",
        "operation: connect, socket: '@abc', expect: allow, rule: net",
        "operation: connect, socket: /run/s, expect: allow, rule: net",
        "operation: connect, socket: { address: 127.0.0.1, port: 80 }, expect: allow, rule: net",
        "operation: connect, socket: { address: '::ffff:127.0.0.1', port: 81 }, expect: deny",
        "operation: connect, socket: { address: 0.0.0.0, port: 81 }, expect: deny",
        "operation: connect, socket: { address: 192.0.2.1, port: 81 }, expect: allow",
        "operation: connect, socket: { family: vsock }, expect: allow, rule: net",
        "operation: connect, socket: { family: tipc }, expect: deny",
        "operation: machine, facility: time, expect: allow, rule: clock",
        "operation: machine, facility: devices, path: /dev/usb, expect: allow, rule: usb",
        "operation: machine, facility: devices, expect: deny",
        "operation: trace, process: { exe: /opt/averylongprogram }, expect: allow, rule: named",
        "operation: limit, process: { cgroup: /system.slice/a.service/b }, expect: allow, rule: contained",
        "operation: inspect, process: {}, expect: deny",
    ] {
        assert_eq!(one(RULES, keys), Ok(1), "{keys}");
    }
}

#[test]
fn the_tests_of_what_is_included_are_not_run() {
    let host = FakeHost::new()
        .file("a.yaml", "version: 1\ninclude: b.yaml\n")
        .file(
            "b.yaml",
            "version: 1\ntests: [{ operation: delete, path: /a, expect: allow }]\n",
        );
    let run = |name: &str| {
        let ran = verify(&[Source::File(name.into())], &environment(), &host);
        ran.map(|(_, tests)| tests)
            .map_err(|mistakes| mistakes.mistakes.len())
    };
    assert_eq!(run("a.yaml"), Ok(0));
    assert_eq!(run("b.yaml"), Err(1));
}
