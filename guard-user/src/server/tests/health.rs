//! A canary that says what the test wants it to say.

use std::os::unix::fs::PermissionsExt;

use super::*;

const REFUSED: &str = r#"[["signal","refused"],["delete","refused"]]"#;
const THROUGH: &str = r#"[["signal","refused"],["delete","through"]]"#;

/// A host whose canary answers with the line in the file that is handed out.
fn host(answer: &str) -> (Host, std::path::PathBuf) {
    let mut host = Host::new();
    let answers = host.base.path().join("answers");
    fs::write(&answers, format!("{answer}\n")).unwrap();
    let canary = host.base.path().join("canary");
    let script = format!(
        "#!/bin/sh\nwhile read question; do cat {}; done\n",
        answers.display()
    );
    fs::write(&canary, script).unwrap();
    fs::set_permissions(&canary, fs::Permissions::from_mode(0o755)).unwrap();
    host.canary = Some(canary);
    (host, answers)
}

/// Answers from now on.
fn answer(answers: &Path, answer: &str) {
    let new = answers.with_extension("new");
    fs::write(&new, format!("{answer}\n")).unwrap();
    fs::rename(new, answers).unwrap();
}

fn is_frozen(paths: &Paths) -> bool {
    let file = paths.run.with_file_name("cgroup/guard/sh-1/cgroup.freeze");
    fs::read_to_string(file).unwrap().starts_with('1')
}

fn within_ten_seconds(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{what}: not within ten seconds");
}

#[test]
fn what_goes_through_freezes_the_sessions_until_it_is_refused_again() {
    let (host, answers) = host(REFUSED);
    host.with_leaving_server(move |paths| {
        let session = start(&paths, "sleep 60", None, &[]);
        let now = status(&paths);
        assert_eq!(now.sessions.len(), 1, "the canary is none of them");
        assert_eq!((now.alarm, now.proved.len()), (None, 2));
        assert!(!is_frozen(&paths));

        answer(&answers, THROUGH);
        within_ten_seconds("the freeze", || is_frozen(&paths));
        let alarm = status(&paths).alarm.unwrap();
        assert!(alarm.contains("(delete)"), "{alarm}");
        let message = refusal(&paths, Some("another"), &[]);
        assert!(message.contains("Nothing was started"), "{message}");

        answer(&answers, REFUSED);
        within_ten_seconds("the thaw", || !is_frozen(&paths));
        assert_eq!(status(&paths).alarm, None);
        let said: Vec<_> = events(&paths, &session.name)
            .iter()
            .filter_map(|event| event["level"].as_str().map(str::to_owned))
            .collect();
        assert_eq!(said, ["error", "info"]);
        session.held.abandon();
    });
    let engine = host.engine.0.borrow();
    assert!(!engine.is_pinned && engine.sessions.is_empty() && engine.policies.is_empty());
}

#[test]
fn what_can_not_be_proved_starts_no_session_and_leaves_nothing() {
    for answer in [r#"[["signal",{"unclear":2}]]"#, "nonsense", "[]"] {
        let (host, _) = host(answer);
        host.with_leaving_server(|paths| {
            let message = refusal(&paths, None, &[]);
            assert!(message.contains("can't be proved"), "{message}");
        });
        let engine = host.engine.0.borrow();
        assert!(!engine.is_pinned && engine.sessions.is_empty(), "{answer}");
        assert!(engine.policies.is_empty() && engine.cgroups.is_empty());
    }
}

#[test]
fn the_next_server_clears_the_canary_away_and_goes_on_where_the_last_one_was() {
    let (host, answers) = host(REFUSED);
    let path = answers.clone();
    let held = host.with_server(move |paths| {
        let session = start(&paths, "sleep 60", None, &[]);
        answer(&path, THROUGH);
        within_ten_seconds("the freeze", || is_frozen(&paths));
        session.held
    });
    assert_eq!(host.engine.0.borrow().sessions.len(), 2);
    answer(&answers, REFUSED);
    let engine = host.engine.clone();
    host.with_leaving_server(move |paths| {
        let now = status(&paths);
        assert_eq!(now.sessions.len(), 1, "the canary is none of them");
        within_ten_seconds("the thaw", || !is_frozen(&paths));
        held.abandon();
    });
    let engine = engine.0.borrow();
    assert!(!engine.is_pinned && engine.sessions.is_empty() && engine.policies.is_empty());
}
