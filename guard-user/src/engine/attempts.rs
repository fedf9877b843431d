//! What a canary tries: for each family of hooks one thing that must be refused to a session,
//! and that harms nobody where it goes through. It stands here since it is about hooks: a family
//! is tried when a program is attached to its hook.

use std::ffi::CString;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use guard_ebpf::kernel::PROGRAMS;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// What is tried. A refusal shows as `EPERM`; as `EACCES` where the kernel says so of what a hook
/// has refused (`/proc/PID`), or has asked for a capability before (performance events,
/// where `kernel.perf_event_paranoid` says so).
struct Attempt {
    /// What people call it.
    family: &'static str,
    /// The hook that refuses it.
    hook: &'static str,
    /// Tries it. Errors that come from behind the hook are successes here.
    make: fn(&Prey) -> Result<(), Errno>,
}

macro_rules! attempts {
    ($($family:literal, $hook:literal, $attempt:expr;)*) => {
        /// Every attempt. A hook that nothing is attached to is left out when it comes to trying.
        const ATTEMPTS: &[Attempt] = &[$(Attempt {
            family: $family,
            hook: $hook,
            make: $attempt,
        }),*];
    };
}

attempts! {
    "signal", "task_kill", |prey| kill(prey.process, Signal::SIGURG);
    "inspect", "ptrace_access_check", inspect;
    "trace", "ptrace_access_check", trace;
    "delete", "inode_unlink", |prey| done(fs::remove_file(prey.place("removed")));
    "delete (directories)", "inode_rmdir", |prey| done(fs::remove_dir(prey.place("directory")));
    "delete (renaming)", "inode_rename", |prey| done(fs::rename(prey.place("moved"), prey.place("renamed")));
    "overwrite", "file_open", |prey| done(OpenOptions::new().write(true).open(prey.file()));
    "overwrite (links)", "inode_link", |prey| done(fs::hard_link(prey.file(), prey.place("link")));
    "attributes", "inode_setattr", attributes;
    "create", "inode_create", |prey| done(OpenOptions::new().write(true).create_new(true).mode(0o600).open(prey.place("created")));
    "limit", "task_setnice", nice;
    "limit (resources)", "task_setrlimit", resources;
    "connect", "unix_stream_connect", connect;
    "mount", "sb_mount", mount;
    "machine (administration)", "capable", |_| administer();
    "machine (bpf)", "bpf", |_| bpf();
    "machine (perf)", "perf_event_open", |_| perf();
}

/// What the attempts are on: a process, and a directory with files in it, none of them the
/// canary's own.
#[derive(Clone, Debug)]
pub struct Prey {
    process: Pid,
    directory: PathBuf,
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was refused, as it must be.
    Refused,
    /// It went through.
    Through,
    /// It failed of something else, with this number.
    Unclear(i32),
}

impl Prey {
    /// A process that ignores `SIGURG`, and a directory that [`Prey::prepare`] has filled.
    #[must_use]
    pub fn new(process: Pid, directory: PathBuf) -> Self {
        Self { process, directory }
    }

    /// Fills the directory, and takes out what an attempt that went through has left. To be
    /// called from outside every session. The socket listens as long as what is returned lives.
    pub fn prepare(&self) -> io::Result<UnixListener> {
        match fs::remove_dir_all(&self.directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        DirBuilder::new().mode(0o700).create(&self.directory)?;
        for file in ["file", "removed", "moved"] {
            fs::write(self.place(file), "")?;
        }
        fs::create_dir(self.place("directory"))?;
        UnixListener::bind(self.place("socket"))
    }

    /// Tries everything that there is a hook for.
    #[must_use]
    pub fn try_all(&self) -> Vec<(String, Outcome)> {
        attached()
            .map(|attempt| {
                let outcome = match (attempt.make)(self) {
                    Ok(()) => Outcome::Through,
                    Err(Errno::EPERM | Errno::EACCES) => Outcome::Refused,
                    Err(error) => Outcome::Unclear(error as i32),
                };
                (attempt.family.to_owned(), outcome)
            })
            .collect()
    }

    fn file(&self) -> PathBuf {
        self.place("file")
    }

    fn place(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// The attempts whose hooks have a program.
fn attached() -> impl Iterator<Item = &'static Attempt> {
    let has_program = |hook| PROGRAMS.iter().any(|program| program.hook == hook);
    ATTEMPTS
        .iter()
        .filter(move |attempt| has_program(attempt.hook))
}

/// The families that a canary tries.
#[must_use]
pub fn families() -> Vec<&'static str> {
    attached().map(|attempt| attempt.family).collect()
}

fn done<T>(result: io::Result<T>) -> Result<(), Errno> {
    match result {
        Ok(_) => Ok(()),
        Err(error) => Err(Errno::from_raw(error.raw_os_error().unwrap_or(0))),
    }
}

/// An error that only comes when the hook has let it through is a success.
fn behind(result: Result<(), Errno>, error: Errno) -> Result<(), Errno> {
    match result {
        Err(other) if other == error => Ok(()),
        result => result,
    }
}

fn path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap_or_default()
}

/// Not the environment, which `CAP_PERFMON` opens from 6.15 on.
fn inspect(prey: &Prey) -> Result<(), Errno> {
    done(fs::read_link(format!("/proc/{}/cwd", prey.process)))
}

/// Reads a byte at an address that no process has, which asks for the right to attach.
fn trace(prey: &Prey) -> Result<(), Errno> {
    let mut byte = 0_u8;
    let place = |base: *mut libc::c_void| libc::iovec {
        iov_base: base,
        iov_len: 1,
    };
    let (local, remote) = (place((&raw mut byte).cast()), place(std::ptr::null_mut()));
    // SAFETY: the kernel writes at most one byte, into `byte`, which outlives the call.
    let result = unsafe {
        libc::process_vm_readv(
            prey.process.as_raw(),
            &raw const local,
            1,
            &raw const remote,
            1,
            0,
        )
    };
    behind(Errno::result(result).map(drop), Errno::EFAULT)
}

fn attributes(prey: &Prey) -> Result<(), Errno> {
    let file = path(&prey.file());
    // SAFETY: the string ends with a NUL; no times mean the present.
    let result = unsafe { libc::utimensat(libc::AT_FDCWD, file.as_ptr(), std::ptr::null(), 0) };
    Errno::result(result).map(drop)
}

/// Sets the priority that it has.
fn nice(prey: &Prey) -> Result<(), Errno> {
    let process = prey.process.as_raw() as libc::id_t;
    // SAFETY: both calls take integers only.
    let result = unsafe {
        let now = libc::getpriority(libc::PRIO_PROCESS, process);
        libc::setpriority(libc::PRIO_PROCESS, process, now)
    };
    Errno::result(result).map(drop)
}

/// Sets a limit that it has.
fn resources(prey: &Prey) -> Result<(), Errno> {
    let process = prey.process.as_raw();
    let mut now = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the kernel writes the old limit, or reads the new one; both live across the calls.
    unsafe {
        Errno::result(libc::prlimit(
            process,
            libc::RLIMIT_CORE,
            std::ptr::null(),
            &raw mut now,
        ))?;
        Errno::result(libc::prlimit(
            process,
            libc::RLIMIT_CORE,
            &raw const now,
            std::ptr::null_mut(),
        ))
        .map(drop)
    }
}

/// Nobody takes the connections that go through; when no more can wait, that shows, too.
fn connect(prey: &Prey) -> Result<(), Errno> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
    use std::os::fd::AsRawFd;
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    let address = UnixAddr::new(&prey.place("socket"))?;
    behind(connect(socket.as_raw_fd(), &address), Errno::EAGAIN)
}

/// Mounts a directory anew on which nothing is mounted.
fn mount(prey: &Prey) -> Result<(), Errno> {
    let none = None::<&str>;
    let flags = nix::mount::MsFlags::MS_REMOUNT | nix::mount::MsFlags::MS_RDONLY;
    let result = nix::mount::mount(none, &prey.directory, none, flags, none);
    behind(result, Errno::EINVAL)
}

/// Gives the host the name that it has.
fn administer() -> Result<(), Errno> {
    let name = nix::unistd::gethostname()?;
    nix::unistd::sethostname(name)
}

/// Asks for the number of the first program there is (`BPF_PROG_GET_NEXT_ID`, 4.13). A command
/// that there is not would be turned away before the hook by newer kernels.
fn bpf() -> Result<(), Errno> {
    const PROGRAM_NEXT: libc::c_int = 11;
    // `start_id`, `next_id`, `open_flags`.
    let mut attributes = [0_u32; 3];
    // SAFETY: the kernel reads and writes as much as is said, which outlives the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            PROGRAM_NEXT,
            &raw mut attributes,
            size_of_val(&attributes),
        )
    };
    behind(Errno::result(result).map(drop), Errno::ENOENT)
}

/// An event that never happens, in this thread.
fn perf() -> Result<(), Errno> {
    /// `struct perf_event_attr` of its first version (`PERF_ATTR_SIZE_VER0`).
    #[repr(C)]
    #[derive(Default)]
    struct Attributes {
        kind: u32,
        size: u32,
        config: u64,
        rest: [u64; 6],
    }
    const SOFTWARE: u32 = 1;
    const DUMMY: u64 = 9;
    const CLOSE_ON_EXEC: u64 = 8;
    let attributes = Attributes {
        kind: SOFTWARE,
        size: size_of::<Attributes>() as u32,
        config: DUMMY,
        ..Attributes::default()
    };
    // SAFETY: the structure says its size and outlives the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attributes,
            0,
            -1,
            -1,
            CLOSE_ON_EXEC,
        )
    };
    let descriptor = Errno::result(result)?;
    // SAFETY: the call has just made it, and nobody else knows it.
    unsafe { libc::close(descriptor as i32) };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without guard, what needs no privileges goes through, and can be tried again.
    #[test]
    fn attempts_go_through_without_guard_and_can_be_prepared_again() {
        let base = tempfile::tempdir().unwrap();
        let prey = Prey::new(Pid::this(), base.path().join("prey"));
        let is_free = |attempt: &&Attempt| {
            let family = attempt.family;
            !family.starts_with("machine") && family != "mount"
        };
        for _ in 0..2 {
            let _socket = prey.prepare().unwrap();
            for attempt in ATTEMPTS.iter().filter(is_free) {
                assert_eq!((attempt.make)(&prey), Ok(()), "{}", attempt.family);
            }
        }
    }

    #[test]
    fn every_family_has_its_own_name() {
        let mut families: Vec<_> = ATTEMPTS.iter().map(|attempt| attempt.family).collect();
        families.sort_unstable();
        families.dedup();
        assert_eq!(families.len(), ATTEMPTS.len());
        assert!(attached().count() >= 6);
    }

    #[test]
    fn outcomes_travel_as_words() {
        let text = serde_json::to_string(&[Outcome::Refused, Outcome::Unclear(2)]).unwrap();
        assert_eq!(text, r#"["refused",{"unclear":2}]"#);
    }
}
