//! What a session can ask at its own socket, and what it can't do there.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Instant;

use super::*;
use crate::events::receipts::Asked;
use crate::server::protocol::VERSION;
use crate::server::{inside_client, runtime};

/// The runtime directory of the one session that there is.
fn directory(paths: &Paths) -> PathBuf {
    let mut entries = fs::read_dir(paths.runtime()).unwrap();
    entries.next().expect("a session").unwrap().path()
}

/// Makes the calling process one of a session's.
fn join(host: &Path, name: &Name) {
    let cgroup = host.join("cgroup/guard").join(name.as_str());
    let procs = cgroup.join("cgroup.procs");
    let listed = fs::read_to_string(&procs).unwrap_or_default();
    fs::write(procs, format!("{listed}\n{}\n", std::process::id())).unwrap();
}

const LAST: Request = Request::Why {
    session: None,
    asked: Asked::Last,
};

#[test]
fn a_session_asks_for_its_own_receipts_and_nothing_else() {
    let host = Host::new();
    let base = host.base.path().to_owned();
    host.with_server(move |paths| {
        let session = start(&paths, "exit 0", Some("work"), &[]);
        let directory = directory(&paths);
        let text = runtime::receipts(&directory);
        eventually("the file is there", || text.exists());
        assert!(
            fs::read_to_string(&text)
                .unwrap()
                .contains("Nothing so far")
        );
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&text), 0o400);
        assert_eq!(mode(&runtime::socket(&directory)), 0o600);
        assert_eq!(mode(&paths.runtime()), 0o711);
        let outside = inside_client::ask(&directory, &LAST).unwrap_err();
        assert!(
            outside.message.contains("for the session alone"),
            "{outside}"
        );
        join(&base, &session.name);
        assert_eq!(
            inside_client::ask(&directory, &LAST),
            Ok(Response::Receipts(vec![]))
        );
        let mark =
            |call: &str| inside_client::ask(&directory, &Request::Mark { call: call.into() });
        assert_eq!(mark("call-1"), Ok(Response::Marked));
        assert!(mark("").is_err() && mark(&"x".repeat(200)).is_err());
        for other in [
            Request::Status,
            Request::Stop {
                session: session.name.clone(),
                grace: 0,
            },
            Request::Why {
                session: Some(session.name.clone()),
                asked: Asked::Every,
            },
        ] {
            let refused = inside_client::ask(&directory, &other).unwrap_err();
            assert!(refused.message.contains("nothing else"), "{refused}");
        }
        session.held.abandon();
    });
}

#[test]
fn a_session_that_says_nothing_or_too_much_is_hung_up_on_and_holds_nobody_up() {
    let host = Host::new();
    let base = host.base.path().to_owned();
    host.with_server(move |paths| {
        let session = start(&paths, "exit 0", Some("work"), &[]);
        let directory = directory(&paths);
        let connect_inside = || {
            let stream = UnixStream::connect(runtime::socket(&directory)).unwrap();
            stream
                .set_read_timeout(Some(Duration::from_secs(20)))
                .unwrap();
            stream
        };
        let silent: Vec<UnixStream> = (0..6).map(|_| connect_inside()).collect();
        let begin = Instant::now();
        assert_eq!(status(&paths).sessions.len(), 1);
        assert!(
            begin.elapsed() < Duration::from_secs(1),
            "{:?}",
            begin.elapsed()
        );
        for mut stream in silent {
            assert_eq!(stream.read(&mut [0]).unwrap(), 0, "it is hung up on");
        }
        let mut long = connect_inside();
        // It may hang up before all of it is said.
        let _ = long.write_all(&[b'x'; 8 << 10]);
        let mut answer = Vec::new();
        let _ = long.read_to_end(&mut answer);
        assert_eq!(answer, b"");
        join(&base, &session.name);
        let mut nonsense = connect_inside();
        nonsense
            .write_all(format!("{{\"v\":{VERSION},\"body\":7}}\n").as_bytes())
            .unwrap();
        nonsense.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.contains("can't be understood"), "{answer}");
        session.held.abandon();
    });
}

#[test]
fn a_runtime_directory_goes_with_its_session_and_stays_for_a_new_server() {
    let host = Host::new();
    let session = host.with_server(|paths| {
        let session = start(&paths, "sleep 60", Some("work"), &[]);
        (session, directory(&paths))
    });
    let (session, before) = session;
    host.with_server(move |paths| {
        assert_eq!(directory(&paths), before);
        let refused = inside_client::ask(&before, &LAST).unwrap_err();
        assert!(
            refused.message.contains("for the session alone"),
            "{refused}"
        );
        session.held.abandon();
        eventually("the directory goes", || !before.exists());
    });
}
