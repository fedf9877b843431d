//! Landlock's refusals, for comparison: a signal out of its scope (6.12) and a removal.

use std::io;

use anyhow::{Context as _, ensure};
use nix::libc;

use super::calls::{self, Outcome};
use super::guarded;
use super::subject::{self, ELSEWHERE, Outsider};

/// `LANDLOCK_ACCESS_FS_REMOVE_FILE`.
const REMOVE_FILE: u64 = 1 << 5;
/// `LANDLOCK_SCOPE_SIGNAL` (6.12).
const SCOPE_SIGNAL: u64 = 1 << 1;

/// `struct landlock_ruleset_attr`.
#[repr(C)]
struct Ruleset {
    files: u64,
    network: u64,
    scoped: u64,
}

/// Measures in a process of its own.
pub fn start(case: &str, outsider: &Outsider) -> anyhow::Result<()> {
    guarded::itself(&["landlock", case, &outsider.to_string()])
}

/// Gives rights up, and measures what is refused.
pub fn run(case: &str, outsider: i32) -> anyhow::Result<()> {
    subject::go_first()?;
    // The files are made before, and none of them goes.
    give_up().context("Landlock (6.12 and later) does not work here")?;
    calls::signal(
        case,
        "kill(15), a foreign process",
        outsider,
        Outcome::Refused(libc::EPERM),
    )?;
    calls::delete(
        case,
        "unlink elsewhere",
        ELSEWHERE,
        Outcome::Refused(libc::EACCES),
    )
}

fn give_up() -> anyhow::Result<()> {
    let ruleset = Ruleset {
        files: REMOVE_FILE,
        network: 0,
        scoped: SCOPE_SIGNAL,
    };
    // SAFETY: the structure is as long as said; the descriptor is this process's.
    unsafe {
        let file = libc::syscall(
            libc::SYS_landlock_create_ruleset,
            &raw const ruleset,
            size_of::<Ruleset>(),
            0,
        );
        ensure!(file >= 0, "{}", io::Error::last_os_error());
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        let done = libc::syscall(libc::SYS_landlock_restrict_self, file, 0);
        ensure!(done == 0, "{}", io::Error::last_os_error());
    }
    Ok(())
}
