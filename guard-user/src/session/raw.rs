//! The system calls that no crate at hand wraps: pidfds, `close_range`, a signal by number.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::unistd::Pid;

/// A descriptor of a process (Linux 5.3). `ESRCH` when there is none.
pub fn pidfd_open(pid: Pid) -> io::Result<OwnedFd> {
    // SAFETY: the call takes two integers and touches no memory of ours.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    let fd = i32::try_from(result).map_err(|_| io::Error::other("pidfd_open"))?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sends a signal by its number, real-time signals included, to the process of a pidfd
/// (Linux 5.1).
pub fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    // SAFETY: the descriptor is open for the length of the call; a null `siginfo` means
    // "as kill(2) would".
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// A copy of a descriptor of the process of a pidfd (Linux 5.6).
pub fn pidfd_getfd(pidfd: BorrowedFd<'_>, number: i32) -> io::Result<OwnedFd> {
    // SAFETY: the call takes three integers and touches no memory of ours.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), number, 0) };
    let fd = i32::try_from(result).map_err(|_| io::Error::other("pidfd_getfd"))?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The process of a pidfd, as it is numbered here. An error for one that has been reaped, and
/// for one in a pid namespace that can't be seen from here.
pub fn pidfd_pid(pidfd: BorrowedFd<'_>) -> io::Result<u32> {
    let file = format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd());
    let text = std::fs::read_to_string(file)?;
    let pid = text.lines().find_map(|line| line.strip_prefix("Pid:"));
    match pid.and_then(|pid| pid.trim().parse().ok()) {
        Some(pid) if pid > 0 => Ok(pid),
        _ => Err(io::Error::new(
            io::ErrorKind::NotFound,
            "it has ended, or is in a pid namespace that can't be seen from here",
        )),
    }
}

/// Closes all descriptors but the first three and these (Linux 5.9).
///
/// Only calls into the kernel: safe between fork and exec.
pub fn close_all_but(mut kept: [RawFd; 2]) {
    kept.sort_unstable();
    let mut first = 3;
    for last in kept {
        close_range(first, last);
        first = last + 1;
    }
    close_range(first, RawFd::MAX);
}

fn close_range(first: RawFd, end: RawFd) {
    if first < end {
        let last = end - 1;
        // SAFETY: whoever calls this uses none of these descriptors any more. What cannot be closed
        // was not open.
        unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    }
}

/// Makes all descriptors from `first` on close at the next exec (Linux 5.11).
///
/// Only calls into the kernel: safe between fork and exec.
pub fn close_from_at_exec(first: u32) -> io::Result<()> {
    // SAFETY: the call takes three integers and only sets flags; no descriptor is closed now.
    let result = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Closes all descriptors from `first` on (Linux 5.9).
///
/// # Safety
///
/// Nobody may own one of them.
pub unsafe fn close_from(first: u32) -> io::Result<()> {
    // SAFETY: the call takes three integers; whose the descriptors are is the caller's promise.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Has the allocator keep large blocks apart and give them back when they are freed, and all
/// threads share one heap. To be called before the server does anything.
///
/// By itself glibc puts large blocks into the heap after the first of them was freed, where
/// what lives between them keeps the rest.
#[cfg(target_env = "gnu")]
pub fn keep_heap_small() {
    // SAFETY: the calls set three numbers of the allocator.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, 64 << 10);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 64 << 10);
    }
}

/// Nothing to do for other C libraries.
#[cfg(not(target_env = "gnu"))]
pub fn keep_heap_small() {}

/// Gives memory that was freed back to the kernel. Loading the engine takes many megabytes
/// for a moment, and the server stays for long.
#[cfg(target_env = "gnu")]
pub fn trim_heap() {
    // SAFETY: the call only looks for free pages of the heap, under the allocator's own lock.
    unsafe { libc::malloc_trim(0) };
}

/// Gives memory that was freed back to the kernel: other C libraries do so by themselves.
#[cfg(not(target_env = "gnu"))]
pub fn trim_heap() {}

/// What the kernel has to tell about a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing new.
    None,
    /// It has exited with this status.
    Exited(u8),
    /// It has died of this signal, real-time signals included.
    Died(i32),
    /// It has stopped.
    Stopped,
    /// It has been continued.
    Continued,
}

/// Asks for a change of a child, without waiting for one. `flags` are those of waitpid(2).
///
/// `nix` takes an end by a real-time signal for an error, and the status is lost.
pub fn wait(pid: Pid, flags: i32) -> io::Result<Change> {
    let mut status = 0;
    // SAFETY: the kernel writes one integer, which lives across the call.
    match unsafe { libc::waitpid(pid.as_raw(), &raw mut status, flags | libc::WNOHANG) } {
        0 => Ok(Change::None),
        -1 => Err(io::Error::last_os_error()),
        _ if libc::WIFEXITED(status) => Ok(Change::Exited(libc::WEXITSTATUS(status) as u8)),
        _ if libc::WIFSIGNALED(status) => Ok(Change::Died(libc::WTERMSIG(status))),
        _ if libc::WIFSTOPPED(status) => Ok(Change::Stopped),
        _ => Ok(Change::Continued),
    }
}

/// Sends a signal to this process by its number, with its default disposition.
pub fn raise_default(signal: i32) {
    // SAFETY: the default disposition runs no code of ours, and raise takes an integer.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_pidfd_leads_back_to_its_process_as_long_as_there_is_one() {
        let own = pidfd_open(Pid::this()).unwrap();
        assert_eq!(pidfd_pid(own.as_fd()).unwrap(), std::process::id());
        let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
        let pidfd = pidfd_open(Pid::from_raw(child.id() as i32)).unwrap();
        child.wait().unwrap();
        assert!(pidfd_pid(pidfd.as_fd()).is_err());
        assert!(pidfd_send_signal(pidfd.as_fd(), 0).is_err());
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(pidfd_pid(file.as_fd()).is_err());
    }
}
