//! Mounts of the machine's, and file systems as a whole (F, E19 to E21).

use std::fs;

use nix::libc::{self, O_DIRECTORY, O_RDONLY};

use super::scene::{NAMESPACES, Scene, Script, Stage, WHOLE, bytes, does, file, fresh, is_whole};
use super::scene::{string, words32, words64};
use super::{Row, both, root, user};
use crate::support::raw::{self, call};

/// `FS_IOC_SHUTDOWN`, `FIFREEZE`, `FITHAW`, `FS_IOC_SETFSLABEL`, `FS_IOC_GETFSLABEL`.
const SHUTDOWN: u64 = 0x8004_587d;
const FREEZE: u64 = 0xc004_5877;
const THAW: u64 = 0xc004_5878;
const SET_LABEL: u64 = 0x4100_9432;
const GET_LABEL: u64 = 0x8100_9431;

/// The disk with ext4 on it.
const DISK: &str = "/mnt/ext4";

/// System calls that came after 5.0.
const OPEN_TREE: i64 = 428;
const MOVE_MOUNT: i64 = 429;
const FSOPEN: i64 = 430;
const FSCONFIG: i64 = 431;
const FSMOUNT: i64 = 432;
const FSPICK: i64 = 433;
const MOUNT_SETATTR: i64 = 442;

/// The lines of the machine's mounts that have this place in them.
fn mounts(place: &str) -> Vec<String> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    text.lines()
        .filter(|line| {
            line.split(' ')
                .nth(4)
                .is_some_and(|at| at.starts_with(place))
        })
        .map(str::to_owned)
        .collect()
}

fn unmount(place: &str) {
    let name = raw::c_string(place);
    for _ in 0..4 {
        let words = [name.as_ptr() as usize, libc::MNT_DETACH as usize];
        if call(libc::SYS_umount2, &words).is_err() {
            return;
        }
    }
}

/// A file system of somebody's, mounted at a place of the machine's. The attack is told the place
/// and another directory.
fn on_mount(stage: &Stage<'_>, script: impl FnOnce(&str, &str) -> Script) -> anyhow::Result<Scene> {
    let above = stage.directory()?;
    let (place, other) = (format!("{above}/mounted"), format!("{above}/other"));
    fs::create_dir(&place)?;
    fs::create_dir(&other)?;
    let name = raw::c_string(&place);
    let words = [
        c"theirs".as_ptr() as usize,
        name.as_ptr() as usize,
        c"tmpfs".as_ptr() as usize,
        0,
        c"size=1m".as_ptr() as usize,
    ];
    call(libc::SYS_mount, &words)?;
    fs::write(format!("{place}/file"), "theirs")?;
    let before = mounts(&above);
    let seen = above.clone();
    Ok(script(&place, &other)
        .scene()
        .shows(move || mounts(&seen) != before)
        .undo(move || {
            unmount(&format!("{above}/mounted/file"));
            unmount(&format!("{above}/mounted"));
            unmount(&format!("{above}/other"));
        }))
}

fn mount(source: &str, place: &str, kind: &str, flags: u64, options: &str) -> Script {
    does(
        libc::SYS_mount,
        &[
            &string(source),
            &string(place),
            &string(kind),
            &flags,
            &string(options),
        ],
    )
}

fn umount(place: &str, flags: i32) -> Script {
    does(libc::SYS_umount2, &[&string(place), &flags])
}

/// Puts the disk in order after a shutdown: taken off and mounted again.
fn mount_again() {
    unmount(DISK);
    let words = [
        c"/dev/nvme0n1".as_ptr() as usize,
        c"/mnt/ext4".as_ptr() as usize,
        c"ext4".as_ptr() as usize,
        0,
        0,
    ];
    let _ = call(libc::SYS_mount, &words);
}

fn can_write() -> bool {
    let path = format!("{DISK}/probe");
    fs::write(&path, "x").is_ok() && fs::remove_file(path).is_ok()
}

/// Thaws the disk; whether it was frozen. Writing to it would wait for ever.
fn thaw() -> bool {
    let Ok(descriptor) = raw::open(DISK, O_RDONLY | O_DIRECTORY) else {
        return false;
    };
    let thawed = call(libc::SYS_ioctl, &[descriptor, THAW as usize, 0]).is_ok();
    let _ = call(libc::SYS_close, &[descriptor]);
    thawed
}

fn label(request: u64, text: &mut [u8; 256]) {
    if let Ok(descriptor) = raw::open(DISK, O_RDONLY | O_DIRECTORY) {
        let words = [descriptor, request as usize, text.as_mut_ptr() as usize];
        let _ = call(libc::SYS_ioctl, &words);
        let _ = call(libc::SYS_close, &[descriptor]);
    }
}

/// In a user namespace as well: without one it takes a capability on the host.
fn own_namespace() -> Script {
    does(NAMESPACES, &[&(libc::CLONE_NEWNS | libc::CLONE_NEWUSER)]).then(
        libc::SYS_mount,
        &[
            &string("none"),
            &string("/"),
            &0,
            &(libc::MS_REC | libc::MS_PRIVATE),
            &0,
        ],
    )
}

/// A mount namespace of its own, in which it is root and mounts this.
fn own_mount(uid: u32, kind: &str, place: &str, options: &str) -> Script {
    let map = format!("0 {uid} 1");
    let set = |script: Script, name: &str, text: &str| {
        let path = format!("/proc/self/{name}");
        script.then(
            libc::SYS_write,
            &[&file(libc::O_WRONLY, path), &string(text), &text.len()],
        )
    };
    let script = does(NAMESPACES, &[&(libc::CLONE_NEWUSER | libc::CLONE_NEWNS)]);
    let script = set(script, "setgroups", "deny");
    let script = set(script, "uid_map", &map);
    set(script, "gid_map", &map)
        .then(
            libc::SYS_mount,
            &[
                &string("none"),
                &string("/"),
                &0,
                &(libc::MS_REC | libc::MS_PRIVATE),
                &0,
            ],
        )
        .then(
            libc::SYS_mount,
            &[
                &string("own"),
                &string(place),
                &string(kind),
                &0,
                &string(options),
            ],
        )
}

/// As containers do it: a tree that is there, with a layer of the session's own above it.
fn layered(stage: &mut Stage<'_>) -> anyhow::Result<Scene> {
    let lower = stage.directory()?;
    let path = format!("{lower}/file");
    fs::write(&path, WHOLE)?;
    std::os::unix::fs::chown(&path, Some(stage.uid), Some(stage.uid))?;
    let above = format!("{}/layers-{}", stage.workspace(), fresh());
    let (upper, work, there) = (
        format!("{above}/upper"),
        format!("{above}/work"),
        format!("{above}/there"),
    );
    for directory in [&above, &upper, &work, &there] {
        let made = stage
            .agent
            .attack("script", &[&libc::SYS_mkdir, &string(directory), &0o755])?;
        anyhow::ensure!(made.is_ok(), "{directory}: {made:?}");
    }
    let options = format!("lowerdir={lower},upperdir={upper},workdir={work},userxattr");
    Ok(own_mount(stage.uid, "overlay", &there, &options)
        .then(
            libc::SYS_truncate,
            &[&string(format_args!("{there}/file")), &1],
        )
        .then(libc::SYS_unlink, &[&string(format_args!("{there}/file"))])
        .scene()
        .shows(move || is_whole(&path)))
}

pub const ROWS: &[Row] = &[
    both("F1", "a file system in a namespace of its own", |s| {
        let place = s.directory()?;
        fs::create_dir(format!("{place}/there"))?;
        std::os::unix::fs::chown(format!("{place}/there"), Some(s.uid), Some(s.uid))?;
        let there = format!("{place}/there");
        let inside = format!("{there}/file");
        Ok(own_mount(s.uid, "tmpfs", &there, "size=1m")
            .then(
                libc::SYS_mkdir,
                &[&string(format_args!("{there}/etc")), &0o755],
            )
            .then(libc::SYS_mknod, &[&string(&inside), &0o100_644, &0])
            .then(libc::SYS_chmod, &[&string(&inside), &0o600])
            .then(libc::SYS_unlink, &[&string(&inside)])
            .scene())
    })
    .twin(),
    user("F1", "a layer of its own above what is there", layered)
        .from(6, 6)
        .with_modules()
        .twin(),
    root("F1", "umount", |s| on_mount(s, |place, _| umount(place, 0))),
    root("F1", "umount -l", |s| {
        on_mount(s, |place, _| umount(place, libc::MNT_DETACH))
    }),
    root("F1", "umount -f", |s| {
        on_mount(s, |place, _| umount(place, libc::MNT_FORCE))
    }),
    root("F2", "a mount over a directory", |s| {
        on_mount(s, |place, _| mount("mine", place, "tmpfs", 0, ""))
    }),
    root("F2", "a bind mount over a directory", |s| {
        on_mount(s, |place, other| mount(other, place, "", libc::MS_BIND, ""))
    }),
    root("F2", "a bind mount over a file", |s| {
        on_mount(s, |place, _| {
            let over = format!("{place}/file");
            mount("/etc/passwd", &over, "", libc::MS_BIND, "")
        })
    }),
    root("F2", "a mount elsewhere on the machine", |s| {
        on_mount(s, |_, other| mount("mine", other, "tmpfs", 0, ""))
    }),
    root("F2", "a mount moved away", |s| {
        on_mount(s, |place, other| mount(place, other, "", libc::MS_MOVE, ""))
    }),
    root("F3", "remounted for reading", |s| {
        let flags = libc::MS_REMOUNT | libc::MS_RDONLY;
        on_mount(s, |place, _| mount("", place, "", flags, ""))
    }),
    root("F3", "one mount of it for reading", |s| {
        let flags = libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY;
        on_mount(s, |place, _| mount("", place, "", flags, ""))
    }),
    root("F17", "remounted smaller", |s| {
        on_mount(s, |place, _| {
            mount("", place, "", libc::MS_REMOUNT, "size=512k")
        })
    }),
    root("F7", "propagation", |s| {
        on_mount(s, |place, _| mount("", place, "", libc::MS_SHARED, ""))
    }),
    root("F4", "mount_setattr", |s| {
        on_mount(s, |place, _| {
            does(
                MOUNT_SETATTR,
                &[
                    &libc::AT_FDCWD,
                    &string(place),
                    &0,
                    &words64(&[1, 0, 0, 0]),
                    &32,
                ],
            )
        })
    }),
    root("F5", "fsopen and move_mount", |s| {
        on_mount(s, |place, _| {
            does(FSOPEN, &[&string("tmpfs"), &0])
                .then(FSCONFIG, &[&"$1", &6, &0, &0, &0])
                .then(FSMOUNT, &[&"$1", &0, &0])
                .then(
                    MOVE_MOUNT,
                    &[&"$3", &string(""), &libc::AT_FDCWD, &string(place), &4],
                )
        })
    }),
    root("F5", "open_tree and move_mount", |s| {
        on_mount(s, |place, other| {
            does(OPEN_TREE, &[&libc::AT_FDCWD, &string(place), &1]).then(
                MOVE_MOUNT,
                &[&"$1", &string(""), &libc::AT_FDCWD, &string(other), &4],
            )
        })
    }),
    root("F5", "move_mount of what is mounted", |s| {
        on_mount(s, |place, other| {
            does(
                MOVE_MOUNT,
                &[
                    &libc::AT_FDCWD,
                    &string(place),
                    &libc::AT_FDCWD,
                    &string(other),
                    &0,
                ],
            )
        })
    }),
    root("F5", "fspick and a new configuration", |s| {
        on_mount(s, |place, _| {
            does(FSPICK, &[&libc::AT_FDCWD, &string(place), &0])
                .then(FSCONFIG, &[&"$1", &0, &string("ro"), &0, &0])
                .then(FSCONFIG, &[&"$1", &7, &0, &0, &0])
        })
    }),
    root("E19", "a file system shut down", |_| {
        Ok(does(
            libc::SYS_ioctl,
            &[
                &file(O_RDONLY | O_DIRECTORY, DISK),
                &SHUTDOWN,
                &words32(&[2]),
            ],
        )
        .scene()
        .shows(|| !can_write())
        .undo(mount_again))
    }),
    root("E20", "a file system frozen", |_| {
        Ok(does(
            libc::SYS_ioctl,
            &[&file(O_RDONLY | O_DIRECTORY, DISK), &FREEZE, &0],
        )
        .scene()
        .shows(thaw)
        .undo(|| {
            thaw();
        }))
    }),
    root("E21", "a file system's label", |_| {
        let mut text = [0; 256];
        text[..4].copy_from_slice(b"harm");
        Ok(does(
            libc::SYS_ioctl,
            &[
                &file(O_RDONLY | O_DIRECTORY, DISK),
                &SET_LABEL,
                &bytes(&text),
            ],
        )
        .scene()
        .shows(|| {
            let mut text = [0; 256];
            label(GET_LABEL, &mut text);
            text.starts_with(b"harm")
        })
        .undo(|| label(SET_LABEL, &mut [0; 256])))
    }),
    both("F2", "mounts in a namespace of its own", |s| {
        let place = s.directory()?;
        let seen = place.clone();
        Ok(own_namespace()
            .then(
                libc::SYS_mount,
                &[
                    &string("mine"),
                    &string(&place),
                    &string("tmpfs"),
                    &0,
                    &string(""),
                ],
            )
            .then(libc::SYS_umount2, &[&string(&place), &0])
            .scene()
            .shows(move || mounts(&seen).is_empty()))
    })
    .twin(),
];
