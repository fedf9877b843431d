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
    let connection = testing::unix_connection(b"a/");
    assert_eq!(connection.bytes().len(), size_of::<SocketRecord>());
    let machine = testing::use_of(Facility::Time, 25);
    assert_eq!(machine.bytes().len(), size_of::<MachineRecord>());
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
                under_rule: false,
                signal: 9,
                facility: None,
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
            how: Some(How::Rename),
        }
    );
}

#[test]
fn the_way_in_which_a_file_was_meant_is_told_where_the_operation_leaves_it_open() {
    let how = |operation: Operation, flags| {
        let mut record = testing::deletion(9, b"a/");
        record.header.operation = operation as u8;
        record.header.flags = flags;
        record.header.detail = Facility::Devices as u8;
        match Record::decode(&record.bytes()) {
            Ok(Record::File { target, what, .. }) => {
                let facility = (operation == Operation::Machine).then_some(Facility::Devices);
                assert_eq!(
                    (what.operation, what.facility, what.signal),
                    (operation, facility, 0)
                );
                target.how
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(how(Operation::Delete, 0), Some(How::Unlink));
    assert_eq!(how(Operation::Delete, FLAG_RENAME), Some(How::Rename));
    assert_eq!(how(Operation::Overwrite, 0), Some(How::Write));
    assert_eq!(how(Operation::Overwrite, FLAG_LINK), Some(How::Link));
    assert_eq!(how(Operation::Mount, FLAG_DIRECTORY), Some(How::Mount));
    assert_eq!(how(Operation::Mount, FLAG_UNMOUNT), Some(How::Unmount));
    assert_eq!(how(Operation::Create, 0), None);
    assert_eq!(how(Operation::Create, FLAG_RENAME), Some(How::Rename));
    assert_eq!(how(Operation::Attributes, 0), None);
    assert_eq!(how(Operation::Machine, 0), None);
}

fn place(record: &SocketRecord) -> SocketTarget {
    match Record::decode(&record.bytes()) {
        Ok(Record::Socket { target, actor, .. }) => {
            assert_eq!(actor, record.actor);
            target
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn sockets_come_back_with_what_they_have() {
    let mut mapped = [0; 16];
    mapped[10..].copy_from_slice(&[0xff, 0xff, 127, 0, 0, 1]);
    for family in [2, 10] {
        let target = place(&testing::connection(family, mapped, 5432));
        let address = "127.0.0.1".parse().expect("good");
        assert_eq!(
            target,
            SocketTarget {
                family,
                socktype: 1,
                place: SocketPlace::Internet(address, 5432),
            }
        );
    }
    let unix = place(&testing::unix_connection(b"docker.sock/run/"));
    let path = FsPath {
        bytes: b"run/docker.sock".to_vec(),
        truncated: false,
    };
    assert_eq!(unix.place, SocketPlace::File(254 << 20, path));
    let mut named = testing::unix_connection(b"X0\xff/stale");
    named.header.flags = FLAG_ABSTRACT;
    assert_eq!(
        place(&named).place,
        SocketPlace::Abstract(b"X0\xff".to_vec())
    );
    assert_eq!(
        place(&testing::connection(40, [0; 16], 0)).place,
        SocketPlace::Unknown
    );
    assert_eq!(
        place(&testing::connection(1, [0; 16], 0)).place,
        SocketPlace::Unknown
    );
}

#[test]
fn the_machine_comes_back_with_what_there_is() {
    for &facility in Facility::EVERY {
        let mut record = testing::use_of(facility, 21);
        let decode = |record: &MachineRecord| match Record::decode(&record.bytes()) {
            Ok(Record::Machine { what, target, .. }) => {
                assert_eq!(what.facility, Some(facility));
                assert_eq!(target.facility, facility);
                (target.capability, target.number)
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(decode(&record), (Some(21), None));
        (record.capability, record.number) = (NO_NUMBER, 7);
        assert_eq!(decode(&record), (None, Some(7)));
    }
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
        with(|header| {
            header.operation = Operation::Machine as u8;
            header.detail = 0;
        }),
        "a record whose facility is 0, which means nothing"
    );
    for operation in [Operation::Limit, Operation::Connect] {
        let mut record = testing::deletion(9, b"a/");
        record.header.operation = operation as u8;
        let error = Record::decode(&record.bytes());
        assert_eq!(error, Err(RecordError::Mismatch(operation)));
    }
    let mut connection = testing::unix_connection(b"a/");
    connection.header.operation = Operation::Overwrite as u8;
    assert_eq!(
        Record::decode(&connection.bytes()),
        Err(RecordError::Mismatch(Operation::Overwrite))
    );
    let mut machine = testing::use_of(Facility::Time, 25);
    machine.header.operation = Operation::Connect as u8;
    assert_eq!(
        Record::decode(&machine.bytes()),
        Err(RecordError::Mismatch(Operation::Connect))
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
        kind in 1_u8..=6,
        operation in 0_u8..12,
        numbers in prop::array::uniform5(0_u8..70),
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
        numbers in any::<[u32; 5]>(), wide in any::<[u64; 3]>(), comm in any::<[u8; 16]>()
    ) {
        let target = Task {
            pid: numbers[0],
            tid: numbers[1],
            uid: numbers[2],
            parent: numbers[4],
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
