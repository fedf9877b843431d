//! A policy that is written out as one document and loaded again.

use proptest::prelude::*;

use super::*;
use crate::policy::compile::compile;
use crate::policy::compiled::Compiled;
use crate::policy::glob::parse_word;
use crate::policy::glob::tests::{letters, path};
use crate::policy::resolved::resolved;
use crate::policy::ruleset::Ruleset;
use crate::policy::spell;

/// What the kernel gets of the documents' own rules: those that are built in protect the files that
/// a policy was read from, and those are others.
fn compiled(ruleset: &Ruleset) -> Compiled {
    let mut ruleset = ruleset.clone();
    ruleset.rules.retain(|rule| rule.info.source.is_some());
    let (mut compiled, _) = compile(&ruleset, &environment(), &FakeHost::new())
        .unwrap_or_else(|error| panic!("{error}"));
    for rule in &mut compiled.rules {
        rule.source = None;
        // They are filled in.
        rule.groups.clear();
        // They are told by files, and one file holds all rules now.
        rule.exceptions.clear();
        // Documents may call their rules alike.
        rule.name = rule.name.trim_end_matches("-2").to_owned();
    }
    // They go by the names.
    compiled.policy.numbers.fill(0);
    compiled
}

/// Loads, writes out, loads again, and gives what was written.
fn round(sources: &[Source], host: &FakeHost) -> String {
    let loaded = Loader::new(&environment(), host)
        .load(sources)
        .unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let text = resolved(&loaded.ruleset, "a test").unwrap_or_else(|error| panic!("{error}"));
    let again = load(&text);
    assert_eq!(again.notes, [] as [&str; 0], "{text}");
    assert_eq!(again.ruleset.limits, loaded.ruleset.limits, "{text}");
    assert!(
        compiled(&again.ruleset) == compiled(&loaded.ruleset),
        "{text}"
    );
    assert_eq!(
        resolved(&again.ruleset, "")
            .expect("written")
            .lines()
            .count(),
        text.lines().count()
    );
    text
}

#[test]
fn every_preset_comes_back_the_same() {
    for preset in crate::policy::presets::PRESETS {
        round(&[Source::Preset(preset.name.into())], &FakeHost::new());
    }
    let several = ["desktop", "kubernetes-node", "default"].map(|name| Source::Preset(name.into()));
    round(&several, &FakeHost::new());
}

#[test]
fn includes_names_and_variables_are_filled_in() {
    let host = FakeHost::new()
        .file("a.yaml", "version: 1
mode: audit
include: b.yaml
limits: { memory: 2G, swap: 0, cpu: 150% }
groups:
  dev: [{ exe: \"~/bin/*\", user: \"${user}\" }, { name: \"\\\\~a\\\\*\" }]
  tool: [{ exe: /usr/bin/rsync }]
  further:
    - { command: \"node *server.js\", ancestor: \"~/bin/tmux\", session: \"*\" }
    - { listens: [3000, \"8000-8010\"] }
    - { listens: { address: 127.0.0.1 }, session: build }
    - { except: [{ ancestor: /usr/bin/screen }, { listens: { address: \"::1\", port: 80 } }] }
rules:
  - { name: further, allow: signal, to: further }
  - { name: mine, allow: [signal], signals: [TERM, RTMIN+2, 33], to: [dev, other], because: 'it: \"is\" mine\u{202e}' }
  - { allow: delete, on: [\"${workspace}/**\", data], by: tool, at-most: { count: 5, per: 1h } }
")
        .file("b.yaml", "version: 1
record: everything
limits: { memory: 1G, processes: unlimited, weight: 7 }
groups: { other: [{ unit: 'postgres*.service' }, { cgroup: '/x/**/y' }, { container: '3f2a*' }] }
paths: { data: ['**/*.[a-c!]', '/a/\\{$$${user}/**/z', \"**/**\"] }
rules:
  - { name: mine, deny: [connect, machine], facilities: [time], on: /dev/x, via: ['@${user}-*', { address: [any, 10.0.0.0/8], port: [80, '1-9'] }, { family: [vsock, can] }] }
");
    let text = round(&[Source::File("a.yaml".into())], &host);
    assert_eq!(
        text,
        "\
# a test
version: 1
mode: audit
record: everything
limits: { memory: 2147483648, swap: 0, processes: unlimited, cpu: 150%, weight: 7 }

groups:
  further:
    - { command: \"node *server.js\", ancestor: \"/home/alice/bin/tmux\", session: \"*\" }
    - { listens: { port: [\"3000\", \"8000-8010\"] } }
    - { listens: { address: [\"127.0.0.1\"] }, session: \"build\" }
    - { except: [{ ancestor: \"/usr/bin/screen\" }, { listens: { address: [\"::1\"], port: [\"80\"] } }] }
  mine:
    - { exe: \"/home/alice/bin/*\", user: 1000 }
    - { name: \"\\\\~a\\\\*\" }
    - { unit: \"postgres*.service\" }
    - { cgroup: \"/x/**/y\" }
    - { container: \"3f2a*\" }
  group-programs:
    - { exe: \"/usr/bin/rsync\" }

rules:
  # a.yaml:14
  - name: further
    allow: [signal]
    to: further
  # a.yaml:15
  - name: mine
    allow: [signal]
    signals: [TERM, RTMIN+2, 33]
    to: mine
    because: \"it: \\\"is\\\" mine\\U0000202E\"
  # a.yaml:16
  - name: \"a.yaml:16\"
    allow: [delete]
    by: group-programs
    on:
      - \"/home/alice/work/**\"
      - \"**/*.[\\\\!a-c]\"
      - \"/a/\\\\{\\\\$alice/**/z\"
      - \"**/*\"
    at-most: { count: 5, per: 1h }
  # b.yaml:7
  - name: mine-2
    deny: [connect, machine]
    facilities: [time]
    on:
      - \"/dev/x\"
    via:
      - \"@alice-*\"
      - { address: [\"any\", \"10.0.0.0/8\"], port: [\"80\", \"1-9\"] }
      - { family: [\"vsock\", \"can\"] }
"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever a glob is, what it is written as means the same.
    #[test]
    fn globs_come_back_the_same(
        names in prop::collection::vec("(\\*\\*|[a~.ä*?]{0,2}(\\\\[*?\\[\\]{}$~\\\\ ]|\\[!?[]a^-]\\]|\\[a-z+\\]|[b@ \"'#:\u{7f}]){1,2}\\*?)", 1..5),
        floats in any::<bool>(),
    ) {
        let text = format!("{}/{}", if floats { "**" } else { "" }, names.join("/"));
        let Ok(parts) = crate::policy::glob::parse_path(&letters(&text)) else { return Ok(()) };
        let glob = crate::policy::document::PathGlob { parts: parts.clone(), floating: floats, written: text.clone() };
        let spelled = spell::path_glob(&glob).expect("text");
        prop_assert_eq!(path(&spelled), parts, "{} as {}", text, spelled);
        prop_assert_eq!(spelled.starts_with("**/"), floats, "{} as {}", text, spelled);
        for name in names {
            let Ok(tokens) = parse_word(&letters(&name)) else { continue };
            let spelled = spell::word(&tokens).expect("text");
            let environment = environment();
            let letters = crate::policy::variables::expand(&spelled, &environment).expect("no variable");
            prop_assert_eq!(parse_word(&letters).expect("good"), tokens, "{} as {}", name, spelled);
        }
    }
}
