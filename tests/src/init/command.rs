//! Starting processes, waiting for them as process 1 has to, and ending all of them.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::Job;
use super::report::Report;
use super::setup::raw_terminal;

/// How a process came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It exited with this status.
    Exit(i32),
    /// This signal killed it.
    Signal(i32),
    /// It was still running at its deadline, and was killed.
    Deadline,
}

/// Runs one command with the third serial port as its terminal and reports its status.
pub fn run(argv: &[String], job: &Job, report: &mut Report) -> anyhow::Result<()> {
    let port = raw_terminal("/dev/ttyS2").context("failed to open /dev/ttyS2")?;
    let (program, arguments) = argv.split_first().context("the job has no command")?;
    let mut command = Command::new(program);
    command.args(arguments);
    let ended =
        start_and_wait(command, job, &port).with_context(|| format!("failed to run {program}"))?;
    let status = match ended {
        Ended::Exit(status) => status,
        Ended::Signal(signal) => 128 + signal,
        // What timeout(1) exits with.
        Ended::Deadline => 124,
    };
    report.exit(status)?;
    report.done(1)?;
    nix::sys::termios::tcdrain(&port)?;
    Ok(())
}

/// Runs the measurements; their lines go straight to the host.
pub fn bench(job: &Job, report: &mut Report) -> anyhow::Result<()> {
    let mut command = Command::new("/usr/bin/guard-tests");
    command.args(["bench", &job.boot]);
    let port = report.port()?;
    let ended = start_and_wait(command, job, &port).context("failed to run the measurements")?;
    report.exit(match ended {
        Ended::Exit(status) => status,
        Ended::Signal(signal) => 128 + signal,
        Ended::Deadline => 124,
    })?;
    report.done(1)?;
    Ok(())
}

fn start_and_wait(mut command: Command, job: &Job, port: &File) -> anyhow::Result<Ended> {
    command
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .env("HOME", "/root")
        .env("TERM", "linux")
        .envs(&job.environment)
        .current_dir("/root")
        .stdin(Stdio::null())
        .stdout(port.try_clone()?)
        .stderr(port.try_clone()?)
        .process_group(0);
    wait(command.spawn()?, Duration::from_secs(job.deadline))
}

/// Waits for `child` and reaps whatever else ends meanwhile: orphans are this process's.
pub fn wait(child: Child, deadline: Duration) -> anyhow::Result<Ended> {
    let child = Pid::from_raw(child.id() as i32);
    let start = Instant::now();
    let mut late = false;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, _, _))
                if pid == child && late =>
            {
                return Ok(Ended::Deadline);
            }
            Ok(WaitStatus::Exited(pid, status)) if pid == child => return Ok(Ended::Exit(status)),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => {
                return Ok(Ended::Signal(signal as i32));
            }
            Ok(WaitStatus::StillAlive) => {
                if !late && start.elapsed() > deadline {
                    late = true;
                    kill(child, Signal::SIGKILL)?;
                }
                sleep(Duration::from_millis(2));
            }
            // Somebody else's end, or an interruption: look again.
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context("failed to wait"),
        }
    }
}

/// Kills every other process of the machine and waits until they are gone, for 2 s at most: a
/// process that cannot be killed must not hold up the next test.
pub fn end_everything() {
    let start = Instant::now();
    let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
    while start.elapsed() < Duration::from_secs(2) {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Err(Errno::ECHILD) => break,
            Ok(WaitStatus::StillAlive) => {
                // A process that was being created when the signal went round.
                let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
                sleep(Duration::from_millis(2));
            }
            _ => {}
        }
    }
}
