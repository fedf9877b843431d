//! Edits of policies, and servers that take over.

use std::sync::atomic::Ordering;

use super::*;
use crate::server::compiler::{Compiler, Mistake, Ready, Subject};

#[test]
fn a_new_server_takes_over_what_a_killed_one_left() {
    let host = Host::new();
    let (name, held) = host.with_server(|paths| {
        let session = start(&paths, "sleep 60", Some("work"), &[]);
        (session.name, session.held)
    });
    assert!(host.engine.0.borrow().is_pinned);
    host.with_leaving_server(move |paths| {
        let now = status(&paths);
        assert_eq!(now.sessions.len(), 1);
        assert_eq!(now.sessions[0].name, name);
        assert_eq!(
            changes(&paths, &name),
            ["session started", "session adopted"]
        );
        held.abandon();
        eventually("the end of the session", || {
            status(&paths).sessions.is_empty()
        });
    });
    assert!(!host.engine.0.borrow().is_pinned);
}

#[test]
fn sessions_without_a_state_and_states_without_a_session_are_sorted_out() {
    let host = Host::new();
    let (first, second) = host.with_server(|paths| {
        let first = start(&paths, "sleep 60", Some("first"), &[]);
        let second = start(&paths, "sleep 60", Some("second"), &[]);
        (first.held, second.held)
    });
    fs::remove_file(host.paths().sessions().join("first.json")).unwrap();
    second.abandon();
    {
        let mut engine = host.engine.0.borrow_mut();
        let id = *engine.sessions.keys().max().unwrap();
        engine.sessions.remove(&id);
    }
    host.with_leaving_server(move |paths| {
        let now = status(&paths);
        assert_eq!(now.sessions.len(), 1);
        assert!(now.sessions[0].name.as_str().starts_with("unknown-"));
        assert!(!paths.sessions().join("second.json").exists());
        first.abandon();
        eventually("the end of the session", || {
            status(&paths).sessions.is_empty()
        });
    });
}

#[test]
fn an_edit_takes_effect_and_a_mistake_changes_nothing_but_is_said() {
    let host = Host::new();
    let policy = host.base.path().join("a.yaml");
    fs::write(&policy, "version: 1\ninclude: [default]\n").unwrap();
    let engine = host.engine.clone();
    host.with_server(move |paths| {
        let session = start(&paths, "sleep 60", None, &[&policy]);
        let before = status(&paths).sessions[0].policy;

        fs::write(&policy, "version: 1\nmode: audit\ninclude: [default]\n").unwrap();
        eventually("the edit", || status(&paths).sessions[0].policy != before);
        let edited = status(&paths).sessions[0].policy;

        fs::write(&policy, "version: 1\nmode: sometimes\n").unwrap();
        eventually("the mistake", || {
            status(&paths).sessions[0].mistake.is_some()
        });
        let now = status(&paths).sessions.remove(0);
        assert_eq!(now.policy, edited);
        assert!(now.mistake.unwrap().contains("a.yaml:2:"));

        let new = policy.with_extension("new");
        fs::write(&new, "version: 1\ninclude: [default]\n").unwrap();
        fs::rename(&new, &policy).unwrap();
        eventually("the mended policy", || {
            status(&paths).sessions[0].mistake.is_none()
        });
        assert_ne!(status(&paths).sessions[0].policy, edited);

        // Written once more as it is, nothing happens.
        let last = status(&paths).sessions[0].policy;
        fs::write(&policy, "version: 1\ninclude: [default]\n").unwrap();
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(status(&paths).sessions[0].policy, last);
        assert_eq!(
            changes(&paths, &session.name),
            [
                "session started",
                "policy applied",
                "policy rejected",
                "policy applied"
            ]
        );
        session.held.abandon();
    });
    assert_eq!(engine.0.borrow().policies.len(), 1);
}

#[test]
fn what_may_surprise_about_an_edit_is_said() {
    let host = Host::new();
    let policy = host.base.path().join("a.yaml");
    fs::write(&policy, "version: 1\ninclude: [default]\n").unwrap();
    host.with_server(move |paths| {
        let session = start(&paths, "sleep 60", None, &[&policy]);
        let rule = "{ name: lost, allow: [delete], on: '${workspace}/x' }";
        fs::write(&policy, format!("version: 1\nrules: [{rule}]\n")).unwrap();
        eventually("the note", || {
            events(&paths, &session.name).iter().any(|event| {
                let message = event["message"].as_str().unwrap_or_default();
                event["change"] == "applied" && message.contains("the rule `lost`")
            })
        });
        session.held.abandon();
    });
}

#[test]
fn an_edit_is_taken_once_the_file_is_no_longer_the_session_s_own() {
    use std::os::unix::fs::{PermissionsExt, chown};
    if !nix::unistd::geteuid().is_root() {
        // Only root can give files away.
        return;
    }
    let host = Host::new();
    let directory = host.base.path().join("policies");
    let policy = directory.join("a.yaml");
    fs::create_dir(&directory).unwrap();
    fs::write(&policy, "version: 1\ninclude: [default]\n").unwrap();
    chown(&policy, Some(4242), None).unwrap();
    fs::set_permissions(host.base.path(), fs::Permissions::from_mode(0o755)).unwrap();
    host.with_server(move |paths| {
        let held = held("sleep 60");
        let mut connection = connect(&paths);
        let Request::Start(start) = request(None, &[&policy]) else {
            unreachable!()
        };
        let start = Request::Start(Start { uid: 4242, ..start });
        connection.send(&start, Some(held.pidfd())).unwrap();
        let response = connection.receive().unwrap();
        assert!(matches!(response, Response::Started { .. }), "{response:?}");
        let before = status(&paths).sessions[0].policy;
        fs::write(&policy, "version: 1\nmode: audit\ninclude: [default]\n").unwrap();
        eventually("the suspicion", || {
            let mistake = status(&paths).sessions.remove(0).mistake;
            mistake.is_some_and(|said| said.contains("may be the session's own"))
        });
        assert_eq!(status(&paths).sessions[0].policy, before);
        chown(&policy, Some(0), None).unwrap();
        eventually("the edit", || {
            let now = status(&paths).sessions.remove(0);
            now.mistake.is_none() && now.policy != before
        });
        held.abandon();
    });
}

#[test]
fn edits_while_no_server_was_there_count() {
    let host = Host::new();
    let policy = host.base.path().join("a.yaml");
    fs::write(&policy, "version: 1\ninclude: [default]\n").unwrap();
    let path = policy.clone();
    let (held, before) = host.with_server(move |paths| {
        let session = start(&paths, "sleep 60", None, &[&path]);
        (session.held, status(&paths).sessions[0].policy)
    });
    fs::write(&policy, "version: 1\nmode: audit\ninclude: [default]\n").unwrap();
    host.with_server(move |paths| {
        eventually("the edit", || status(&paths).sessions[0].policy != before);
        held.abandon();
    });
}

/// A compiler that is done only when it is let go on.
struct Slow {
    policies: Policies,
    gate: Arc<std::sync::Mutex<()>>,
    compiled: Arc<std::sync::atomic::AtomicUsize>,
}

impl Compiler for Slow {
    fn compile(&self, subject: &Subject) -> Result<Ready, Mistake> {
        let ready = self.policies.compile(subject);
        self.compiled.fetch_add(1, Ordering::SeqCst);
        drop(self.gate.lock());
        ready
    }
}

#[test]
fn an_edit_that_overlaps_the_end_of_its_session_does_not_bring_it_back() {
    let mut host = Host::new();
    let gate = Arc::new(std::sync::Mutex::new(()));
    let compiled = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    host.compiler = Some(Arc::new(Slow {
        policies: Policies::default(),
        gate: Arc::clone(&gate),
        compiled: Arc::clone(&compiled),
    }));
    let policy = host.base.path().join("a.yaml");
    fs::write(&policy, "version: 1\ninclude: [default]\n").unwrap();
    let engine = host.engine.clone();
    host.with_leaving_server(move |paths| {
        let session = start(&paths, "sleep 60", None, &[&policy]);
        let before = compiled.load(Ordering::SeqCst);
        let held = gate.lock().unwrap();
        fs::write(&policy, "version: 1\nmode: audit\ninclude: [default]\n").unwrap();
        eventually("the compiler", || compiled.load(Ordering::SeqCst) > before);
        session.held.abandon();
        drop(session.connection);
        eventually("the end", || status(&paths).sessions.is_empty());
        drop(held);
        // Long enough for the edit to be put in force, if it were to be.
        std::thread::sleep(Duration::from_millis(300));
    });
    let engine = engine.0.borrow();
    assert!(engine.sessions.is_empty() && engine.policies.is_empty());
}

#[test]
fn policies_of_many_edits_leave_nothing_behind_when_their_sessions_end() {
    let host = Host::new();
    let policy = host.base.path().join("a.yaml");
    let texts = [
        "version: 1\ninclude: [default]\n",
        "version: 1\nmode: audit\ninclude: [default]\n",
    ];
    fs::write(&policy, texts[0]).unwrap();
    let engine = host.engine.clone();
    host.with_server(move |paths| {
        let lasting = start(&paths, "sleep 60", Some("lasting"), &[]);
        let edited = start(&paths, "sleep 60", Some("edited"), &[&policy]);
        for text in texts.iter().rev().chain(texts.iter().rev()) {
            let before = status(&paths).sessions[1].policy;
            fs::write(&policy, text).unwrap();
            eventually("the edit", || status(&paths).sessions[1].policy != before);
        }
        edited.held.abandon();
        drop(edited.connection);
        eventually("the end", || status(&paths).sessions.len() == 1);
        lasting.held.abandon();
    });
    let engine = engine.0.borrow();
    assert_eq!(engine.policies.len(), 1);
    assert_eq!(engine.slots.held().count(), 1);
}

#[test]
fn a_policy_that_becomes_a_pipe_or_a_device_is_rejected_and_nobody_waits() {
    let host = Host::new();
    let policy = host.base.path().join("a.yaml");
    let link = host.base.path().join("link.yaml");
    fs::write(&policy, "version: 1\ninclude: [default]\n").unwrap();
    std::os::unix::fs::symlink(&policy, &link).unwrap();
    host.with_server(move |paths| {
        let session = start(&paths, "sleep 60", None, &[&link]);
        let before = status(&paths).sessions[0].policy;
        let mistake = || status(&paths).sessions[0].mistake.clone();
        fs::remove_file(&link).unwrap();
        let mode = nix::sys::stat::Mode::S_IRWXU;
        nix::unistd::mkfifo(&link, mode).unwrap();
        eventually("the pipe", || {
            mistake().is_some_and(|said| said.contains("not an ordinary file"))
        });
        fs::remove_file(&link).unwrap();
        eventually("nothing", || {
            mistake().is_some_and(|said| said.contains("No such file"))
        });
        std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
        eventually("the device", || {
            mistake().is_some_and(|said| said.contains("not an ordinary file"))
        });
        assert_eq!(status(&paths).sessions[0].policy, before);
        session.held.abandon();
    });
}

#[test]
fn file_systems_that_have_gone_are_forgotten_by_the_policies_of_sessions() {
    let host = Host::new();
    let held = host.with_server(|paths| start(&paths, "sleep 60", Some("work"), &[]).held);
    // As if one more had been there when the session started.
    let file = host.paths().sessions().join("work.json");
    let text = fs::read_to_string(&file).unwrap();
    let line = "999999 1 0:1048575 / /run/user/4242 rw - tmpfs tmpfs rw\\n";
    let text = text.replacen("\"mounts\":\"", &format!("\"mounts\":\"{line}"), 1);
    assert!(text.contains("/run/user/4242"));
    fs::write(&file, text).unwrap();
    let engine = host.engine.clone();
    host.with_server(move |paths| {
        eventually("the state", || {
            !fs::read_to_string(&file).unwrap().contains("4242")
        });
        assert_eq!(status(&paths).sessions.len(), 1);
        held.abandon();
    });
    let engine = engine.0.borrow();
    let gone: Vec<u32> = engine.gone.iter().map(|&(_, device)| device).collect();
    assert_eq!(gone, [1_048_575]);
}
