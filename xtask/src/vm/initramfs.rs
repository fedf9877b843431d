//! The small image: an initramfs that is put together anew for each boot.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use cpio::newc::{Builder, ModeFileType, trailer};

use crate::shell;

/// Directories with their modes and owners.
const DIRECTORIES: &[(&str, u32, u32)] = &[
    ("dev", 0o755, 0),
    ("proc", 0o755, 0),
    ("sys", 0o755, 0),
    ("run", 0o755, 0),
    ("tmp", 0o1777, 0),
    ("var/lib", 0o755, 0),
    ("var/log", 0o755, 0),
    ("var/tmp", 0o1777, 0),
    ("root", 0o700, 0),
    ("mnt", 0o755, 0),
    ("home/agent", 0o755, 1000),
    ("usr/sbin", 0o755, 0),
];

const FILES: &[(&str, &str)] = &[
    (
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\n\
         daemon:x:1:1:daemon:/usr/sbin:/bin/false\n\
         agent:x:1000:1000:an ordinary user:/home/agent:/bin/sh\n\
         other:x:1001:1001:another user:/tmp:/bin/sh\n\
         nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
    ),
    (
        "etc/group",
        "root:x:0:\ndaemon:x:1:\ntty:x:5:\nagent:x:1000:\nother:x:1001:\nnogroup:x:65534:\n",
    ),
    ("etc/hosts", "127.0.0.1 localhost guest\n::1 localhost\n"),
    (
        "etc/nsswitch.conf",
        "passwd: files\ngroup: files\nhosts: files\n",
    ),
    (
        "etc/os-release",
        "ID=guard-guest\nPRETTY_NAME=\"Guard's test machine\"\n",
    ),
    ("etc/shells", "/bin/sh\n"),
];

/// An archive that is being made.
#[derive(Default)]
pub struct Initramfs {
    bytes: Vec<u8>,
    made: BTreeSet<String>,
    inode: u32,
}

impl Initramfs {
    /// One with users, directories and busybox under all of its names.
    pub fn with_base(busybox: &Path) -> anyhow::Result<Self> {
        let mut archive = Self::default();
        for (path, mode, owner) in DIRECTORIES {
            archive.directory(path, *mode, *owner)?;
        }
        for (path, text) in FILES {
            archive.file(path, 0o644, text.as_bytes())?;
        }
        archive.add(busybox, "bin/busybox")?;
        for applet in shell::output(Command::new(busybox).arg("--list"))?.lines() {
            archive.link(&format!("bin/{applet}"), "/bin/busybox")?;
        }
        Ok(archive)
    }

    /// Adds a file or a directory with all below it, owned by root, with its permissions.
    pub fn add(&mut self, from: &Path, to: &str) -> anyhow::Result<()> {
        let what = || format!("failed to read {}", from.display());
        let metadata = fs::metadata(from).with_context(what)?;
        let mode = metadata.permissions().mode() & 0o7777;
        if metadata.is_dir() {
            self.directory(to.trim_matches('/'), mode, 0)?;
            for entry in fs::read_dir(from).with_context(what)? {
                let entry = entry?;
                let name = entry.file_name();
                self.add(&entry.path(), &format!("{to}/{}", name.to_string_lossy()))?;
            }
            return Ok(());
        }
        self.file(to, mode, &fs::read(from).with_context(what)?)
    }

    /// Adds a file.
    pub fn file(&mut self, path: &str, mode: u32, bytes: &[u8]) -> anyhow::Result<()> {
        self.entry(path, ModeFileType::Regular, mode, 0, bytes)
    }

    /// Adds a symbolic link, unless something has that name.
    pub fn link(&mut self, path: &str, to: &str) -> anyhow::Result<()> {
        if self.made.contains(path) {
            return Ok(());
        }
        self.entry(path, ModeFileType::Symlink, 0o777, 0, to.as_bytes())
    }

    /// Writes the archive.
    pub fn write(mut self, to: &Path) -> anyhow::Result<()> {
        trailer(&mut self.bytes)?;
        fs::write(to, self.bytes).with_context(|| format!("failed to write {}", to.display()))
    }

    fn directory(&mut self, path: &str, mode: u32, owner: u32) -> anyhow::Result<()> {
        if self.made.contains(path) {
            return Ok(());
        }
        self.entry(path, ModeFileType::Directory, mode, owner, &[])
    }

    fn entry(
        &mut self,
        path: &str,
        kind: ModeFileType,
        mode: u32,
        owner: u32,
        bytes: &[u8],
    ) -> anyhow::Result<()> {
        let path = path.trim_matches('/');
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.directory(parent, 0o755, 0)?;
        }
        self.made.insert(path.to_owned());
        self.inode += 1;
        let mut writer = Builder::new(path)
            .ino(self.inode)
            .uid(owner)
            .gid(owner)
            .mode(mode)
            .set_mode_file_type(kind)
            .write(&mut self.bytes, u32::try_from(bytes.len())?);
        writer.write_all(bytes)?;
        writer.finish()?;
        Ok(())
    }
}
