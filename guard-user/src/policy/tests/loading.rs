//! Presets, includes, and what is told besides.

use guard_ebpf::policy::{MODE_AUDIT, MODE_ENFORCE, MODE_RECORD};

use super::*;
use crate::session::limits::{Limit, Limits};

#[test]
fn the_default_policy_allows_deletion_in_the_workspace_and_of_scratch_files() {
    let host = FakeHost::new();
    let environment = environment();
    let loaded = Loader::new(&environment, &host)
        .load(&[Source::Preset("default".into())])
        .unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(loaded.notes, [] as [&str; 0]);
    assert_eq!(
        loaded.delete(&file(HOME, "/alice/work/target/a.o")),
        "allow build-output"
    );
    assert_eq!(loaded.delete(&file(HOME, "/alice/Documents/a")), "deny");
    for others in ["/var/tmp/x", "/run/user/1000/x"] {
        assert_eq!(loaded.delete(&file(ROOT, others)), "deny", "{others}");
    }
    assert_eq!(loaded.delete(&file(TMP, "/x")), "deny");
    assert_eq!(
        loaded.delete(&file(TMP, "/pytest-of-alice/pytest-0")),
        "allow scratch"
    );
    assert_eq!(loaded.delete(&file(ROOT, "/run/user/1001/x")), "deny");
    assert_eq!(loaded.signal(9, &process()), "deny");
}

#[test]
fn without_a_workspace_its_rule_is_left_out_and_that_is_said() {
    let host = FakeHost::new();
    let environment = Environment {
        workspace: None,
        ..environment()
    };
    let loaded = Loader::new(&environment, &host)
        .load(&[Source::Preset("default".into())])
        .unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(loaded.notes.len(), 1);
    assert!(
        loaded.notes[0].contains("`workspace`, `workspace-itself` are left out"),
        "{}",
        loaded.notes[0]
    );
    assert_eq!(loaded.delete(&file(HOME, "/alice/work/a")), "deny");
    assert_eq!(loaded.delete(&file(TMP, "/uv-1.lock")), "allow scratch");
}

#[test]
fn every_preset_loads_and_names_what_it_protects() {
    let host = FakeHost::new();
    let environment = environment();
    let policies = Loader::new(&environment, &host);
    let all: Vec<Source> = crate::policy::presets::PRESETS
        .iter()
        .map(|preset| Source::Preset(preset.name.into()))
        .collect();
    for source in &all {
        let loaded = policies
            .load(std::slice::from_ref(source))
            .unwrap_or_else(|m| panic!("{m}"));
        println!("{source:?}: {} rows", loaded.compiled.rows.len());
        assert!(
            loaded.compiled.rows.len() < 4000,
            "{source:?}: {}",
            loaded.compiled.rows.len()
        );
        for rule in &loaded.ruleset.rules {
            let because = rule.info.because.as_deref().unwrap_or_default();
            assert!(!because.is_empty(), "{source:?}: {}", rule.info.name);
            // As the second line of an event, in 80 columns; those of allowed things are never
            // shown there.
            let line = format!("         rule {}: {because}", rule.info.name);
            assert!(rule.verb() == "allow" || line.len() <= 80, "{line}");
        }
    }
    let loaded = policies.load(&all).unwrap_or_else(|m| panic!("{m}"));
    println!("all presets: {} rows", loaded.compiled.rows.len());
    assert!(loaded.ruleset.audit);

    let loaded = policies
        .load(&[
            Source::Preset("vms".into()),
            Source::Preset("databases".into()),
        ])
        .unwrap_or_else(|m| panic!("{m}"));
    let at = |device, path: &str| ProcessFacts {
        executable: Some((device, path.into())),
        ..process()
    };
    for (device, path, rule) in [
        (ROOT, "/usr/bin/qemu-system-x86_64", "deny vms"),
        (ROOT, "/opt/fc/firecracker", "deny vms"),
        (HOME, "/alice/bin/firecracker", "deny vms"),
        (ROOT, "/usr/sbin/libvirtd", "deny vm-services"),
        (
            ROOT,
            "/usr/lib/postgresql/15/bin/postgres",
            "deny databases",
        ),
        (
            UNKNOWN,
            "/usr/lib/postgresql/17/bin/postgres",
            "deny databases",
        ),
        (UNKNOWN, "/usr/local/bin/redis-server", "deny databases"),
        (ROOT, "/usr/bin/vim", "deny"),
    ] {
        assert_eq!(loaded.signal(9, &at(device, path)), rule, "{path}");
    }
    assert_eq!(
        loaded.delete(&file(ROOT, "/var/lib/postgresql/15/main/base/1")),
        "deny database-files"
    );
    assert_eq!(
        loaded.delete(&file(31, "/PostgreSQL.12")),
        "deny database-files"
    );
    assert_eq!(
        loaded.delete(&file(HOME, "/alice/VirtualBox VMs/a")),
        "deny vm-images"
    );
    assert_eq!(loaded.delete(&file(BIG, "/x/disk.qcow2")), "deny vm-images");
}

#[test]
fn own_rules_come_before_included_ones_and_earlier_policies_before_later() {
    let host = FakeHost::new()
        .file("/p/top.yaml", "version: 1\ninclude: [sub/a.yaml, default]\nrules: [{name: top, deny: [delete], on: /tmp/keep}]\n")
        .file("/p/sub/a.yaml", "version: 1\ninclude: b.yaml\nrules: [{name: a, audit: [delete], on: /tmp/*}]\n")
        .file("/p/sub/b.yaml", "version: 1\ninclude: default\nrules: [{name: b, deny: [delete], on: /tmp/**}]\n")
        .file("/p/first.yaml", "version: 1\ninclude: default\nrules: [{name: first, deny: [delete], on: /tmp/a/first}]\n");
    let environment = environment();
    let policies = Loader::new(&environment, &host);
    let loaded = policies
        .load(&[
            Source::File("/p/first.yaml".into()),
            Source::File("/p/top.yaml".into()),
        ])
        .unwrap_or_else(|m| panic!("{m}"));
    let names: Vec<_> = loaded
        .ruleset
        .rules
        .iter()
        .map(|rule| rule.info.name.as_str())
        .collect();
    assert_eq!(
        (names[4], names[5], &names[names.len() - 4..]),
        (
            "first",
            "startup-files",
            ["accelerators-and-sound", "top", "a", "b"].as_slice()
        ),
        "a document that is reached twice counts where it is reached first"
    );
    let files: Vec<_> = loaded
        .files
        .iter()
        .map(|path| path.to_str().unwrap_or_default())
        .collect();
    assert_eq!(
        files,
        [
            "/p/first.yaml",
            "/p/top.yaml",
            "/p/sub/a.yaml",
            "/p/sub/b.yaml"
        ]
    );

    let loaded = policies
        .load(&[Source::File("/p/top.yaml".into())])
        .unwrap_or_else(|m| panic!("{m}"));
    assert_eq!(loaded.delete(&file(TMP, "/keep")), "deny top");
    assert_eq!(loaded.delete(&file(TMP, "/x")), "audit a");
    assert_eq!(loaded.delete(&file(TMP, "/x/y")), "deny b");
}

#[test]
fn the_mode_of_an_included_policy_does_not_spread_and_that_is_said() {
    let loaded = load("version: 1\ninclude: [audit]\n");
    assert!(!loaded.ruleset.audit);
    assert_eq!(loaded.notes.len(), 1, "{:?}", loaded.notes);
    assert_eq!(loaded.delete(&file(ROOT, "/etc/passwd")), "deny");
}

#[test]
fn what_is_recorded_counts_wherever_it_is_said_and_changes_no_verdict() {
    let host = FakeHost::new()
        .file("a.yaml", "version: 1\nmode: audit\ninclude: b.yaml\n")
        .file("b.yaml", "version: 1\nrecord: everything\n")
        .file("c.yaml", "version: 1\nrecord: refusals\n");
    let mode = |name: &str| {
        let loaded = Loader::new(&environment(), &host).load(&[Source::File(name.into())]);
        let loaded = loaded.unwrap_or_else(|mistakes| panic!("{mistakes}"));
        loaded.compiled.policy.mode
    };
    assert_eq!(mode("a.yaml"), MODE_AUDIT | MODE_RECORD);
    assert_eq!(mode("b.yaml"), MODE_RECORD);
    assert_eq!(mode("c.yaml"), MODE_ENFORCE);
}

#[test]
fn names_may_be_defined_twice_when_they_mean_the_same() {
    let same = "version: 1\ngroups: { g: [{ user: root }] }\n";
    let host = FakeHost::new().file("a.yaml", same).file(
        "b.yaml",
        format!("{same}include: a.yaml\nrules: [{{ name: r, allow: [signal], to: g }}]\n"),
    );
    let environment = environment();
    let loaded = Loader::new(&environment, &host).load(&[Source::File("b.yaml".into())]);
    let loaded = loaded.unwrap_or_else(|m| panic!("{m}"));
    assert_eq!(
        loaded.signal(
            9,
            &ProcessFacts {
                uid: 0,
                ..process()
            }
        ),
        "allow r"
    );
}

#[test]
fn the_policy_itself_is_protected_and_who_could_edit_it_is_told() {
    let text = "version: 1\nrules: [{ name: w, allow: [delete], on: '${workspace}/**' }]\n";
    let host = FakeHost::new().file("/home/alice/work/p.yaml", text);
    let loaded = Loader::new(&environment(), &host)
        .load(&[Source::File("/home/alice/work/p.yaml".into())])
        .unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(
        loaded.delete(&file(HOME, "/alice/work/p.yaml")),
        "deny guard-policies"
    );
    assert_eq!(loaded.delete(&file(HOME, "/alice/work/q.yaml")), "allow w");
    assert_eq!(loaded.notes.len(), 1);
    assert!(
        loaded.notes[0].contains("who can edit its policy"),
        "{}",
        loaded.notes[0]
    );
}

#[test]
fn the_links_that_lead_to_a_policy_are_protected_too() {
    let text =
        "version: 1\nrules: [{ name: w, allow: [delete, create], on: '/home/alice/work/**' }]\n";
    let host = FakeHost::new()
        .file("/home/alice/work/deep/p.yaml", text)
        .file("/home/alice/work/deep/q.yaml", "version: 1\n")
        .link("/home/alice/work/deep", "/srv/real", false);
    let sources = ["p", "q"].map(|name| {
        let path = format!("/home/alice/work/deep/{name}.yaml");
        Source::File(path.into())
    });
    let loaded = Loader::new(&environment(), &host)
        .load(&sources)
        .unwrap_or_else(|mistakes| panic!("{mistakes}"));
    // Where the files are, and the link on the way.
    for facts in [
        file(ROOT, "/srv/real/p.yaml"),
        file(ROOT, "/srv/real/q.yaml"),
        file(HOME, "/alice/work/deep"),
    ] {
        for operation in [Operation::Delete, Operation::Create] {
            assert_eq!(
                loaded.file(operation, &facts),
                "deny guard-policies",
                "{facts:?}"
            );
        }
    }
    assert_eq!(loaded.delete(&file(HOME, "/alice/work/other")), "allow w");
}

#[test]
fn what_is_shown_lists_the_rules_in_order() {
    let text = "version: 1
groups: { dev: [{ exe: /usr/bin/node, user: alice }] }
rules:
  - { name: dev, allow: [signal, trace], signals: [TERM, 9], to: dev, because: it is ours }
  - { deny: [delete], on: [~/a, /srv/**] }
  - { audit: [inspect, delete] }
  - { name: net, allow: [connect, machine], via: ['@x', { address: any, port: [80, 443] }], on: /dev/x, facilities: [time] }
  - { name: rest, deny: [connect, machine] }
";
    let host = FakeHost::new().file("p.yaml", text);
    let loaded = Loader::new(&environment(), &host)
        .load(&[Source::File("p.yaml".into())])
        .unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let shown = crate::policy::show::Shown(&loaded.ruleset).to_string();
    let own = shown.split(" 5. ").nth(1).unwrap_or_default();
    assert_eq!(
        own,
        "allow signal, trace (TERM, KILL)  [dev, p.yaml:4]
    to exe /usr/bin/node, user alice
    because it is ours
 6. deny delete  [p.yaml:5, p.yaml:5]
    on ~/a
    on /srv/**
 7. audit inspect, delete  [p.yaml:6, p.yaml:6]
    to every process outside the session
    on every file that is not the session's own
 8. allow connect, machine (time)  [net, p.yaml:7]
    on /dev/x
    via @x
    via address any, port 80, 443
 9. deny connect, machine  [rest, p.yaml:8]
    via every socket that is not the session's own
    with every facility of the machine

what no rule is about: the session's own, new files and other hosts are free, all else is refused
"
    );
    assert!(shown.starts_with(" 1. deny delete"), "{shown}");
}

#[test]
fn the_examples_in_the_reference_load_and_it_names_every_preset() {
    let reference = include_str!("../../../../docs/policy.md");
    let examples: Vec<&str> = reference
        .split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert!(!examples.is_empty());
    for example in examples {
        let loaded = load(example);
        assert_eq!(loaded.notes, [] as [&str; 0], "{example}");
    }
    for preset in crate::policy::presets::PRESETS {
        assert!(
            reference.contains(&format!("| `{}` |", preset.name)),
            "{}",
            preset.name
        );
    }
}

#[test]
fn the_reference_has_a_row_for_every_operation_and_every_facility() {
    let reference = include_str!("../../../../docs/policy.md");
    let first_cells = |heading: &str| -> Vec<Vec<&str>> {
        let table = reference.split(heading).nth(1).expect("the table");
        let rows = table
            .lines()
            .skip(1)
            .skip_while(|line| !line.starts_with("| `"));
        rows.take_while(|line| line.starts_with('|'))
            .map(|line| line.split('|').map(str::trim).collect())
            .collect()
    };
    let rows = first_cells("| facility | what it is |");
    assert_eq!(rows.len(), Facility::EVERY.len());
    for (row, facility) in rows.iter().zip(Facility::EVERY) {
        assert_eq!(row[1], format!("`{}`", facility.name()));
        assert_eq!(row[3], facility.because());
    }
    let rows = first_cells("| operation | is done to |");
    for operation in Operation::EVERY {
        let name = format!("`{}`", operation.name());
        assert!(rows.iter().any(|row| row[1] == name), "{name}");
    }
    assert_eq!(rows.len(), Operation::EVERY.len());
}

#[test]
fn limits_of_a_document_go_before_those_of_what_it_includes() {
    let host = FakeHost::new()
        .file(
            "policy.yaml",
            "version: 1\ninclude: other.yaml\nlimits: { memory: 2G, cpu: 150% }\n",
        )
        .file(
            "other.yaml",
            "version: 1\nlimits: { memory: 1G, processes: 100, swap: 0, weight: 50 }\n",
        );
    let loaded = Loader::new(&environment(), &host)
        .load(&[Source::File("policy.yaml".into())])
        .expect("no mistake");
    let expected = Limits {
        memory: Some(Limit::Number(2 << 30)),
        swap: Some(Limit::Number(0)),
        processes: Some(Limit::Number(100)),
        cpu: Some(Limit::Percent(150)),
        weight: Some(50),
    };
    assert_eq!(loaded.ruleset.limits, expected);
}
