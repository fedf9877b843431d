//! Changing files that the session did not make (E, D13, D14, G15, H8, H12).

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;

use nix::libc::{self, O_APPEND, O_CREAT, O_DIRECTORY, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY};

use super::scene::{NAMESPACES, RING, STORE, Scene, Script, Stage, bytes, does, file, is_whole};
use super::scene::{open, string, words32, words64, write};
use super::{Row, both, root, user};
use crate::support::raw::{self, call};

/// Operations of an `io_uring`.
const RING_OPENAT: u8 = 18;
const RING_RENAMEAT: u8 = 35;
const RING_LINKAT: u8 = 39;
/// `FALLOC_FL_…`
const KEEP_SIZE: i32 = 1;
const PUNCH_HOLE: i32 = 2;
const COLLAPSE: i32 = 8;
const ZERO: i32 = 16;
const INSERT: i32 = 32;
/// `FS_IOC_…`
const GETFLAGS: usize = 0x8008_6601;
const SETFLAGS: u64 = 0x4008_6602;
const SETXATTR: u64 = 0x401c_5820;
const IMMUTABLE: u32 = 0x10;
const NODUMP: u32 = 0x40;

/// An attack on what is in a file.
fn on_content(stage: &Stage<'_>, script: impl FnOnce(&str) -> Script) -> anyhow::Result<Scene> {
    let path = stage.file()?;
    Ok(script(&path).scene().shows(move || !is_whole(&path)))
}

/// What `stat` tells, and the names and lengths of extended attributes.
fn look(path: &str) -> Option<(u32, u32, i64, Vec<u8>)> {
    let metadata = fs::symlink_metadata(path).ok()?;
    let name = raw::c_string(path);
    let mut names = vec![0_u8; 1024];
    let words = [name.as_ptr() as usize, names.as_mut_ptr() as usize, 1024];
    let length = call(libc::SYS_listxattr, &words).unwrap_or(0);
    names.truncate(length);
    Some((metadata.mode(), metadata.uid(), metadata.mtime(), names))
}

/// An attack on what is said about a file.
fn on_attributes(stage: &Stage<'_>, script: impl FnOnce(&str) -> Script) -> anyhow::Result<Scene> {
    let path = stage.file()?;
    // An access list and attributes that could be removed.
    let before = look(&path);
    Ok(script(&path).scene().shows(move || look(&path) != before))
}

fn set_attribute(path: &str, name: &str, value: &[u8]) -> anyhow::Result<()> {
    let (path, name) = (raw::c_string(path), raw::c_string(name));
    let words = [
        path.as_ptr() as usize,
        name.as_ptr() as usize,
        value.as_ptr() as usize,
        value.len(),
        0,
    ];
    call(libc::SYS_setxattr, &words)?;
    Ok(())
}

/// An access list that gives user 1001 everything.
fn access_list() -> Vec<u8> {
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, rights, id) in [
        (1_u16, 6_u16, u32::MAX),
        (2, 7, 1001),
        (4, 4, u32::MAX),
        (16, 7, u32::MAX),
        (32, 4, u32::MAX),
    ] {
        list.extend(tag.to_le_bytes());
        list.extend(rights.to_le_bytes());
        list.extend(id.to_le_bytes());
    }
    list
}

const ACCESS_LIST: &str = "system.posix_acl_access";

fn setxattr(path: &str, name: &str, value: &[u8]) -> Script {
    does(
        libc::SYS_setxattr,
        &[
            &string(path),
            &string(name),
            &bytes(value),
            &value.len(),
            &0,
        ],
    )
}

/// The flags that `chattr` sets.
fn flags(path: &str) -> u32 {
    let mut flags = 0_u32;
    if let Ok(descriptor) = raw::open(path, O_RDONLY) {
        let words = [descriptor, GETFLAGS, (&raw mut flags) as usize];
        let _ = call(libc::SYS_ioctl, &words);
        let _ = call(libc::SYS_close, &[descriptor]);
    }
    flags
}

fn on_flags(stage: &Stage<'_>, script: impl FnOnce(&str) -> Script) -> anyhow::Result<Scene> {
    let path = stage.file()?;
    let (seen, undone) = (path.clone(), path.clone());
    let before = flags(&path);
    Ok(script(&path)
        .scene()
        .shows(move || flags(&seen) != before)
        .undo(move || {
            if let Ok(descriptor) = raw::open(&undone, O_RDONLY) {
                let words = [
                    descriptor,
                    SETFLAGS as usize,
                    (&raw const before) as usize,
                ];
                let _ = call(libc::SYS_ioctl, &words);
                let _ = call(libc::SYS_close, &[descriptor]);
            }
        }))
}

/// Maps a file so that what is stored there is written into it.
fn mapped(path: &str) -> Script {
    does(
        libc::SYS_mmap,
        &[
            &0,
            &4096,
            &(libc::PROT_READ | libc::PROT_WRITE),
            &libc::MAP_SHARED,
            &file(O_RDWR, path),
            &0,
        ],
    )
    .then(STORE, &[&"$1", &65])
}

fn fallocate(path: &str, mode: i32, offset: i32, length: i32) -> Script {
    does(
        libc::SYS_fallocate,
        &[&file(O_RDWR, path), &mode, &offset, &length],
    )
}

/// A private mount namespace.
fn private() -> Script {
    does(NAMESPACES, &[&libc::CLONE_NEWNS]).then(
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

/// The same file in a mount of the attacker's own.
fn alias(stage: &Stage<'_>) -> anyhow::Result<Scene> {
    let path = stage.file()?;
    let directory = Path::new(&path).parent().unwrap_or(Path::new("/")).display().to_string();
    let there = stage.directory()?;
    Ok(private()
        .then(
            libc::SYS_mount,
            &[
                &string(directory),
                &string(&there),
                &0,
                &(libc::MS_BIND | libc::MS_REC),
                &0,
            ],
        )
        .then(
            libc::SYS_truncate,
            &[&string(format_args!("{there}/file")), &0],
        )
        .scene()
        .shows(move || !is_whole(&path)))
}

/// The file's directory as the upper one of an overlay.
fn overlay(stage: &Stage<'_>) -> anyhow::Result<Scene> {
    let above = stage.directory()?;
    let path = format!("{above}/upper/file");
    for name in ["upper", "work", "lower", "there"] {
        fs::create_dir(format!("{above}/{name}"))?;
    }
    fs::write(&path, super::scene::WHOLE)?;
    let options =
        format!("lowerdir={above}/lower,upperdir={above}/upper,workdir={above}/work");
    Ok(private()
        .then(
            libc::SYS_mount,
            &[
                &string("overlay"),
                &string(format_args!("{above}/there")),
                &string("overlay"),
                &0,
                &string(options),
            ],
        )
        .then(
            libc::SYS_truncate,
            &[&string(format_args!("{above}/there/file")), &0],
        )
        .scene()
        .shows(move || !is_whole(&path)))
}

/// The file by its handle, with nothing of it in memory.
fn handle(stage: &Stage<'_>) -> anyhow::Result<Scene> {
    let path = stage.file()?;
    let name = raw::c_string(&path);
    let mut handle = [0_u32; 34];
    handle[0] = 128;
    let mut mount = 0_i32;
    let words = [
        libc::AT_FDCWD as usize,
        name.as_ptr() as usize,
        handle.as_mut_ptr() as usize,
        (&raw mut mount) as usize,
        0,
    ];
    call(libc::SYS_name_to_handle_at, &words)?;
    nix::unistd::sync();
    fs::write("/proc/sys/vm/drop_caches", "2")?;
    Ok(does(
        libc::SYS_open_by_handle_at,
        &[&file(O_RDONLY, stage.place), &words32(&handle), &O_RDWR],
    )
    .then(libc::SYS_ftruncate, &[&"$1", &0])
    .scene()
    .shows(move || !is_whole(&path)))
}

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

fn is_gone(path: &str) -> bool {
    !Path::new(path).exists()
}

pub const ROWS: &[Row] = &[
    both("E9", "truncate", |s| {
        on_content(s, |path| does(libc::SYS_truncate, &[&string(path), &0]))
    }),
    both("E9", "truncate to more", |s| {
        on_content(s, |path| does(libc::SYS_truncate, &[&string(path), &99_999]))
    }),
    both("E9", "ftruncate", |s| {
        on_content(s, |path| {
            does(libc::SYS_ftruncate, &[&file(O_RDWR, path), &0])
        })
    }),
    both("E9", "O_TRUNC", |s| {
        on_content(s, |path| open(path, O_WRONLY | O_TRUNC))
    }),
    both("E9", "O_TRUNC for reading", |s| {
        on_content(s, |path| open(path, O_RDONLY | O_TRUNC))
    }),
    both("E9", "creat", |s| {
        on_content(s, |path| does(libc::SYS_creat, &[&string(path), &0o600]))
    }),
    both("E10", "write", |s| on_content(s, |path| write(path, "harm"))),
    both("E10", "pwrite", |s| {
        on_content(s, |path| {
            does(
                libc::SYS_pwrite64,
                &[&file(O_RDWR, path), &string("harm"), &4, &4096],
            )
        })
    }),
    both("E10", "writev", |s| {
        on_content(s, |path| {
            does(
                libc::SYS_writev,
                &[&file(O_WRONLY, path), &"v:t:harm,4", &1],
            )
        })
    }),
    both("E10", "an appended line", |s| {
        on_content(s, |path| {
            does(
                libc::SYS_write,
                &[&file(O_WRONLY | O_APPEND, path), &string("harm"), &4],
            )
        })
    }),
    both("E10", "opened for writing and no more", |s| {
        Ok(open(s.file()?, O_WRONLY).scene())
    }),
    both("E10", "sendfile", |s| {
        on_content(s, |path| {
            does(
                libc::SYS_sendfile,
                &[&file(O_WRONLY, path), &file(O_RDONLY, "/etc/passwd"), &0, &16],
            )
        })
    }),
    both("E10", "copy_file_range", |s| {
        let other = s.file()?;
        fs::write(&other, "something else")?;
        on_content(s, |path| {
            does(
                libc::SYS_copy_file_range,
                &[&file(O_RDONLY, other), &0, &file(O_WRONLY, path), &0, &8, &0],
            )
        })
    }),
    both("E11", "a mapping that is written", |s| on_content(s, mapped)),
    both("E12", "a hole", |s| {
        on_content(s, |path| fallocate(path, KEEP_SIZE | PUNCH_HOLE, 0, 4096))
    }),
    both("E12", "a range of zeroes", |s| {
        on_content(s, |path| fallocate(path, ZERO, 0, 4096))
    })
    .only_on("ext4"),
    both("E12", "a range taken out", |s| {
        on_content(s, |path| fallocate(path, COLLAPSE, 0, 4096))
    })
    .only_on("ext4"),
    both("E12", "a range put in", |s| {
        on_content(s, |path| fallocate(path, INSERT, 0, 4096))
    })
    .only_on("ext4"),
    both("E12", "room behind the end", |s| {
        on_content(s, |path| fallocate(path, 0, 0, 65_536))
    }),
    both("E30", "io_uring: opened with O_TRUNC", |s| {
        on_content(s, |path| {
            does(
                RING,
                &[
                    &RING_OPENAT,
                    &libc::AT_FDCWD,
                    &0,
                    &string(path),
                    &0,
                    &(O_WRONLY | O_TRUNC),
                ],
            )
        })
    }),
    both("E30", "io_uring: renamed", |s| {
        on_content(s, |path| {
            let to = string(format_args!("{path}.gone"));
            does(
                RING,
                &[
                    &RING_RENAMEAT,
                    &libc::AT_FDCWD,
                    &to,
                    &string(path),
                    &libc::AT_FDCWD,
                    &0,
                ],
            )
        })
    }),
    both("E30", "io_uring: linked", |s| {
        let path = s.file()?;
        let to = format!("{path}.link");
        let link = does(
            RING,
            &[
                &RING_LINKAT,
                &libc::AT_FDCWD,
                &string(&to),
                &string(path),
                &libc::AT_FDCWD,
                &0,
            ],
        );
        Ok(link.scene().shows(move || !is_gone(&to)))
    }),
    both("E8", "a hard link", |s| {
        let path = s.file()?;
        let to = format!("{path}.link");
        let link = does(libc::SYS_link, &[&string(path), &string(&to)]);
        Ok(link.scene().shows(move || !is_gone(&to)))
    }),
    both("E8", "a hard link that is written", |s| {
        on_content(s, |path| {
            let to = format!("{path}.link");
            does(libc::SYS_link, &[&string(path), &string(&to)])
                .then(libc::SYS_truncate, &[&string(to), &0])
        })
    }),
    both("E15", "chattr", |s| {
        on_flags(s, |path| {
            does(
                libc::SYS_ioctl,
                &[&file(O_RDONLY, path), &SETFLAGS, &words32(&[NODUMP, 0])],
            )
        })
    }),
    root("E15", "chattr +i", |s| {
        on_flags(s, |path| {
            does(
                libc::SYS_ioctl,
                &[&file(O_RDONLY, path), &SETFLAGS, &words32(&[IMMUTABLE, 0])],
            )
        })
    }),
    both("E15", "FS_IOC_FSSETXATTR", |s| {
        on_flags(s, |path| {
            // struct fsxattr: FS_XFLAG_NODUMP.
            let set = words32(&[0x80, 0, 0, 0, 0, 0, 0]);
            does(libc::SYS_ioctl, &[&file(O_RDONLY, path), &SETXATTR, &set])
        })
    })
    .only_on("ext4"),
    both("E15", "file_setattr", |s| {
        const FILE_SETATTR: i64 = 469;
        on_flags(s, |path| {
            let set = words64(&[0x80, 0, 0]);
            does(
                FILE_SETATTR,
                &[&libc::AT_FDCWD, &string(path), &set, &24, &0],
            )
        })
    })
    .from(6, 17)
    .only_on("ext4"),
    both("E16", "chmod", |s| {
        on_attributes(s, |path| does(libc::SYS_chmod, &[&string(path), &0]))
    }),
    both("E16", "fchmod", |s| {
        on_attributes(s, |path| {
            does(libc::SYS_fchmod, &[&file(O_RDONLY, path), &0])
        })
    }),
    both("E16", "fchmodat2", |s| {
        const FCHMODAT2: i64 = 452;
        on_attributes(s, |path| {
            does(FCHMODAT2, &[&libc::AT_FDCWD, &string(path), &0, &0])
        })
    })
    .from(6, 6),
    root("E16", "chown", |s| {
        on_attributes(s, |path| {
            does(libc::SYS_chown, &[&string(path), &1001, &1001])
        })
    }),
    root("E16", "fchownat", |s| {
        on_attributes(s, |path| {
            does(
                libc::SYS_fchownat,
                &[&libc::AT_FDCWD, &string(path), &1001, &1001, &0],
            )
        })
    }),
    both("E16", "utimensat", |s| {
        on_attributes(s, |path| {
            let times = words64(&[1000, 0, 1000, 0]);
            does(
                libc::SYS_utimensat,
                &[&libc::AT_FDCWD, &string(path), &times, &0],
            )
        })
    }),
    both("E16", "the directory's mode", |s| {
        let directory = s.directory()?;
        let seen = directory.clone();
        let before = look(&directory);
        Ok(does(libc::SYS_chmod, &[&string(directory), &0])
            .scene()
            .shows(move || look(&seen) != before))
    }),
    both("E17", "setxattr", |s| {
        on_attributes(s, |path| setxattr(path, "user.harm", b"x"))
    })
    .only_on("ext4"),
    both("E17", "removexattr", |s| {
        let path = s.file()?;
        set_attribute(&path, "user.kept", b"x")?;
        let before = look(&path);
        Ok(
            does(libc::SYS_removexattr, &[&string(&path), &string("user.kept")])
                .scene()
                .shows(move || look(&path) != before),
        )
    })
    .only_on("ext4"),
    both("E17", "an access list", |s| {
        on_attributes(s, |path| setxattr(path, ACCESS_LIST, &access_list()))
    }),
    both("E17", "an access list removed", |s| {
        let path = s.file()?;
        set_attribute(&path, ACCESS_LIST, &access_list())?;
        let before = look(&path);
        Ok(
            does(libc::SYS_removexattr, &[&string(&path), &string(ACCESS_LIST)])
                .scene()
                .shows(move || look(&path) != before),
        )
    }),
    root("E17", "a trusted attribute", |s| {
        on_attributes(s, |path| setxattr(path, "trusted.harm", b"x"))
    }),
    root("E17", "a program's capabilities", |s| {
        on_attributes(s, |path| {
            let mut capabilities = [0_u8; 20];
            capabilities[3] = 2;
            setxattr(path, "security.capability", &capabilities)
        })
    }),
    root("E18", "a file by its handle", |s| handle(s)),
    both("E23", "an alias in a mount of its own", |s| alias(s)),
    root("E23", "an overlay over it", |s| overlay(s)),
    both("E4", "replaced by a rename", |s| {
        let new = s.file()?;
        fs::write(&new, "new")?;
        on_content(s, |path| {
            does(libc::SYS_rename, &[&string(new), &string(path)])
        })
    }),
    both("E5", "exchanged", |s| {
        let new = s.file()?;
        fs::write(&new, "new")?;
        on_content(s, |path| {
            does(
                libc::SYS_renameat2,
                &[
                    &libc::AT_FDCWD,
                    &string(new),
                    &libc::AT_FDCWD,
                    &string(path),
                    &2,
                ],
            )
        })
    }),
    both("E22", "a directory replaced by a link", |s| {
        let directory = s.directory()?;
        let seen = directory.clone();
        Ok(does(
            libc::SYS_rename,
            &[&string(&directory), &string(format_args!("{directory}.old"))],
        )
        .then(libc::SYS_symlink, &[&string("/tmp"), &string(&directory)])
        .scene()
        .shows(move || fs::symlink_metadata(&seen).is_ok_and(|m| m.is_symlink())))
    }),
    root("D13", "a program that others run", |_| {
        // Opened only: what it holds is needed. busybox itself would be busy.
        let path = "/etc/passwd";
        Ok(open(path, O_RDWR).scene())
    })
    .only_on("tmpfs"),
    root("D14", "/etc/ld.so.preload", |s| planted(s, "/etc/ld.so.preload")).only_on("tmpfs"),
    root("H8", "a file for cron", |s| planted(s, "/etc/cron.d/harm")).only_on("tmpfs"),
    root("H8", "a crontab", |s| {
        planted(s, "/var/spool/cron/crontabs/root")
    })
    .only_on("tmpfs"),
    root("H8", "a unit of systemd", |s| {
        planted(s, "/etc/systemd/system/harm.service")
    })
    .only_on("tmpfs"),
    root("E27", "a rule for cleaning up", |s| {
        planted(s, "/etc/tmpfiles.d/harm.conf")
    })
    .only_on("tmpfs"),
    root("G15", "a file of the boot loader", |s| {
        planted(s, "/boot/harm.img")
    })
    .only_on("tmpfs"),
    root("H12", "root's authorized_keys", |s| {
        planted(s, "/root/.ssh/authorized_keys")
    })
    .only_on("tmpfs"),
    user("H12", "the user's authorized_keys", |s| {
        planted(s, "/home/agent/.ssh/authorized_keys")
    })
    .only_on("tmpfs"),
    user("H12", "the user's .bashrc", |s| {
        planted(s, "/home/agent/.bashrc")
    })
    .only_on("tmpfs"),
    user("H8", "a user's unit of systemd", |s| {
        planted(s, "/home/agent/.config/systemd/user/harm.service")
    })
    .only_on("tmpfs"),
    user("H8", "what is started at log-in", |s| {
        planted(s, "/home/agent/.config/autostart/harm.desktop")
    })
    .only_on("tmpfs"),
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
    .only_on("tmpfs"),
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
    .only_on("tmpfs"),
    root("E7", "a file moved to where programs are started from", |s| {
        let from = s.file()?;
        let path = "/etc/cron.d/moved";
        prepare(s, path)?;
        Ok(does(libc::SYS_rename, &[&string(from), &string(path)])
            .scene()
            .shows(move || !is_gone(path))
            .undo(move || {
                let _ = fs::remove_file(path);
            }))
    })
    .only_on("tmpfs"),
    both("E29", "everything with a file of its own", |s| {
        let path = format!("{}/own", s.directory()?);
        let seen = path.clone();
        Ok(open(&path, O_CREAT | O_RDWR)
            .then(libc::SYS_write, &[&"$1", &string("mine"), &4])
            .then(libc::SYS_ftruncate, &[&"$1", &2])
            .then(libc::SYS_fchmod, &[&"$1", &0o640])
            .then(libc::SYS_truncate, &[&string(&path), &1])
            .then(
                libc::SYS_utimensat,
                &[&libc::AT_FDCWD, &string(&path), &0, &0],
            )
            .then(
                libc::SYS_link,
                &[&string(&path), &string(format_args!("{path}.link"))],
            )
            .then(
                libc::SYS_rename,
                &[&string(&path), &string(format_args!("{path}.new"))],
            )
            .then(libc::SYS_unlink, &[&string(format_args!("{path}.new"))])
            .then(libc::SYS_unlink, &[&string(format_args!("{path}.link"))])
            .scene()
            .shows(move || is_gone(&seen)))
    })
    .twin(),
    both("E29", "a mapping of its own file", |s| {
        let path = format!("{}/own", s.directory()?);
        let seen = path.clone();
        Ok(open(&path, O_CREAT | O_RDWR)
            .then(libc::SYS_ftruncate, &[&"$1", &4096])
            .then(libc::SYS_mmap, &[&0, &4096, &3, &1, &"$1", &0])
            .then(STORE, &[&"$3", &65])
            .scene()
            .shows(move || fs::read(&seen).is_ok_and(|bytes| bytes.first() == Some(&65))))
    })
    .twin(),
    both("E29", "a tree of its own", |s| {
        let path = format!("{}/own", s.directory()?);
        let seen = path.clone();
        Ok(does(libc::SYS_mkdir, &[&string(&path), &0o755])
            .then(
                libc::SYS_mkdir,
                &[&string(format_args!("{path}/deep")), &0o755],
            )
            .then(
                libc::SYS_symlink,
                &[&string("x"), &string(format_args!("{path}/deep/link"))],
            )
            .then(
                libc::SYS_rename,
                &[
                    &string(format_args!("{path}/deep")),
                    &string(format_args!("{path}/deeper")),
                ],
            )
            .then(
                libc::SYS_unlink,
                &[&string(format_args!("{path}/deeper/link"))],
            )
            .then(libc::SYS_rmdir, &[&string(format_args!("{path}/deeper"))])
            .then(libc::SYS_rmdir, &[&string(&path)])
            .scene()
            .shows(move || is_gone(&seen)))
    })
    .twin(),
    both("E10", "the user's file in the workspace", |s| {
        // Where the agent was put to work it may change what it finds.
        let path = "/srv/work-files/given";
        fs::create_dir_all("/srv/work-files")?;
        fs::write(path, "before")?;
        chown("/srv/work-files", Some(s.uid), Some(s.uid))?;
        chown(path, Some(s.uid), Some(s.uid))?;
        Ok(write(path, "behind")
            .then(libc::SYS_chmod, &[&string(path), &0o600])
            .then(libc::SYS_truncate, &[&string(path), &3])
            .scene()
            .shows(move || fs::read(path).is_ok_and(|text| text == b"beh")))
    })
    .twin(),
    both("E10", "reading what is not its own", |s| {
        let path = s.file()?;
        Ok(does(
            libc::SYS_read,
            &[&file(O_RDONLY, &path), &bytes(&[0; 16]), &16],
        )
        .then(
            libc::SYS_mmap,
            &[&0, &4096, &1, &libc::MAP_SHARED, &file(O_RDONLY, &path), &0],
        )
        .then(
            libc::SYS_mmap,
            &[&0, &4096, &3, &libc::MAP_PRIVATE, &file(O_RDONLY, &path), &0],
        )
        .then(STORE, &[&"$3", &65])
        .then(
            libc::SYS_openat,
            &[&libc::AT_FDCWD, &string(s.place), &(O_RDONLY | O_DIRECTORY), &0],
        )
        .scene()
        .shows(move || is_whole(&path)))
    })
    .twin(),
];
