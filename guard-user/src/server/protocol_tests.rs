//! Messages on their way, and what is refused of them.

use super::*;
use proptest::prelude::*;

fn start() -> Request {
    Request::Start(Start {
        name: Some(Name::new("a-1").unwrap()),
        stem: "a".into(),
        command: vec!["a".into(), "b c\n".into()],
        user: "ann".into(),
        uid: 1000,
        home: "/home/ann".into(),
        workspace: None,
        policies: vec!["/etc/guard/x.yaml".into()],
        audit: false,
    })
}

#[test]
fn messages_survive_the_way() {
    let line = encode(&start());
    assert_eq!(
        line.iter().position(|&byte| byte == b'\n'),
        Some(line.len() - 1)
    );
    assert_eq!(decode::<Request>(&line).unwrap(), start());
    let status = Response::Status(Box::default());
    assert_eq!(decode::<Response>(&encode(&status)).unwrap(), status);
}

#[test]
fn the_form_on_the_wire_is_this() {
    let status = format!("{{\"v\":{VERSION},\"body\":\"status\"}}\n");
    assert_eq!(encode(&Request::Status), status.as_bytes());
    let stop = Request::Stop {
        session: Name::new("a-1").unwrap(),
        grace: 5,
    };
    let expected = format!(r#"{{"v":{VERSION},"body":{{"stop":{{"session":"a-1","grace":5}}}}}}"#);
    assert_eq!(encode(&stop).trim_ascii_end(), expected.as_bytes());
}

#[test]
fn what_the_fuzzer_begins_with_can_be_asked_for() {
    let mut kinds = std::collections::BTreeSet::new();
    for text in include_str!("../../fuzz/control_socket.txt").lines() {
        let line = format!("{{\"v\":{VERSION},\"body\":{text}}}");
        let request = decode::<Request>(line.as_bytes()).unwrap_or_else(|error| {
            panic!("{text}: {error}");
        });
        kinds.insert(format!("{:?}", std::mem::discriminant(&request)));
    }
    assert_eq!(kinds.len(), 12, "each kind of request has a line");
}

#[test]
fn another_version_is_known_before_anything_else_is_read() {
    let line = br#"{"v":9,"body":{"dance":[]},"more":true}"#;
    assert_eq!(decode::<Request>(line), Err(Misunderstood::Version(9)));
    let text = Misunderstood::Version(9).to_string();
    assert!(text.contains("different versions"), "{text}");
}

#[test]
fn names_are_checked_on_the_way_in() {
    let line = format!(r#"{{"v":{VERSION},"body":{{"stop":{{"session":"../x","grace":0}}}}}}"#);
    assert!(matches!(
        decode::<Request>(line.as_bytes()),
        Err(Misunderstood::Malformed(_))
    ));
}

#[test]
fn a_line_without_end_is_refused() {
    let mut lines = Lines::default();
    let piece = vec![b'x'; MAX_LINE / 4];
    let results: Vec<_> = (0..5).map(|_| lines.push(&piece).is_ok()).collect();
    assert_eq!(results, [true, true, true, true, false]);
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_or_refused(line in any::<Vec<u8>>()) {
        let _ = decode::<Request>(&line);
    }

    #[test]
    fn lines_are_whole_however_they_arrive(cuts in prop::collection::vec(1_usize..20, 1..20)) {
        let sent: Vec<u8> = [encode(&start()), encode(&Request::Status)].concat();
        let mut lines = Lines::default();
        let mut rest = sent.as_slice();
        let mut got = Vec::new();
        for cut in cuts.iter().cycle() {
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            lines.push(piece).unwrap();
            while let Some(line) = lines.next_line() {
                got.push(decode::<Request>(&line).unwrap());
            }
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(got, vec![start(), Request::Status]);
    }
}
