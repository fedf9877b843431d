//! Debian packages on this machine, for the programs that the tasks start.

use std::path::Path;
use std::process::Command;

use anyhow::bail;

use crate::paths;
use crate::shell;

/// A thing that has to be there and the package that brings it.
#[derive(Debug, Clone, Copy)]
pub struct Need {
    /// A program's name, or a file's path.
    what: &'static str,
    /// Debian's name.
    package: &'static str,
}

const fn need(what: &'static str, package: &'static str) -> Need {
    Need { what, package }
}

/// What starting a virtual machine takes.
pub const MACHINE: &[Need] = &[
    need("qemu-system-x86_64", "qemu-system-x86"),
    need("mke2fs", "e2fsprogs"),
    need("mkfs.btrfs", "btrfs-progs"),
    need("mkfs.xfs", "xfsprogs"),
    need("dpkg-deb", "dpkg"),
    need("xz", "xz-utils"),
    need(
        "/usr/share/keyrings/debian-archive-keyring.gpg",
        "debian-archive-keyring",
    ),
];

/// What making the full image takes.
pub const IMAGE: &[Need] = &[need("debootstrap", "debootstrap")];

/// What opens the pages that guard makes, in the tests on this machine.
pub const BROWSER: &[Need] = &[need("chromium-headless-shell", "chromium-headless-shell")];

/// What building LLVM's fuzzer takes.
pub const FUZZER: &[Need] = &[need("g++", "g++")];

/// A compiler with its library source, where rustup has none.
pub const COMPILER: &[Need] = &[
    need("/usr/bin/rustc", "rustc-web"),
    need(
        "/usr/lib/rustlib/src/rust/library/core/Cargo.toml",
        "rust-web-src",
    ),
];

impl Need {
    fn is_met(self) -> bool {
        if self.what.starts_with('/') {
            Path::new(self.what).exists()
        } else {
            paths::program(self.what).is_some()
        }
    }
}

/// Installs the packages of those `needs` that are not met, or says what to type.
pub fn ensure(needs: &[Need]) -> anyhow::Result<()> {
    let missing: Vec<_> = needs.iter().filter(|need| !need.is_met()).collect();
    install(&missing)
}

/// Installs the newest packages of all `needs`, met or not, or says what to type.
pub fn ensure_newest(needs: &[Need]) -> anyhow::Result<()> {
    install(&needs.iter().collect::<Vec<_>>())
}

fn install(needs: &[&Need]) -> anyhow::Result<()> {
    if needs.is_empty() {
        return Ok(());
    }
    let packages: Vec<_> = needs.iter().map(|need| need.package).collect();
    let names = packages.join(" ");
    if paths::program("apt-get").is_none() {
        bail!(
            "these Debian packages, or what this distribution calls them, are needed and there is \
             no apt to bring them: {names}"
        );
    }
    if !is_root()? {
        bail!(
            "these packages are needed: {names}\nType: sudo apt-get update && \
             sudo apt-get install --no-install-recommends {names}"
        );
    }
    println!("setup: installing {names}");
    let apt = || {
        let mut command = shell::command("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").arg("-q");
        command
    };
    // Lists that are missing or stale name versions that are too old or no longer there. What
    // stands in those that cannot be fetched anew may do.
    let updated = shell::quietly(apt().arg("update"));
    let installed = shell::quietly(
        apt()
            .args(["install", "-y", "--no-install-recommends"])
            .args(&packages),
    );
    match (updated, installed) {
        (Err(error), Err(_)) => Err(error.context("Debian's package lists cannot be fetched")),
        (_, installed) => installed,
    }
}

/// A command line for `program` as root: through sudo, which may ask, where this is not root.
pub fn as_root(program: &str) -> anyhow::Result<Command> {
    if is_root()? {
        return Ok(shell::command(program));
    }
    if paths::program("sudo").is_none() {
        bail!("{program} has to run as root, and there is no sudo; run this task as root once");
    }
    let mut command = shell::command("sudo");
    command.args(["--", program]);
    Ok(command)
}

/// Whether this process may install packages.
fn is_root() -> anyhow::Result<bool> {
    Ok(shell::output(Command::new("id").arg("-u"))?.trim() == "0")
}
