//! A static busybox for the small image. It is unpacked here rather than installed, because the
//! package excludes the ordinary one.

use std::fs;
use std::path::PathBuf;

use crate::paths;

use super::apt::{Apt, Mirror};

/// The program.
pub fn program() -> PathBuf {
    paths::cache().join("busybox")
}

/// Fetches it when it is not there.
pub fn ensure(mirror: &Mirror) -> anyhow::Result<()> {
    let program = program();
    if !program.exists() {
        println!("setup: fetching busybox");
        let unpacked = paths::cache().join("busybox.new");
        Apt::open(mirror)?.unpack(&["busybox-static".to_owned()], &unpacked)?;
        let found = ["usr/bin/busybox", "bin/busybox"]
            .iter()
            .map(|path| unpacked.join(path))
            .find(|path| path.exists())
            .ok_or_else(|| anyhow::anyhow!("the package busybox-static has no busybox in it"))?;
        fs::rename(found, &program)?;
        fs::remove_dir_all(unpacked)?;
    }
    Ok(())
}
