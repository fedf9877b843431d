//! Tests of the log: what is written, and what happens when it can't be.

use super::*;
use crate::events::history::read_since;
use crate::events::samples;
use std::sync::{Arc, Mutex};

/// A disk that holds so many bytes, shared with the test.
#[derive(Clone, Default)]
struct Disk(Arc<Mutex<(Vec<u8>, usize)>>);

impl Disk {
    fn resize(&self, room: usize) {
        self.0.lock().expect("not poisoned").1 = room;
    }

    fn lines(&self) -> Vec<String> {
        let bytes = self.0.lock().expect("not poisoned").0.clone();
        let text = String::from_utf8(bytes).expect("UTF-8");
        text.split('\n').map(str::to_owned).collect()
    }
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut disk = self.0.lock().expect("not poisoned");
        let room = disk.1.saturating_sub(disk.0.len()).min(bytes.len());
        if room == 0 {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        disk.0.extend_from_slice(&bytes[..room]);
        Ok(room)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn log_on(disk: &Disk, limit: u64) -> Log<Disk> {
    let disk = disk.clone();
    Log::with(PathBuf::from("/logs/work.jsonl"), limit, move |_| {
        Ok(Opened {
            out: disk.clone(),
            size: 0,
            torn: false,
        })
    })
}

fn event() -> Event {
    samples::named("delete")
}

fn start() -> Time {
    Time::parse("2026-11-22T14:00:00Z").expect("a time")
}

#[test]
fn a_full_disk_is_said_once_and_the_loss_counted_when_it_is_over() {
    let disk = Disk::default();
    let line = event().to_line();
    disk.resize(line.len() + 1 + 10);
    let mut log = log_on(&disk, LIMIT);
    assert_eq!(log.append(&event()), None);
    assert_eq!(
        log.append(&event()),
        Some(Body::Notice(Notice {
            level: Level::Warning,
            message: "events are not written to /logs/work.jsonl: No space left on device (os \
                      error 28); enforcement goes on, and what is missing is counted"
                .into(),
        }))
    );
    assert_eq!(log.append(&event()), None);
    assert_eq!(log.append(&event()), None);
    assert_eq!(log.missing(), 3);
    disk.resize(1 << 20);
    let lost = Body::Lost(Loss {
        what: Lost::Log,
        operation: None,
        count: 3,
        because: "No space left on device (os error 28)".into(),
    });
    assert_eq!(log.append(&event()), Some(lost));
    assert_eq!(log.append(&event()), None);
    assert_eq!(
        disk.lines(),
        [&line, &line[..10], &line, &line, ""],
        "what was cut off stands on a line of its own"
    );
}

#[test]
fn a_line_that_is_cut_off_again_and_again_is_repaired() {
    let disk = Disk::default();
    let line = event().to_line();
    let mut log = log_on(&disk, LIMIT);
    // Room for one byte more each time: the newline that ends the torn line, then some.
    for room in 1..=30 {
        disk.resize(room);
        log.append(&event());
    }
    disk.resize(1 << 20);
    log.append(&event());
    let lines = disk.lines();
    let whole: Vec<_> = lines
        .iter()
        .filter(|line| Event::from_line(line.as_bytes()).is_ok())
        .collect();
    assert_eq!(whole, [&line]);
}

#[test]
fn what_is_missing_at_the_end_is_said_at_the_end() {
    let disk = Disk::default();
    let mut log = log_on(&disk, LIMIT);
    assert_eq!(log.close(), None);
    log.append(&event());
    log.append(&event());
    match log.close() {
        Some(Body::Lost(loss)) => assert_eq!((loss.what, loss.count), (Lost::Log, 2)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_limit_holds_verdicts_back_and_lets_the_end_through() {
    let disk = Disk::default();
    disk.resize(1 << 30);
    let mut log = log_on(&disk, 1 << 20);
    let line = event().to_line().len() as u64 + 1;
    let fit = (1 << 20) / line;
    let mut said = Vec::new();
    for _ in 0..fit + 5 {
        let mut answer = log.append(&event());
        // As the server does: what is said is an event, too.
        while let Some(body) = answer {
            let told = Event {
                body: body.clone(),
                ..event()
            };
            said.push(body);
            answer = log.append(&told);
        }
    }
    let [Body::Notice(notice)] = said.as_slice() else {
        panic!("{said:?}");
    };
    assert!(
        notice
            .message
            .contains("the log has reached its limit of 1 MiB"),
        "{}",
        notice.message
    );
    assert_eq!(log.missing(), 5);
    let end = samples::named("ended");
    assert!(matches!(log.append(&end), Some(Body::Lost(loss)) if loss.count == 5));
    assert!(disk.lines().contains(&end.to_line()));
}

#[test]
fn a_log_that_cannot_be_made_is_tried_again() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("missing").join("guard");
    let mut log = Log::create(&directory, "work", start());
    assert!(matches!(log.append(&event()), Some(Body::Notice(_))));
    std::fs::create_dir(home.path().join("missing")).expect("made");
    assert!(matches!(log.append(&event()), Some(Body::Lost(loss)) if loss.count == 1));
    let read: Vec<_> = read_since(log.path(), None).expect("a log").collect();
    assert_eq!(read, [event()]);
}

#[test]
fn files_are_for_root_alone() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("guard");
    let mut log = Log::create(&directory, "../w\u{f6}rk", start());
    assert_eq!(log.append(&event()), None);
    assert_eq!(
        log.path(),
        directory.join("_._w_rk-20261122T140000000Z.jsonl")
    );
    let mode = |path: &Path| std::fs::metadata(path).expect("it exists").mode() & 0o7777;
    assert_eq!(mode(&directory), 0o700);
    assert_eq!(mode(log.path()), 0o600);
    std::fs::set_permissions(&directory, Permissions::from_mode(0o755)).expect("ours");
    Log::create(&directory, "other", start()).append(&event());
    assert_eq!(mode(&directory), 0o700, "an open directory is closed");
}

#[test]
fn links_and_existing_files_are_not_written_to() {
    let home = tempfile::tempdir().expect("a directory");
    let victim = home.path().join("victim");
    std::fs::write(&victim, "precious").expect("written");
    let directory = home.path().join("guard");
    std::fs::create_dir(&directory).expect("made");
    let target = directory.join("work-20261122T140000000Z.jsonl");
    std::os::unix::fs::symlink(&victim, &target).expect("linked");
    for mut log in [
        Log::create(&directory, "work", start()),
        Log::reopen(target.clone()),
    ] {
        assert!(matches!(log.append(&event()), Some(Body::Notice(_))));
    }
    assert_eq!(std::fs::read(&victim).expect("there"), b"precious");
    std::fs::remove_file(&target).expect("removed");
    std::os::unix::fs::symlink(home.path(), home.path().join("link")).expect("linked");
    let mut log = Log::create(&home.path().join("link"), "work", start());
    let Some(Body::Notice(notice)) = log.append(&event()) else {
        panic!("a link is no directory");
    };
    assert!(
        notice.message.contains("is not a directory; move it out"),
        "{}",
        notice.message
    );
}

#[test]
fn a_new_server_goes_on_after_a_torn_line() {
    let home = tempfile::tempdir().expect("a directory");
    let mut first = Log::create(home.path(), "work", start());
    first.append(&event());
    let path = first.path().to_owned();
    drop(first);
    let mut file = File::options().append(true).open(&path).expect("there");
    file.write_all(b"{\"v\":1,\"time\":\"20").expect("written");
    let mut second = Log::reopen(path.clone());
    assert_eq!(second.append(&samples::named("ended")), None);
    let mut reader = read_since(&path, None).expect("a log");
    let read: Vec<_> = reader.by_ref().collect();
    assert_eq!(read, [event(), samples::named("ended")]);
    assert_eq!(reader.unreadable(), 1);
}
