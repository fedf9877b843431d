//! The default policy: what it opens, what it keeps closed, and how large it is.

use super::*;

fn default() -> Loaded {
    let host = FakeHost::new();
    let environment = environment();
    Loader::new(&environment, &host)
        .load(&[Source::Preset("default".into())])
        .unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

#[test]
fn ten_sessions_have_room() {
    let loaded = default();
    assert_eq!(loaded.notes, [] as [&str; 0]);
    let rows = loaded.compiled.rows.len();
    println!("the default policy has {rows} rows");
    assert!(rows < 2000, "{rows} rows");
}

#[test]
fn what_is_opened_and_what_stays_closed() {
    let loaded = default();
    let every = [
        Operation::Delete,
        Operation::Overwrite,
        Operation::Attributes,
    ];
    for (device, path, rule) in [
        (TMP, "/x", "deny"),
        (TMP, "/tmux-1000/default", "deny"),
        (TMP, "/node-compile-cache/v22/a", "allow scratch"),
        (ROOT, "/run/user/1000/bus", "deny"),
        (ROOT, "/dev/shm/PostgreSQL.1", "deny"),
        (HOME, "/alice/.ssh/known_hosts", "deny"),
        (HOME, "/alice/.ssh/id_ed25519", "deny startup-files"),
        (HOME, "/alice/.gnupg/gpg-agent.conf", "deny startup-files"),
        (ROOT, "/run/tmpfiles.d/x.conf", "deny system-startup"),
        (ROOT, "/usr/local/lib/udev/rules.d/x", "deny system-startup"),
        (HOME, "/alice/.cache/pip/a", "allow tool-caches"),
        (HOME, "/alice/.cargo/registry/index/a", "allow tool-caches"),
        (HOME, "/alice/.cargo/bin/rg", "deny"),
        (HOME, "/alice/.claude/projects/a.jsonl", "allow agent-state"),
        (HOME, "/alice/.claude.json.tmp", "allow agent-state"),
        (HOME, "/alice/.claude/settings.json", "deny agent-hooks"),
        (
            HOME,
            "/alice/.claude/settings.local.json",
            "deny agent-hooks",
        ),
        (HOME, "/alice/.codex/config.toml", "deny agent-hooks"),
        (HOME, "/alice/.codex/sessions/a", "allow agent-state"),
        (HOME, "/alice/.bash_history", "allow histories"),
        (HOME, "/alice/.bashrc", "deny startup-files"),
        (HOME, "/alice/.ssh/authorized_keys", "deny startup-files"),
        (HOME, "/alice/Documents/thesis.tex", "deny"),
        (HOME, "/alice/notes.txt", "deny"),
        (
            ROOT,
            "/run/user/1000/systemd/transient/a",
            "deny startup-files",
        ),
        (ROOT, "/etc/cron.d/x", "deny system-startup"),
        (ROOT, "/etc/passwd", "deny"),
        (
            UNKNOWN,
            "/etc/systemd/system/x.service",
            "deny system-startup",
        ),
    ] {
        for operation in every {
            assert_eq!(
                loaded.file(operation, &file(device, path)),
                rule,
                "{operation:?} {path}"
            );
        }
        assert_ne!(
            loaded
                .file(Operation::Mount, &file(device, path))
                .split(' ')
                .next(),
            Some("allow"),
            "{path}"
        );
    }
    let create = |device, path| loaded.file(Operation::Create, &file(device, path));
    assert_eq!(create(HOME, "/alice/notes.txt"), "allow");
    assert_eq!(create(ROOT, "/usr/local/bin/x"), "allow");
    // The sockets of ssh's connections.
    assert_eq!(create(HOME, "/alice/.ssh/master-1"), "allow");
    // A directory that is moved there, or a link.
    let brings = |path| loaded.file(Operation::Create, &directory(HOME, path));
    assert_eq!(brings("/alice/.config"), "deny startup-files");
    assert_eq!(brings("/alice/.ssh"), "deny startup-files");
    assert_eq!(brings("/alice/src"), "allow");
    for path in ["/alice/.zshenv", "/alice/.config/systemd", "/alice/.ssh/rc"] {
        assert_eq!(create(HOME, path), "deny startup-files", "{path}");
    }
    assert_eq!(create(ROOT, "/etc/ld.so.preload"), "deny system-startup");
    assert_eq!(create(ROOT, "/etc/cron.daily/x"), "deny system-startup");
    assert_eq!(create(HOME, "/alice/.claude/hooks/x"), "deny agent-hooks");
}

#[test]
fn the_workspace_is_free_within_measure_and_keeps_what_is_committed() {
    let loaded = default();
    let by = |program: &str, operation, path: &str| {
        let path = format!("/alice/work/{path}");
        let is_directory = [".git", ".git/objects"]
            .iter()
            .any(|end| path.ends_with(end));
        let facts = FileFacts {
            is_directory,
            ..file(HOME, &path)
        };
        let by = loaded.compiled.by(Some((ROOT, program.as_bytes())));
        let decision = by.on_file(operation, &facts);
        (loaded.told(decision), decision.limited)
    };
    let anybody = |path| by("/usr/bin/rm", Operation::Delete, path);
    let git = |path| by("/usr/lib/git-core/git", Operation::Delete, path);
    for (path, told) in [
        ("src/main.rs", ("allow workspace-deletions", true)),
        ("notes.txt", ("allow workspace-deletions", true)),
        ("web/node_modules/x/y.js", ("allow build-output", false)),
        ("target/debug/x.d", ("allow build-output", false)),
        ("a/b/x.o", ("allow build-output", false)),
        (".git/config", ("allow workspace-deletions", true)),
        (".git/index.lock", ("allow repository-locks", false)),
        (".git/refs/heads/x.lock", ("allow repository-locks", false)),
        (".git/refs/heads/x.y", ("deny history", false)),
        (".git/packed-refs.x", ("allow workspace-deletions", true)),
        (".git/objects/pack/a.pack", ("deny history", false)),
        // The way there.
        (".git", ("deny history", false)),
        (".git/objects", ("deny history", false)),
    ] {
        assert_eq!(anybody(path), told, "{path}");
    }
    assert_eq!(
        git(".git/objects/pack/a.pack"),
        ("allow history-by-git", false)
    );
    assert_eq!(git("src/main.rs"), ("allow workspace-by-git", false));
    let overwrite = |program, path| by(program, Operation::Overwrite, path).0;
    assert_eq!(overwrite("/usr/bin/vim", "src/main.rs"), "allow workspace");
    assert_eq!(overwrite("/usr/bin/vim", ".git/config"), "allow workspace");
    assert_eq!(overwrite("/usr/bin/vim", ".git/HEAD"), "deny history");
    assert_eq!(
        overwrite("/usr/bin/git", ".git/HEAD"),
        "allow history-by-git"
    );
}

#[test]
fn a_repository_elsewhere_takes_commits_and_keeps_its_hooks() {
    let host = FakeHost::new();
    let environment = Environment {
        repository: Some("/home/alice/main/.git".into()),
        ..environment()
    };
    let loaded = Loader::new(&environment, &host)
        .load(&[Source::Preset("default".into())])
        .unwrap_or_else(|mistakes| panic!("{mistakes}"));
    for (path, told) in [
        ("index", "allow repository"),
        ("ORIG_HEAD", "allow repository"),
        ("objects/ab/cdef", "deny history"),
        ("refs/heads/main.lock", "allow repository-locks"),
        ("worktrees/side/index.lock", "allow repository-locks"),
        ("hooks/pre-commit", "deny repository-hooks"),
        ("modules/part/hooks/pre-commit", "deny repository-hooks"),
        ("precious", "deny"),
        ("../notes", "deny"),
    ] {
        let path = format!("/alice/main/.git/{path}").replace("/.git/..", "");
        assert_eq!(loaded.delete(&file(HOME, &path)), told, "{path}");
    }
    let hook = file(HOME, "/alice/main/.git/hooks/pre-push");
    assert_eq!(
        loaded.file(Operation::Create, &hook),
        "deny repository-hooks"
    );
    let rows = loaded.compiled.rows.len();
    println!("with a repository it has {rows} rows");
}

#[test]
fn services_that_only_answer_are_open_and_those_that_act_are_not() {
    let loaded = default();
    for (to, told) in [
        ("/run/nscd/socket", "deny"),
        ("/run/systemd/userdb/io.systemd.DynamicUser", "deny"),
        ("/var/lib/sss/pipes/nss", "allow name-services"),
        ("/var/lib/sss/pipes/private/pam", "deny"),
        (
            "/run/systemd/resolve/io.systemd.Resolve",
            "allow name-services",
        ),
        ("/run/systemd/resolve/io.systemd.Resolve.Monitor", "deny"),
        (
            "/run/systemd/userdb/io.systemd.Multiplexer",
            "allow name-services",
        ),
        ("/run/systemd/journal/socket", "allow logging"),
        ("/run/systemd/journal/io.systemd.journal", "deny"),
        ("/run/user/1000/gnupg/S.gpg-agent", "allow key-agents"),
        ("/run/user/1000/gcr/ssh", "allow key-agents"),
        ("/run/user/1000/bus", "deny"),
        ("/run/user/1001/gnupg/S.gpg-agent", "deny"),
        ("/run/systemd/private", "deny"),
        ("/run/dbus/system_bus_socket", "deny"),
        ("/run/docker.sock", "deny"),
        ("/run/guard/control", "deny guard-state"),
        ("127.0.0.53 53", "allow name-services"),
        ("::1 53", "allow name-services"),
        ("127.0.0.1 22", "deny"),
        ("169.254.169.254 53", "allow name-services"),
        ("169.254.169.254 80", "deny cloud-metadata"),
        ("fd00:ec2::254 80", "deny cloud-metadata"),
        ("192.0.2.1 22", "allow"),
        ("@/tmp/.X11-unix/X0", "deny"),
    ] {
        assert_eq!(loaded.connect(to), told, "{to}");
    }
}

#[test]
fn of_the_machine_only_some_devices_are_open() {
    let loaded = default();
    for path in ["/dev/nvidia0", "/dev/dri/card0", "/dev/snd/controlC0"] {
        let device = file(ROOT, path);
        assert_eq!(
            loaded.machine(Facility::Devices, Some(&device)),
            "allow accelerators-and-sound"
        );
        assert_eq!(loaded.machine(Facility::Disks, Some(&device)), "deny");
        assert_eq!(loaded.file(Operation::Delete, &device), "deny");
    }
    for &facility in Facility::EVERY {
        assert_eq!(loaded.machine(facility, None), "deny", "{facility:?}");
        let other = file(ROOT, "/dev/sda");
        assert_eq!(
            loaded.machine(facility, Some(&other)),
            "deny",
            "{facility:?}"
        );
    }
}
