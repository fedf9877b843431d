//! Passing what others made for the session's own, and going around a refusal by what leads there
//! (A23, B3, B4, C3, E31 to E33, H8).

use std::fs;
use std::path::Path;

use anyhow::ensure;
use nix::libc::{self, O_APPEND, O_CREAT, O_DIRECTORY, O_RDONLY, O_WRONLY};

use super::scene::{NAMESPACES, Scene, Script, Stage, WHOLE, does, file, fresh, is_whole, open};
use super::scene::{string, words32, words64};
use super::{ON_DISK, Row, both, root};

/// Has the kernel drop what it knows of files: only what is on disk can be dropped.
fn drop_caches() -> anyhow::Result<()> {
    nix::unistd::sync();
    fs::write("/proc/sys/vm/drop_caches", "3")?;
    Ok(())
}

/// A file that is there, opened as if it were to be made; then what only its maker may do.
fn as_if_made(stage: &Stage<'_>, flags: i32) -> anyhow::Result<Scene> {
    let path = stage.file()?;
    drop_caches()?;
    Ok(open(&path, flags | O_CREAT)
        .then(libc::SYS_unlink, &[&string(&path)])
        .scene()
        .shows(move || !is_whole(&path)))
}

/// A place below which nobody may make anything, and which is not there yet.
const WAY: &str = "/usr/lib/udev";

/// Something that the session has made is put on the way to where nothing may be made.
fn on_the_way(
    stage: &Stage<'_>,
    script: impl FnOnce(&str, &str) -> Script,
) -> anyhow::Result<Scene> {
    fs::create_dir_all("/usr/lib")?;
    ensure!(!Path::new(WAY).exists(), "{WAY} is there");
    let prepared = format!("{}/prepared-{}", stage.workspace(), fresh());
    let left = prepared.clone();
    Ok(script(&prepared, WAY)
        .scene()
        .shows(|| fs::symlink_metadata(WAY).is_ok())
        .undo(move || {
            let _ = fs::remove_file(WAY);
            let _ = fs::remove_dir_all(WAY);
            let _ = fs::remove_dir_all(left);
        }))
}

/// Somebody else's file, put where a rule protects it, into a directory that the session made.
fn in_own_directory(stage: &mut Stage<'_>) -> anyhow::Result<Scene> {
    fs::create_dir_all("/usr/lib")?;
    let _ = fs::remove_dir_all(WAY);
    let made = stage
        .agent
        .attack("script", &[&libc::SYS_mkdir, &string(WAY), &0o755])?;
    ensure!(made.is_ok(), "{WAY} cannot be made: {made:?}");
    let path = format!("{WAY}/theirs");
    fs::write(&path, WHOLE)?;
    Ok(does(libc::SYS_truncate, &[&string(&path), &0])
        .scene()
        .shows(move || !is_whole(&path))
        .undo(|| {
            let _ = fs::remove_dir_all(WAY);
        }))
}

/// `capset(2)`: of the capabilities that it could use, this one is used.
fn raise(capability: u32) -> (String, String) {
    const VERSION_3: u32 = 0x2008_0522;
    let set = 1 << capability;
    (words32(&[VERSION_3, 0]), words32(&[set, set, 0, 0, 0, 0]))
}

/// A setting of the machine's as an ordinary user in a namespace, with root's hand on files.
fn sysrq() -> Scene {
    does(libc::SYS_setresuid, &[&-1, &1000, &-1])
        .then(libc::SYS_setfsuid, &[&0])
        .then(NAMESPACES, &[&libc::CLONE_NEWUSER])
        .then(
            libc::SYS_write,
            &[
                &file(O_WRONLY, "/proc/sysrq-trigger"),
                // Prints a list of the letters.
                &string("h"),
                &1,
            ],
        )
        .scene()
}

fn spared() -> Scene {
    const RESOURCE: u32 = 24;
    let (header, sets) = raise(RESOURCE);
    does(libc::SYS_setresuid, &[&-1, &1000, &-1])
        .then(libc::SYS_setfsuid, &[&0])
        .then(libc::SYS_capset, &[&header, &sets])
        .then(
            libc::SYS_write,
            &[
                &file(O_WRONLY, "/proc/self/oom_score_adj"),
                &string("-1000"),
                &5,
            ],
        )
        .scene()
}

/// Priority by a limit: within it the kernel asks for no capability.
fn by_limit(resource: u32, rest: impl FnOnce(Script) -> Script) -> Scene {
    rest(does(
        libc::SYS_prlimit64,
        &[&0, &resource, &words64(&[50, 50]), &0],
    ))
    .scene()
}

pub const ROWS: &[Row] = &[
    both(
        "E31",
        "open to read what is there as if it were made",
        |s| as_if_made(s, O_RDONLY),
    )
    .on(ON_DISK),
    both("E31", "append to what is there as if it were made", |s| {
        as_if_made(s, O_WRONLY | O_APPEND)
    })
    .on(ON_DISK),
    root("E32", "a directory moved onto the way to a place", |s| {
        on_the_way(s, |prepared, way| {
            does(libc::SYS_mkdir, &[&string(prepared), &0o755])
                .then(libc::SYS_rename, &[&string(prepared), &string(way)])
        })
    })
    .on(&["tmpfs"]),
    root("E32", "a link on the way to a place", |s| {
        on_the_way(s, |prepared, way| {
            does(libc::SYS_symlink, &[&string(prepared), &string(way)])
        })
    })
    .on(&["tmpfs"]),
    root("E32", "a link to a link on the way to a place", |s| {
        on_the_way(s, |prepared, way| {
            does(libc::SYS_symlink, &[&string("/tmp"), &string(prepared)]).then(
                libc::SYS_linkat,
                &[&-100, &string(prepared), &-100, &string(way), &0],
            )
        })
    })
    .on(&["tmpfs"]),
    root("E32", "a directory made there", |s| {
        on_the_way(s, |_, way| does(libc::SYS_mkdir, &[&string(way), &0o755]))
    })
    .on(&["tmpfs"])
    .twin(),
    root("E33", "what others put into a directory of its own", |s| {
        in_own_directory(s)
    })
    .on(&["tmpfs"]),
    root("A23", "sysrq, as another user in a namespace", |_| {
        Ok(sysrq())
    })
    .on(&["tmpfs"]),
    root("C3", "spared, as another user", |_| Ok(spared())).on(&["tmpfs"]),
    root("B4", "real-time priority by a limit", |_| {
        const RTPRIO: u32 = 14;
        let first = words32(&[1]);
        Ok(by_limit(RTPRIO, |script| {
            script.then(
                libc::SYS_sched_setscheduler,
                &[&0, &libc::SCHED_FIFO, &first],
            )
        }))
    })
    .on(&["tmpfs"]),
    root("B4", "priority by a limit", |_| {
        const NICE: u32 = 13;
        Ok(by_limit(NICE, |script| {
            script.then(libc::SYS_setpriority, &[&0, &0, &-10])
        }))
    })
    .on(&["tmpfs"]),
    both("B4", "a limit of its own, lowered", |_| {
        const NOFILE: u32 = 7;
        Ok(by_limit(NOFILE, |script| script))
    })
    .on(&["tmpfs"])
    .twin(),
    both("B20", "a delegation of a directory", |s| {
        const SET_DELEGATION: i32 = 1040;
        let directory = s.directory()?;
        // `struct delegation`: flags, F_RDLCK.
        Ok(does(
            libc::SYS_fcntl,
            &[
                &file(O_RDONLY | O_DIRECTORY, directory),
                &SET_DELEGATION,
                &words32(&[0, 0]),
            ],
        )
        .scene())
    })
    .on(&["tmpfs"])
    .from(7, 0),
];
