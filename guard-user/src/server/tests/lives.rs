//! Sessions from start to end, followers, and what is refused.

use std::os::fd::AsFd;

use super::*;
use crate::events::filter::Filter;
use crate::events::history::History;
use crate::session::processes::tests::Headless;

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
            id,
            mut connection,
            held,
        } = session;
        let command = held.release(None, Some(&name), None).unwrap();
        wait(command.pid);
        let finish = Request::Finish {
            session: name.clone(),
            id,
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
        for name in ["server", "guard-canary"] {
            let message = refusal(&paths, Some(name), &[]);
            assert!(message.contains("a part of guard itself"), "{message}");
        }
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
        let command = session.held.release(None, Some(&name), None).unwrap();
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
                id,
                mut connection,
                held,
            } = session;
            let command = held.release(None, Some(&name), None).unwrap();
            wait(command.pid);
            let waiter = std::thread::spawn(move || other.wait().unwrap());
            let finish = Request::Finish {
                session: name,
                id,
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
fn followers_see_what_happens_and_know_where_they_began() {
    let host = Host::new();
    host.with_server(|paths| {
        let follow = || {
            let mut follower = connect(&paths);
            follower
                .send(&Request::Follow(Filter::default()), None)
                .unwrap();
            match follower.receive().unwrap() {
                Response::Following { after } => (follower, after),
                response => panic!("{response:?}"),
            }
        };
        let (mut follower, first) = follow();
        let session = start(&paths, "exit 0", None, &[]);
        let (_, second) = follow();
        match follower.receive().unwrap() {
            Response::Event(event) => {
                assert_eq!(event["event"], "session");
                assert_eq!(event["change"], "started");
                assert_eq!(event["session"], "sh-1");
                assert_eq!(event["policy"]["names"][0], "default");
                assert!(event["policy"]["rules"].as_u64().unwrap() > 0);
                let id = event["id"].as_str().unwrap();
                assert!(*first < *id && *id < *second, "{first} {id} {second}");
                // What came before the second follower is in the log when it begins.
                let mut past = History::open(&paths.log, None, None).unwrap();
                assert!(past.any(|event| event.id == id));
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

#[test]
fn the_engine_knows_the_session_s_terminal_and_the_host_s_addresses() {
    let host = Host::new();
    let engine = host.engine.clone();
    let pty = nix::pty::openpty(None, None).unwrap();
    let slave = pty.slave.try_clone().unwrap();
    host.with_server(move |paths| {
        let child = std::process::Command::new("/bin/sleep")
            .arg("60")
            .stdin(slave)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let pidfd = crate::session::raw::pidfd_open(Pid::from_raw(child.id() as i32)).unwrap();
        let mut connection = connect(&paths);
        connection
            .send(&request(None, &[]), Some(pidfd.as_fd()))
            .unwrap();
        let response = connection.receive().unwrap();
        assert!(matches!(response, Response::Started { .. }), "{response:?}");
        let mut child = child;
        child.kill().unwrap();
        child.wait().unwrap();
    });
    let engine = engine.0.borrow();
    let inode = nix::sys::stat::fstat(&pty.slave).unwrap().st_ino;
    assert_eq!(engine.given.keys().copied().collect::<Vec<_>>(), [inode]);
    let loopback = std::net::Ipv4Addr::LOCALHOST.to_ipv6_mapped().octets();
    assert!(engine.addresses.contains(&loopback));
}

/// A child whose first thread has ended, in a session of its own.
fn headless(paths: &Paths) -> (Headless, Connection) {
    let mut child = Headless::new();
    let pidfd = crate::session::raw::pidfd_open(child.pid).unwrap();
    let mut connection = connect(paths);
    connection
        .send(&request(Some("headless"), &[]), Some(pidfd.as_fd()))
        .unwrap();
    let response = connection.receive().unwrap();
    assert!(matches!(response, Response::Started { .. }), "{response:?}");
    child.behead();
    (child, connection)
}

#[test]
fn a_process_whose_first_thread_has_ended_is_stopped_like_any_other() {
    let host = Host::new();
    host.with_server(|paths| {
        let (child, connection) = headless(&paths);
        let pid = child.pid;
        let waiter = std::thread::spawn(move || wait(pid));
        drop(connection);
        let stop = Request::Stop {
            session: Name::new("headless").unwrap(),
            grace: 200,
        };
        let response = ask(&paths, &stop);
        let expected = Response::Stopped {
            processes: 1,
            left: 0,
        };
        assert_eq!(response, expected);
        waiter.join().unwrap();
    });
}

#[test]
fn a_process_whose_first_thread_has_ended_is_left_after_the_command() {
    let host = Host::new();
    let child = host.with_server(|paths| {
        let (child, mut connection) = headless(&paths);
        let finish = Request::Finish {
            session: Name::new("headless").unwrap(),
            id: status(&paths).sessions[0].id,
            status: 0,
            remaining: Remaining::Leave,
        };
        connection.send(&finish, None).unwrap();
        match connection.receive().unwrap() {
            Response::Finished { left: 1, .. } => child,
            response => panic!("{response:?}"),
        }
    });
    // A server that takes over looks for sessions whose tasks were not counted.
    host.with_server(move |paths| {
        std::thread::sleep(Duration::from_secs(5));
        assert_eq!(status(&paths).sessions.len(), 1);
        drop(child);
        eventually("the end", || status(&paths).sessions.is_empty());
    });
}

#[test]
fn what_does_not_end_in_time_is_killed_with_its_cgroup() {
    let host = Host::new();
    host.with_server(|paths| {
        let session = start(
            &paths,
            "trap '' TERM; while :; do sleep 0.1; done",
            None,
            &[],
        );
        let kill = paths.run.with_file_name("cgroup/guard/sh-1/cgroup.kill");
        let name = session.name;
        let command = session.held.release(None, Some(&name), None).unwrap();
        std::thread::sleep(Duration::from_millis(100));
        let waiter = std::thread::spawn(move || wait(command.pid));
        let stop = Request::Stop {
            session: name,
            grace: 200,
        };
        // Its cgroup is looked at while its client is waited for.
        let asked = std::thread::spawn(move || ask(&paths, &stop));
        waiter.join().unwrap();
        assert_eq!(fs::read_to_string(kill).unwrap(), "1");
        drop(session.connection);
        asked.join().unwrap();
    });
}

#[test]
fn the_end_of_a_command_is_not_taken_for_that_of_another_session_of_the_name() {
    let host = Host::new();
    host.with_server(|paths| {
        let first = start(&paths, "exit 0", Some("work"), &[]);
        let command = first.held.release(None, Some(&first.name), None).unwrap();
        wait(command.pid);
        eventually("the end", || status(&paths).sessions.is_empty());
        let second = start(&paths, "sleep 60", Some("work"), &[]);
        assert_ne!(first.id, second.id);
        let mut connection = first.connection;
        let finish = Request::Finish {
            session: first.name,
            id: first.id,
            status: 7,
            remaining: Remaining::Kill,
        };
        connection.send(&finish, None).unwrap();
        let expected = Response::Finished {
            left: 0,
            summary: None,
        };
        assert_eq!(connection.receive().unwrap(), expected);
        drop(connection);
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(status(&paths).sessions[0].tasks, 1);
        second.held.abandon();
    });
}

#[test]
fn a_second_session_that_writes_to_the_same_file_is_told_so() {
    let host = Host::new();
    let log = host.base.path().join("output");
    fs::write(&log, "").unwrap();
    host.with_server(move |paths| {
        let open = || fs::OpenOptions::new().append(true).open(&log).unwrap();
        let start = |name| {
            let child = std::process::Command::new("/bin/sleep")
                .arg("60")
                .stdout(open())
                .stderr(open())
                .spawn()
                .unwrap();
            let pidfd = crate::session::raw::pidfd_open(Pid::from_raw(child.id() as i32)).unwrap();
            let mut connection = connect(&paths);
            connection
                .send(&request(Some(name), &[]), Some(pidfd.as_fd()))
                .unwrap();
            match connection.receive().unwrap() {
                Response::Started { warnings, .. } => (child, warnings),
                response => panic!("{response:?}"),
            }
        };
        let told = |warnings: &[String]| {
            let told = warnings
                .iter()
                .filter(|said| said.contains("goes to a file"));
            told.cloned().collect::<Vec<_>>()
        };
        let end = |mut child: std::process::Child| {
            child.kill().unwrap();
            child.wait().unwrap();
        };
        let (first, warnings) = start("first");
        assert_eq!(told(&warnings), [""; 0]);
        let (second, warnings) = start("second");
        let said = told(&warnings);
        assert_eq!(said.len(), 1, "{warnings:?}");
        assert!(said[0].contains("session first was"), "{said:?}");
        end(first);
        eventually("the end", || status(&paths).sessions.len() == 1);
        let (third, warnings) = start("third");
        assert_eq!(told(&warnings), [""; 0]);
        end(second);
        end(third);
    });
}

#[test]
fn descriptors_that_nobody_asked_for_are_closed() {
    use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};
    use std::io::IoSlice;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    let host = Host::new();
    host.with_server(|paths| {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let mut stream = UnixStream::connect(paths.control()).unwrap();
        // More than the server keeps of a client's.
        let descriptors = [writer.as_raw_fd(); 8];
        sendmsg::<UnixAddr>(
            stream.as_raw_fd(),
            &[IoSlice::new(b"{\n")],
            &[ControlMessage::ScmRights(&descriptors)],
            MsgFlags::empty(),
            None,
        )
        .unwrap();
        drop(writer);
        let _ = stream.read_to_end(&mut Vec::new());
        drop(stream);
        // The end of the pipe comes when no copy of the writer is left.
        let (ended, has_ended) = std::sync::mpsc::channel();
        std::thread::spawn(move || ended.send(reader.read_to_end(&mut Vec::new()).is_ok()));
        assert_eq!(has_ended.recv_timeout(Duration::from_secs(30)), Ok(true));
    });
}
