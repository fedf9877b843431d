//! What is said about files that the session did not make: mode, owner, flags, attributes (E15 to
//! E17).

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use nix::libc::{self, O_RDONLY};

use super::scene::{Scene, Script, Stage, bytes, does, file, string, words32, words64};
use super::{ON_DISK, Row, both, root};
use crate::support::raw::{self, call};

/// `FS_IOC_…`
const GETFLAGS: usize = 0x8008_6601;
const SETFLAGS: u64 = 0x4008_6602;
const SETXATTR: u64 = 0x401c_5820;
const IMMUTABLE: u32 = 0x10;
const NODUMP: u32 = 0x40;

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
                let words = [descriptor, SETFLAGS as usize, (&raw const before) as usize];
                let _ = call(libc::SYS_ioctl, &words);
                let _ = call(libc::SYS_close, &[descriptor]);
            }
        }))
}

/// Sets one flag more, as `chattr` does: ext4 takes one that is left out for a wish to lay the file
/// out anew, which depends on where its blocks are.
fn also(path: &str, flag: u32) -> Script {
    let all = words32(&[flags(path) | flag, 0]);
    does(libc::SYS_ioctl, &[&file(O_RDONLY, path), &SETFLAGS, &all])
}

pub const ROWS: &[Row] = &[
    both("E15", "chattr", |s| on_flags(s, |path| also(path, NODUMP))),
    root("E15", "chattr +i", |s| {
        on_flags(s, |path| also(path, IMMUTABLE))
    }),
    both("E15", "FS_IOC_FSSETXATTR", |s| {
        on_flags(s, |path| {
            // struct fsxattr: FS_XFLAG_NODUMP.
            let set = words32(&[0x80, 0, 0, 0, 0, 0, 0]);
            does(libc::SYS_ioctl, &[&file(O_RDONLY, path), &SETXATTR, &set])
        })
    })
    .on(ON_DISK),
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
    .on(ON_DISK),
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
    .on(ON_DISK),
    both("E17", "removexattr", |s| {
        let path = s.file()?;
        set_attribute(&path, "user.kept", b"x")?;
        let before = look(&path);
        Ok(does(
            libc::SYS_removexattr,
            &[&string(&path), &string("user.kept")],
        )
        .scene()
        .shows(move || look(&path) != before))
    })
    .on(ON_DISK),
    both("E17", "an access list", |s| {
        on_attributes(s, |path| setxattr(path, ACCESS_LIST, &access_list()))
    }),
    both("E17", "an access list removed", |s| {
        let path = s.file()?;
        set_attribute(&path, ACCESS_LIST, &access_list())?;
        let before = look(&path);
        Ok(does(
            libc::SYS_removexattr,
            &[&string(&path), &string(ACCESS_LIST)],
        )
        .scene()
        .shows(move || look(&path) != before))
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
];
