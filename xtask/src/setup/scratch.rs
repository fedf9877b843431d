//! The scratch disk: an empty ext4 file system for tests that want one. Every boot gets it as new.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::paths;
use crate::shell;

/// Its size; what is not used takes no room.
const SIZE: &str = "256M";

/// The disk, made when it is not there. Machines start side by side, so each caller makes it under
/// a name of its own and renames it: nobody sees half a disk.
pub fn ensure() -> anyhow::Result<PathBuf> {
    let disk = paths::cache().join("scratch.ext4");
    if !disk.exists() {
        let new = tempfile::Builder::new()
            .prefix("scratch.")
            // Whoever runs the virtual machine need not be who made its disk.
            .permissions(Permissions::from_mode(0o644))
            .tempfile_in(paths::cache())
            .context("failed to make a file for the scratch disk")?;
        shell::quietly(
            shell::command("mke2fs")
                .args(["-q", "-t", "ext4"])
                .arg(new.path())
                .arg(SIZE),
        )
        .context("failed to make the scratch disk")?;
        new.persist(&disk)
            .context("failed to name the scratch disk")?;
    }
    Ok(disk)
}
