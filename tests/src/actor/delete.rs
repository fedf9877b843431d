//! Removing files and directories in every way that there is.

use std::fs;
use std::path::Path;

use nix::errno::Errno;
use nix::libc;

use super::{Attempt, Words, ring};
use crate::support::raw::{self, c_string, call};

/// `RENAME_EXCHANGE`.
const EXCHANGE: usize = 2;
const AT_FDCWD: usize = libc::AT_FDCWD as usize;
const AT_REMOVEDIR: usize = libc::AT_REMOVEDIR as usize;

pub fn attempt(name: &str, words: &Words<'_>) -> anyhow::Result<Option<Attempt>> {
    let path = || words.text(0);
    Ok(Some(match name {
        "unlink" => at(libc::SYS_unlink, path()?),
        "rmdir" => at(libc::SYS_rmdir, path()?),
        "unlinkat" => unlinkat(path()?, 0),
        "removeat" => unlinkat(path()?, AT_REMOVEDIR),
        "rename" => rename(path()?, words.text(1)?, 0),
        "exchange" => rename(path()?, words.text(1)?, EXCHANGE),
        "bind" => bind(path()?),
        "chroot" => chroot(path()?),
        "handle" => handle(path()?),
        "uring" => uring(path()?)?,
        "deep" => deep(path()?, words.word(1)?),
        "create" => raw::open(path()?, libc::O_CREAT | libc::O_WRONLY),
        "all-below" => Ok(all_below(Path::new(path()?))),
        _ => return Ok(None),
    }))
}

fn at(number: libc::c_long, path: &str) -> Attempt {
    let path = c_string(path);
    call(number, &[path.as_ptr() as usize])
}

/// Removes a name below a directory that is open.
fn unlinkat(path: &str, flags: usize) -> Attempt {
    let (parent, name) = path.rsplit_once('/').ok_or(Errno::EINVAL)?;
    let parent = raw::open(parent, libc::O_PATH | libc::O_DIRECTORY)?;
    let name = c_string(name);
    call(libc::SYS_unlinkat, &[parent, name.as_ptr() as usize, flags])
}

fn rename(from: &str, to: &str, flags: usize) -> Attempt {
    let (from, to) = (c_string(from), c_string(to));
    call(
        libc::SYS_renameat2,
        &[
            AT_FDCWD,
            from.as_ptr() as usize,
            AT_FDCWD,
            to.as_ptr() as usize,
            flags,
        ],
    )
}

/// Mounts the file's directory on `/mnt` in mount and user namespaces of its own, and removes
/// it there.
fn bind(path: &str) -> Attempt {
    let (parent, name) = path.rsplit_once('/').ok_or(Errno::EINVAL)?;
    super::identity::own_namespaces(libc::CLONE_NEWNS)?;
    let (none, root, here, there) = (
        c_string("none"),
        c_string("/"),
        c_string(parent),
        c_string("/mnt"),
    );
    let private = libc::MS_REC | libc::MS_PRIVATE;
    call(
        libc::SYS_mount,
        &[
            none.as_ptr() as usize,
            root.as_ptr() as usize,
            0,
            private as usize,
            0,
        ],
    )?;
    // What lies below came from another user namespace's mounts and must come along.
    let bind = libc::MS_BIND | libc::MS_REC;
    call(
        libc::SYS_mount,
        &[
            here.as_ptr() as usize,
            there.as_ptr() as usize,
            0,
            bind as usize,
            0,
        ],
    )?;
    at(libc::SYS_unlink, &format!("/mnt/{name}"))
}

/// Makes the file's directory the root, and removes it there.
fn chroot(path: &str) -> Attempt {
    let (parent, name) = path.rsplit_once('/').ok_or(Errno::EINVAL)?;
    at(libc::SYS_chroot, parent)?;
    at(libc::SYS_chdir, "/")?;
    at(libc::SYS_unlink, &format!("/{name}"))
}

/// Reaches the file's directory by its handle, with nothing of it in memory before.
fn handle(path: &str) -> Attempt {
    let (parent, name) = path.rsplit_once('/').ok_or(Errno::EINVAL)?;
    // struct file_handle { unsigned bytes; int type; unsigned char handle[]; }
    let mut handle = [0_u32; 34];
    handle[0] = 128;
    let mut mount = 0_i32;
    let (directory, name) = (c_string(parent), c_string(name));
    call(
        libc::SYS_name_to_handle_at,
        &[
            AT_FDCWD,
            directory.as_ptr() as usize,
            handle.as_mut_ptr() as usize,
            (&raw mut mount) as usize,
            0,
        ],
    )?;
    let _ = fs::write("/proc/sys/vm/drop_caches", "2");
    let (above, _) = parent.rsplit_once('/').ok_or(Errno::EINVAL)?;
    let place = raw::open(if above.is_empty() { "/" } else { above }, libc::O_RDONLY)?;
    let directory = call(
        libc::SYS_open_by_handle_at,
        &[
            place,
            handle.as_ptr() as usize,
            (libc::O_RDONLY | libc::O_DIRECTORY) as usize,
        ],
    )?;
    call(libc::SYS_unlinkat, &[directory, name.as_ptr() as usize, 0])
}

/// Makes so many directories in one another and removes the innermost.
fn deep(path: &str, levels: usize) -> Attempt {
    let name = c_string("d");
    let mut directory = raw::open(path, libc::O_RDONLY | libc::O_DIRECTORY)?;
    for _ in 1..levels {
        call(
            libc::SYS_mkdirat,
            &[directory, name.as_ptr() as usize, 0o755],
        )?;
        let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
        let next = call(
            libc::SYS_openat,
            &[directory, name.as_ptr() as usize, flags as usize, 0],
        )?;
        call(libc::SYS_close, &[directory])?;
        directory = next;
    }
    call(
        libc::SYS_mkdirat,
        &[directory, name.as_ptr() as usize, 0o755],
    )?;
    call(
        libc::SYS_unlinkat,
        &[directory, name.as_ptr() as usize, AT_REMOVEDIR],
    )
}

/// Tries to remove everything below a directory. How many files there were that could not be.
fn all_below(path: &Path) -> usize {
    let mut left = 0;
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            left += all_below(&path);
            left += usize::from(fs::remove_dir(&path).is_err());
        } else {
            left += usize::from(fs::remove_file(&path).is_err());
        }
    }
    left
}

/// Has a ring remove the file (`IORING_OP_UNLINKAT`, 5.11). The value is 0 when it did.
fn uring(path: &str) -> anyhow::Result<Attempt> {
    const OP_UNLINKAT: u8 = 36;
    let path = c_string(path);
    ring::once(OP_UNLINKAT, &[AT_FDCWD, 0, path.as_ptr() as usize])
}
