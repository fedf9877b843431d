//! Tests of the codec, with bytes of every kind.

use super::*;
use crate::events::testing::{self, Layout, leaf_first, task};
use proptest::prelude::*;

fn decoded_path(leaf_first: &[u8], flags: u8) -> FsPath {
    let mut record = testing::deletion(9, leaf_first);
    record.header.flags = flags;
    match Record::decode(&record.bytes()) {
        Ok(Record::File { target, .. }) => target.path,
        other => panic!("{other:?}"),
    }
}

#[test]
fn test_bytes_have_the_layouts_sizes() {
    let signal = testing::signal(task(1, b"init"), 9);
    assert_eq!(signal.bytes().len(), size_of::<ProcessRecord>());
    let deletion = testing::deletion(9, b"a/");
    assert_eq!(deletion.bytes().len(), size_of::<FileRecord>());
}

#[test]
fn an_operation_on_a_process_comes_back_whole() {
    let mut record = testing::signal(task(812, b"postgres"), 9);
    record.header.reason = Reason::Rule as u8;
    record.header.rule = 3;
    assert_eq!(
        Record::decode(&record.bytes()),
        Ok(Record::Process {
            what: What {
                operation: Operation::Signal,
                verdict: Verdict::Deny,
                reason: Reason::Rule,
                rule: 3,
                signal: 9,
                session: 1,
                policy: 1,
                time: 5_000_000_000,
            },
            actor: record.actor,
            target: record.target,
        })
    );
}

#[test]
fn an_operation_on_a_file_comes_back_whole() {
    let mut record = testing::deletion(9, b"a.jpg/Pictures/ann/home/");
    record.header.flags = FLAG_RENAME | FLAG_DIRECTORY;
    let Ok(Record::File { actor, target, .. }) = Record::decode(&record.bytes()) else {
        panic!("no file record");
    };
    assert_eq!(actor, record.actor);
    assert_eq!(
        target,
        FileTarget {
            inode: 9,
            device: 254 << 20,
            path: FsPath {
                bytes: b"home/ann/Pictures/a.jpg".to_vec(),
                truncated: false,
            },
            directory: true,
            rename: true,
        }
    );
}

#[test]
fn the_unused_end_of_a_path_may_be_missing() {
    let bytes = testing::deletion(9, b"a/b/").bytes();
    let end = offset_of!(FileRecord, path) + 4;
    assert!(Record::decode(&bytes[..end]).is_ok());
    assert_eq!(
        Record::decode(&bytes[..end - 1]),
        Err(RecordError::Short {
            length: end - 1,
            needed: end
        })
    );
}

#[test]
fn paths_are_turned_round() {
    assert_eq!(decoded_path(b"", 0).bytes, b"");
    assert_eq!(decoded_path(b"a/", 0).bytes, b"a");
    let cut = decoded_path(b"c/b/", FLAG_TRUNCATED);
    assert_eq!((cut.bytes.as_slice(), cut.truncated), (&b"b/c"[..], true));
}

#[test]
fn executables_and_ends_come_back() {
    let (path, length) = leaf_first(b"pkill/bin/usr/");
    let key = task(1, b"").executable;
    let record = ExecutableRecord {
        header: Header {
            kind: Kind::Executable as u8,
            ..Header::default()
        },
        executable: key,
        length,
        reserved: 0,
        path,
    };
    let bytes = record.bytes();
    assert_eq!(bytes.len(), size_of::<ExecutableRecord>());
    assert_eq!(
        Record::decode(&bytes),
        Ok(Record::Executable {
            key,
            path: FsPath {
                bytes: b"usr/bin/pkill".to_vec(),
                truncated: false
            }
        })
    );
    let ended = Header {
        kind: Kind::Ended as u8,
        session: 7,
        time: 11,
        ..Header::default()
    };
    assert_eq!(
        Record::decode(&ended.bytes()),
        Ok(Record::Ended {
            session: 7,
            time: 11
        })
    );
}

#[test]
fn what_does_not_fit_is_an_error_that_names_it() {
    let good = testing::signal(task(812, b"postgres"), 9);
    let with = |change: fn(&mut Header)| {
        let mut record = good;
        change(&mut record.header);
        Record::decode(&record.bytes())
            .expect_err("it does not fit")
            .to_string()
    };
    assert_eq!(
        with(|header| header.kind = 0),
        "a record whose kind is 0, which means nothing"
    );
    assert_eq!(
        with(|header| header.operation = 200),
        "a record whose operation is 200, which means nothing"
    );
    assert_eq!(
        with(|header| header.verdict = 3),
        "a record whose verdict is 3, which means nothing"
    );
    assert_eq!(
        with(|header| header.reason = 99),
        "a record whose reason is 99, which means nothing"
    );
    assert_eq!(
        with(|header| header.rule = 64),
        "a record whose rule is 64, which means nothing"
    );
    assert_eq!(
        with(|header| header.detail = 65),
        "a record whose signal is 65, which means nothing"
    );
    assert_eq!(
        with(|header| header.operation = Operation::Delete as u8),
        "a record of delete with a target of the wrong kind"
    );
    // A name that could not be read makes the path look longer than its buffer.
    let mut long = testing::deletion(9, b"a/");
    long.length = PATH_BUFFER as u32 + 1;
    assert!(Record::decode(&long.bytes()).is_ok());
    let bytes = good.bytes();
    assert_eq!(
        Record::decode(&bytes[..150]),
        Err(RecordError::Short {
            length: 150,
            needed: 152
        })
    );
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..1024)) {
        let _ = Record::decode(&bytes);
    }

    #[test]
    fn bytes_behind_a_good_beginning_never_panic(
        kind in 1_u8..=4,
        operation in 0_u8..5,
        numbers in prop::array::uniform5(0_u8..9),
        rest in prop::collection::vec(any::<u8>(), 0..1024),
    ) {
        let mut bytes = vec![kind, operation];
        bytes.extend(numbers);
        bytes.extend(rest);
        if let Ok(Record::File { target, .. }) = Record::decode(&bytes) {
            prop_assert!(!target.path.bytes.starts_with(b"/"));
            prop_assert!(!target.path.bytes.ends_with(b"/"));
        }
    }

    #[test]
    fn any_task_comes_back(
        numbers in any::<[u32; 4]>(), wide in any::<[u64; 3]>(), comm in any::<[u8; 16]>()
    ) {
        let target = Task {
            pid: numbers[0],
            tid: numbers[1],
            uid: numbers[2],
            reserved: 0,
            start: wide[0],
            executable: ExecutableKey { inode: wide[1], device: numbers[3], reserved: 0 },
            cgroup: wide[2],
            comm,
        };
        let record = testing::signal(target, 15);
        match Record::decode(&record.bytes()) {
            Ok(Record::Process { target: back, .. }) => prop_assert_eq!(back, target),
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn any_path_comes_back(names in prop::collection::vec("[^/\0]{1,20}", 0..12)) {
        let leaf_first: String = names.iter().rev().flat_map(|name| [name, "/"]).collect();
        prop_assume!(leaf_first.len() <= PATH_BUFFER);
        prop_assert_eq!(decoded_path(leaf_first.as_bytes(), 0).bytes, names.join("/").into_bytes());
    }
}
