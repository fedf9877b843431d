//! Changing files that the session did not make (E, D13).

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;

use nix::libc::{self, O_APPEND, O_CREAT, O_DIRECTORY, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY};

use super::scene::{NAMESPACES, RING, STORE, Scene, Script, Stage, bytes, does, file, is_whole};
use super::scene::{open, string, words32, write};
use super::{Row, both, root};
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

/// An attack on what is in a file.
fn on_content(stage: &Stage<'_>, script: impl FnOnce(&str) -> Script) -> anyhow::Result<Scene> {
    let path = stage.file()?;
    Ok(script(&path).scene().shows(move || !is_whole(&path)))
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
fn private(flags: i32) -> Script {
    does(NAMESPACES, &[&(libc::CLONE_NEWNS | flags)]).then(
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
    let directory = Path::new(&path)
        .parent()
        .unwrap_or(Path::new("/"))
        .display()
        .to_string();
    let there = stage.directory()?;
    Ok(private(libc::CLONE_NEWUSER)
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
    let options = format!("lowerdir={above}/lower,upperdir={above}/upper,workdir={above}/work");
    Ok(private(0)
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

fn is_gone(path: &str) -> bool {
    !Path::new(path).exists()
}

pub const ROWS: &[Row] = &[
    both("E9", "truncate", |s| {
        on_content(s, |path| does(libc::SYS_truncate, &[&string(path), &0]))
    }),
    both("E9", "truncate to more", |s| {
        on_content(s, |path| {
            does(libc::SYS_truncate, &[&string(path), &99_999])
        })
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
    both("E10", "write", |s| {
        on_content(s, |path| write(path, "harm"))
    }),
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
                &[
                    &file(O_WRONLY, path),
                    &file(O_RDONLY, "/etc/passwd"),
                    &0,
                    &16,
                ],
            )
        })
    }),
    both("E10", "copy_file_range", |s| {
        let other = s.file()?;
        fs::write(&other, "something else")?;
        on_content(s, |path| {
            does(
                libc::SYS_copy_file_range,
                &[
                    &file(O_RDONLY, other),
                    &0,
                    &file(O_WRONLY, path),
                    &0,
                    &8,
                    &0,
                ],
            )
        })
    }),
    both("E11", "a mapping that is written", |s| {
        on_content(s, mapped)
    }),
    both("E12", "a hole", |s| {
        on_content(s, |path| fallocate(path, KEEP_SIZE | PUNCH_HOLE, 0, 4096))
    }),
    both("E12", "a range of zeroes", |s| {
        on_content(s, |path| fallocate(path, ZERO, 0, 4096))
    })
    .on(&["ext4", "xfs"]),
    both("E12", "a range taken out", |s| {
        on_content(s, |path| fallocate(path, COLLAPSE, 0, 4096))
    })
    .on(&["ext4", "xfs"]),
    both("E12", "a range put in", |s| {
        on_content(s, |path| fallocate(path, INSERT, 0, 4096))
    })
    .on(&["ext4", "xfs"]),
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
    root("E18", "a file by its handle", |s| handle(s)),
    both("E23", "an alias in a mount of its own", |s| alias(s)),
    root("E23", "an overlay over it", |s| overlay(s)).with_modules(),
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
            &[
                &string(&directory),
                &string(format_args!("{directory}.old")),
            ],
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
    .on(&["tmpfs"]),
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
        let workspace = s.workspace();
        let path = format!("{workspace}/given");
        fs::create_dir_all(&workspace)?;
        fs::write(&path, "before")?;
        chown(&workspace, Some(s.uid), Some(s.uid))?;
        chown(&path, Some(s.uid), Some(s.uid))?;
        Ok(write(&path, "behind")
            .then(libc::SYS_chmod, &[&string(&path), &0o600])
            .then(libc::SYS_truncate, &[&string(&path), &3])
            .scene()
            .shows(move || fs::read(&path).is_ok_and(|text| text == b"beh")))
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
            &[
                &0,
                &4096,
                &3,
                &libc::MAP_PRIVATE,
                &file(O_RDONLY, &path),
                &0,
            ],
        )
        .then(STORE, &[&"$3", &65])
        .then(
            libc::SYS_openat,
            &[
                &libc::AT_FDCWD,
                &string(s.place),
                &(O_RDONLY | O_DIRECTORY),
                &0,
            ],
        )
        .scene()
        .shows(move || is_whole(&path)))
    })
    .twin(),
];
