//! The guest's first process: sets the machine up, does the host's job, powers off.
//!
//! The job is a file in the initramfs, written by `xtask` for this boot. What came of it goes out
//! on the second serial port, one JSON object a line; the first is the console, and a command's
//! own output has the third. As process 1 it cannot be hit by `kill -9 -1`, so it also is the
//! witness who says what a test left alive.

mod job;
mod process;
mod report;
mod setup;
mod steps;
mod systemd;
mod tests;
pub mod watch;

use nix::sys::reboot::{RebootMode, reboot};

use crate::boot::Image;

pub use job::{Job, Mode};
pub use process::PATH;
pub use report::Report;
pub use tests::{DEADLINE, SKIPPED, WHY};

/// Where the host puts the job.
pub const JOB: &str = "/guard/job.json";

/// The serial port for results.
const PORT: &str = "/dev/ttyS1";

/// Runs the machine from its start to power-off.
pub fn main() -> ! {
    if let Err(error) = run() {
        // Whatever is broken, the console is the one place that may still work; the host finds
        // no closing line and shows it.
        eprintln!("init: {error:#}");
    }
    power_off()
}

fn run() -> anyhow::Result<()> {
    setup::early()?;
    let mut report = Report::open(PORT)?;
    // From here on a failure reaches the host as a line of its own.
    let result = Job::read(JOB).and_then(|job| {
        setup::machine(&job)?;
        if job.image == Image::Systemd {
            return systemd::start();
        }
        work(&job, &mut report)
    });
    if let Err(error) = &result {
        report.broken(&format!("{error:#}"))?;
    }
    result
}

fn work(job: &Job, report: &mut Report) -> anyhow::Result<()> {
    match &job.mode {
        Mode::Tests { names } => tests::run(job, names, report),
        Mode::Steps { steps } => steps::run(job, steps, report),
        Mode::Shell {
            rows,
            columns,
            terminal,
        } => steps::shell(job, *rows, *columns, terminal, report),
    }
}

/// Does the job as a service of systemd's, which is the machine's first process, and powers off.
pub fn service() -> ! {
    let mut report = Report::open(PORT);
    if let Ok(report) = &mut report {
        let result = Job::read(JOB).and_then(|job| {
            setup::places()?;
            work(&job, report)
        });
        if let Err(error) = result {
            let _ = report.broken(&format!("{error:#}"));
        }
    }
    power_off()
}

fn power_off() -> ! {
    nix::unistd::sync();
    let _ = reboot(RebootMode::RB_POWER_OFF);
    std::process::exit(1)
}
