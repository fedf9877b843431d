//! The full image: Debian with the programs that agents run and the servers that they must not
//! take down, as a disk for a virtual machine. Made by debootstrap and apt, kept until its recipe
//! changes.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::paths;
use crate::shell;

use super::apt::{self, Mirror};
use super::packages;

/// The release that is installed.
const SUITE: &str = "bookworm";

/// The size of the disk; what is not used takes no room.
const SIZE: &str = "3G";

/// What is in it beyond Debian's required packages.
const PACKAGES: &[&str] = &[
    // What agents look for processes with, and end them with.
    "procps",
    "psmisc",
    "lsof",
    "iproute2",
    "strace",
    "gdb-minimal",
    // What they work with.
    "git",
    "python3-minimal",
    "python3",
    "gcc",
    "libc6-dev",
    "make",
    "cmake",
    "python3-venv", // with pip's and setuptools' wheels, which a venv is filled from offline
    "nodejs",
    "npm",
    "cargo",
    "rustc",
    "tmux",
    "sqlite3",
    "rsync",
    "vim-tiny",   // how a real editor saves
    "bubblewrap", // containers of one's own
    "podman",
    "uidmap",
    "qemu-system-x86",         // a guest that only needs to live
    "libpython3.11-testsuite", // what conformance is told by
    "stress-ng",
    "busybox",
    // Started by a boot that wants it as its first process, with the services below.
    "systemd",
    "dbus",
    "libpam-systemd",
    // What they take down, and what a project has of its own.
    "postgresql",
    "redis-server",
    "nginx-light",
];

/// Installs what the arguments name, in the tree: apt itself knows what provides what under other
/// names, and debootstrap does not. No service is started, and nothing waits for a disk that is
/// made later.
const INSTALL: &str = r#"
set -e
export PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
mount -t proc proc /proc
trap 'umount /proc; rm /usr/sbin/policy-rc.d' EXIT
apt-get -q update
apt-get -q install -y --no-install-recommends -o Dpkg::Options::=--force-unsafe-io "$@"
"#;

/// What is done in the tree when the packages are in it: once, when the image is made.
const FINISH: &str = r"
set -e
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
useradd --create-home --uid 1000 --shell /bin/bash agent
useradd --create-home --uid 1001 --shell /bin/bash other
echo guest > /etc/hostname
systemd-machine-id-setup
echo '127.0.0.1 localhost guest' > /etc/hosts
rm -rf /var/cache/apt/archives/*.deb /var/lib/apt/lists/* /usr/share/doc/* /usr/share/locale/*
";

/// The disk, made when it is not there.
pub fn ensure(mirror: &Mirror) -> anyhow::Result<PathBuf> {
    let dir = paths::cache().join("images");
    let disk = dir.join(format!("debian-{:016x}.ext4", recipe()));
    if disk.exists() {
        return Ok(disk);
    }
    packages::ensure(packages::MACHINE)?;
    packages::ensure(packages::IMAGE)?;
    fs::create_dir_all(&dir)?;
    let tree = dir.join("tree");
    remove_tree(&tree)?;
    println!("setup: installing Debian {SUITE} into a disk image (two to three minutes, once)");
    shell::quietly(
        packages::as_root("debootstrap")?
            .arg("--variant=minbase")
            .arg(SUITE)
            .arg(&tree)
            .arg(apt::archive(mirror)?),
    )
    .context("failed to install Debian into a folder")?;
    shell::quietly(
        packages::as_root("chroot")?
            .arg(&tree)
            .args(["/bin/sh", "-c", INSTALL, "sh"])
            .args(PACKAGES),
    )
    .context("failed to install programs into Debian's folder")?;
    shell::quietly(
        packages::as_root("chroot")?
            .arg(&tree)
            .args(["/bin/sh", "-c", FINISH]),
    )
    .context("failed to finish Debian's installation")?;
    let new = paths::beside(&disk, "new");
    let _ = fs::remove_file(&new);
    shell::quietly(
        packages::as_root("mke2fs")?
            .args(["-q", "-t", "ext4", "-d"])
            .arg(&tree)
            .arg(&new)
            .arg(SIZE),
    )
    .context("failed to make the disk")?;
    remove_tree(&tree)?;
    // Whoever runs the virtual machine need not be who made its disk.
    shell::quietly(packages::as_root("chmod")?.arg("644").arg(&new))?;
    fs::rename(&new, &disk)?;
    // Those of earlier recipes. A machine that has one open keeps it.
    for entry in fs::read_dir(&dir)? {
        let file = entry?.path();
        if file != disk && file.extension().is_some_and(|kind| kind == "ext4") {
            fs::remove_file(file)?;
        }
    }
    Ok(disk)
}

/// Changes whenever what goes into the image does.
fn recipe() -> u64 {
    let mut hasher = DefaultHasher::new();
    (SUITE, SIZE, PACKAGES, INSTALL, FINISH).hash(&mut hasher);
    hasher.finish()
}

/// Removes a tree that an installation was made in; an interrupted one may have left file systems
/// mounted in it, and they must not be entered.
fn remove_tree(tree: &Path) -> anyhow::Result<()> {
    if !tree.exists() {
        return Ok(());
    }
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let mut inside: Vec<_> = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .filter(|place| Path::new(place).starts_with(tree))
        .collect();
    inside.sort_unstable();
    for place in inside.into_iter().rev() {
        shell::quietly(packages::as_root("umount")?.arg(place))?;
    }
    shell::quietly(
        packages::as_root("rm")?
            .args(["-rf", "--one-file-system"])
            .arg(tree),
    )
}
