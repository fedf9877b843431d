//! What has to be there before anything can run: file systems, modules, the root, the network.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::kmod::{ModuleInitFlags, finit_module};
use nix::mount::{MsFlags, mount};
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};

use super::Job;
use crate::boot::Image;

/// Type, place, options.
type Mount = (&'static str, &'static str, &'static str);

/// What every root file system needs, moved or mounted anew after a change of root.
const EARLY: &[Mount] = &[
    ("proc", "/proc", ""),
    ("sysfs", "/sys", ""),
    ("devtmpfs", "/dev", "mode=755"),
];

const LATER: &[Mount] = &[
    ("devpts", "/dev/pts", "gid=5,mode=620,ptmxmode=666"),
    ("tmpfs", "/dev/shm", "mode=1777"),
    ("mqueue", "/dev/mqueue", ""),
    ("tmpfs", "/run", "mode=755"),
    ("tmpfs", "/tmp", "mode=1777"),
    ("cgroup2", "/sys/fs/cgroup", ""),
    ("bpf", "/sys/fs/bpf", "mode=700"),
    ("securityfs", "/sys/kernel/security", ""),
    ("tracefs", "/sys/kernel/tracing", ""),
    ("debugfs", "/sys/kernel/debug", ""),
];

/// The kinds of the scratch disks, which are their names; each is mounted below `/mnt`.
const SCRATCH: &[&str] = &["ext4", "btrfs", "xfs"];

/// The directory of the files that the full image gets from the initramfs.
const OVERLAY: &str = "/guard/overlay";

/// Enough to read the job and talk to the host.
pub fn early() -> anyhow::Result<()> {
    mount_all(EARLY)
}

/// The machine as its job wants it.
pub fn machine(job: &Job) -> anyhow::Result<()> {
    for module in &job.modules {
        let file = File::open(module).with_context(|| format!("failed to open {module}"))?;
        finit_module(&file, c"", ModuleInitFlags::empty())
            .with_context(|| format!("failed to load {module}"))?;
    }
    busybox(&["ip", "link", "set", "lo", "up"])?;
    if job.image != Image::Small {
        change_root()?;
    }
    if job.image == Image::Systemd {
        // It mounts what it wants, and starts what brings the rest.
        return Ok(());
    }
    mount_all(LATER)?;
    for (link, to) in [
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "/proc/self/fd/0"),
        ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"),
    ] {
        let _ = std::os::unix::fs::symlink(to, link);
    }
    nix::unistd::sethostname("guest")?;
    places()
}

/// What tests find on every machine: a place for their results, and the scratch disks.
pub fn places() -> anyhow::Result<()> {
    fs::create_dir_all("/run/guard-tests")?;
    SCRATCH.iter().try_for_each(|kind| scratch(kind))
}

/// Mounts a scratch disk, where the machine has one and the kernel knows its file system.
fn scratch(kind: &str) -> anyhow::Result<()> {
    let known = fs::read_to_string("/proc/filesystems")?;
    let is_known = known.lines().any(|line| line.trim() == kind);
    if is_known && let Some(disk) = disk(kind)?.or_else(|| virtual_disk(kind)) {
        let place = format!("/mnt/{kind}");
        mount_one(disk.to_str().unwrap_or_default(), &place, kind, "")?;
        fs::set_permissions(&place, fs::Permissions::from_mode(0o1777))?;
    }
    Ok(())
}

/// Opens a serial port that passes bytes as they are.
pub fn raw_terminal(path: &str) -> io::Result<File> {
    let port = OpenOptions::new()
        .read(true)
        .write(true)
        // It must not become the controlling terminal of whoever opens it.
        .custom_flags(nix::libc::O_NOCTTY)
        .open(path)?;
    let mut settings = tcgetattr(&port)?;
    cfmakeraw(&mut settings);
    tcsetattr(&port, SetArg::TCSANOW, &settings)?;
    Ok(port)
}

/// Makes the disk called `root` the root file system, with the files that came for it.
fn change_root() -> anyhow::Result<()> {
    let disk = disk("root")?.context("the machine has no disk called root")?;
    let root = Path::new("/root.new");
    fs::create_dir_all(root)?;
    mount_one(disk.to_str().unwrap_or_default(), "/root.new", "ext4", "")?;
    if Path::new(OVERLAY).exists() {
        copy_tree(Path::new(OVERLAY), root)?;
    }
    for (_, place, _) in EARLY {
        let to = root.join(&place[1..]);
        fs::create_dir_all(&to)?;
        mount(
            Some(*place),
            &to,
            None::<&str>,
            MsFlags::MS_MOVE,
            None::<&str>,
        )
        .with_context(|| format!("failed to move {place}"))?;
    }
    std::env::set_current_dir(root)?;
    mount(Some("."), "/", None::<&str>, MsFlags::MS_MOVE, None::<&str>)
        .context("failed to move the root")?;
    nix::unistd::chroot(".")?;
    std::env::set_current_dir("/")?;
    Ok(())
}

/// The disk of a virtual bus whose serial number is `name`.
fn virtual_disk(name: &str) -> Option<PathBuf> {
    let mut disks = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let found = disks.find(|disk| {
        let serial = fs::read_to_string(disk.path().join("serial"));
        serial.is_ok_and(|serial| serial.trim() == name)
    })?;
    Some(Path::new("/dev").join(found.file_name()))
}

/// The disk whose serial number is `name`, waiting for it where the machine has controllers.
fn disk(name: &str) -> anyhow::Result<Option<PathBuf>> {
    let start = Instant::now();
    loop {
        let mut pending = false;
        for entry in fs::read_dir("/sys/class/nvme").into_iter().flatten() {
            let controller = entry?.path();
            let serial = fs::read_to_string(controller.join("serial")).unwrap_or_default();
            let block = Path::new("/dev").join(format!(
                "{}n1",
                controller.file_name().unwrap_or_default().to_string_lossy()
            ));
            match serial.trim() {
                serial if serial == name && block.exists() => return Ok(Some(block)),
                // Found before its serial number or its name space was read.
                serial if serial == name || serial.is_empty() => pending = true,
                _ => {}
            }
        }
        if !pending {
            return Ok(None);
        }
        if start.elapsed() > Duration::from_secs(20) {
            bail!("the disk called {name} did not come up within 20 s");
        }
        sleep(Duration::from_millis(10));
    }
}

fn mount_all(mounts: &[Mount]) -> anyhow::Result<()> {
    mounts
        .iter()
        .try_for_each(|(kind, place, options)| mount_one(kind, place, kind, options))
}

fn mount_one(source: &str, place: &str, kind: &str, options: &str) -> anyhow::Result<()> {
    let _ = fs::create_dir_all(place);
    mount(
        Some(source),
        place,
        Some(kind),
        MsFlags::empty(),
        Some(options),
    )
    .with_context(|| format!("failed to mount {kind} on {place}"))
}

fn busybox(arguments: &[&str]) -> anyhow::Result<()> {
    let status = Command::new("/bin/busybox")
        .args(arguments)
        .status()
        .context("failed to run /bin/busybox")?;
    if !status.success() {
        bail!("busybox {} ended with {status}", arguments.join(" "));
    }
    Ok(())
}

fn copy_tree(from: &Path, to: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir_all(&target)?;
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)
                .with_context(|| format!("failed to copy to {}", target.display()))?;
        }
    }
    Ok(())
}
