//! Kernel modules for the guest, with what they depend on, unpacked and in loading order.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::setup::kernels::Kernel;
use crate::shell;

/// What every guest loads where its kernel has it as a module: file systems that tests mount,
/// protocols that they speak, virtual networks.
pub const WANTED: &[&str] = &[
    "overlay",
    "virtio_pci",
    "virtio_blk",
    // The checksums of btrfs, which it asks for by name.
    "crc32c-cryptoapi",
    "btrfs",
    "xfs",
    "sctp",
    "tun",
];

/// A module's name and its bytes.
pub type Module = (String, Vec<u8>);

/// The modules `wanted` of a kernel and theirs, each after the ones that it needs. A name that
/// the kernel has no file for is built in or not to be had, which the test that wants it sees.
pub fn closure(kernel: &Kernel, wanted: &[&str]) -> anyhow::Result<Vec<Module>> {
    let mut files = BTreeMap::new();
    if let Some(dir) = kernel.modules() {
        index(&dir, &mut files)?;
    }
    let mut loaded = Vec::new();
    for name in wanted {
        visit(name, &files, &mut loaded)?;
    }
    Ok(loaded)
}

fn index(dir: &Path, files: &mut BTreeMap<String, PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("failed to read {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            index(&path, files)?;
        } else if let Some(name) = path.file_name().and_then(|name| name.to_str())
            && let Some((stem, _)) = name.split_once(".ko")
        {
            files.insert(stem.replace('-', "_"), path);
        }
    }
    Ok(())
}

fn visit(
    name: &str,
    files: &BTreeMap<String, PathBuf>,
    loaded: &mut Vec<Module>,
) -> anyhow::Result<()> {
    let name = name.replace('-', "_");
    let Some(file) = files.get(&name) else {
        return Ok(());
    };
    if loaded.iter().any(|(known, _)| *known == name) {
        return Ok(());
    }
    let bytes = read(file)?;
    for needed in depends(&bytes) {
        visit(&needed, files, loaded)?;
    }
    loaded.push((name, bytes));
    Ok(())
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    if file.extension().is_some_and(|kind| kind == "xz") {
        let output = shell::command("xz").arg("-dc").arg(file).output()?;
        anyhow::ensure!(
            output.status.success(),
            "xz cannot unpack {}",
            file.display()
        );
        return Ok(output.stdout);
    }
    Ok(fs::read(file)?)
}

/// The module's own list, a string of its `.modinfo`: `depends=a,b`.
fn depends(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(start) = module.windows(KEY.len()).position(|bytes| bytes == KEY) else {
        return Vec::new();
    };
    let list = &module[start + KEY.len()..];
    let end = list.iter().position(|byte| *byte == 0).unwrap_or(0);
    String::from_utf8_lossy(&list[..end])
        .split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::depends;

    #[test]
    fn dependencies_are_read_from_the_module() {
        assert_eq!(
            depends(b"x\0license=GPL\0depends=a,b\0name=c\0"),
            ["a", "b"]
        );
        assert!(depends(b"x\0depends=\0name=c\0").is_empty());
        assert!(depends(b"x\0name=c\0").is_empty());
    }
}
