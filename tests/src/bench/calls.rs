//! The measured calls. Every figure's outcome is checked too: a refusal that is none, or the
//! other way round, is an error and no figure.

use std::ffi::CString;
use std::io;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nix::libc;

use super::subject::{self, ELSEWHERE, Outsider, WORKSPACE};
use super::{clock, line};
use crate::bench::guarded;

/// The table of the calls.
const TABLE: &str = "calls";

/// Calls in a batch: together far shorter than the timer's interval.
const CALLS: u64 = 16;

/// What a call must come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It goes through.
    Done,
    /// It fails with this error.
    Refused(i32),
}

/// Measures in a process of its own.
pub fn start(case: &str, outsider: &Outsider) -> anyhow::Result<()> {
    guarded::itself(&["calls", case, &outsider.to_string()])
}

/// Measures all calls in this process.
pub fn run(case: &str, outsider: i32) -> anyhow::Result<()> {
    let refused = if case == guarded::IN_SESSION {
        Outcome::Refused(libc::EPERM)
    } else {
        Outcome::Done
    };
    let child = Outsider::start()?;
    subject::go_first()?;
    let figure = clock::per_call(CALLS, nothing, |_| getppid(), nothing)?;
    line(TABLE, "getppid, for reference", case, figure, "");
    signal(case, "kill(15), own child", child.pid(), Outcome::Done)?;
    signal(case, "kill(15), a foreign process", outsider, refused)?;
    delete(case, "unlink in the workspace", WORKSPACE, Outcome::Done)?;
    delete(case, "unlink elsewhere", ELSEWHERE, refused)?;
    open(case)?;
    fork(case)?;
    if refused != Outcome::Done {
        waking(case, outsider);
    }
    Ok(())
}

/// Measures the signal that a rule lets through.
pub fn lenient(outsider: i32) -> anyhow::Result<()> {
    subject::go_first()?;
    signal(
        guarded::IN_SESSION,
        "kill(15), a foreign process, allowed by a rule",
        outsider,
        Outcome::Done,
    )
}

/// Sends a foreign process so many signals.
pub fn refusals(outsider: i32, count: u32) -> anyhow::Result<()> {
    for call in 0..count {
        ensure!(kill(outsider) != 0, "a signal was not refused");
        // As fast as the server can follow: on one processor it must be let.
        if call % 100 == 0 {
            sleep(Duration::from_millis(20));
        }
    }
    sleep(Duration::from_secs(2));
    Ok(())
}

#[allow(
    clippy::unnecessary_wraps,
    reason = "what is measured may need something that fails"
)]
fn nothing() -> anyhow::Result<()> {
    Ok(())
}

fn getppid() {
    // The C library's would do too; this one is surely a call.
    // SAFETY: no arguments.
    unsafe { libc::syscall(libc::SYS_getppid) };
}

fn kill(pid: i32) -> i64 {
    // SAFETY: no pointers.
    unsafe { libc::syscall(libc::SYS_kill, pid, libc::SIGTERM) }
}

/// Fails when calls did not come to what they should have.
fn check(result: i64, outcome: Outcome, what: &str) -> anyhow::Result<()> {
    let found = match result {
        -1 => Outcome::Refused(io::Error::last_os_error().raw_os_error().unwrap_or(0)),
        _ => Outcome::Done,
    };
    ensure!(found == outcome, "{what}: {found:?} instead of {outcome:?}");
    Ok(())
}

/// Measures a signal.
pub fn signal(case: &str, what: &str, pid: i32, outcome: Outcome) -> anyhow::Result<()> {
    check(kill(pid), outcome, what)?;
    let figure = clock::per_call(
        CALLS,
        nothing,
        |_| {
            kill(pid);
        },
        || check(kill(pid), outcome, what),
    )?;
    line(TABLE, what, case, figure, "");
    Ok(())
}

/// Measures a refused signal after which the server has nothing left to read, so that each wakes
/// it. What the server then does is not counted.
fn waking(case: &str, pid: i32) {
    let mut counts = Vec::new();
    for _ in 0..50 {
        sleep(Duration::from_millis(10));
        let start = clock::now();
        kill(pid);
        counts.push(clock::now() - start);
    }
    let figure = clock::median_of(counts);
    line(
        TABLE,
        "kill(15), a foreign process, the server asleep",
        case,
        figure,
        "",
    );
}

/// Makes the files whose removal is refused: a session's own would not be.
pub fn lay_out() -> anyhow::Result<()> {
    for file in 0..CALLS {
        let name = format!("{ELSEWHERE}/a/b/{file}");
        std::fs::write(&name, "").with_context(|| name)?;
    }
    Ok(())
}

/// Measures the removal of files, which are made anew for each batch where they are gone.
pub fn delete(case: &str, what: &str, place: &str, outcome: Outcome) -> anyhow::Result<()> {
    let names = (0..CALLS)
        .map(|file| CString::new(format!("{place}/a/b/{file}")))
        .collect::<Result<Vec<_>, _>>()?;
    let unlink = |name: &CString| {
        // SAFETY: a string that ends in NUL.
        i64::from(unsafe { libc::unlink(name.as_ptr()) })
    };
    let make = |name: &CString| -> anyhow::Result<()> {
        let path = std::path::Path::new(name.to_str()?);
        if !path.exists() {
            std::fs::write(path, "").with_context(|| format!("{name:?}"))?;
        }
        Ok(())
    };
    let figure = clock::per_call(
        CALLS,
        || {
            for name in &names {
                make(name)?;
            }
            check(unlink(&names[0]), outcome, what)?;
            make(&names[0])
        },
        |call| {
            unlink(&names[call as usize]);
        },
        nothing,
    )?;
    line(TABLE, what, case, figure, "");
    Ok(())
}

fn open(case: &str) -> anyhow::Result<()> {
    let name = CString::new(format!("{WORKSPACE}/file"))?;
    std::fs::write(name.to_str()?, "")?;
    let mut files = [-1; CALLS as usize];
    let place = std::cell::RefCell::new(&mut files);
    let figure = clock::per_call(
        CALLS,
        nothing,
        |call| {
            // SAFETY: a string that ends in NUL.
            place.borrow_mut()[call as usize] =
                unsafe { libc::open(name.as_ptr(), libc::O_RDONLY) };
        },
        || {
            for file in place.borrow_mut().iter_mut() {
                ensure!(*file >= 0, "a file cannot be opened");
                // SAFETY: nobody else has it.
                unsafe { libc::close(*file) };
                *file = -1;
            }
            Ok(())
        },
    )?;
    line(TABLE, "open", case, figure, "");
    Ok(())
}

fn fork(case: &str) -> anyhow::Result<()> {
    let figure = clock::per_call(
        1,
        nothing,
        |_| {
            // SAFETY: there is one thread; the child does nothing but end.
            unsafe {
                let child = libc::fork();
                if child == 0 {
                    libc::_exit(0);
                }
                libc::waitpid(child, std::ptr::null_mut(), 0);
            }
        },
        nothing,
    )?;
    line(TABLE, "fork, exit and wait", case, figure, "");
    Ok(())
}
