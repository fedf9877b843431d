//! What file systems have commands of their own for: subvolumes, shared blocks, holes, inodes that
//! are exchanged (E3, E13, E14).

use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::chown;
use std::path::Path;

use nix::libc::{self, O_DIRECTORY, O_RDONLY, O_RDWR};

use super::scene::{Scene, Script, Stage, WHOLE, bytes, does, file, is_whole, string, words64};
use super::{Row, both, root};
use crate::support::raw::{self, call};

/// `BTRFS_IOC_SUBVOL_CREATE` and `SNAP_DESTROY`, of `struct btrfs_ioctl_vol_args`.
const SUBVOL_CREATE: u64 = 0x5000_940e;
const SNAP_DESTROY: u64 = 0x5000_940f;
/// `BTRFS_IOC_SNAP_DESTROY_V2`, of `struct btrfs_ioctl_vol_args_v2`, and its flag for a number
/// instead of a name.
const SNAP_DESTROY_V2: u64 = 0x5000_943f;
const BY_ID: u64 = 1 << 4;
/// `BTRFS_IOC_INO_LOOKUP`, which tells a subvolume's number.
const INO_LOOKUP: u64 = 0xd000_9412;
/// `BTRFS_IOC_SUBVOL_SETFLAGS`, and its flag.
const SUBVOL_SETFLAGS: u64 = 0x4008_941a;
const READ_ONLY: u64 = 2;
/// `FICLONE`, `FICLONERANGE`.
const CLONE: u64 = 0x4004_9409;
const CLONE_RANGE: u64 = 0x4020_940d;
/// `FS_IOC_UNRESVSP64`, `FS_IOC_ZERO_RANGE`.
const UNRESERVE: u64 = 0x4030_582b;
const ZERO_RANGE: u64 = 0x4030_5839;
/// `EXT4_IOC_SWAP_BOOT`.
const SWAP_BOOT: u64 = 0x6611;

/// The kinds that can have two files share blocks.
const SHARING: &[&str] = &["btrfs", "xfs"];
/// The kinds that lay files out in extents of blocks.
const EXTENTS: &[&str] = &["ext4", "xfs"];

/// A subvolume with a file in it.
fn subvolume(stage: &Stage<'_>) -> anyhow::Result<String> {
    let directory = stage.directory()?;
    command(&directory, SUBVOL_CREATE, &mut named("volume"))?;
    let path = format!("{directory}/volume");
    chown(&path, Some(stage.uid), Some(stage.uid))?;
    fs::write(format!("{path}/file"), WHOLE)?;
    Ok(path)
}

/// `struct btrfs_ioctl_vol_args`: a descriptor, a name of up to 4,087 bytes.
fn named(name: &str) -> Vec<u8> {
    let mut all = vec![0; 8];
    all.extend_from_slice(name.as_bytes());
    all.resize(4096, 0);
    all
}

/// `struct btrfs_ioctl_vol_args_v2`: descriptor, transaction, flags, four words, and a name or a
/// number.
fn named_v2(flags: u64, name: &[u8]) -> Vec<u8> {
    let mut all = vec![0; 16];
    all.extend_from_slice(&flags.to_le_bytes());
    all.resize(7 * 8, 0);
    all.extend_from_slice(name);
    all.resize(4096, 0);
    all
}

/// Sends a command to a file of the test's.
fn command(path: &str, number: u64, argument: &mut [u8]) -> anyhow::Result<()> {
    let file = File::open(path)?;
    let words = [
        file.as_raw_fd() as usize,
        number as usize,
        argument.as_mut_ptr() as usize,
    ];
    call(libc::SYS_ioctl, &words)?;
    Ok(())
}

/// The number of the subvolume that a directory is in.
fn number(path: &str) -> anyhow::Result<u64> {
    /// `BTRFS_FIRST_FREE_OBJECTID`.
    const FIRST: u64 = 256;
    let mut lookup = vec![0; 4096];
    lookup[8..16].copy_from_slice(&FIRST.to_le_bytes());
    command(path, INO_LOOKUP, &mut lookup)?;
    Ok(u64::from_le_bytes(lookup[..8].try_into()?))
}

/// Sends a command to a file.
fn sends(flags: i32, path: &str, number: u64, argument: &str) -> Script {
    does(
        libc::SYS_ioctl,
        &[&file(flags, path), &number, &argument.to_owned()],
    )
}

/// Sends a command to the directory that a subvolume is in.
fn on_subvolume(
    stage: &Stage<'_>,
    number: u64,
    argument: impl FnOnce(&str) -> anyhow::Result<Vec<u8>>,
) -> anyhow::Result<Scene> {
    let path = subvolume(stage)?;
    let argument = bytes(&argument(&path)?);
    let above = path.trim_end_matches("/volume");
    Ok(sends(O_RDONLY | O_DIRECTORY, above, number, &argument)
        .scene()
        .shows(move || !Path::new(&path).exists()))
}

/// A command to a file that changes what is in it.
fn on_content(
    stage: &Stage<'_>,
    script: impl FnOnce(&str) -> anyhow::Result<Script>,
) -> anyhow::Result<Scene> {
    let path = stage.file()?;
    nix::unistd::sync();
    Ok(script(&path)?.scene().shows(move || !is_whole(&path)))
}

/// A file of the user's with something else in it.
fn other(stage: &Stage<'_>) -> anyhow::Result<String> {
    let path = stage.file()?;
    fs::write(&path, [b'x'; WHOLE.len()])?;
    nix::unistd::sync();
    Ok(path)
}

/// `struct space_resv` for a range of a file, from its start.
fn range(length: u64) -> String {
    words64(&[0, 0, length, 0, 0, 0])
}

pub const ROWS: &[Row] = &[
    root("E3", "a subvolume by its name", |s| {
        on_subvolume(s, SNAP_DESTROY, |_| Ok(named("volume")))
    })
    .on(&["btrfs"]),
    root("E3", "a subvolume by its name, anew", |s| {
        on_subvolume(s, SNAP_DESTROY_V2, |_| Ok(named_v2(0, b"volume")))
    })
    .on(&["btrfs"]),
    root("E3", "a subvolume by its number", |s| {
        on_subvolume(s, SNAP_DESTROY_V2, |path| {
            Ok(named_v2(BY_ID, &number(path)?.to_le_bytes()))
        })
    })
    .on(&["btrfs"]),
    both("E3", "an empty subvolume as a directory", |s| {
        let path = subvolume(s)?;
        fs::remove_file(format!("{path}/file"))?;
        Ok(does(libc::SYS_rmdir, &[&string(&path)])
            .scene()
            .shows(move || !Path::new(&path).exists()))
    })
    .on(&["btrfs"]),
    both("E14", "a subvolume made read-only", |s| {
        let path = subvolume(s)?;
        let seen = format!("{path}/file");
        let undone = path.clone();
        Ok(sends(
            O_RDONLY | O_DIRECTORY,
            &path,
            SUBVOL_SETFLAGS,
            &words64(&[READ_ONLY]),
        )
        .scene()
        .shows(move || fs::write(&seen, WHOLE).is_err())
        .undo(move || {
            let _ = command(&undone, SUBVOL_SETFLAGS, &mut [0; 8]);
        }))
    })
    .on(&["btrfs"]),
    both("E13", "another file's blocks", |s| {
        let other = other(s)?;
        on_content(s, |path| {
            Ok(does(
                libc::SYS_ioctl,
                &[&file(O_RDWR, path), &CLONE, &file(O_RDONLY, other)],
            ))
        })
    })
    .on(SHARING),
    both("E13", "a range of another file's blocks", |s| {
        let other = other(s)?;
        on_content(s, |path| {
            Ok(does(
                libc::SYS_openat,
                &[&libc::AT_FDCWD, &string(other), &O_RDONLY],
            )
            // struct file_clone_range: from descriptor, from, length, to.
            .then(
                libc::SYS_ioctl,
                &[&file(O_RDWR, path), &CLONE_RANGE, &"v:$1,0,4096,4096"],
            ))
        })
    })
    .on(SHARING),
    both("E13", "blocks of its own file", |s| {
        let path = format!("{}/own", s.directory()?);
        let from = s.file()?;
        nix::unistd::sync();
        let seen = path.clone();
        Ok(does(
            libc::SYS_openat,
            &[
                &libc::AT_FDCWD,
                &string(&path),
                &(libc::O_CREAT | O_RDWR),
                &0o600,
            ],
        )
        .then(libc::SYS_ioctl, &[&"$1", &CLONE, &file(O_RDONLY, from)])
        .scene()
        .shows(move || is_whole(&seen)))
    })
    .on(SHARING)
    .twin(),
    both("E14", "a hole by a command", |s| {
        on_content(s, |path| Ok(sends(O_RDWR, path, UNRESERVE, &range(4096))))
    })
    .on(EXTENTS),
    both("E14", "zeroes by a command", |s| {
        on_content(s, |path| Ok(sends(O_RDWR, path, ZERO_RANGE, &range(4096))))
    })
    .on(EXTENTS),
    root("E14", "exchanged with the boot loader's inode", |s| {
        let path = s.file()?;
        nix::unistd::sync();
        let undone = path.clone();
        Ok(sends(O_RDWR, &path, SWAP_BOOT, "0")
            .scene()
            .shows(move || !is_whole(&path))
            .undo(move || {
                if !is_whole(&undone)
                    && let Ok(descriptor) = raw::open(&undone, O_RDWR)
                {
                    let _ = call(libc::SYS_ioctl, &[descriptor, SWAP_BOOT as usize, 0]);
                    let _ = call(libc::SYS_close, &[descriptor]);
                }
            }))
    })
    .on(&["ext4"]),
];
