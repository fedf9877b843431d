//! Files in places from where things are started for others (D14, E7, E27, G15, H8, H12).

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;

use nix::libc::{self, O_CREAT, O_WRONLY};

use super::scene::{Scene, Stage, does, open, string};
use super::{Row, root, user};

/// A file where there was none, in a place from where something is run for others. Directories on
/// the way are there.
fn planted(stage: &Stage<'_>, path: &'static str) -> anyhow::Result<Scene> {
    prepare(stage, path)?;
    Ok(open(path, O_CREAT | O_WRONLY)
        .scene()
        .shows(move || fs::symlink_metadata(path).is_ok())
        .undo(move || {
            let _ = fs::remove_file(path);
        }))
}

fn prepare(stage: &Stage<'_>, path: &str) -> anyhow::Result<()> {
    let parent = Path::new(path).parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent)?;
    if path.starts_with("/home/agent/") {
        let mut place = Path::new("/home/agent").to_path_buf();
        for part in parent.strip_prefix("/home/agent")? {
            place.push(part);
            chown(&place, Some(stage.uid), Some(stage.uid))?;
        }
    }
    let _ = fs::remove_file(path);
    Ok(())
}

pub const ROWS: &[Row] = &[
    root("D14", "/etc/ld.so.preload", |s| {
        planted(s, "/etc/ld.so.preload")
    })
    .on(&["tmpfs"]),
    root("H8", "a file for cron", |s| planted(s, "/etc/cron.d/harm")).on(&["tmpfs"]),
    root("H8", "a crontab", |s| {
        planted(s, "/var/spool/cron/crontabs/root")
    })
    .on(&["tmpfs"]),
    root("H8", "a unit of systemd", |s| {
        planted(s, "/etc/systemd/system/harm.service")
    })
    .on(&["tmpfs"]),
    root("E27", "a rule for cleaning up", |s| {
        planted(s, "/etc/tmpfiles.d/harm.conf")
    })
    .on(&["tmpfs"]),
    root("G15", "a file of the boot loader", |s| {
        planted(s, "/boot/harm.img")
    })
    .on(&["tmpfs"]),
    root("H12", "root's authorized_keys", |s| {
        planted(s, "/root/.ssh/authorized_keys")
    })
    .on(&["tmpfs"]),
    user("H12", "the user's authorized_keys", |s| {
        planted(s, "/home/agent/.ssh/authorized_keys")
    })
    .on(&["tmpfs"]),
    user("H12", "the user's .bashrc", |s| {
        planted(s, "/home/agent/.bashrc")
    })
    .on(&["tmpfs"]),
    user("H8", "a user's unit of systemd", |s| {
        planted(s, "/home/agent/.config/systemd/user/harm.service")
    })
    .on(&["tmpfs"]),
    user("H8", "what is started at log-in", |s| {
        planted(s, "/home/agent/.config/autostart/harm.desktop")
    })
    .on(&["tmpfs"]),
    root("E7", "a link where programs are started from", |s| {
        let path = "/etc/cron.d/link";
        prepare(s, path)?;
        Ok(does(libc::SYS_symlink, &[&string("/tmp/x"), &string(path)])
            .scene()
            .shows(move || fs::symlink_metadata(path).is_ok())
            .undo(move || {
                let _ = fs::remove_file(path);
            }))
    })
    .on(&["tmpfs"]),
    root("E7", "a directory where configuration is", |s| {
        let path = "/etc/systemd/system/sshd.service.d";
        prepare(s, path)?;
        Ok(does(libc::SYS_mkdir, &[&string(path), &0o755])
            .scene()
            .shows(move || Path::new(path).exists())
            .undo(move || {
                let _ = fs::remove_dir(path);
            }))
    })
    .on(&["tmpfs"]),
    root(
        "E7",
        "a file moved to where programs are started from",
        |s| {
            let from = s.file()?;
            let path = "/etc/cron.d/moved";
            prepare(s, path)?;
            Ok(does(libc::SYS_rename, &[&string(from), &string(path)])
                .scene()
                .shows(move || Path::new(path).exists())
                .undo(move || {
                    let _ = fs::remove_file(path);
                }))
        },
    )
    .on(&["tmpfs"]),
];
