//! Tests of names: executables, paths, users, cgroups.

use super::*;
use crate::events::event::How;
use crate::events::testing::{MadeUp, task};

const DISK: u32 = 254 << 20;

fn file(device: u32, path: &[u8], truncated: bool) -> FileTarget {
    FileTarget {
        inode: 9,
        device,
        path: FsPath {
            bytes: path.to_vec(),
            truncated,
        },
        directory: false,
        how: None,
    }
}

#[test]
fn a_file_is_shown_where_it_can_be_seen() {
    let mut resolver = Resolver::new(MadeUp::default());
    let now = Instant::now();
    let mut shown = |target: &FileTarget, connected| resolver.file(target, connected, now).path;
    assert_eq!(
        shown(&file(DISK, b"home/ann/a", false), true),
        "/home/ann/a"
    );
    assert_eq!(shown(&file(DISK, b"", false), true), "/");
    assert_eq!(shown(&file(DISK, b"deep/a", true), true), "…/deep/a");
    assert_eq!(shown(&file(DISK, b"a", false), false), "…/a");
    assert_eq!(
        shown(&file(8 << 20 | 1, b"data/a", false), true),
        "<dev 8:1>/data/a"
    );
}

#[test]
fn the_rest_of_a_file_is_told() {
    let mut resolver = Resolver::new(MadeUp::default());
    let mut target = file(8 << 20 | 0x12c, b"\xff", false);
    target.inode = 0;
    target.how = Some(How::Rename);
    target.directory = true;
    let file = resolver.file(&target, true, Instant::now());
    assert_eq!(file.device, "8:300");
    assert_eq!(
        (file.inode, file.how, file.directory),
        (None, Some(How::Rename), true)
    );
    assert_eq!(file.path, "<dev 8:300>/\u{fffd}");
    assert_eq!(file.raw["path"], "3c64657620383a3330303e2fff");
}

#[test]
fn an_unknown_device_has_the_mount_table_read_again_but_not_for_each_file() {
    let mut resolver = Resolver::new(MadeUp {
        mounted: true,
        ..MadeUp::default()
    });
    let start = Instant::now();
    let usb = file(8 << 20 | 1, b"a", false);
    assert_eq!(resolver.file(&usb, true, start).path, "/mnt/a");
    assert_eq!(resolver.host.reread, 1);
    let unknown = file(9 << 20, b"a", false);
    for millisecond in 0..100 {
        let now = start + Duration::from_millis(millisecond);
        assert_eq!(resolver.file(&unknown, true, now).path, "<dev 9:0>/a");
    }
    assert_eq!(resolver.host.reread, 1);
    resolver.file(&unknown, true, start + Duration::from_millis(100));
    assert_eq!(resolver.host.reread, 2);
    resolver.file(&usb, true, start + Duration::from_millis(1099));
    assert_eq!(resolver.host.reread, 2);
    resolver.file(&usb, true, start + Duration::from_millis(1100));
    assert_eq!(resolver.host.reread, 3, "an old table may have changed");
}

#[test]
fn an_executable_comes_from_its_record_or_from_the_running_process() {
    let mut resolver = Resolver::new(MadeUp::default());
    let now = Instant::now();
    assert_eq!(resolver.process(&task(1, b"init"), now).exe, None);
    let running = resolver.process(&task(812, b"postgres"), now).exe;
    assert_eq!(
        running.as_deref(),
        Some("/usr/lib/postgresql/15/bin/postgres")
    );
    resolver.learn(
        task(1, b"").executable,
        FsPath {
            bytes: b"usr/lib/systemd/systemd".to_vec(),
            truncated: false,
        },
    );
    let learnt = resolver.process(&task(1, b"init"), now).exe;
    assert_eq!(learnt.as_deref(), Some("/usr/lib/systemd/systemd"));
    let mut kernel = task(2, b"kthreadd");
    kernel.executable.inode = 0;
    assert_eq!(resolver.process(&kernel, now).exe, None);
}

#[test]
fn a_process_has_a_name_a_user_and_a_cgroup() {
    let mut resolver = Resolver::new(MadeUp::default());
    let now = Instant::now();
    let process = resolver.process(&task(5, b"ba\xffd\0rest"), now);
    assert_eq!(process.comm, "ba\u{fffd}d");
    assert_eq!(process.raw["comm"], "6261ff64");
    assert_eq!(process.user.as_deref(), Some("ann"));
    assert_eq!(
        process.cgroup.as_deref(),
        Some("/system.slice/postgresql.service")
    );
    let mut stranger = task(6, b"sixteen-bytes-ok");
    stranger.uid = 4711;
    stranger.cgroup = 43;
    let process = resolver.process(&stranger, now);
    assert_eq!(process.comm, "sixteen-bytes-ok");
    assert_eq!((process.user, process.cgroup), (None, None));
}

#[test]
fn users_are_asked_for_once_in_a_while() {
    let mut resolver = Resolver::new(MadeUp::default());
    let start = Instant::now();
    let mut nobody = task(6, b"x");
    nobody.uid = 4711;
    for second in [0, 1, 599] {
        resolver.process(&nobody, start + Duration::from_secs(second));
    }
    assert_eq!(resolver.host.asked, 1, "absence is remembered too");
    resolver.process(&nobody, start + Duration::from_mins(10));
    assert_eq!(resolver.host.asked, 2);
}

#[test]
fn a_user_who_is_being_looked_up_is_asked_for_again_soon() {
    let mut resolver = Resolver::new(MadeUp::default());
    let start = Instant::now();
    let mut stranger = task(6, b"x");
    stranger.uid = 4000;
    for milliseconds in [0, 500, 999] {
        let now = start + Duration::from_millis(milliseconds);
        assert_eq!(resolver.process(&stranger, now).user, None);
    }
    assert_eq!(resolver.host.asked, 1);
    resolver.process(&stranger, start + Duration::from_secs(1));
    assert_eq!(resolver.host.asked, 2);
}

#[test]
fn a_records_time_is_counted_from_boot() {
    let mut resolver = Resolver::new(MadeUp::default());
    let time = resolver.time(5_250_900_000);
    assert_eq!(time.to_string(), "2026-11-22T14:00:05.250Z");
}

#[test]
fn sockets_are_shown_by_what_they_have() {
    let mut resolver = Resolver::new(MadeUp::default());
    let now = Instant::now();
    let mut shown = |family, place| {
        let target = SocketTarget {
            family,
            socktype: 1,
            place,
        };
        resolver.socket(&target, true, now)
    };
    let internet = shown(10, SocketPlace::Internet("::1".parse().expect("good"), 80));
    assert_eq!(
        (internet.family.as_str(), internet.socktype.as_str()),
        ("inet6", "stream")
    );
    assert_eq!(
        (internet.address.as_deref(), internet.port),
        (Some("::1"), Some(80))
    );
    let path = FsPath {
        bytes: b"run/x.sock".to_vec(),
        truncated: false,
    };
    let file = shown(1, SocketPlace::File(DISK, path));
    assert_eq!(file.path.as_deref(), Some("/run/x.sock"));
    let named = shown(1, SocketPlace::Abstract(b"x\xff".to_vec()));
    assert_eq!(named.r#abstract.as_deref(), Some("x\u{fffd}"));
    assert_eq!(named.raw["abstract"], "78ff");
    let other = shown(200, SocketPlace::Unknown);
    assert_eq!(other.family, "200");
    assert_eq!(
        (other.address, other.port, other.path, other.r#abstract),
        (None, None, None, None)
    );
}
