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
            .by(None)
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
fn containers_are_known_by_their_cgroups() {
    let loaded = load(
        "
version: 1
groups:
  any: [{ container: '*' }]
  one: [{ container: 'ab12*' }]
rules:
  - { name: one, allow: [signal], to: one, signals: TERM }
  - { name: any, allow: [signal], to: any, signals: HUP }
",
    );
    let process = |cgroup: &str| ProcessFacts {
        cgroup: cgroup.into(),
        ..process()
    };
    for (cgroup, is_one) in [
        ("/system.slice/docker-ab12cd.scope", true),
        ("/system.slice/docker-00ab12.scope", false),
        ("/docker/ab12cd", true),
        ("/docker/00ab12/init", false),
        ("/machine.slice/libpod-ab12cd.scope/container", true),
        ("/libpod_parent/libpod-ab12cd", true),
        (
            "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-00ff.scope/container",
            false,
        ),
        ("/system.slice/nerdctl-ab12cd.scope", true),
        (
            "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1.slice/cri-containerd-ab12.scope",
            true,
        ),
        ("/kubepods.slice/crio-00ff.scope/container", false),
        ("/lxc.payload.ab12-web/system.slice/nginx.service", true),
        ("/machine.slice/systemd-nspawn@web.service/payload", false),
    ] {
        let process = process(cgroup);
        assert_eq!(loaded.signal(1, &process), "allow any", "{cgroup}");
        let expected = if is_one { "allow one" } else { "deny" };
        assert_eq!(loaded.signal(15, &process), expected, "{cgroup}");
    }
    for cgroup in [
        "/",
        "/docker",
        "/system.slice/docker.service",
        "/system.slice/docker-ab12.service",
        "/machine.slice/machine-qemu.scope",
        "/user.slice/xlibpod-ab12.scope",
    ] {
        assert_eq!(loaded.signal(1, &process(cgroup)), "deny", "{cgroup}");
    }
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
        loaded.told(
            loaded
                .compiled
                .by(None)
                .on_process(Operation::Trace, 0, &process())
        ),
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
fn items_with_one_and_the_same_key_share_a_clause() {
    let items: Vec<String> = (0..300)
        .map(|n| format!("    - {{ exe: /opt/tool{n} }}\n"))
        .collect();
    let items = items.concat();
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
    let items: Vec<String> = (0..200)
        .map(|n| format!("    - {{ name: a, user: {n} }}\n"))
        .collect();
    let items = items.concat();
    let error = try_load(&format!(
        "version: 1\ngroups:\n  g:\n{items}rules: [{{ deny: [signal], to: g }}]\n"
    ))
    .expect_err("too many clauses");
    assert!(
        error
            .to_string()
            .contains("205 clauses, and the limit is 128"),
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
