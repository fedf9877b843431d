//! Devices: disks, consoles, memory (A19, F8 to F10, F16, G5, H11).

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, chown};
use std::path::Path;

use anyhow::Context as _;
use nix::libc::{self, O_RDONLY, O_RDWR, O_WRONLY};

use super::scene::{Scene, Stage, bytes, does, file, open, opening, string, write};
use super::{Row, both, root, user};
use crate::support::raw::{self, call};

/// A device of the machine's under another name, which belongs to the attacker's user.
fn node(stage: &Stage<'_>, device: &str, flags: i32) -> anyhow::Result<Scene> {
    let metadata = fs::metadata(device).with_context(|| device.to_owned())?;
    let kind = if metadata.file_type().is_block_device() {
        libc::S_IFBLK
    } else {
        libc::S_IFCHR
    };
    let path = format!("{}/node", stage.directory()?);
    let name = raw::c_string(&path);
    let words = [
        name.as_ptr() as usize,
        (kind | 0o600) as usize,
        metadata.rdev() as usize,
    ];
    call(libc::SYS_mknod, &words)?;
    chown(&path, Some(stage.uid), Some(stage.uid))?;
    Ok(open(path, flags).scene())
}

/// Making a device.
fn mknod(stage: &Stage<'_>, kind: u32, number: u32) -> anyhow::Result<Scene> {
    let path = format!("{}/node", stage.directory()?);
    Ok(
        does(libc::SYS_mknod, &[&string(&path), &(kind | 0o600), &number])
            .scene()
            .shows(move || Path::new(&path).exists()),
    )
}

pub const ROWS: &[Row] = &[
    root("G5", "/dev/mem", |_| opening("/dev/mem", O_RDWR)),
    root("F8", "a disk opened for writing", |_| {
        opening("/dev/nvme0n1", O_WRONLY)
    }),
    root("F8", "a disk opened for reading", |_| {
        opening("/dev/nvme0n1", O_RDONLY)
    }),
    user("F8", "a disk that the user may open", |s| {
        node(s, "/dev/nvme0n1", O_RDWR)
    }),
    root("F9", "a node for a disk", |s| {
        mknod(s, libc::S_IFBLK, 0x10300)
    }),
    root("F9", "a node for the memory", |s| {
        mknod(s, libc::S_IFCHR, 0x101)
    }),
    both("F9", "a FIFO of its own", |s| mknod(s, libc::S_IFIFO, 0)).twin(),
    root("F9", "a disk by a node made before", |s| {
        node(s, "/dev/nvme0n1", O_RDWR)
    }),
    root("F10", "a disk's controller", |_| {
        opening("/dev/nvme0", O_RDWR)
    }),
    root("F10", "a disk's generic device", |_| {
        opening("/dev/ng0n1", O_RDWR)
    }),
    user("F10", "a disk's controller that the user may open", |s| {
        node(s, "/dev/nvme0", O_RDWR)
    }),
    root("F16", "the image of a sleeping machine", |_| {
        opening("/dev/snapshot", O_RDONLY)
    }),
    root("G5", "the machine's clock chip", |_| {
        opening("/dev/rtc0", O_RDONLY)
    }),
    both("G5", "a device that holds the processor awake", |s| {
        node(s, "/dev/cpu_dma_latency", O_WRONLY)
    }),
    root("H11", "the screen of a console", |_| {
        opening("/dev/vcsa1", O_RDWR)
    }),
    root("A19", "a terminal of the machine's", |_| {
        opening("/dev/tty1", O_RDWR | libc::O_NOCTTY)
    }),
    user("A19", "a terminal that the user may open", |s| {
        node(s, "/dev/tty1", O_RDWR | libc::O_NOCTTY)
    }),
    both("F10", "devices that only serve their caller", |_| {
        Ok(write("/dev/null", "x")
            .then(
                libc::SYS_read,
                &[&file(O_RDONLY, "/dev/zero"), &bytes(&[0; 8]), &8],
            )
            .then(
                libc::SYS_read,
                &[&file(O_RDONLY, "/dev/urandom"), &bytes(&[0; 8]), &8],
            )
            .then(
                libc::SYS_openat,
                &[&-100, &string("/dev/ptmx"), &(O_RDWR | libc::O_NOCTTY), &0],
            )
            .scene())
    })
    .twin(),
];
