//! Runs what the host asks for: commands one after the other, or a shell.

use std::fs::OpenOptions;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;

use super::job::{Job, Step};
use super::process::{self, PATH};
use super::report::Report;
use super::setup::raw_terminal;
use super::watch::Watch;

/// The serial port for what is run.
const PORT: &str = "/dev/ttyS2";

/// How long what a step did is watched when it has ended.
const AFTERWARDS: Duration = Duration::from_secs(3);

/// A shell that a person uses is not ended before a day has gone.
const A_DAY: Duration = Duration::from_hours(24);

/// Runs the steps and reports the status of the last one.
pub fn run(job: &Job, steps: &[Step], report: &mut Report) -> anyhow::Result<()> {
    let port = raw_terminal(PORT).with_context(|| format!("failed to open {PORT}"))?;
    let mut status = 0;
    for step in steps {
        let mut command = prepare(job, &step.argv)?;
        command
            .stdin(Stdio::null())
            .stdout(port.try_clone()?)
            .stderr(port.try_clone()?)
            .process_group(0);
        let child = command
            .spawn()
            .with_context(|| format!("failed to run {}", step.argv.join(" ")))?;
        if step.background {
            continue;
        }
        let mut watch = step.watch.then(Watch::begin).transpose()?;
        let ended = process::wait(&child, Duration::from_secs(job.deadline), || {
            watch.as_mut().map_or(Ok(()), |watch| watch.look(report))
        })?;
        if let Some(mut watch) = watch {
            process::settle(AFTERWARDS, || watch.look(report))?;
            continue;
        }
        status = ended.status();
        if status != 0 {
            break;
        }
    }
    report.exit(status)?;
    report.done(steps.len())?;
    nix::sys::termios::tcdrain(&port)?;
    Ok(())
}

/// Runs a login shell with the port as its terminal, until it ends.
pub fn shell(
    job: &Job,
    rows: u16,
    columns: u16,
    terminal: &str,
    report: &mut Report,
) -> anyhow::Result<()> {
    let port = OpenOptions::new().read(true).write(true).open(PORT)?;
    let line = format!(
        "stty sane rows {rows} columns {columns}; exec setsid -c \"$(command -v bash || command -v sh)\" -l"
    );
    let mut command = prepare(job, &["/bin/sh".to_owned(), "-c".to_owned(), line])?;
    command
        .env("TERM", terminal)
        .stdin(port.try_clone()?)
        .stdout(port.try_clone()?)
        .stderr(port);
    let ended = process::wait(&command.spawn()?, A_DAY, || Ok(()))?;
    report.exit(ended.status())?;
    report.done(1)?;
    Ok(())
}

fn prepare(job: &Job, argv: &[String]) -> anyhow::Result<Command> {
    let (program, arguments) = argv.split_first().context("a step has no command")?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .env("HOME", "/root")
        .env("USER", "root")
        .env("LOGNAME", "root")
        .env("TERM", "dumb")
        .env("GUARD_BOOT", &job.boot)
        .envs(&job.environment)
        .current_dir("/root");
    Ok(command)
}
