//! The past and the present at their seam, and bursts.

use std::os::unix::net::UnixListener;

use super::*;
use crate::events::samples;
use crate::server::protocol::encode;

/// The refusals of the document with other ids and sessions.
fn refusal(session: &str, id: &str) -> Event {
    let mut event = samples::named("delete");
    event.session = Some(session.to_owned());
    id.clone_into(&mut event.id);
    event.time = Time::now();
    event
}

/// Appends to the log of a session.
fn log(paths: &Paths, session: &str, ids: &[&str]) {
    use std::io::Write as _;
    let name = format!("{session}-20261122T140000000Z.jsonl");
    let mut file = std::fs::File::options()
        .append(true)
        .create(true)
        .open(paths.log.join(name))
        .unwrap();
    for id in ids {
        writeln!(file, "{}", refusal(session, id).to_line()).unwrap();
    }
}

/// One server after another, each of which says where it begins and sends events, and what is
/// written to logs meanwhile: what is shown.
fn shown(config: &Config, servers: &[(&str, &[(&str, &str)])], wanted: usize) -> Vec<String> {
    let base = tempfile::tempdir().unwrap();
    let paths = Paths {
        run: base.path().join("run"),
        log: base.path().join("log"),
    };
    paths.make().unwrap();
    let listener = UnixListener::bind(paths.control()).unwrap();
    let servers: Vec<_> = servers
        .iter()
        .map(|(after, events)| {
            let events: Vec<_> = events
                .iter()
                .map(|(session, id)| refusal(session, id))
                .collect();
            ((*after).to_owned(), events)
        })
        .collect();
    let logs = paths.clone();
    let server = std::thread::spawn(move || {
        use std::io::{BufRead as _, BufReader, Write as _};
        log(&logs, "a", &["1", "2"]);
        log(&logs, "b", &["3", "6"]);
        for (turn, (after, events)) in servers.into_iter().enumerate() {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = String::new();
            BufReader::new(stream.try_clone().unwrap())
                .read_line(&mut request)
                .unwrap();
            assert!(request.contains("follow"), "{request}");
            let send = |stream: &mut std::os::unix::net::UnixStream, response: &Response| {
                // Whoever has seen enough is gone.
                let _ = stream.write_all(&encode(response));
            };
            send(&mut stream, &Response::Following { after });
            for event in events {
                let value = serde_json::from_str(&event.to_line()).unwrap();
                send(&mut stream, &Response::Event(value));
            }
            if turn == 0 {
                log(&logs, "a", &["7", "8"]);
            }
        }
    });
    let mut lines = Vec::new();
    config
        .show(&paths, |text| {
            lines.push(text.to_owned());
            Ok(lines.len() < wanted)
        })
        .unwrap();
    server.join().unwrap();
    lines
}

fn config(words: &[&str]) -> Config {
    use clap::Parser as _;
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }
    Line::parse_from(["tail"].iter().chain(words))
        .arguments
        .validate()
        .unwrap()
}

fn ids(lines: &[String]) -> Vec<String> {
    let id = |line: &String| Event::from_line(line.trim_end().as_bytes()).unwrap().id;
    lines.iter().map(id).collect()
}

#[test]
fn between_the_log_and_what_happens_nothing_is_missing_or_double() {
    let config = config(&["--json", "--since", "1h", "--follow"]);
    // The log of one session is ahead of that of the other: number 6 stands in it when it is read,
    // number 5 does not. The server sends both.
    let lines = shown(&config, &[("4", &[("a", "5"), ("b", "6")])], 5);
    assert_eq!(ids(&lines), ["1", "2", "3", "5", "6"]);
}

#[test]
fn a_new_server_goes_on_where_the_last_one_stopped() {
    let config = config(&["--json", "--since", "1h"]);
    let servers: [(&str, &[(&str, &str)]); 2] =
        [("4", &[("a", "5"), ("b", "6")]), ("9", &[("a", "99")])];
    // The first server died before it could send the last events of its log.
    let lines = shown(&config, &servers, 8);
    assert_eq!(ids(&lines), ["1", "2", "3", "5", "6", "7", "8", "99"]);
}

#[test]
fn without_a_past_it_begins_where_the_server_says() {
    let config = config(&["--json"]);
    let servers: [(&str, &[(&str, &str)]); 2] = [("4", &[]), ("9", &[("a", "99")])];
    let lines = shown(&config, &servers, 4);
    assert_eq!(ids(&lines), ["6", "7", "8", "99"]);
}

#[test]
fn the_log_alone_ends_and_sums_up() {
    let base = tempfile::tempdir().unwrap();
    let paths = Paths {
        run: base.path().join("run"),
        log: base.path().join("log"),
    };
    paths.make().unwrap();
    log(&paths, "a", &["000000001", "000000002", "000000003", "4"]);
    let all = |words: &[&str]| {
        let mut text = String::new();
        let config = config(words);
        config
            .show(&paths, |lines| {
                text.push_str(lines);
                Ok(true)
            })
            .unwrap();
        text
    };
    let folded = all(&["--no-follow"]);
    assert!(folded.contains("\n000000001 rule photos: photos exist once\n"));
    assert!(folded.contains(" deny delete  3 more by rm since "));
    assert!(folded.ends_with("\n4         rule photos\n"), "{folded}");
    assert_eq!(folded.lines().count(), 7, "{folded}");
    assert_eq!(all(&["--no-follow", "--every"]).lines().count(), 16);
    assert_eq!(all(&["--no-follow", "--json"]).lines().count(), 4);
    assert_eq!(all(&["--until", "1h", "--json"]), "");
    assert_eq!(
        all(&["--no-follow", "--group", "pictures", "--rule", "other"]),
        ""
    );
}
