//! What the kernel's programs would look at, found out from outside: of processes through `/proc`,
//! of files by opening them as places only (`O_PATH`).

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::net::IpAddr;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use guard_ebpf::operation::{Facility, Operation};
use guard_ebpf::places::{self, magic};

use super::grantable::Subject;
use super::{Nothing, further};
use crate::events::text::escaped;
use crate::policy::compiled::Compiled;
use crate::policy::evaluate::{FileFacts, Further, ProcessFacts};
use crate::server::addresses::addresses;
use crate::system::mounts::Mounts;
use crate::system::processes;

/// A process.
pub struct Process {
    /// What rules ask for.
    pub facts: ProcessFacts,
    /// The path of its executable, as its own tree of mounts has it.
    pub executable: Option<PathBuf>,
    /// When it started, in clock ticks since boot.
    pub start: u64,
    /// For people.
    pub shown: String,
}

/// A file, or where one would be made.
pub struct Found {
    /// What rules ask for.
    pub facts: FileFacts,
    /// What kind of place it is.
    pub kind: Kind,
    /// The magic number of its file system.
    pub magic: u64,
    /// The file itself; none where there is none yet.
    pub file: Option<File>,
    /// For people.
    pub shown: String,
}

/// What kind of place a file is, as `guard-ebpf/src/file.rs` has it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A tree of files.
    Tree,
    /// It serves nobody but whoever opens it.
    Free,
    /// Where the engine is pinned.
    Pins,
    /// A file of a process's in procfs.
    Process(u32),
    /// A facility of the machine.
    Machine(Facility),
}

impl Found {
    /// What a grant would be for.
    pub(super) fn subject(&self, operation: Operation) -> Result<Subject> {
        match &self.file {
            Some(file) if operation != Operation::Create => Ok(Subject::File(
                file.try_clone()?,
                self.facts.device,
                self.magic,
            )),
            _ => Ok(Subject::None(
                "a grant is for one thing that is there; what is to be made can only be let by a rule, \
                 which goes by the path",
            )),
        }
    }
}

/// Where a path lies: the file system's device number, and the path from its root. Symbolic links
/// have to be resolved before.
pub fn place(mounts: &Mounts, path: &Path) -> Result<(u32, Vec<u8>)> {
    let place = mounts
        .locate(path)
        .with_context(|| format!("it can't be said where {} lies", place_shown(path)))?;
    Ok((place.device, place.path.into_os_string().into_vec()))
}

fn place_shown(path: &Path) -> String {
    escaped(path.as_os_str().as_bytes())
}

/// What the rules of a policy ask for of every process that runs, as far as it is known.
pub fn processes(policy: &Compiled) -> Vec<ProcessFacts> {
    let Ok(mounts) = Mounts::read() else {
        return Vec::new();
    };
    // One that has ended meanwhile is none.
    let pids = processes::pids().into_iter();
    let facts = pids.filter_map(|pid| {
        let facts = process(&mounts, pid).ok()?.facts;
        Some(further::with(facts, pid, policy, &mounts, &Nothing, None))
    });
    facts.collect()
}

/// Whether a process is a thread of the kernel's: they come from `kthreadd`, which has pid 2.
pub(super) fn is_kernels(pid: u32) -> bool {
    pid == KTHREADD || processes::running(pid).is_some_and(|process| process.parent == KTHREADD)
}

/// The parent of the kernel's own threads (`kernel/kthread.c`).
const KTHREADD: u32 = 2;

/// A process by its pid.
pub fn process(mounts: &Mounts, pid: u32) -> Result<Process> {
    let directory = PathBuf::from(format!("/proc/{pid}"));
    let status = fs::read_to_string(directory.join("status"))
        .map_err(|_| anyhow!("there is no process {pid}"))?;
    let start = processes::start(pid).with_context(|| format!("there is no process {pid}"))?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    let uid = field("Uid:")
        .and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .with_context(|| format!("/proc/{pid}/status has another form than is known"))?;
    let mut name = fs::read(directory.join("comm")).unwrap_or_default();
    name.pop();
    let executable = fs::read_link(directory.join("exe")).ok();
    let cgroup = fs::read_to_string(directory.join("cgroup")).unwrap_or_default();
    let cgroup = cgroup
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .unwrap_or_default();
    let shown = format!(
        "process {pid}, {} of user {uid}{}",
        escaped(&name),
        executable
            .as_deref()
            .map_or_else(String::new, |path| format!(" ({})", place_shown(path)))
    );
    Ok(Process {
        facts: ProcessFacts {
            executable: executable
                .as_deref()
                .and_then(|path| place(mounts, path).ok()),
            name,
            uid,
            cgroup: cgroup.into(),
            further: Further::default(),
        },
        executable,
        start,
        shown,
    })
}

/// The directory of a path as far as it is there, symbolic links resolved, and what is left of the
/// path below it: its last name, which may be a symbolic link, and before that what is missing.
fn nearest(path: &Path) -> Result<(PathBuf, PathBuf)> {
    let mut directory = path.parent().unwrap_or(path);
    loop {
        let left = path.strip_prefix(directory).unwrap_or(Path::new(""));
        match fs::canonicalize(directory) {
            Ok(there) => return Ok((there, left.to_owned())),
            // Where something is missing, `..` behind it leads nowhere.
            Err(error)
                if error.kind() == ErrorKind::NotFound
                    && !left.components().any(|part| part == Component::ParentDir) =>
            {
                directory = directory.parent().unwrap_or(Path::new("/"));
            }
            Err(error) => {
                let shown = place_shown(directory);
                return Err(anyhow!("{shown} can't be followed: {error}"));
            }
        }
    }
}

/// A file by its absolute path; it may be missing, with directories that lead to it.
pub fn file(mounts: &Mounts, path: &Path) -> Result<Found> {
    let (directory, left) = nearest(path)?;
    let whole = directory.join(left);
    let open = |path: &Path| {
        let flags = libc::O_PATH | libc::O_NOFOLLOW;
        OpenOptions::new().read(true).custom_flags(flags).open(path)
    };
    let there = match open(&whole) {
        Ok(file) => Some(file),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(anyhow!("{} can't be opened: {error}", place_shown(&whole))),
    };
    let (device, inside) = place(mounts, &whole)?;
    let near = match &there {
        Some(file) => file.try_clone()?,
        None => open(&directory)?,
    };
    let magic = magic_of(&near)?;
    let metadata = there.as_ref().map(File::metadata).transpose()?;
    let is_directory = metadata.as_ref().is_some_and(fs::Metadata::is_dir);
    Ok(Found {
        facts: FileFacts {
            device,
            path: inside,
            is_directory,
            is_own: false,
        },
        kind: kind(magic, &whole, metadata.as_ref()),
        magic,
        shown: match (&metadata, is_directory) {
            (Some(_), true) => format!("the directory {}", place_shown(&whole)),
            (Some(_), false) => place_shown(&whole),
            (None, _) => format!("{}, which is not there", place_shown(&whole)),
        },
        file: there,
    })
}

/// The magic number of a file's file system.
fn magic_of(file: &File) -> Result<u64> {
    let own = format!("/proc/self/fd/{}", file.as_raw_fd());
    let stat = nix::sys::statfs::statfs(own.as_str())?;
    // `long` in the kernel's interface; the numbers have 32 bits.
    Ok(stat.filesystem_type().0 as u64 & 0xffff_ffff)
}

fn kind(magic: u64, path: &Path, metadata: Option<&fs::Metadata>) -> Kind {
    let kind = metadata.map(fs::Metadata::file_type);
    if kind.is_some_and(|kind| kind.is_block_device()) {
        return Kind::Machine(Facility::Disks);
    }
    if let Some(metadata) = metadata
        && metadata.file_type().is_char_device()
    {
        let device = metadata.rdev();
        let number = places::device(
            nix::sys::stat::major(device) as u32,
            nix::sys::stat::minor(device) as u32,
        );
        return places::character_device(number).map_or(Kind::Free, Kind::Machine);
    }
    match magic {
        magic::BPF => Kind::Pins,
        magic::PROC => match pid_of(path) {
            Some(pid) => Kind::Process(pid),
            None => Kind::Machine(Facility::Settings),
        },
        other => places::facility(other).map_or(Kind::Tree, Kind::Machine),
    }
}

/// The process that a path in procfs is about.
fn pid_of(path: &Path) -> Option<u32> {
    let mut names = path.components().rev().map(Component::as_os_str);
    names.find_map(|name| name.to_str()?.parse().ok())
}

/// Whether an address is this host's, as `guard-ebpf/src/connect.rs` has it.
pub fn is_local(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let mapped = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    address.is_loopback()
        || address.is_unspecified()
        || addresses().is_ok_and(|all| all.contains(&mapped))
}
