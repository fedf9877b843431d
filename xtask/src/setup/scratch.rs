//! The scratch disks: empty file systems of the kinds that tests want. Every boot gets them as new.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::paths;
use crate::shell;

/// A kind of file system, which is its disk's name too, its size in MiB (what is not used takes no
/// room), and what makes one.
const KINDS: [(&str, u64, &[&str]); 3] = [
    // So small that it gives out the numbers of inodes again.
    ("ext4", 256, &["mke2fs", "-q", "-t", "ext4"]),
    ("btrfs", 256, &["mkfs.btrfs", "-q"]),
    // It makes none of less than 300.
    ("xfs", 512, &["mkfs.xfs", "-q"]),
];

/// The disks with their kinds, made when they are not there.
pub fn ensure() -> anyhow::Result<Vec<(&'static str, PathBuf)>> {
    KINDS
        .iter()
        .map(|(kind, size, command)| Ok((*kind, disk(kind, size << 20, command)?)))
        .collect()
}

/// Machines start side by side, so each caller makes a disk under a name of its own and renames
/// it: nobody sees half a disk.
fn disk(kind: &str, size: u64, command: &[&str]) -> anyhow::Result<PathBuf> {
    let disk = paths::cache().join(format!("scratch.{kind}"));
    if !disk.exists() {
        let new = tempfile::Builder::new()
            .prefix("scratch.")
            // Whoever runs the virtual machine need not be who made its disk.
            .permissions(Permissions::from_mode(0o644))
            .tempfile_in(paths::cache())
            .context("failed to make a file for a scratch disk")?;
        new.as_file().set_len(size)?;
        shell::quietly(
            shell::command(command[0])
                .args(&command[1..])
                .arg(new.path()),
        )
        .with_context(|| format!("failed to make the scratch disk of {kind}"))?;
        new.persist(&disk)
            .context("failed to name a scratch disk")?;
    }
    Ok(disk)
}
