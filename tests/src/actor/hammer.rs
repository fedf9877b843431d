//! Doing the same again and again, and looking whether the answer is ever another one.

use std::path::Path;

use anyhow::{Context as _, ensure};
use nix::errno::Errno;
use nix::libc::{self, SIGCONT, SIGWINCH};

use super::{Attempt, Words};
use crate::support::raw::{self, call};

/// Rounds between two looks at whether it is over.
const ROUNDS: usize = 100;

/// What is permitted and what is forbidden, until a file appears. Takes a process, a file whose mode
/// may be changed, one whose mode may not, and the file that ends it. Returns how many operations of
/// either kind there were.
pub fn attempt(name: &str, words: &Words<'_>) -> anyhow::Result<Option<Attempt>> {
    match name {
        "hammer" => {}
        "hammer-files" => return files(words).map(Some),
        _ => return Ok(None),
    }
    let pid = words.word(0)?;
    let (permitted, forbidden) = (raw::c_string(words.text(1)?), raw::c_string(words.text(2)?));
    let end = Path::new(words.text(3)?);
    let chmod = |path: &std::ffi::CStr| call(libc::SYS_chmod, &[path.as_ptr() as usize, 0o644]);
    let mut done = 0;
    while !end.exists() {
        for _ in 0..ROUNDS {
            for (what, answer) in [
                ("signal", call(libc::SYS_kill, &[pid, SIGWINCH as usize])),
                ("change of mode", chmod(&permitted)),
            ] {
                ensure!(
                    answer.is_ok(),
                    "after {done}: a permitted {what}: {answer:?}"
                );
            }
            for (what, answer) in [
                ("signal", call(libc::SYS_kill, &[pid, SIGCONT as usize])),
                ("change of mode", chmod(&forbidden)),
            ] {
                ensure!(
                    answer == Err(Errno::EPERM),
                    "after {done}: a forbidden {what}: {answer:?}"
                );
            }
            done += 2;
        }
    }
    Ok(Some(Ok(done)))
}

/// Changes of the mode of files, and opening files to be written, until a file appears. Takes that file, a
/// directory, and files there, each with whether changing its mode is `permitted` or `forbidden`, or whether it
/// is `opened`, which may be either. Returns how many rounds there were.
fn files(words: &Words<'_>) -> anyhow::Result<Attempt> {
    let end = Path::new(words.text(0)?);
    let mut files = Vec::new();
    for word in &words.0[2..] {
        let (kind, name) = word.split_once(':').context("a file without a kind")?;
        let path = format!("{}/{name}", words.text(1)?);
        files.push((kind, raw::c_string(&path), word));
    }
    let mut done = 0;
    while !end.exists() {
        for _ in 0..ROUNDS {
            for (kind, path, word) in &files {
                let path = path.as_ptr() as usize;
                if *kind == "opened" {
                    let flags = libc::O_WRONLY as usize;
                    match call(libc::SYS_openat, &[libc::AT_FDCWD as usize, path, flags]) {
                        Ok(descriptor) => drop(call(libc::SYS_close, &[descriptor])),
                        answer => ensure!(answer == Err(Errno::EPERM), "{word}: {answer:?}"),
                    }
                    continue;
                }
                let answer = call(libc::SYS_chmod, &[path, 0o644]);
                let expected = match *kind {
                    "permitted" => Ok(0),
                    _ => Err(Errno::EPERM),
                };
                ensure!(answer == expected, "after {done}: {word}: {answer:?}");
            }
            done += 1;
        }
    }
    Ok(Ok(done))
}
