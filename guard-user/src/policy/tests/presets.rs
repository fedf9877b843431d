//! The presets for certain hosts and people: that they keep what they say, and open nothing else.

use super::*;
use crate::policy::presets::PRESETS;
use crate::policy::ruleset::RulesetRule;

/// Presets as `--policy` takes them, one after the other.
fn presets(names: &[&str]) -> Loaded {
    let sources: Vec<Source> = names
        .iter()
        .map(|name| Source::Preset((*name).to_owned()))
        .collect();
    let loaded = Loader::new(&environment(), &FakeHost::new())
        .load(&sources)
        .unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(loaded.notes, [] as [&str; 0], "{names:?}");
    loaded
}

/// A process of a user's in a cgroup.
fn in_cgroup(uid: u32, cgroup: &str) -> ProcessFacts {
    ProcessFacts {
        uid,
        cgroup: cgroup.into(),
        ..process()
    }
}

/// What no preset opens: with each of these a session could leave guard, or become somebody else.
#[test]
fn no_preset_opens_what_leads_out_of_the_session() {
    for preset in PRESETS {
        if preset.name == "audit" {
            continue;
        }
        let name = preset.name;
        let loaded = presets(&[name, "default"]);
        for to in [
            "/run/docker.sock",
            "/run/containerd/containerd.sock",
            "/run/podman/podman.sock",
            "/run/libvirt/libvirt-sock",
            "/run/dbus/system_bus_socket",
            "/run/user/1000/bus",
            "/run/systemd/private",
            "/run/guard/control",
            "@/tmp/.X11-unix/X0",
            "127.0.0.1 22",
            "127.0.0.1 2375",
            "127.0.0.1 6443",
            "127.0.0.1 8001",
            "127.0.0.1 9229",
            "127.0.0.1 10250",
            "169.254.169.254 80",
        ] {
            let told = loaded.connect(to);
            assert!(told.starts_with("deny"), "{name}: {told} to {to}");
        }
        for (device, path) in [
            (ROOT, "/etc/passwd"),
            (ROOT, "/etc/ld.so.preload"),
            (ROOT, "/etc/systemd/system/x.service"),
            (ROOT, "/etc/kubernetes/manifests/x.yaml"),
            (ROOT, "/usr/bin/git"),
            (ROOT, "/var/lib/docker/volumes/a/_data/a"),
            (HOME, "/alice/.bashrc"),
            (HOME, "/alice/.ssh/authorized_keys"),
            (HOME, "/alice/.claude/settings.json"),
            (HOME, "/alice/Documents/a"),
            (HOME, "/bob/a"),
        ] {
            for operation in [
                Operation::Delete,
                Operation::Overwrite,
                Operation::Attributes,
                Operation::Mount,
            ] {
                let told = loaded.file(operation, &file(device, path));
                assert!(
                    told.starts_with("deny"),
                    "{name}: {told} {operation:?} {path}"
                );
            }
        }
        for &facility in Facility::EVERY {
            let told = loaded.machine(facility, None);
            assert!(told.starts_with("deny"), "{name}: {told} {facility:?}");
        }
        for operation in [Operation::Trace, Operation::Inspect, Operation::Limit] {
            for cgroup in [
                "/system.slice/ssh.service",
                "/user.slice/user-1000.slice/user@1000.service/dev.slice/a.scope",
            ] {
                let facts = in_cgroup(1000, cgroup);
                let told = loaded.told(loaded.compiled.by(None).on_process(operation, 0, &facts));
                assert!(told.starts_with("deny"), "{name}: {told} {operation:?}");
            }
        }
        assert!(loaded.signal(9, &process()).starts_with("deny"), "{name}");
    }
}

/// Presets, each in front of a rule of one's own that opens too much.
fn before_an_open_policy() -> BTreeMap<&'static str, Loaded> {
    let open = "version: 1\nrules: [{ name: open, allow: [signal, connect] }]\n";
    let host = FakeHost::new().file("open.yaml", open);
    let load = |name: &'static str| {
        let preset = Source::Preset(name.to_owned());
        let sources = [preset, Source::File("open.yaml".into())];
        let loaded = Loader::new(&environment(), &host).load(&sources);
        (name, loaded.unwrap_or_else(|mistakes| panic!("{mistakes}")))
    };
    ["containers", "kubernetes-node", "desktop", "ci-runner"]
        .map(load)
        .into()
}

#[test]
fn a_preset_that_is_named_first_keeps_what_a_later_policy_would_open() {
    let behind = before_an_open_policy();
    let user = "/user.slice/user-1000.slice/user@1000.service";
    for (preset, cgroup, told) in [
        (
            "containers",
            "/system.slice/docker-0a1b.scope",
            "deny containers",
        ),
        (
            "containers",
            "/system.slice/docker-0a1b.scope/a",
            "deny containers",
        ),
        ("containers", "/docker/0a1b", "deny containers"),
        (
            "containers",
            "/machine.slice/libpod-0a1b.scope/container",
            "deny containers",
        ),
        (
            "containers",
            "/user.slice/libpod-0a1b.scope/container",
            "deny containers",
        ),
        ("containers", "/app.slice/web.service", "allow open"),
        (
            "kubernetes-node",
            "/kubepods.slice/kubepods-a.slice/cri-0a.scope",
            "deny containers",
        ),
        ("desktop", "/app.slice/web.service", "allow open"),
    ] {
        let of_user = cgroup.starts_with("/user.slice") || cgroup.starts_with("/app.slice");
        let cgroup = if of_user {
            format!("{user}{cgroup}")
        } else {
            cgroup.to_owned()
        };
        assert_eq!(
            behind[preset].signal(15, &in_cgroup(1000, &cgroup)),
            told,
            "{cgroup}"
        );
    }
    let of = |device, path: &str| ProcessFacts {
        executable: Some((device, path.into())),
        ..process()
    };
    for (preset, device, exe, told) in [
        ("desktop", ROOT, "/usr/bin/tmux", "deny terminals"),
        (
            "desktop",
            HOME,
            "/alice/.vscode-server/cli/servers/a/server/node",
            "deny editors",
        ),
        ("desktop", ROOT, "/usr/lib/firefox/firefox", "deny browsers"),
        ("desktop", ROOT, "/usr/bin/node", "allow open"),
        (
            "ci-runner",
            HOME,
            "/alice/actions-runner/bin/Runner.Worker",
            "deny runner",
        ),
        (
            "kubernetes-node",
            UNKNOWN,
            "/usr/local/bin/kube-apiserver",
            "deny kubernetes",
        ),
    ] {
        assert_eq!(behind[preset].signal(15, &of(device, exe)), told, "{exe}");
    }
    for (preset, to, told) in [
        ("containers", "/run/docker.sock", "deny container-engines"),
        (
            "containers",
            "/run/user/1000/podman/podman.sock",
            "deny container-engines",
        ),
        ("containers", "127.0.0.1 5000", "allow open"),
        ("kubernetes-node", "10.0.0.1 6443", "deny cluster-sockets"),
        (
            "desktop",
            "/run/user/1000/wayland-0",
            "deny desktop-sockets",
        ),
        ("desktop", "/run/user/1000/bus", "deny desktop-sockets"),
    ] {
        assert_eq!(behind[preset].connect(to), told, "{to}");
    }
}

#[test]
fn new_files_that_engines_and_kubelets_would_run_are_refused() {
    let loaded = presets(&["kubernetes-node", "default"]);
    for (device, path, told) in [
        (
            ROOT,
            "/etc/kubernetes/manifests/a.yaml",
            "deny cluster-settings",
        ),
        (ROOT, "/etc/cni/net.d/00-a.conf", "deny container-settings"),
        (
            HOME,
            "/alice/.config/containers/systemd/a.container",
            "deny container-settings",
        ),
        (
            HOME,
            "/alice/.docker/cli-plugins/docker-a",
            "deny container-settings",
        ),
        // Where the session's own engine may begin.
        (HOME, "/alice/.local/share/containers/storage", "allow"),
        (HOME, "/alice/.docker/buildx/a", "allow"),
    ] {
        assert_eq!(
            loaded.file(Operation::Create, &file(device, path)),
            told,
            "{path}"
        );
    }
}

#[test]
fn only_what_a_person_puts_aside_for_it_is_a_dev_server() {
    let loaded = presets(&["dev-servers", "default"]);
    let user = "/user.slice/user-1000.slice/user@1000.service";
    for (uid, cgroup, told) in [
        (1000, "/dev.slice/run-1.scope", "allow dev-servers"),
        (1000, "/app.slice/web.service", "deny"),
        (1000, "/app.slice/dev.slice/web.service", "deny"),
        // Somebody else's.
        (0, "/dev.slice/run-1.scope", "deny"),
    ] {
        let cgroup = format!("{user}{cgroup}");
        assert_eq!(loaded.signal(9, &in_cgroup(uid, &cgroup)), told, "{cgroup}");
    }
    for cgroup in [
        "/dev.slice/run-1.scope",
        "/user.slice/user-1001.slice/user@1001.service/dev.slice/run-1.scope",
    ] {
        assert_eq!(
            loaded.signal(9, &in_cgroup(1000, cgroup)),
            "deny",
            "{cgroup}"
        );
    }
    let facts = in_cgroup(1000, &format!("{user}/dev.slice/run-1.scope"));
    assert_eq!(
        loaded.signal(19, &facts),
        "deny",
        "nobody restarts by stopping"
    );
    assert_eq!(loaded.connect("127.0.0.1 5173"), "allow dev-ports");
    assert_eq!(loaded.connect("::1 3000"), "allow dev-ports");
    assert_eq!(loaded.connect("127.0.0.1 5432"), "deny");
    assert_eq!(loaded.connect("127.0.0.1 8080"), "deny");
}

#[test]
fn a_step_gives_its_outputs_and_not_the_environment_of_later_steps() {
    let loaded = presets(&["ci-runner", "default"]);
    let commands = "/alice/work/_temp/_runner_file_commands";
    for (name, told) in [
        ("set_output_1", "allow step-results"),
        ("step_summary_1", "allow step-results"),
        ("set_env_1", "deny runner-files"),
        ("add_path_1", "deny runner-files"),
    ] {
        let path = format!("{commands}/{name}");
        assert_eq!(
            loaded.file(Operation::Overwrite, &file(HOME, &path)),
            told,
            "{path}"
        );
        assert_eq!(
            loaded.delete(&file(HOME, &path)),
            "deny runner-files",
            "{path}"
        );
    }
    let env = file(HOME, "/alice/actions-runner/.env");
    assert_eq!(loaded.file(Operation::Create, &env), "deny runner-files");
    let script = file(HOME, "/alice/work/_temp/new");
    assert_eq!(loaded.file(Operation::Create, &script), "allow");
    assert_eq!(loaded.connect("127.0.0.1 5432"), "allow job-services");
    assert_eq!(loaded.connect("::1 6379"), "allow job-services");
    // With a policy that protects databases in front, they stay closed.
    let loaded = presets(&["databases", "ci-runner", "default"]);
    assert_eq!(loaded.connect("127.0.0.1 5432"), "deny database-sockets");
}

#[test]
fn strict_leaves_the_workspace_and_what_the_agent_keeps() {
    let loaded = presets(&["strict"]);
    let every = [
        Operation::Delete,
        Operation::Overwrite,
        Operation::Attributes,
    ];
    for (device, path, told) in [
        (HOME, "/alice/.claude/projects/a", "allow agent-state"),
        (HOME, "/alice/.claude/settings.json", "deny run-later"),
        (HOME, "/alice/.bashrc", "deny run-later"),
        (HOME, "/alice/.cargo/registry/a", "deny left-by-others"),
        (HOME, "/alice/.cache/pip/a", "deny left-by-others"),
        (HOME, "/alice/.bash_history", "deny left-by-others"),
        (HOME, "/alice/.gnupg/random_seed", "deny left-by-others"),
        (TMP, "/pytest-of-alice/a", "deny scratch-of-others"),
        (TMP, "/other", "deny"),
        (HOME, "/alice/Documents/a", "deny"),
    ] {
        for operation in every {
            assert_eq!(
                loaded.file(operation, &file(device, path)),
                told,
                "{operation:?} {path}"
            );
        }
    }
    for (device, path, told) in [
        (HOME, "/alice/work/new", "allow workspace-files"),
        (TMP, "/new", "allow temporary-files"),
        (ROOT, "/run/user/1000/new", "allow temporary-files"),
        (ROOT, "/run/user/1000/systemd/transient/a", "deny run-later"),
        (HOME, "/alice/.claude", "allow agent-files"),
        (HOME, "/alice/.cache/pip/new", "deny left-by-others"),
        (HOME, "/alice/notes.txt", "deny new-files"),
        (HOME, "/alice/.local/bin/ls", "deny new-files"),
        (ROOT, "/usr/local/bin/ls", "deny new-files"),
        (UNKNOWN, "/a", "deny new-files"),
    ] {
        assert_eq!(
            loaded.file(Operation::Create, &file(device, path)),
            told,
            "{path}"
        );
    }
    let gpu = file(ROOT, "/dev/dri/card0");
    assert_eq!(
        loaded.machine(Facility::Devices, Some(&gpu)),
        "deny machine"
    );
    assert_eq!(
        loaded.connect("/var/lib/sss/pipes/nss"),
        "allow name-services"
    );
    assert_eq!(loaded.connect("192.0.2.1 443"), "allow");
}

/// It only closes: what it lets through the default does as well, in the workspace too.
#[test]
fn strict_opens_nothing_that_the_default_keeps_closed() {
    let (strict, default) = (presets(&["strict"]), presets(&["default"]));
    let paths = [
        "/work/a",
        "/work/.git/HEAD",
        "/work/.git/objects/ab/c",
        "/work/.git/config",
        "/work",
        "/.claude/x",
        "/.claude/settings.json",
        "/.bashrc",
        "/.cache/a",
        "/.ssh/x",
        "/notes",
    ];
    for path in paths {
        let facts = file(HOME, &format!("/alice{path}"));
        for operation in Operation::EVERY.into_iter().filter(|o| o.is_on_file()) {
            let told = strict.file(operation, &facts);
            let by_default = default.file(operation, &facts);
            let opens = told.starts_with("allow") && by_default.starts_with("deny");
            assert!(!opens, "{operation:?} {path}: {told}, {by_default}");
        }
    }
    let workspace = file(HOME, "/alice/work/a");
    assert_eq!(strict.delete(&workspace), "allow workspace-deletions");
    assert_eq!(
        strict.file(Operation::Overwrite, &workspace),
        "allow workspace"
    );
    let history = file(HOME, "/alice/work/.git/objects/ab/c");
    assert_eq!(strict.delete(&history), "deny history");
}

/// Every way to the user's keys that the default opens is one that `strict` closes.
#[test]
fn strict_closes_every_key_agent_of_the_default() {
    let default = presets(&["default"]);
    let rules = &default.ruleset.rules;
    let agents = rules.iter().find(|rule| rule.info.name == "key-agents");
    let globs = agents.and_then(RulesetRule::sockets).expect("its sockets");
    assert!(globs.len() > 5, "{globs:?}");
    let strict = presets(&["strict"]);
    for glob in globs {
        let path = glob
            .replace('~', "/home/alice")
            .replace("${uid}", "1000")
            .replace('*', "x");
        let place = environment()
            .mounts_now
            .locate(Path::new(&path))
            .expect("a place");
        let facts = file(place.device, place.path.to_str().expect("UTF-8"));
        let told = |loaded: &Loaded| {
            loaded
                .told(
                    loaded
                        .compiled
                        .by(None)
                        .on_socket(&SocketFacts::File(facts.clone())),
                )
                .to_owned()
        };
        assert_eq!(told(&default), "allow key-agents", "{path}");
        assert_eq!(told(&strict), "deny keys", "{path}");
    }
}

/// A workspace anywhere is the session's to work in, and opens no place that is run by others.
#[test]
fn strict_opens_no_startup_file_by_a_workspace() {
    let environment = Environment {
        workspace: Some("/home/alice/.config/fish".into()),
        ..environment()
    };
    let loaded = Loader::new(&environment, &FakeHost::new())
        .load(&[Source::Preset("strict".into())])
        .unwrap_or_else(|mistakes| panic!("{mistakes}"));
    for operation in [Operation::Create, Operation::Overwrite, Operation::Delete] {
        let facts = file(HOME, "/alice/.config/fish/config.fish");
        assert_eq!(
            loaded.file(operation, &facts),
            "deny run-later",
            "{operation:?}"
        );
    }
}

/// Presets that people combine have room together, on any host.
#[test]
fn what_is_combined_has_room() {
    for names in [
        &[
            "vms",
            "databases",
            "containers",
            "desktop",
            "dev-servers",
            "default",
        ][..],
        &["vms", "databases", "kubernetes-node", "ci-runner", "strict"],
    ] {
        let loaded = presets(names);
        let (rules, rows) = (loaded.compiled.rules.len(), loaded.compiled.rows.len());
        println!("{names:?}: {rules} rules, {rows} rows");
        assert!(
            rules < 56 && rows < 9000,
            "{names:?}: {rules} rules, {rows} rows"
        );
    }
}
