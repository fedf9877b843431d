//! What lists are not about (`except`).

use super::*;

#[test]
fn processes_that_are_excepted_are_not_meant() {
    let loaded = load(
        "version: 1
groups:
  node:
    - { exe: /usr/bin/node }
    - except: [{ user: root }, { cgroup: /machine/**, name: vm }]
    - { name: deno }
  others: [{ except: { user: root } }]
  old: [{ name: old }]
rules:
  - { name: node, allow: [signal], to: [node, { except: old }] }
  - { name: others, audit: [signal], to: others }
",
    );
    let node = |name: &str, uid, cgroup: &str| {
        loaded.signal(
            15,
            &ProcessFacts {
                executable: Some((ROOT, "/usr/bin/node".into())),
                name: name.into(),
                uid,
                cgroup: cgroup.into(),
                ..process()
            },
        )
    };
    assert_eq!(node("x", 7, "/"), "allow node");
    assert_eq!(node("x", 0, "/"), "deny");
    // Whoever is not all that an exception asks for is meant.
    assert_eq!(node("vm", 7, "/"), "allow node");
    assert_eq!(node("x", 7, "/machine/a"), "allow node");
    assert_eq!(node("vm", 7, "/machine/a"), "audit others");
    assert_eq!(node("old", 7, "/"), "audit others");
    assert_eq!(node("old", 0, "/"), "deny");
    let deno = ProcessFacts {
        name: "deno".into(),
        ..process()
    };
    assert_eq!(loaded.signal(15, &deno), "allow node");
}

#[test]
fn an_exception_of_what_is_let_through_reaches_as_far_as_a_refusal() {
    let loaded = rules(
        "  - { name: most, allow: [delete, overwrite], on: [/srv/x/**, { except: /srv/x/a/kept }] }\n",
    );
    assert_eq!(loaded.delete(&file(ROOT, "/srv/x/b")), "allow most");
    assert_eq!(loaded.delete(&file(ROOT, "/srv/x/a/kept")), "deny");
    // Nor is it moved away.
    assert_eq!(loaded.delete(&directory(ROOT, "/srv/x/a")), "deny");
    assert_eq!(
        loaded.file(Operation::Overwrite, &directory(ROOT, "/srv/x/a")),
        "allow most"
    );
    assert_eq!(loaded.delete(&file(ROOT, "/srv/x/a/other")), "allow most");
    let all_but = rules("  - { name: most, allow: [delete], on: { except: /srv/x } }\n");
    for device in [ROOT, UNKNOWN] {
        assert_eq!(all_but.delete(&file(device, "/srv/x")), "deny");
        assert_eq!(all_but.delete(&file(device, "/other")), "allow most");
    }
}

#[test]
fn an_exception_of_a_refusal_stays_on_one_file_system() {
    let loaded = rules(
        "
  - { name: kept, deny: [delete], on: [/srv/**, { except: [/srv/x/**, '/srv/y'] }] }
  - { name: rest, allow: [delete], on: { except: /nothing } }
",
    );
    assert_eq!(loaded.delete(&file(ROOT, "/srv/a")), "deny kept");
    assert_eq!(loaded.delete(&file(ROOT, "/srv/x/a")), "allow rest");
    assert_eq!(loaded.delete(&file(ROOT, "/srv/y")), "allow rest");
    assert_eq!(loaded.delete(&directory(ROOT, "/srv")), "deny kept");
    assert_eq!(loaded.delete(&file(UNKNOWN, "/srv/x/a")), "deny kept");
}

/// What can't be looked up is let through by no exception, and excepted from no refusal.
#[test]
fn what_is_unknown_is_refused() {
    let loaded = load(
        "version: 1
groups: { but: [{ except: { exe: /usr/bin/vm } }], vm: [{ exe: /usr/bin/vm }], named: [{ name: kthreadd }] }
rules:
  - { name: kept, deny: [trace], to: but }
  - { name: vm, allow: [signal, trace], to: vm }
  - { name: but, allow: [signal], to: but }
  - { name: named, audit: [signal, trace], to: named }
",
    );
    let unknown = ProcessFacts {
        executable: None,
        name: "kthreadd".into(),
        ..process()
    };
    let by = loaded.compiled.by(None);
    assert_eq!(loaded.signal(15, &unknown), "audit named");
    let traced = |facts: &_| loaded.told(by.on_process(Operation::Trace, 0, facts));
    assert_eq!(traced(&unknown), "deny kept");
    assert_eq!(traced(&process()), "deny kept");
    let vm = ProcessFacts {
        executable: Some((ROOT, "/usr/bin/vm".into())),
        ..process()
    };
    assert_eq!(traced(&vm), "allow vm");
    assert_eq!(loaded.signal(15, &process()), "allow but");
}

#[test]
fn programs_and_sockets_are_excepted_as_well() {
    let loaded = load(
        "version: 1
groups:
  git: [{ exe: /usr/bin/git }]
  tools: [{ exe: /usr/bin/* }, { except: { exe: /usr/bin/rm } }]
rules:
  - { name: git-only, deny: [delete], on: /srv/objects/**, by: { except: git } }
  - { name: tools, allow: [delete], on: /srv/**, by: [tools, git] }
  - { name: ports, deny: [connect], via: [{ address: any }, '@x*', { except: [{ port: 80 }, '@xy'] }] }
",
    );
    let delete = |program: Option<&str>, path| {
        let by = loaded.compiled.by(program.map(|it| (ROOT, it.as_bytes())));
        loaded.told(by.on_file(Operation::Delete, &file(ROOT, path)))
    };
    assert_eq!(
        delete(Some("/usr/bin/git"), "/srv/objects/a"),
        "allow tools"
    );
    assert_eq!(
        delete(Some("/usr/bin/cp"), "/srv/objects/a"),
        "deny git-only"
    );
    assert_eq!(delete(None, "/srv/objects/a"), "deny git-only");
    assert_eq!(delete(Some("/usr/bin/cp"), "/srv/a"), "allow tools");
    assert_eq!(delete(Some("/usr/bin/rm"), "/srv/a"), "deny");
    assert_eq!(loaded.connect("10.0.0.1 443"), "deny ports");
    assert_eq!(loaded.connect("10.0.0.1 80"), "allow");
    assert_eq!(loaded.connect("@xx"), "deny ports");
    assert_eq!(loaded.connect("@xy"), "deny");
}

#[test]
fn an_exception_about_a_workspace_that_is_not_there_excepts_nothing() {
    let host = FakeHost::new().file(
        "p.yaml",
        "version: 1\nrules: [{ name: all, deny: [create], on: { except: \"${workspace}/**\" } }]\n",
    );
    let environment = Environment {
        workspace: None,
        ..environment()
    };
    let loaded = Loader::new(&environment, &host)
        .load(&[Source::File("p.yaml".into())])
        .unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let create = loaded.file(Operation::Create, &file(ROOT, "/home/alice/work/a"));
    assert_eq!(create, "deny all");
}

#[test]
fn exceptions_of_several_kinds_are_counted_as_clauses() {
    let two = "{ name: a, user: root }";
    let text = format!(
        "version: 1\ngroups: {{ a: [{{ except: [{}] }}] }}\nrules: [{{ allow: [signal], to: a }}]\n",
        [two; 60].join(", ")
    );
    let mistakes = try_load(&text).expect_err("too many").to_string();
    assert!(
        mistakes.contains("clauses, and the limit is 128"),
        "{mistakes}"
    );
}
