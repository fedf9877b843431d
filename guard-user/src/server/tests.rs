//! A server with an engine that only pretends: everything around the kernel, for real.

use std::cell::RefCell;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::Pid;

use super::client::{Outcome, accepted};
use super::core::Parts;
use super::daemon::{self, Lock};
use super::paths::Paths;
use super::policies::Policies;
use super::pretended::{Directories, Engine, Pretended};
use super::protocol::{Remaining, Request, Response, Start, Status};
use super::wire::Connection;
use crate::session::launch::{Held, Plan};
use crate::session::name::Name;

/// A host with a server's directories and an engine.
struct Host {
    base: tempfile::TempDir,
    engine: Engine,
}

impl Host {
    fn new() -> Self {
        let base = tempfile::tempdir().unwrap();
        let engine = Pretended {
            directory: base.path().join("cgroup/guard"),
            ..Pretended::default()
        };
        fs::create_dir(base.path().join("cgroup")).unwrap();
        Self {
            base,
            engine: Engine(Rc::new(RefCell::new(engine))),
        }
    }

    fn paths(&self) -> Paths {
        Paths {
            run: self.base.path().join("run"),
            log: self.base.path().join("log"),
        }
    }

    fn parts(&self) -> Parts {
        Parts {
            paths: self.paths(),
            engines: Box::new(self.engine.clone()),
            compiler: Arc::new(Policies {
                protected: Vec::new(),
            }),
            cgroups: Box::new(Directories(self.base.path().join("cgroup"))),
            stay: false,
        }
    }

    /// Runs a server, and a client on a thread of its own. The server is done away with as
    /// soon as the client is done, as a SIGKILL would, unless it leaves by itself before.
    fn with_server<T: Send + 'static>(
        &self,
        client: impl FnOnce(Paths) -> T + Send + 'static,
    ) -> T {
        let paths = self.paths();
        paths.make().unwrap();
        let lock = Lock::take(&paths).unwrap().expect("nobody has it");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let local = tokio::task::LocalSet::new();
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        local.block_on(&runtime, async {
            let server = daemon::run(self.parts(), lock, move || {
                ready.send(()).unwrap();
                Ok(())
            });
            let client = async move {
                is_ready.await.unwrap();
                tokio::task::spawn_blocking(move || client(paths)).await
            };
            tokio::pin!(server, client);
            let client = tokio::select! {
                result = &mut client => result,
                left = &mut server => {
                    left.unwrap();
                    client.await
                }
            };
            client.unwrap()
        })
    }

    /// Runs a server until it leaves by itself.
    fn with_leaving_server(&self, client: impl FnOnce(Paths) + Send + 'static) {
        let paths = self.paths();
        self.with_server(move |paths| {
            client(paths.clone());
            for _ in 0..1000 {
                if !paths.control().exists() {
                    // The rest of its leaving.
                    std::thread::sleep(Duration::from_millis(200));
                    return;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            panic!("the server has not left");
        });
        assert!(!paths.control().exists());
    }
}

fn connect(paths: &Paths) -> Connection {
    Connection::connect(&paths.control()).unwrap()
}

fn ask(paths: &Paths, request: &Request) -> Response {
    let mut connection = connect(paths);
    connection.send(request, None).unwrap();
    connection.receive().unwrap()
}

fn status(paths: &Paths) -> Status {
    match ask(paths, &Request::Status) {
        Response::Status(status) => *status,
        response => panic!("{response:?}"),
    }
}

fn held(script: &str) -> Held {
    let arguments = ["sh", "-c", script].map(Into::into).to_vec();
    let environment = vec![("PATH".into(), "/usr/bin:/bin".into())];
    let plan = Plan::new("/bin/sh".into(), arguments, environment, None).unwrap();
    plan.fork().unwrap()
}

fn request(name: Option<&str>, policies: &[&Path]) -> Request {
    Request::Start(Start {
        name: name.map(|name| Name::new(name).unwrap()),
        stem: "sh".to_owned(),
        command: vec!["sh".to_owned()],
        user: "root".to_owned(),
        uid: 0,
        home: "/root".into(),
        workspace: None,
        policies: policies
            .iter()
            .map(|path| path.display().to_string())
            .collect(),
    })
}

/// A session that was started, its connection and its child.
struct Session {
    name: Name,
    connection: Connection,
    held: Held,
}

fn start(paths: &Paths, script: &str, name: Option<&str>, policies: &[&Path]) -> Session {
    let held = held(script);
    let mut connection = connect(paths);
    connection
        .send(&request(name, policies), Some(held.pidfd()))
        .unwrap();
    match connection.receive().unwrap() {
        Response::Started { session, .. } => Session {
            name: session,
            connection,
            held,
        },
        response => panic!("{response:?}"),
    }
}

fn refusal(paths: &Paths, name: Option<&str>, policies: &[&Path]) -> String {
    let held = held("exit 0");
    let mut connection = connect(paths);
    connection
        .send(&request(name, policies), Some(held.pidfd()))
        .unwrap();
    let response = connection.receive().unwrap();
    held.abandon();
    match accepted(response).unwrap_err() {
        Outcome::Failed(failure) => failure.message,
        Outcome::Again => panic!("it is leaving"),
    }
}

fn wait(pid: Pid) {
    nix::sys::wait::waitpid(pid, None).unwrap();
}

fn eventually(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..300 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{what}: not within three seconds");
}

fn events(paths: &Paths, name: &Name) -> Vec<serde_json::Value> {
    fs::read_dir(&paths.log)
        .unwrap()
        .flatten()
        .filter(|entry| {
            let file = entry.file_name();
            file.to_string_lossy().starts_with(&format!("{name}-2"))
        })
        .flat_map(|entry| {
            let text = fs::read_to_string(entry.path()).unwrap();
            let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
            lines.collect::<Vec<_>>()
        })
        .collect()
}

fn changes(paths: &Paths, name: &Name) -> Vec<String> {
    events(paths, name)
        .iter()
        .map(|event| format!("{} {}", event["event"], event["change"]).replace('"', ""))
        .collect()
}

#[test]
fn a_session_lives_from_its_command_s_start_to_its_end_and_the_server_leaves() {
    let host = Host::new();
    host.with_leaving_server(|paths| {
        let session = start(&paths, "exit 3", None, &[]);
        assert_eq!(session.name.as_str(), "sh-1");
        let now = status(&paths);
        assert_eq!(now.sessions.len(), 1);
        assert_eq!(now.sessions[0].tasks, 1);
        assert!(paths.sessions().join("sh-1.json").exists());
        let Session {
            name,
            mut connection,
            held,
        } = session;
        let command = held.release(None, Some(&name)).unwrap();
        wait(command.pid);
        let finish = Request::Finish {
            session: name.clone(),
            status: 3,
            remaining: Remaining::Leave,
        };
        connection.send(&finish, None).unwrap();
        let expected = Response::Finished {
            left: 0,
            summary: None,
        };
        assert_eq!(connection.receive().unwrap(), expected);
        assert_eq!(status(&paths).sessions, []);
        assert!(!paths.sessions().join("sh-1.json").exists());
        assert_eq!(changes(&paths, &name), ["session started", "session ended"]);
        assert_eq!(events(&paths, &name)[1]["status"], 3);
    });
    let engine = host.engine.0.borrow();
    assert!(!engine.is_pinned);
    assert!(engine.sessions.is_empty() && engine.policies.is_empty() && engine.cgroups.is_empty());
}

#[test]
fn what_cannot_be_started_leaves_nothing_behind() {
    let host = Host::new();
    let bad = host.base.path().join("bad.yaml");
    fs::write(&bad, "version: 1\nrulez: []\n").unwrap();
    host.with_leaving_server(move |paths| {
        let message = refusal(&paths, None, &[&bad]);
        assert!(message.contains("bad.yaml:2:1"), "{message}");
        let session = start(&paths, "exit 0", Some("work"), &[]);
        let message = refusal(&paths, Some("work"), &[]);
        assert!(
            message.contains("There is a session \"work\" already"),
            "{message}"
        );
        assert_eq!(status(&paths).sessions.len(), 1);
        session.held.abandon();
    });
    let engine = host.engine.0.borrow();
    assert!(!engine.is_pinned && engine.sessions.is_empty() && engine.policies.is_empty());
}

#[test]
fn a_label_that_does_not_come_undoes_everything() {
    let host = Host::new();
    host.engine.0.borrow_mut().loses_labels = true;
    host.with_leaving_server(|paths| {
        let message = refusal(&paths, None, &[]);
        assert!(message.contains("did not get its label"), "{message}");
        assert_eq!(status(&paths).sessions, []);
    });
    let engine = host.engine.0.borrow();
    assert!(!engine.is_pinned && engine.sessions.is_empty() && engine.policies.is_empty());
}

#[test]
fn whoever_is_in_a_session_is_refused() {
    let host = Host::new();
    host.with_server(|paths| {
        let session = start(&paths, "exit 0", None, &[]);
        // This process, the one that asks, joins the session's cgroup.
        let procs = paths.run.with_file_name("cgroup/guard/sh-1/cgroup.procs");
        let mut file = fs::OpenOptions::new().append(true).open(procs).unwrap();
        writeln!(file, "\n{}", std::process::id()).unwrap();
        match ask(&paths, &Request::Status) {
            Response::Refused { message, .. } => {
                assert!(message.contains("session sh-1 of guard"), "{message}");
            }
            response => panic!("{response:?}"),
        }
        session.held.abandon();
    });
}

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

#[test]
fn a_session_is_stopped_with_all_that_is_in_it() {
    let host = Host::new();
    host.with_server(|paths| {
        let session = start(
            &paths,
            "trap '' TERM; while :; do sleep 0.1; done",
            None,
            &[],
        );
        let name = session.name;
        let command = session.held.release(None, Some(&name)).unwrap();
        std::thread::sleep(Duration::from_millis(100));
        // Whoever started it waits for it, as `guard run` would.
        let waiter = std::thread::spawn(move || wait(command.pid));
        let stop = Request::Stop {
            session: name.clone(),
            grace: 200,
        };
        match ask(&paths, &stop) {
            Response::Stopped {
                processes: 1,
                left: 0,
            } => {}
            response => panic!("{response:?}"),
        }
        waiter.join().unwrap();
        drop(session.connection);
        match ask(&paths, &stop) {
            Response::Refused { message, .. } => {
                assert!(
                    message.contains("There is no session \"sh-1\""),
                    "{message}"
                );
            }
            response => panic!("{response:?}"),
        }
    });
}

#[test]
fn what_is_left_is_left_killed_or_waited_for() {
    for (remaining, left) in [
        (Remaining::Leave, 1),
        (Remaining::Kill, 0),
        (Remaining::Wait, 0),
    ] {
        let host = Host::new();
        host.with_server(move |paths| {
            let session = start(&paths, "exit 0", None, &[]);
            let mut other = std::process::Command::new("/bin/sleep")
                .arg("1")
                .spawn()
                .unwrap();
            let procs = paths.run.with_file_name("cgroup/guard/sh-1/cgroup.procs");
            let mut file = fs::OpenOptions::new().append(true).open(procs).unwrap();
            writeln!(file, "\n{}", other.id()).unwrap();
            let Session {
                name,
                mut connection,
                held,
            } = session;
            let command = held.release(None, Some(&name)).unwrap();
            wait(command.pid);
            let waiter = std::thread::spawn(move || other.wait().unwrap());
            let finish = Request::Finish {
                session: name,
                status: 0,
                remaining,
            };
            connection.send(&finish, None).unwrap();
            match connection.receive().unwrap() {
                Response::Finished { left: now, .. } => assert_eq!(now, left, "{remaining:?}"),
                response => panic!("{response:?}"),
            }
            let died = !waiter.join().unwrap().success();
            assert_eq!(died, remaining == Remaining::Kill, "{remaining:?}");
        });
    }
}

#[test]
fn followers_see_what_happens() {
    let host = Host::new();
    host.with_server(|paths| {
        let mut follower = connect(&paths);
        follower
            .send(
                &Request::Follow(crate::events::filter::Filter::default()),
                None,
            )
            .unwrap();
        assert_eq!(follower.receive().unwrap(), Response::Following);
        let session = start(&paths, "exit 0", None, &[]);
        match follower.receive().unwrap() {
            Response::Event(event) => {
                assert_eq!(event["event"], "session");
                assert_eq!(event["change"], "started");
                assert_eq!(event["session"], "sh-1");
            }
            response => panic!("{response:?}"),
        }
        session.held.abandon();
    });
}

#[test]
fn a_second_server_is_told_of_the_first() {
    let host = Host::new();
    host.with_server(|paths| {
        let holder = Lock::take(&paths).unwrap().unwrap_err();
        assert_eq!(holder, std::process::id().to_string());
    });
    Lock::take(&host.paths())
        .unwrap()
        .expect("it is free again");
}

#[test]
fn strangers_words_are_refused_with_the_reason() {
    let host = Host::new();
    host.with_server(|paths| {
        let mut stream = std::os::unix::net::UnixStream::connect(paths.control()).unwrap();
        stream
            .write_all(b"{\"v\":99,\"body\":\"status\"}\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("different versions of guard"), "{answer}");
    });
}
