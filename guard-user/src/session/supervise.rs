//! Waiting for the command as if guard weren't there: signals are passed on, stops are
//! followed, and the end is the command's own.
//!
//! The command is in the process group of `guard run`, so what the terminal sends reaches
//! it directly; only what somebody sends to `guard run` itself is passed on.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};

use super::launch::Command;
use super::raw::{self, Change};
use crate::cli::exit::Exit;

/// Signals that are not passed on: faults of our own, and the stops of job control, which
/// must stop `guard run` as they stop the command.
const OWN: [Signal; 10] = [
    Signal::SIGSEGV,
    Signal::SIGBUS,
    Signal::SIGFPE,
    Signal::SIGILL,
    Signal::SIGTRAP,
    Signal::SIGABRT,
    Signal::SIGSYS,
    Signal::SIGTSTP,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
];

/// How long a stopped command may take to be continued together with us before we stop too.
const CONTINUED_TOGETHER: Duration = Duration::from_millis(20);

/// Holds signals back from the moment that it is made, so that none is lost between the
/// start of the command and the wait for it.
#[derive(Debug)]
pub struct Supervisor {
    signals: SignalFd,
    before: SigSet,
}

impl Supervisor {
    /// Takes over the signals of this process, which should have one thread only.
    pub fn new() -> io::Result<Self> {
        // Whoever ignores it would never get to know how the child ended.
        let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
        // SAFETY: the default disposition runs no code of ours.
        unsafe { nix::sys::signal::sigaction(Signal::SIGCHLD, &default) }?;
        let mut held = SigSet::all();
        for signal in OWN {
            held.remove(signal);
        }
        let mut before = SigSet::empty();
        nix::sys::signal::sigprocmask(SigmaskHow::SIG_BLOCK, Some(&held), Some(&mut before))?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let signals = SignalFd::with_flags(&held, flags)?;
        Ok(Self { signals, before })
    }

    /// Waits until the command has ended, and says how. Afterwards the signals are the
    /// process's own again.
    pub fn wait(self, command: &Command) -> io::Result<Exit> {
        loop {
            if let Some(exit) = look(command)? {
                return Ok(exit);
            }
            let mut ready = [
                PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
                PollFd::new(command.pidfd.as_fd(), PollFlags::POLLIN),
            ];
            match nix::poll::poll(&mut ready, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
            while let Some(signal) = self.signals.read_signal()? {
                pass_on(&signal, command);
            }
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        // Restoring a mask that the kernel handed out can't fail.
        let _ = nix::sys::signal::sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.before), None);
    }
}

/// Takes what the kernel has to tell about the command.
fn look(command: &Command) -> io::Result<Option<Exit>> {
    let mut change = raw::wait(command.pid, libc::WUNTRACED)?;
    loop {
        change = match change {
            Change::None => return Ok(None),
            Change::Exited(status) => return Ok(Some(Exit::Command(status))),
            Change::Died(signal) => return Ok(Some(Exit::Signal(signal))),
            Change::Stopped if has_terminal() => follow_stop(command)?,
            // Without a terminal there is no job control, and nobody who would continue us.
            Change::Stopped | Change::Continued => raw::wait(command.pid, libc::WUNTRACED)?,
        };
    }
}

/// Stops, since the command has stopped, so that the shell takes the terminal back; when
/// the shell continues us, the command goes on too.
fn follow_stop(command: &Command) -> io::Result<Change> {
    // ^Z stops both of us, and `fg` continues both; what we see may be just past.
    std::thread::sleep(CONTINUED_TOGETHER);
    let change = raw::wait(command.pid, libc::WCONTINUED)?;
    if change != Change::None {
        return Ok(change);
    }
    nix::sys::signal::raise(Signal::SIGSTOP)?;
    // Whether it is still there shows when it is waited for.
    let _ = raw::pidfd_send_signal(command.pidfd.as_fd(), libc::SIGCONT);
    raw::wait(command.pid, libc::WUNTRACED)
}

/// Passes a signal on, unless the command has it already or sent it itself.
fn pass_on(signal: &siginfo, command: &Command) {
    let number = signal.ssi_signo as i32;
    let is_from_terminal = signal.ssi_code > 0;
    let is_from_command = signal.ssi_pid == command.pid.as_raw() as u32;
    if number == libc::SIGCHLD || is_from_terminal || is_from_command {
        return;
    }
    // The command may have ended meanwhile, which is what we wait for.
    let _ = raw::pidfd_send_signal(command.pidfd.as_fd(), number);
}

fn has_terminal() -> bool {
    OpenOptions::new().read(true).open("/dev/tty").is_ok()
}

/// Ends this process as the command ended: with its status, or of its signal.
pub fn end_as(exit: Exit) -> ! {
    if let Exit::Signal(signal) = exit {
        // The command has left its core, if any; ours would only be in the way.
        let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
        let none = SigSet::empty();
        let _ = nix::sys::signal::sigprocmask(SigmaskHow::SIG_SETMASK, Some(&none), None);
        raw::raise_default(signal);
    }
    std::process::exit(i32::from(exit.code()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::launch::Plan;
    use nix::sys::signal::kill;
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, Pid, fork};

    /// Does what `guard run` does around a command, in a process of its own, since signals
    /// are a process's.
    fn supervised(script: &str) -> Pid {
        let arguments = ["sh", "-c", script].map(Into::into).to_vec();
        let environment = vec![("PATH".into(), "/usr/bin:/bin".into())];
        let plan = Plan::new("/bin/sh".into(), arguments, environment, None).unwrap();
        // SAFETY: the C library's allocator, all that the child shares with other threads, is
        // made for use after a fork; the child leaves without returning here.
        match unsafe { fork() }.unwrap() {
            ForkResult::Parent { child } => child,
            ForkResult::Child => {
                // A shell cannot trap what was ignored when it began, as under `nohup`.
                // SAFETY: the default disposition runs no code of ours.
                let _ = unsafe { nix::sys::signal::signal(Signal::SIGHUP, SigHandler::SigDfl) };
                let exit = (|| {
                    let held = plan.fork()?;
                    let supervisor = Supervisor::new()?;
                    let command = held
                        .release(None, None, None)
                        .map_err(|failure| io::Error::other(failure.message))?;
                    supervisor.wait(&command)
                })();
                end_as(exit.unwrap_or(Exit::Guard))
            }
        }
    }

    fn wait_for(file: &std::path::Path) {
        for _ in 0..500 {
            if file.exists() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{} did not appear", file.display());
    }

    #[test]
    fn the_status_is_the_commands_own() {
        let status = waitpid(supervised("exit 7"), None).unwrap();
        assert!(matches!(status, WaitStatus::Exited(_, 7)), "{status:?}");
    }

    #[test]
    fn a_command_that_dies_of_a_signal_is_died_after() {
        let status = waitpid(supervised("kill -TERM $$"), None).unwrap();
        assert!(
            matches!(status, WaitStatus::Signaled(_, Signal::SIGTERM, false)),
            "{status:?}"
        );
    }

    #[test]
    fn a_real_time_signal_counts_like_any_other() {
        let pid = supervised("kill -40 $$");
        let end = loop {
            match raw::wait(pid, 0).unwrap() {
                Change::None => std::thread::sleep(Duration::from_millis(5)),
                end => break end,
            }
        };
        assert_eq!(end, Change::Died(40));
    }

    #[test]
    fn signals_sent_to_us_reach_the_command() {
        for (signal, name) in [
            (Signal::SIGTERM, "TERM"),
            (Signal::SIGHUP, "HUP"),
            (Signal::SIGINT, "INT"),
            (Signal::SIGUSR1, "USR1"),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let ready = directory.path().join("ready");
            let script = format!(
                "trap 'exit 42' {name}; touch {}; while :; do sleep 0.02; done",
                ready.display()
            );
            let pid = supervised(&script);
            wait_for(&ready);
            kill(pid, signal).unwrap();
            let status = waitpid(pid, None).unwrap();
            assert!(
                matches!(status, WaitStatus::Exited(_, 42)),
                "{name}: {status:?}"
            );
        }
    }

    #[test]
    fn a_stopped_command_without_a_terminal_is_waited_for() {
        if has_terminal() {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pid");
        let script = format!(
            "echo $$ > {0}.new; mv {0}.new {0}; kill -STOP $$; exit 5",
            file.display()
        );
        let pid = supervised(&script);
        wait_for(&file);
        let command: i32 = std::fs::read_to_string(&file)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        std::thread::sleep(Duration::from_millis(50));
        kill(Pid::from_raw(command), Signal::SIGCONT).unwrap();
        let status = waitpid(pid, None).unwrap();
        assert!(matches!(status, WaitStatus::Exited(_, 5)), "{status:?}");
    }
}
