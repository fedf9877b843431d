//! Getting hold of another process, or looking into it.

use nix::errno::Errno;
use nix::libc;

use super::{Attempt, Words};
use crate::support::raw::{self, call};

const PTRACE_ATTACH: usize = 16;
const PTRACE_DETACH: usize = 17;
const PTRACE_SEIZE: usize = 0x4206;
/// `KCMP_FILES`.
const KCMP_FILES: usize = 2;
/// `MADV_COLD`.
const MADV_COLD: usize = 20;

pub fn attempt(name: &str, words: &Words<'_>) -> anyhow::Result<Option<Attempt>> {
    Ok(Some(match name {
        "attach" => attach(words.word(0)?),
        // Who ends detaches.
        "seize" => call(libc::SYS_ptrace, &[PTRACE_SEIZE, words.word(0)?, 0, 0]),
        "vm-read" => memory(libc::SYS_process_vm_readv, words.word(0)?, words.word(1)?),
        "vm-write" => memory(libc::SYS_process_vm_writev, words.word(0)?, words.word(1)?),
        "mem-file" => mem_file(words.text(0)?, words.word(1)?),
        "take-descriptor" => {
            let take = || {
                let pidfd = call(libc::SYS_pidfd_open, &[words.word(0).unwrap_or(0), 0])?;
                call(libc::SYS_pidfd_getfd, &[pidfd, 0, 0])
            };
            take()
        }
        "compare" => {
            let own = std::process::id() as usize;
            call(libc::SYS_kcmp, &[own, words.word(0)?, KCMP_FILES, 0, 0])
        }
        "advise" => advise(words.word(0)?, words.word(1)?),
        "enter" => {
            let pid = words.word(0)?;
            let enter = || {
                let pidfd = call(libc::SYS_pidfd_open, &[pid, 0])?;
                call(libc::SYS_setns, &[pidfd, libc::CLONE_NEWUTS as usize])
            };
            enter()
        }
        "read" => read(words.text(0)?),
        "open" => raw::open(words.text(0)?, libc::O_RDONLY),
        "readlink" => {
            let path = raw::c_string(words.text(0)?);
            let mut target = [0_u8; 256];
            call(
                libc::SYS_readlinkat,
                &[
                    libc::AT_FDCWD as usize,
                    path.as_ptr() as usize,
                    target.as_mut_ptr() as usize,
                    target.len(),
                ],
            )
        }
        _ => return Ok(None),
    }))
}

fn attach(pid: usize) -> Attempt {
    call(libc::SYS_ptrace, &[PTRACE_ATTACH, pid, 0, 0])?;
    let all = libc::__WALL as usize;
    call(libc::SYS_wait4, &[pid, 0, all, 0])?;
    call(libc::SYS_ptrace, &[PTRACE_DETACH, pid, 0, 0])
}

/// Reads or writes eight bytes at an address of another process.
fn memory(number: libc::c_long, pid: usize, address: usize) -> Attempt {
    let mut word = *b"attacked";
    let here = [word.as_mut_ptr() as usize, word.len()];
    let there = [address, word.len()];
    call(
        number,
        &[
            pid,
            here.as_ptr() as usize,
            1,
            there.as_ptr() as usize,
            1,
            0,
        ],
    )
}

fn mem_file(path: &str, address: usize) -> Attempt {
    let file = raw::open(path, libc::O_RDWR)?;
    let word = *b"attacked";
    call(
        libc::SYS_pwrite64,
        &[file, word.as_ptr() as usize, word.len(), address],
    )
}

fn advise(pid: usize, address: usize) -> Attempt {
    let pidfd = call(libc::SYS_pidfd_open, &[pid, 0])?;
    let there = [address & !4095, 4096];
    call(
        libc::SYS_process_madvise,
        &[pidfd, there.as_ptr() as usize, 1, MADV_COLD, 0],
    )
}

fn read(path: &str) -> Attempt {
    let file = raw::open(path, libc::O_RDONLY)?;
    let mut buffer = [0_u8; 64];
    match call(
        libc::SYS_read,
        &[file, buffer.as_mut_ptr() as usize, buffer.len()],
    ) {
        // A process's files read as empty when it has ended.
        Ok(0) => Err(Errno::ENODATA),
        other => other,
    }
}
