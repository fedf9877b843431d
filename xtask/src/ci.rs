//! `cargo xtask ci`: everything, on a machine that may be fresh. The last line is the count.

use std::process::ExitCode;
use std::time::Instant;

use crate::build;
use crate::demo;
use crate::setup::{self, Mirror};
use crate::test::{self, Tally};
use crate::tidy;

/// Everything: set-up, checks, builds, tests, the demo. The last line is the count.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    mirror: Mirror,
}

/// The task. Whatever goes wrong on the way, the count is printed.
pub fn main(arguments: &Arguments) -> ExitCode {
    let mut tally = Tally::default();
    let mut sound = true;
    for (name, step) in [
        (
            "set-up",
            set_up as fn(&Arguments, &mut Tally) -> anyhow::Result<bool>,
        ),
        ("tidy", |_, _| Ok(tidy::run(|_| true)? == 0)),
        ("release build", |_, _| build::guard(true).map(|_| true)),
        ("tests", tests),
        ("demo", demo),
    ] {
        println!("=== {name}");
        let start = Instant::now();
        let done = step(arguments, &mut tally).unwrap_or_else(|error| {
            println!("error: {error:#}");
            false
        });
        let word = if done { "done" } else { "FAILED" };
        println!("=== {name}: {word} in {} s", start.elapsed().as_secs());
        sound &= done;
    }
    println!("{tally}");
    if sound {
        tally.exit()
    } else {
        ExitCode::FAILURE
    }
}

fn set_up(arguments: &Arguments, _: &mut Tally) -> anyhow::Result<bool> {
    setup::everything(&arguments.mirror)?;
    Ok(true)
}

fn tests(arguments: &Arguments, tally: &mut Tally) -> anyhow::Result<bool> {
    let counted = test::run(&test::Arguments::everything(&arguments.mirror))?;
    *tally += counted;
    Ok(counted.failed == 0)
}

/// Counted as one test.
fn demo(arguments: &Arguments, tally: &mut Tally) -> anyhow::Result<bool> {
    let shown = demo::main(&demo::Arguments::both(&arguments.mirror));
    let whole = matches!(&shown, Ok(code) if *code == ExitCode::SUCCESS);
    *tally += Tally {
        passed: usize::from(whole),
        failed: usize::from(!whole),
        skipped: 0,
    };
    shown.map(|_| whole)
}
