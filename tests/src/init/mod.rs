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
mod tests;
pub mod watch;

use nix::sys::reboot::{RebootMode, reboot};

pub use job::{Job, Mode};
pub use process::PATH;
pub use report::Report;
pub use tests::{SKIPPED, WHY};

/// Where the host puts the job.
pub const JOB: &str = "/guard/job.json";

/// Runs the machine from its start to power-off.
pub fn main() -> ! {
    if let Err(error) = run() {
        // Whatever is broken, the console is the one place that may still work; the host finds
        // no closing line and shows it.
        eprintln!("init: {error:#}");
    }
    nix::unistd::sync();
    let _ = reboot(RebootMode::RB_POWER_OFF);
    std::process::exit(1)
}

fn run() -> anyhow::Result<()> {
    setup::early()?;
    let mut report = Report::open("/dev/ttyS1")?;
    // From here on a failure reaches the host as a line of its own.
    let result = Job::read(JOB).and_then(|job| {
        setup::machine(&job)?;
        match &job.mode {
            Mode::Tests { names } => tests::run(&job, names, &mut report),
            Mode::Steps { steps } => steps::run(&job, steps, &mut report),
            Mode::Shell {
                rows,
                columns,
                terminal,
            } => steps::shell(&job, *rows, *columns, terminal, &mut report),
        }
    });
    if let Err(error) = &result {
        report.broken(&format!("{error:#}"))?;
    }
    result
}
