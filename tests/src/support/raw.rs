//! System calls as a program would make them that wants to get around a library: numbers and
//! words. Tests and attackers are the same program, so there is one door for all of them.

use nix::errno::Errno;
use nix::libc;

/// Makes a system call. Pointers among `words` must point to memory that lives until it returns.
pub fn call(number: libc::c_long, words: &[usize]) -> Result<usize, Errno> {
    let word = |at: usize| words.get(at).copied().unwrap_or(0);
    // SAFETY: the kernel checks numbers and addresses; callers keep what they point to alive.
    let result =
        unsafe { libc::syscall(number, word(0), word(1), word(2), word(3), word(4), word(5)) };
    Errno::result(result).map(|value| value as usize)
}

/// A string as the kernel takes it.
pub fn c_string(text: &str) -> std::ffi::CString {
    std::ffi::CString::new(text).expect("no test passes a NUL")
}

/// Forks. The child runs `child` and leaves with its value; nothing of the parent's is dropped
/// there. The process must have one thread, or the child may only make system calls.
pub fn fork(child: impl FnOnce() -> i32) -> Result<i32, Errno> {
    // SAFETY: the child leaves without returning into the parent's frames.
    match unsafe { nix::unistd::fork() }? {
        nix::unistd::ForkResult::Parent { child } => Ok(child.as_raw()),
        nix::unistd::ForkResult::Child => {
            let status = child();
            exit(status)
        }
    }
}

/// Leaves the process without running anything of the library's.
pub fn exit(status: i32) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(status) }
}

/// Waits for a child's end; its exit status, or 128 and the signal.
pub fn wait(pid: i32) -> Result<i32, Errno> {
    let mut status = 0_i32;
    loop {
        match call(
            libc::SYS_wait4,
            &[pid as usize, (&raw mut status) as usize, 0, 0],
        ) {
            Ok(_) if libc::WIFSIGNALED(status) => return Ok(128 + libc::WTERMSIG(status)),
            Ok(_) => return Ok(libc::WEXITSTATUS(status)),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Waits for a child's end and turns its status into what it stands for: 0 is success, else
/// an errno.
pub fn wait_errno(pid: i32) -> Result<usize, Errno> {
    match wait(pid)? {
        0 => Ok(0),
        status => Err(Errno::from_raw(status)),
    }
}

/// What a child leaves with for [`wait_errno`].
pub fn status_of(result: Result<usize, Errno>) -> i32 {
    result.map_or_else(|error| error as i32, |_| 0)
}

/// Opens a file.
pub fn open(path: &str, flags: i32) -> Result<usize, Errno> {
    let path = c_string(path);
    call(
        libc::SYS_openat,
        &[
            libc::AT_FDCWD as usize,
            path.as_ptr() as usize,
            (flags | libc::O_CLOEXEC) as usize,
            0o600,
        ],
    )
}

/// Closes all descriptors from `first` on.
pub fn close_from(first: usize) {
    // 5.9; nothing is done about a kernel that lacks it.
    let _ = call(libc::SYS_close_range, &[first, u32::MAX as usize, 0]);
}
