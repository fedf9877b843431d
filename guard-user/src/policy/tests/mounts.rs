//! What paths mean across mounts and links.

use super::*;

#[test]
fn a_rule_that_refuses_reaches_every_mount_below() {
    let loaded = rules(
        "
  - { name: srv, deny: [delete], on: /srv/** }
  - { name: rest, allow: [delete] }
",
    );
    assert_eq!(loaded.delete(&file(ROOT, "/srv/a")), "deny srv");
    assert_eq!(loaded.delete(&file(BTRFS, "/@data/a")), "deny srv");
    assert_eq!(loaded.delete(&file(BTRFS, "/@other/a")), "allow rest");
    assert_eq!(loaded.delete(&file(BIG, "/a")), "deny srv");
    assert_eq!(loaded.delete(&file(HOME, "/srv/a")), "allow rest");
    assert_eq!(loaded.delete(&file(CONTAINER, "/srv/a")), "allow rest");
    assert_eq!(
        loaded.delete(&file(UNKNOWN, "/srv/a")),
        "deny srv",
        "a file system that is in no mount table counts as mounted at the root"
    );
}

#[test]
fn a_glob_that_ends_beyond_a_mount_is_taken_up_there() {
    let loaded = rules(
        "
  - { name: db, deny: [delete], on: '/srv/*/big disk/v*/x' }
  - { name: deep, deny: [delete], on: '/srv/**/tables/*.db' }
  - { name: rest, allow: [delete] }
",
    );
    assert_eq!(loaded.delete(&file(BIG, "/v1/x")), "deny db");
    assert_eq!(loaded.delete(&directory(BIG, "/v1")), "deny db");
    assert_eq!(loaded.delete(&file(BIG, "/a/tables/y.db")), "deny deep");
    assert_eq!(loaded.delete(&file(BIG, "/tables/y.db")), "deny deep");
    assert_eq!(loaded.delete(&directory(BIG, "/tables")), "allow rest");
    assert_eq!(
        loaded.delete(&file(BTRFS, "/@data/tables/y.db")),
        "deny deep"
    );
    assert_eq!(loaded.delete(&directory(ROOT, "/srv/db")), "deny db");
}

#[test]
fn directories_above_a_mounted_subvolume_stay() {
    let loaded = rules(
        "
  - { name: data, deny: [delete], on: /srv/data/x/** }
  - { name: rest, allow: [delete] }
",
    );
    assert_eq!(loaded.delete(&directory(BTRFS, "/@data")), "deny data");
    assert_eq!(loaded.delete(&directory(BTRFS, "/@data/x")), "deny data");
    assert_eq!(loaded.delete(&directory(BTRFS, "/@data/y")), "allow rest");
    assert_eq!(loaded.delete(&directory(ROOT, "/srv/data")), "deny data");
}

#[test]
fn a_rule_that_lets_through_stays_on_its_file_system() {
    for verb in ["allow", "audit"] {
        let loaded = rules(&format!(
            "  - {{ name: srv, {verb}: [delete], on: /srv/** }}\n"
        ));
        assert_eq!(loaded.delete(&file(ROOT, "/srv/a")), format!("{verb} srv"));
        assert_eq!(loaded.delete(&file(BTRFS, "/@data/a")), "deny");
        assert_eq!(loaded.delete(&file(BIG, "/a")), "deny");
        assert_eq!(loaded.delete(&file(UNKNOWN, "/srv/a")), "deny");
    }
    let loaded = rules("  - { name: data, allow: [delete], on: /srv/data/** }\n");
    assert_eq!(loaded.delete(&file(BTRFS, "/@data/a")), "allow data");
    assert_eq!(loaded.delete(&file(BTRFS, "/@other/a")), "deny");
    assert_eq!(loaded.delete(&file(ROOT, "/srv/data/a")), "deny");
}

#[test]
fn floating_globs_count_wherever_the_name_is() {
    let loaded = rules(
        "
  - { name: git, deny: [delete], on: '**/.git/**' }
  - { name: modules, allow: [delete], on: '**/node_modules/**' }
",
    );
    for device in [ROOT, HOME, BIG, CONTAINER] {
        assert_eq!(loaded.delete(&file(device, "/a/.git/HEAD")), "deny git");
        assert_eq!(
            loaded.delete(&file(device, "/node_modules/x")),
            "allow modules"
        );
    }
    assert_eq!(loaded.delete(&file(UNKNOWN, "/a/.git/HEAD")), "deny git");
    assert_eq!(loaded.delete(&file(UNKNOWN, "/a/node_modules/x")), "deny");
}

#[test]
fn what_is_mounted_during_the_session_widens_refusals_only() {
    let host = FakeHost::new().file(
        "p.yaml",
        "version: 1\nrules:\n  - { name: keep, deny: [delete], on: /tmp/keep/** }\n  \
         - { name: tmp, allow: [delete], on: /tmp/** }\n",
    );
    let at_start = environment().mounts_at_start;
    let table = |line: &str| Mounts::parse(format!("{TABLE}{line}").replace("big disk", "x"));
    let load = |line: &str| {
        let environment = Environment {
            mounts_now: table(line).expect("a good table"),
            mounts_at_start: at_start.clone(),
            ..environment()
        };
        Loader::new(&environment, &host)
            .load(&[Source::File("p.yaml".into())])
            .unwrap_or_else(|m| panic!("{m}"))
    };
    // Somebody's files, mounted into a place where the session may delete.
    let loaded = load("60 22 8:2 /alice/.ssh /tmp/x rw - ext4 /dev/sda2 rw\n");
    assert_eq!(loaded.delete(&file(HOME, "/alice/.ssh/id")), "deny");
    assert_eq!(loaded.delete(&file(TMP, "/a")), "allow tmp");
    // The whole of it hidden below another mount.
    let loaded = load("60 22 8:2 / /tmp rw - ext4 /dev/sda2 rw\n");
    assert_eq!(loaded.delete(&file(HOME, "/alice/.ssh/id")), "deny");
    // A disk that is mounted into a protected place.
    let loaded = load("60 22 8:9 / /tmp/keep/disk rw - ext4 /dev/sdi rw\n");
    assert_eq!(loaded.delete(&file(8 << 20 | 9, "/id")), "deny keep");
}

#[test]
fn refusals_follow_links_and_keep_them() {
    let host = FakeHost::new()
        .link("/var/db", "/srv/data/db", true)
        .file("p.yaml", "version: 1\nrules:\n  - { name: db, deny: [delete], on: /var/db/x/** }\n  - { name: rest, allow: [delete] }\n");
    let loaded = Loader::new(&environment(), &host)
        .load(&[Source::File("p.yaml".into())])
        .unwrap_or_else(|m| panic!("{m}"));
    assert_eq!(loaded.delete(&file(BTRFS, "/@data/db/x/1")), "deny db");
    assert_eq!(loaded.delete(&directory(BTRFS, "/@data/db")), "deny db");
    assert_eq!(
        loaded.delete(&file(ROOT, "/var/db")),
        "deny db",
        "the link itself"
    );
    assert_eq!(
        loaded.delete(&file(UNKNOWN, "/var/db/x/1")),
        "deny db",
        "in a container"
    );
    assert_eq!(loaded.delete(&file(ROOT, "/var/dc")), "allow rest");
}

#[test]
fn what_lets_through_follows_no_link_that_the_session_could_have_made() {
    let text = "version: 1\nrules: [{ name: out, allow: [delete], on: '~/out/**' }]\n";
    let load = |doubtful| {
        let host = FakeHost::new()
            .link("/home/alice/out", "/srv/data", doubtful)
            .file("p.yaml", text);
        Loader::new(&environment(), &host)
            .load(&[Source::File("p.yaml".into())])
            .unwrap_or_else(|m| panic!("{m}"))
    };
    let loaded = load(true);
    assert_eq!(loaded.delete(&file(BTRFS, "/@data/a")), "deny");
    assert_eq!(loaded.notes.len(), 1);
    assert!(
        loaded.notes[0].contains("name /srv/data instead"),
        "{}",
        loaded.notes[0]
    );
    let loaded = load(false);
    assert_eq!(loaded.delete(&file(BTRFS, "/@data/a")), "allow out");
    assert_eq!(loaded.notes, [] as [&str; 0]);
}

#[test]
fn executables_are_found_like_files() {
    let loaded = load(
        "
version: 1
groups: { tools: [{ exe: /srv/** }], nodes: [{ exe: /home/alice/bin/node }] }
rules:
  - { name: tools, deny: [signal], to: tools }
  - { name: nodes, allow: [signal], to: nodes }
",
    );
    let at = |device, path: &str| ProcessFacts {
        executable: Some((device, path.into())),
        ..process()
    };
    assert_eq!(loaded.signal(9, &at(BTRFS, "/@data/bin/x")), "deny tools");
    assert_eq!(loaded.signal(9, &at(UNKNOWN, "/srv/x")), "deny tools");
    assert_eq!(
        loaded.signal(9, &at(HOME, "/alice/bin/node")),
        "allow nodes"
    );
    assert_eq!(
        loaded.signal(9, &at(UNKNOWN, "/home/alice/bin/node")),
        "deny"
    );
    assert_eq!(
        loaded.signal(
            9,
            &ProcessFacts {
                executable: None,
                ..process()
            }
        ),
        "deny"
    );
}
