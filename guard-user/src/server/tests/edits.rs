//! Edits of policies, and servers that take over.

use super::*;

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
