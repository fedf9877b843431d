//! The child that becomes the command: forked early, held at a gate until its session
//! stands, then proves that the guard refuses, drops its privileges and executes.
//!
//! Between fork and exec nothing is allocated: everything is made ready before, and the
//! child only calls into the kernel.

use std::ffi::{CString, OsString};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal};
use nix::unistd::{ForkResult, Gid, Pid, Uid};

use super::late::{self, Late, Values};
use super::name::Name;
use super::raw;
use crate::cli::exit::{Exit, Failure};

/// Whom the command runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub uid: Uid,
    /// The first group.
    pub gid: Gid,
    /// The other groups.
    pub groups: Vec<Gid>,
}

/// Everything that the child needs, ready to use.
#[derive(Debug)]
pub struct Plan {
    program: CString,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    /// Room for what is known last.
    late: Late,
    /// `sh` and its arguments, for a script without an interpreter line.
    script: Vec<CString>,
    credentials: Option<Credentials>,
}

impl Plan {
    /// A plan to execute a file with these arguments (the command's name first) and this
    /// environment, as somebody else or, with `None`, as whoever calls.
    pub fn new(
        program: PathBuf,
        arguments: Vec<OsString>,
        environment: Vec<(OsString, OsString)>,
        credentials: Option<Credentials>,
    ) -> Result<Self, Failure> {
        let program = c_string(program.into_os_string())?;
        let arguments = arguments
            .into_iter()
            .map(c_string)
            .collect::<Result<Vec<_>, _>>()?;
        let environment = environment
            .into_iter()
            .map(|(mut name, value)| {
                name.push("=");
                name.push(value);
                c_string(name)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let script = [c"/bin/sh".to_owned(), program.clone()]
            .into_iter()
            .chain(arguments.iter().skip(1).cloned())
            .collect();
        Ok(Self {
            program,
            arguments,
            environment,
            late: Late::new(),
            script,
            credentials,
        })
    }

    /// Forks the child, which waits at its gate.
    ///
    /// The calling process should have one thread only.
    pub fn fork(mut self) -> io::Result<Held> {
        let (gate_reader, gate) = io::pipe()?;
        let (failure, failure_writer) = io::pipe()?;
        let argv = pointers(&self.arguments);
        let script = pointers(&self.script);
        let mut envp = pointers(&self.environment);
        // The places of the variables that are known last, until then the end.
        envp.extend([std::ptr::null(); late::COUNT]);
        let exec = Exec {
            program: &self.program,
            argv: &argv,
            script: &script,
            envp: &mut envp,
            late: &mut self.late,
        };
        // SAFETY: the child calls nothing but `Child::run`, which neither allocates nor takes
        // a lock and leaves through exec or `_exit`.
        match unsafe { nix::unistd::fork() }? {
            ForkResult::Child => {
                drop_in_child(gate);
                drop_in_child(failure);
                // Nor is anything else of the caller's the child's to hold open: other gates, where
                // the caller makes several.
                raw::close_all_but([gate_reader.as_raw_fd(), failure_writer.as_raw_fd()]);
                let child = Child {
                    gate: gate_reader,
                    failure: failure_writer,
                    credentials: self.credentials.as_ref(),
                };
                child.run(exec)
            }
            ForkResult::Parent { child } => {
                drop((gate_reader, failure_writer));
                let pidfd = raw::pidfd_open(child)?;
                Ok(Held {
                    pid: child,
                    pidfd,
                    gate,
                    failure,
                })
            }
        }
    }
}

/// Closes a descriptor; in the child this is what `drop` does, said aloud.
fn drop_in_child(descriptor: impl Into<OwnedFd>) {
    drop(descriptor.into());
}

fn c_string(text: OsString) -> Result<CString, Failure> {
    CString::new(text.into_vec())
        .map_err(|_| Failure::usage("The command or its environment holds a NUL character."))
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings
        .iter()
        .map(|string| string.as_ptr())
        .chain([std::ptr::null()])
        .collect()
}

/// Arrays as `execve` takes them: they end with a null, and borrow from the plan.
struct Exec<'plan> {
    program: &'plan CString,
    argv: &'plan [*const libc::c_char],
    script: &'plan [*const libc::c_char],
    /// With room for those that are known last before the null at the end.
    envp: &'plan mut [*const libc::c_char],
    late: &'plan mut Late,
}

impl Exec<'_> {
    /// Puts what is known last into the environment.
    fn complete(&mut self, values: &Values) {
        let end = self.envp.len().saturating_sub(1);
        if let Some(places) = self.envp.get_mut(end.saturating_sub(late::COUNT)..end) {
            self.late.fill(values, places);
        }
    }

    /// Executes; returns only when that failed.
    fn exec(&self) -> Errno {
        // SAFETY: all strings end with a NUL and all arrays with a null, and the plan that
        // they point into outlives the call.
        unsafe {
            libc::execve(
                self.program.as_ptr(),
                self.argv.as_ptr(),
                self.envp.as_ptr(),
            )
        };
        let error = Errno::last();
        if error == Errno::ENOEXEC {
            // A script without an interpreter line: `execvp` hands it to the shell.
            // SAFETY: as above; the first element is the shell's path.
            unsafe { libc::execve(self.script[0], self.script.as_ptr(), self.envp.as_ptr()) };
        }
        error
    }
}

/// What the child was doing when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// A forbidden signal was not refused.
    Proof = 1,
    /// Dispositions of signals.
    Signals = 2,
    /// User and groups.
    Credentials = 3,
    /// Executing the command.
    Exec = 4,
}

struct Child<'plan> {
    gate: PipeReader,
    failure: PipeWriter,
    credentials: Option<&'plan Credentials>,
}

impl Child<'_> {
    fn run(mut self, mut exec: Exec<'_>) -> ! {
        let mut word = [0_u8; 4];
        let mut values: Values = [0; size_of::<Values>()];
        let heard = self
            .gate
            .read_exact(&mut word)
            .and_then(|()| self.gate.read_exact(&mut values));
        if heard.is_err() {
            // `guard run` is gone, or the session did not come to be: it has said so.
            leave();
        }
        exec.complete(&values);
        let (step, error) = match self.prepare(i32::from_le_bytes(word)) {
            Ok(()) => (Step::Exec, exec.exec()),
            Err(failure) => failure,
        };
        let mut message = [step as u8, 0, 0, 0, 0];
        message[1..].copy_from_slice(&(error as i32).to_le_bytes());
        // Nobody is left to be told when this fails.
        let _ = self.failure.write_all(&message);
        leave();
    }

    fn prepare(&self, canary: i32) -> Result<(), (Step, Errno)> {
        if canary != 0 {
            prove(Pid::from_raw(canary)).map_err(|error| (Step::Proof, error))?;
        }
        restore_signals().map_err(|error| (Step::Signals, error))?;
        if let Some(credentials) = self.credentials {
            become_user(credentials).map_err(|error| (Step::Credentials, error))?;
        }
        // A kernel without it (5.10) is refused long before this; sudo closes them anyway.
        let _ = raw::close_from_at_exec(3);
        Ok(())
    }
}

/// Sends a signal that the guard must refuse: `SIGURG`, which harms nobody.
fn prove(canary: Pid) -> Result<(), Errno> {
    match nix::sys::signal::kill(canary, Signal::SIGURG) {
        Err(Errno::EPERM) => Ok(()),
        Err(error) => Err(error),
        Ok(()) => Err(Errno::UnknownErrno),
    }
}

fn restore_signals() -> Result<(), Errno> {
    // Rust's runtime ignores it; commands expect to die of it. All else is as `guard run`
    // itself was given it.
    // SAFETY: the default disposition runs no code of ours.
    unsafe { nix::sys::signal::signal(Signal::SIGPIPE, SigHandler::SigDfl) }?;
    Ok(())
}

fn become_user(credentials: &Credentials) -> Result<(), Errno> {
    let Credentials { uid, gid, groups } = credentials;
    nix::unistd::setgroups(groups)?;
    nix::unistd::setresgid(*gid, *gid, *gid)?;
    nix::unistd::setresuid(*uid, *uid, *uid)
}

fn leave() -> ! {
    // SAFETY: ends the process at once, without the parent's exit handlers.
    unsafe { libc::_exit(i32::from(Exit::Guard.code())) }
}

/// The forked child before its gate is opened. Dropping it closes the gate, and the child
/// leaves.
#[derive(Debug)]
pub struct Held {
    pid: Pid,
    pidfd: OwnedFd,
    gate: PipeWriter,
    failure: PipeReader,
}

/// The child when it has become the command.
#[derive(Debug)]
pub struct Command {
    /// Its process.
    pub pid: Pid,
    /// The same, as a descriptor.
    pub pidfd: OwnedFd,
}

impl Held {
    /// The child's process.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// The child's process as a descriptor.
    #[must_use]
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Opens the gate and waits until the command runs, or has failed to.
    ///
    /// The child first sends `SIGURG` to `canary`, which the guard must refuse; without a
    /// canary nothing is proved. The command finds a session's name and runtime directory in its
    /// environment.
    pub fn release(
        self,
        canary: Option<Pid>,
        session: Option<&Name>,
        runtime: Option<&Path>,
    ) -> Result<Command, Failure> {
        let Self {
            pid,
            pidfd,
            mut gate,
            mut failure,
        } = self;
        let mut word = canary.map_or(0, Pid::as_raw).to_le_bytes().to_vec();
        word.extend_from_slice(&late::values(session, runtime));
        let mut message = Vec::new();
        let spoken = gate
            .write_all(&word)
            .and_then(|()| failure.read_to_end(&mut message));
        match (spoken, message.as_slice()) {
            (Ok(_), []) => Ok(Command { pid, pidfd }),
            (Ok(_), &[step, a, b, c, d]) => {
                reap(pid);
                Err(explain(step, i32::from_le_bytes([a, b, c, d])))
            }
            (spoken, _) => {
                drop(gate);
                reap(pid);
                let why = spoken
                    .err()
                    .map_or_else(String::new, |why| format!(": {why}"));
                Err(Failure::guard(format!(
                    "The process that was to become the command ended before its time{why}."
                )))
            }
        }
    }

    /// Lets the child go without a command, and waits for its end.
    pub fn abandon(self) {
        let Self { pid, gate, .. } = self;
        drop(gate);
        reap(pid);
    }
}

fn reap(pid: Pid) {
    while nix::sys::wait::waitpid(pid, None) == Err(Errno::EINTR) {}
}

fn explain(step: u8, errno: i32) -> Failure {
    let error = io::Error::from_raw_os_error(errno);
    if step == Step::Exec as u8 {
        let exit = match Errno::from_raw(errno) {
            Errno::ENOENT | Errno::ENOTDIR => Exit::NotFound,
            _ => Exit::NotExecutable,
        };
        let message = format!("The command can't be executed: {error}.");
        return Failure { exit, message };
    }
    Failure::guard(if step == Step::Proof as u8 && errno == 0 {
        "Guard is loaded but does not enforce: a signal that must be refused went through. The \
         command was not started. `guard doctor` says what is missing."
            .to_owned()
    } else if step == Step::Proof as u8 {
        format!(
            "It could not be proved that guard enforces: a signal to its server should have been \
             refused (EPERM), and the answer was: {error}. The command was not started."
        )
    } else if step == Step::Credentials as u8 {
        format!("The process could not become the user that the command is to run as: {error}.")
    } else {
        format!("The signals of the command could not be set up: {error}.")
    })
}

#[cfg(test)]
#[path = "launch_tests.rs"]
mod tests;
