//! Runs the tests one after the other, each in a process of its own with a deadline, and leaves a
//! clean machine to the next.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::Job;
use super::process::{self, Ended, PATH};
use super::report::{Outcome, Report};
use super::systemd;
use crate::boot::Image;
use crate::support::rows;

/// Exit status of a test that could not be run.
pub const SKIPPED: u8 = 77;

/// Where a test that failed or was skipped writes why.
pub const WHY: &str = "/run/guard-tests/why";

/// The variable that tells a test how many seconds it may take.
pub const DEADLINE: &str = "GUARD_TEST_DEADLINE";

/// The program that holds the tests: this one.
const SELF: &str = "/usr/bin/guard-tests";

/// Runs `names` and reports each.
pub fn run(job: &Job, names: &[String], report: &mut Report) -> anyhow::Result<()> {
    for name in names {
        report.running(name)?;
        println!("=== {name}");
        let _ = fs::remove_file(WHY);
        let start = Instant::now();
        let outcome = one(job, name)?;
        println!("=== {name}: {outcome:?}");
        for row in rows::take() {
            report.row(&row)?;
        }
        report.result(name, &outcome, start.elapsed())?;
        clean(job.image);
    }
    report.done(names.len())?;
    Ok(())
}

fn one(job: &Job, name: &str) -> anyhow::Result<Outcome> {
    let mut command = Command::new(SELF);
    command
        .args(["run", &job.boot, name])
        .envs(&job.environment)
        .env("PATH", PATH)
        .env("HOME", "/root")
        .env("RUST_BACKTRACE", "1")
        .env(DEADLINE, job.deadline.to_string())
        .current_dir("/root")
        .process_group(0);
    let child = command.spawn().context("failed to start guard-tests")?;
    let ended = process::wait(&child, Duration::from_secs(job.deadline), || Ok(()))?;
    let why = fs::read_to_string(WHY).ok();
    Ok(match ended {
        Ended::Exit(0) => Outcome::Passed,
        Ended::Exit(status) if status == i32::from(SKIPPED) => {
            Outcome::Skipped(why.unwrap_or_default())
        }
        Ended::Exit(101) => Outcome::Failed("it panicked (the message is in the log)".to_owned()),
        Ended::Exit(status) => {
            Outcome::Failed(why.unwrap_or_else(|| format!("it ended with status {status}")))
        }
        Ended::Signal(signal) => Outcome::Failed(format!("it was killed by signal {signal}")),
        Ended::Deadline => Outcome::Failed(format!("it took more than {} s", job.deadline)),
    })
}

/// Ends what a test left running and removes what it made: nothing of it reaches the next, but an
/// engine that is whole. It does nothing to tasks outside sessions, of which there are none left,
/// and loading one takes an emulated machine longer than most tests.
fn clean(image: Image) {
    match image {
        Image::Small | Image::Full => {
            process::end_everything();
            remove_cgroups(Path::new("/sys/fs/cgroup"));
        }
        Image::Systemd => systemd::end_everything(),
    }
    remove_below(Path::new("/sys/fs/bpf"), |name| name == "guard");
    remove_below(Path::new("/sys/fs/bpf/guard"), is_whole);
    // Sessions of the same name would find each other's events.
    for place in ["/run/guard", "/var/log/guard", "/etc/guard"] {
        remove_below(Path::new(place), |_| false);
    }
}

/// Whether an engine of this name has as many pins as the most that one was seen to have.
fn is_whole(name: &str) -> bool {
    static MOST: AtomicUsize = AtomicUsize::new(0);
    let pins = fs::read_dir(format!("/sys/fs/bpf/guard/{name}")).map_or(0, Iterator::count);
    name.starts_with('v') && MOST.fetch_max(pins, Ordering::Relaxed) <= pins
}

/// Removes what lies in a directory, but what is to be kept.
fn remove_below(dir: &Path, keep: fn(&str) -> bool) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(keep) {
            continue;
        }
        let path = entry.path();
        if path.is_dir() {
            let _ = fs::remove_dir_all(path);
        } else {
            let _ = fs::remove_file(path);
        }
    }
}

/// Removes the cgroups below `dir`, children first.
fn remove_cgroups(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroups(&entry.path());
            let _ = fs::remove_dir(entry.path());
        }
    }
}
