//! The measured calls. Every figure's outcome is checked too: a refusal that is none, or the
//! other way round, is an error and no figure.

use std::cell::{Cell, RefCell};
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixListener;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrLike as _, UnixAddr, socket};

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
    open(case, "open for reading", libc::O_RDONLY)?;
    open(case, "open for writing", libc::O_RDWR)?;
    write(case)?;
    connect(case)?;
    fork(case)?;
    execute(case)?;
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

/// Measures opening a file, for reading or to write.
fn open(case: &str, what: &str, flags: i32) -> anyhow::Result<()> {
    let name = CString::new(format!("{WORKSPACE}/file"))?;
    std::fs::write(name.to_str()?, "")?;
    let mut files = [-1; CALLS as usize];
    let place = RefCell::new(&mut files);
    let figure = clock::per_call(
        CALLS,
        nothing,
        |call| {
            // SAFETY: a string that ends in NUL.
            place.borrow_mut()[call as usize] = unsafe { libc::open(name.as_ptr(), flags) };
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
    line(TABLE, what, case, figure, "");
    Ok(())
}

/// Measures writing four bytes, always the same ones, to a file that is open.
fn write(case: &str) -> anyhow::Result<()> {
    let file = File::create(format!("{WORKSPACE}/written"))?;
    let write = || {
        // SAFETY: four bytes that are there.
        i64::try_from(unsafe { libc::pwrite(file.as_raw_fd(), b"byte".as_ptr().cast(), 4, 0) })
            .unwrap_or(-1)
    };
    let figure = clock::per_call(
        CALLS,
        nothing,
        |_| {
            write();
        },
        || check(write(), Outcome::Done, "write"),
    )?;
    line(TABLE, "write of 4 bytes", case, figure, "");
    Ok(())
}

/// Measures connecting to a listener of its own.
fn connect(case: &str) -> anyhow::Result<()> {
    let path = format!("{WORKSPACE}/{}.socket", std::process::id());
    let listener = UnixListener::bind(&path)?;
    let address = UnixAddr::new(path.as_str())?;
    let clients = RefCell::new(Vec::new());
    let results = RefCell::new([-1; CALLS as usize]);
    let figure = clock::per_call(
        CALLS,
        || {
            let mut clients = clients.borrow_mut();
            clients.clear();
            for _ in 0..CALLS {
                clients.push(socket(
                    AddressFamily::Unix,
                    SockType::Stream,
                    SockFlag::empty(),
                    None,
                )?);
            }
            Ok(())
        },
        |call| {
            let call = call as usize;
            // SAFETY: an address of that length, and an open socket.
            results.borrow_mut()[call] = unsafe {
                libc::connect(
                    clients.borrow()[call].as_raw_fd(),
                    address.as_ptr().cast(),
                    address.len(),
                )
            };
        },
        || {
            for result in results.borrow_mut().iter_mut() {
                check(i64::from(*result), Outcome::Done, "connect")?;
                *result = -1;
                listener.accept()?;
            }
            Ok(())
        },
    )?;
    std::fs::remove_file(path)?;
    line(TABLE, "connect to an own Unix socket", case, figure, "");
    Ok(())
}

/// Measures starting a program that does nothing.
fn execute(case: &str) -> anyhow::Result<()> {
    let path = c"/bin/true";
    let argv = [path.as_ptr().cast_mut(), std::ptr::null_mut()];
    let status = Cell::new(-1);
    let figure = clock::per_call(
        1,
        nothing,
        |_| {
            let mut child = 0;
            let mut ended = -1;
            // SAFETY: strings that end in NUL and a list that ends in null; no attributes.
            unsafe {
                libc::posix_spawn(
                    &raw mut child,
                    path.as_ptr(),
                    std::ptr::null(),
                    std::ptr::null(),
                    argv.as_ptr(),
                    std::ptr::null(),
                );
                libc::waitpid(child, &raw mut ended, 0);
            }
            status.set(ended);
        },
        || {
            ensure!(status.replace(-1) == 0, "/bin/true did not succeed");
            Ok(())
        },
    )?;
    line(TABLE, "fork, execve, exit and wait", case, figure, "");
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
