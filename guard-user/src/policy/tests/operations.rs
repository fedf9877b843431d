//! What policies say of files, sockets and the machine beyond deletion.

use super::*;

#[test]
fn without_a_rule_only_new_files_and_what_leaves_the_host_are_free() {
    let loaded = load("version: 1\n");
    let passwd = file(ROOT, "/etc/passwd");
    for operation in [
        Operation::Delete,
        Operation::Overwrite,
        Operation::Attributes,
        Operation::Mount,
    ] {
        assert_eq!(loaded.file(operation, &passwd), "deny", "{operation:?}");
    }
    assert_eq!(loaded.file(Operation::Create, &passwd), "allow");
    assert_eq!(loaded.connect("/run/docker.sock"), "deny");
    assert_eq!(loaded.connect("@/tmp/.X11-unix/X0"), "deny");
    assert_eq!(loaded.connect("127.0.0.1 5432"), "deny");
    assert_eq!(loaded.connect("192.0.2.1 443"), "allow");
    assert_eq!(
        loaded.told(loaded.compiled.by(None).on_socket(&SocketFacts::Other(40))),
        "deny"
    );
    for &facility in Facility::EVERY {
        assert_eq!(loaded.machine(facility, None), "deny", "{facility:?}");
        assert_eq!(
            loaded.machine(facility, Some(&passwd)),
            "deny",
            "{facility:?}"
        );
    }
    let limit = loaded
        .compiled
        .by(None)
        .on_process(Operation::Limit, 0, &process());
    assert_eq!(loaded.told(limit), "deny");
}

#[test]
fn what_the_session_made_lifts_every_refusal_but_the_guards() {
    let loaded = rules(
        "
  - { name: keep, deny: [delete, overwrite, create], on: /srv/** }
  - { name: seen, audit: [attributes], on: /srv/** }
",
    );
    let own = |path| FileFacts {
        is_own: true,
        ..file(ROOT, path)
    };
    assert_eq!(
        loaded.file(Operation::Delete, &file(ROOT, "/srv/a")),
        "deny keep"
    );
    assert_eq!(
        loaded.file(Operation::Create, &file(ROOT, "/srv/a")),
        "deny keep"
    );
    for operation in [Operation::Delete, Operation::Overwrite, Operation::Create] {
        assert_eq!(
            loaded.file(operation, &own("/srv/a")),
            "allow",
            "{operation:?}"
        );
    }
    assert_eq!(
        loaded.file(Operation::Attributes, &own("/srv/a")),
        "audit seen"
    );
    assert_eq!(loaded.file(Operation::Overwrite, &own("/etc/x")), "allow");
    assert_eq!(
        loaded.file(Operation::Overwrite, &own("/etc/guard/x.yaml")),
        "deny guard-policies"
    );
}

#[test]
fn directories_on_the_way_are_kept_from_what_would_move_or_hide_the_place() {
    let loaded = rules(
        "
  - { name: db, deny: [delete, overwrite, attributes, create, mount], on: /srv/db/** }
  - { name: rest, allow: [delete, overwrite, attributes, create, mount] }
",
    );
    let way = directory(ROOT, "/srv");
    for (operation, told) in [
        (Operation::Delete, "deny db"),
        (Operation::Attributes, "deny db"),
        (Operation::Mount, "deny db"),
        (Operation::Overwrite, "allow rest"),
        // A directory that is moved there brings what lies in it.
        (Operation::Create, "deny db"),
    ] {
        assert_eq!(loaded.file(operation, &way), told, "{operation:?}");
        assert_eq!(
            loaded.file(operation, &file(ROOT, "/srv/db/x")),
            "deny db",
            "{operation:?}"
        );
    }
}

#[test]
fn sockets_are_named_by_path_name_address_and_family() {
    let loaded = rules(
        "
  - { name: unix, allow: [connect], via: [/run/x.sock, '/run/x/**', '@dbus-*', '@${user}'] }
  - { name: local, allow: [connect], via: [{ address: 127.0.0.0/8, port: [80, '8000-8010'] }, { address: '::1', port: 80 }] }
  - { name: outside, deny: [connect], via: { address: 169.254.169.254 } }
  - { name: ports, audit: [connect], via: { port: 22 } }
  - { name: vsock, allow: [connect], via: { family: vsock } }
",
    );
    for (to, told) in [
        ("/run/x.sock", "allow unix"),
        ("/run/x/y/z", "allow unix"),
        ("/run/y.sock", "deny"),
        ("@dbus-1234", "allow unix"),
        ("@alice", "allow unix"),
        ("@bob", "deny"),
        ("@:00000000000000000000000000000001", "deny"),
        ("127.0.0.1 80", "allow local"),
        ("127.1.2.3 8005", "allow local"),
        ("127.0.0.1 8011", "deny"),
        ("::1 80", "allow local"),
        ("::1 8000", "deny"),
        ("169.254.169.254 80", "deny outside"),
        ("169.254.169.253 80", "allow"),
        ("127.0.0.1 22", "audit ports"),
        ("2001:db8::1 22", "audit ports"),
        ("2001:db8::1 23", "allow"),
    ] {
        assert_eq!(loaded.connect(to), told, "{to}");
    }
    let other = |family| {
        loaded.told(
            loaded
                .compiled
                .by(None)
                .on_socket(&SocketFacts::Other(family)),
        )
    };
    assert_eq!(other(40), "allow vsock");
    assert_eq!(other(16), "deny");
    // A rule about sockets is not one about files.
    assert_eq!(
        loaded.file(Operation::Delete, &file(ROOT, "/run/x.sock")),
        "deny"
    );
}

#[test]
fn every_socket_can_be_meant() {
    let loaded = rules("  - { name: all, allow: [connect] }\n");
    assert_eq!(loaded.connect("127.0.0.1 5432"), "allow all");
    assert_eq!(loaded.connect("@x"), "allow all");
    assert_eq!(loaded.connect("/run/docker.sock"), "allow all");
    assert_eq!(loaded.connect("/run/guard/control"), "deny guard-state");
    let any = rules("  - { name: any, allow: [connect], via: { address: any } }\n");
    assert_eq!(any.connect("127.0.0.1 5432"), "allow any");
    assert_eq!(any.connect("::1 5432"), "allow any");
    assert_eq!(any.connect("@x"), "deny");
    let v4 = rules("  - { name: v4, allow: [connect], via: { address: 0.0.0.0/0 } }\n");
    assert_eq!(v4.connect("127.0.0.1 5432"), "allow v4");
    assert_eq!(v4.connect("::1 5432"), "deny");
}

#[test]
fn facilities_narrow_and_paths_narrow_to_files() {
    let loaded = rules(
        "
  - { name: sound, allow: [machine], facilities: [devices], on: '/dev/snd/**' }
  - { name: clock, allow: [machine], facilities: [time, priority] }
  - { name: anything, audit: [machine, overwrite], on: /srv/x }
",
    );
    let sound = file(ROOT, "/dev/snd/pcm0");
    assert_eq!(
        loaded.machine(Facility::Devices, Some(&sound)),
        "allow sound"
    );
    assert_eq!(loaded.machine(Facility::Disks, Some(&sound)), "deny");
    assert_eq!(
        loaded.machine(Facility::Devices, Some(&file(ROOT, "/dev/mem"))),
        "deny"
    );
    assert_eq!(loaded.machine(Facility::Devices, None), "deny");
    assert_eq!(loaded.machine(Facility::Time, None), "allow clock");
    assert_eq!(
        loaded.machine(Facility::Priority, Some(&sound)),
        "allow clock"
    );
    assert_eq!(loaded.machine(Facility::Reboot, None), "deny");
    let x = file(ROOT, "/srv/x");
    assert_eq!(loaded.machine(Facility::Kernel, Some(&x)), "audit anything");
    assert_eq!(loaded.file(Operation::Overwrite, &x), "audit anything");
}

#[test]
fn sockets_in_a_workspace_that_is_not_there_drop_out() {
    let text = "version: 1\nrules: [{ name: w, allow: [connect], via: ['${workspace}/x', '@${workspace}'] }]\n";
    let host = FakeHost::new().file("p.yaml", text);
    let environment = Environment {
        workspace: None,
        ..environment()
    };
    let loaded = Loader::new(&environment, &host)
        .load(&[Source::File("p.yaml".into())])
        .unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert!(
        loaded.notes[0].contains("about the workspace"),
        "{:?}",
        loaded.notes
    );
    assert_eq!(
        rules("  - { name: w, allow: [connect], via: '${workspace}/x' }\n")
            .compiled
            .by(None)
            .on_socket(&SocketFacts::File(file(HOME, "/alice/work/x")))
            .verdict,
        Verdict::Allow
    );
}
