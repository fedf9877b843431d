//! What policies say of targets.

use super::*;

#[test]
fn without_a_rule_everything_is_refused() {
    let loaded = load("version: 1\n");
    assert_eq!(loaded.signal(15, &process()), "deny");
    assert_eq!(loaded.delete(&file(ROOT, "/etc/passwd")), "deny");
    assert_eq!(loaded.delete(&file(UNKNOWN, "/etc/passwd")), "deny");
}

#[test]
fn the_first_rule_that_matches_wins() {
    let loaded = rules(
        "
  - { name: keep, deny: [delete], on: /srv/x/keep/** }
  - { name: rest, allow: [delete], on: /srv/x/** }
  - { name: late, deny: [delete], on: /srv/x/late }
",
    );
    assert_eq!(loaded.delete(&file(ROOT, "/srv/x/keep/a")), "deny keep");
    assert_eq!(loaded.delete(&file(ROOT, "/srv/x/late")), "allow rest");
    assert_eq!(loaded.delete(&file(ROOT, "/srv/x")), "deny");
}

#[test]
fn the_keys_of_an_item_must_all_fit_and_one_item_suffices() {
    let loaded = load(
        "
version: 1
groups:
  servers:
    - { exe: /usr/bin/node, user: \"${user}\" }
    - { name: 'redis-*' }
    - { name: 'beam.smp' }
    - { user: postgres, unit: postgresql.service }
rules:
  - { name: servers, allow: [signal], to: servers, signals: [TERM, SIGINT, 1, RTMIN+1] }
",
    );
    let node = ProcessFacts {
        executable: Some((ROOT, "/usr/bin/node".into())),
        ..process()
    };
    assert_eq!(loaded.signal(15, &node), "allow servers");
    assert_eq!(loaded.signal(2, &node), "allow servers");
    assert_eq!(loaded.signal(1, &node), "allow servers");
    assert_eq!(loaded.signal(35, &node), "allow servers");
    assert_eq!(loaded.signal(9, &node), "deny");
    assert_eq!(loaded.signal(65, &node), "deny");
    assert_eq!(
        loaded.signal(
            15,
            &ProcessFacts {
                uid: 0,
                ..node.clone()
            }
        ),
        "deny"
    );
    assert_eq!(
        loaded
            .compiled
            .on_process(Operation::Trace, 0, &node)
            .verdict,
        Verdict::Deny
    );

    let named = |name: &str| ProcessFacts {
        name: name.into(),
        uid: 5,
        ..process()
    };
    assert_eq!(loaded.signal(15, &named("redis-server")), "allow servers");
    assert_eq!(loaded.signal(15, &named("beam.smp")), "allow servers");
    assert_eq!(loaded.signal(15, &named("redis")), "deny");

    let database = |uid, cgroup: &str| ProcessFacts {
        uid,
        cgroup: cgroup.into(),
        ..process()
    };
    let unit = "/system.slice/postgresql.service";
    assert_eq!(loaded.signal(15, &database(70, unit)), "allow servers");
    assert_eq!(
        loaded.signal(15, &database(70, &format!("{unit}/worker/1"))),
        "allow servers"
    );
    assert_eq!(loaded.signal(15, &database(71, unit)), "deny");
    assert_eq!(loaded.signal(15, &database(70, "/system.slice")), "deny");
    assert_eq!(
        loaded.signal(15, &database(70, "/a/xpostgresql.service")),
        "deny"
    );
}

#[test]
fn cgroups_are_paths_from_the_root_of_the_hierarchy() {
    let loaded = load(
        "
version: 1
groups:
  machines: [{ cgroup: /machine.slice/** }]
rules: [{ name: machines, deny: [signal], to: machines }]
",
    );
    let at = |cgroup: &str| ProcessFacts {
        cgroup: cgroup.into(),
        ..process()
    };
    assert_eq!(
        loaded.signal(9, &at("/machine.slice/vm.scope/libvirt")),
        "deny machines"
    );
    assert_eq!(loaded.signal(9, &at("/machine.slice")), "deny");
    assert_eq!(loaded.signal(9, &at("/")), "deny");
}

#[test]
fn a_rule_about_both_kinds_of_operations_has_both_kinds_of_selectors_or_none() {
    let loaded = load(
        "
version: 1
groups: { mine: [{ user: alice }] }
rules:
  - { name: both, audit: [signal, delete], to: mine, on: /home/alice/** }
  - { name: none, allow: [trace, delete] }
",
    );
    assert_eq!(loaded.signal(9, &process()), "audit both");
    assert_eq!(loaded.delete(&file(HOME, "/alice/x")), "audit both");
    assert_eq!(loaded.delete(&file(ROOT, "/etc/x")), "allow none");
    assert_eq!(
        loaded.told(loaded.compiled.on_process(Operation::Trace, 0, &process())),
        "allow none"
    );
    assert_eq!(
        loaded.signal(
            9,
            &ProcessFacts {
                uid: 0,
                ..process()
            }
        ),
        "deny"
    );
}

#[test]
fn in_audit_mode_refusals_are_recorded_except_the_guards_own() {
    let loaded =
        load("version: 1\nmode: audit\nrules: [{ name: x, deny: [delete], on: /srv/** }]\n");
    assert_eq!(loaded.delete(&file(ROOT, "/srv/a")), "audit x");
    assert_eq!(loaded.delete(&file(ROOT, "/etc/passwd")), "audit");
    assert_eq!(
        loaded.delete(&file(ROOT, "/etc/guard/p.yaml")),
        "deny guard-policies"
    );
}

#[test]
fn the_guards_own_files_come_before_every_rule() {
    let loaded = rules("  - { name: all, allow: [delete] }\n");
    assert_eq!(loaded.delete(&file(ROOT, "/etc/passwd")), "allow all");
    for (path, rule) in [
        ("/etc/guard", "deny guard-policies"),
        ("/etc/guard/policies/p.yaml", "deny guard-policies"),
        ("/var/log/guard/s.jsonl", "deny guard-log"),
        ("/run/guard/socket", "deny guard-state"),
        ("/usr/local/bin/guard", "deny guard-program"),
    ] {
        assert_eq!(loaded.delete(&file(ROOT, path)), rule, "{path}");
    }
    assert_eq!(
        loaded.delete(&directory(ROOT, "/usr/local")),
        "deny guard-program"
    );
    assert_eq!(
        loaded.delete(&directory(ROOT, "/var/log")),
        "deny guard-log"
    );
    assert_eq!(loaded.delete(&directory(ROOT, "/var/lib")), "allow all");
}

#[test]
fn directories_on_the_way_to_a_protected_place_stay() {
    let loaded = rules(
        "
  - { name: photos, deny: [delete], on: ['/home/*/Pictures/x', '/srv/db/**/keep'] }
  - { name: rest, allow: [delete] }
",
    );
    for path in ["", "/alice", "/alice/Pictures"] {
        assert_eq!(
            loaded.delete(&directory(HOME, path)),
            "deny photos",
            "{path}"
        );
    }
    assert_eq!(loaded.delete(&file(HOME, "/alice/Pictures")), "allow rest");
    assert_eq!(
        loaded.delete(&directory(HOME, "/alice/Pictures/y")),
        "allow rest"
    );
    assert_eq!(
        loaded.delete(&file(HOME, "/alice/Pictures/x")),
        "deny photos"
    );
    assert_eq!(loaded.delete(&directory(ROOT, "/home")), "deny photos");
    assert_eq!(loaded.delete(&directory(ROOT, "/srv/db")), "deny photos");
    // Below `**` any directory could hold one; only what is known to is kept.
    assert_eq!(loaded.delete(&directory(ROOT, "/srv/db/a")), "allow rest");
    assert_eq!(loaded.delete(&file(ROOT, "/srv/db/a/keep")), "deny photos");
}

#[test]
fn the_ancestors_of_an_allowed_place_are_not_allowed() {
    let loaded = rules("  - { name: w, allow: [delete], on: '${workspace}/**' }\n");
    assert_eq!(loaded.delete(&file(HOME, "/alice/work/a/b")), "allow w");
    assert_eq!(loaded.delete(&directory(HOME, "/alice/work/a")), "allow w");
    assert_eq!(loaded.delete(&directory(HOME, "/alice/work")), "deny");
    assert_eq!(loaded.delete(&directory(HOME, "/alice")), "deny");
}

#[test]
fn the_default_policy_allows_deletion_in_the_workspace_and_of_temporary_files() {
    let host = FakeHost::new();
    let environment = environment();
    let loaded = Loader::new(&environment, &host)
        .load(&[Source::Preset("default".into())])
        .unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(loaded.notes, [] as [&str; 0]);
    assert_eq!(
        loaded.delete(&file(HOME, "/alice/work/target/a.o")),
        "allow workspace"
    );
    assert_eq!(loaded.delete(&file(HOME, "/alice/.ssh/id")), "deny");
    assert_eq!(loaded.delete(&file(TMP, "/x")), "allow temporary-files");
    assert_eq!(
        loaded.delete(&file(ROOT, "/var/tmp/x")),
        "allow temporary-files"
    );
    assert_eq!(
        loaded.delete(&file(ROOT, "/run/user/1000/x")),
        "allow temporary-files"
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
        loaded.notes[0].contains("`workspace`"),
        "{}",
        loaded.notes[0]
    );
    assert_eq!(loaded.delete(&file(HOME, "/alice/work/a")), "deny");
    assert_eq!(loaded.delete(&file(TMP, "/x")), "allow temporary-files");
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
        assert!(
            loaded.compiled.rows.len() < 4000,
            "{source:?}: {}",
            loaded.compiled.rows.len()
        );
        for rule in &loaded.ruleset.rules {
            assert!(
                rule.info.because.is_some(),
                "{source:?}: {}",
                rule.info.name
            );
        }
    }
    let loaded = policies.load(&all).unwrap_or_else(|m| panic!("{m}"));
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
        names[4..],
        ["first", "workspace", "temporary-files", "top", "a", "b"],
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
fn items_with_one_and_the_same_key_share_a_clause() {
    let items: String = (0..300)
        .map(|n| format!("    - {{ exe: /opt/tool{n} }}\n"))
        .collect();
    let loaded = load(&format!(
        "version: 1\ngroups:\n  tools:\n{items}rules: [{{ name: t, deny: [signal], to: tools }}]\n"
    ));
    let tool = ProcessFacts {
        executable: Some((ROOT, "/opt/tool299".into())),
        ..process()
    };
    assert_eq!(loaded.signal(9, &tool), "deny t");
}

#[test]
fn limits_are_named_with_their_numbers() {
    let many: String = (0..61).map(|_| "  - { deny: [signal] }\n").collect();
    let error = try_load(&format!("version: 1\nrules:\n{many}")).expect_err("too many rules");
    assert_eq!(
        error.to_string(),
        "p.yaml: the policy has 61 rules with what it includes, and the limit is 60, besides the \
         4 that are built in"
    );
    let items: String = (0..200)
        .map(|n| format!("    - {{ name: a, user: {n} }}\n"))
        .collect();
    let error = try_load(&format!(
        "version: 1\ngroups:\n  g:\n{items}rules: [{{ deny: [signal], to: g }}]\n"
    ))
    .expect_err("too many clauses");
    assert!(
        error
            .to_string()
            .contains("204 clauses, and the limit is 128"),
        "{error}"
    );
    let error = try_load("version: 1\nrules: [{ deny: [delete], on: '/*a????????????????' }]\n")
        .expect_err("too many states");
    assert!(
        error.to_string().contains("more than 16384 states"),
        "{error}"
    );
}

#[test]
fn rules_without_a_name_are_called_after_their_place() {
    let loaded = rules("  - { deny: [delete] }\n");
    assert_eq!(loaded.delete(&file(ROOT, "/x")), "deny p.yaml:3");
    let source = &loaded.compiled.rules[4].source;
    assert_eq!(*source, Some(("p.yaml".to_owned(), 3)));
}
