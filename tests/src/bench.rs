//! `guard-tests bench`: measurements on a machine whose clock counts executed instructions.
//!
//! One JSON object a line: what was measured, in which case, and the figure. `cargo xtask bench`
//! boots the machine and makes tables of it.

use std::hint::black_box;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::bail;
use serde_json::json;

use crate::boot::{Boot, Image};

/// Calls of which one figure is made.
const CALLS: u32 = 2000;

/// A figure has settled when two in a row differ by less than one in so many.
const SETTLED: u64 = 500;

/// Measures everything there is to measure on this boot.
pub fn run(_boot: Boot, _image: Image) -> anyhow::Result<()> {
    // The clock is calibrated in the first seconds, and off by a factor until then.
    sleep(Duration::from_secs(10));
    line(
        "getppid",
        "no guard",
        call(|| {
            black_box(nix::unistd::getppid());
        })?,
    );
    Ok(())
}

/// Instructions of one call, once the figure repeats.
pub fn call(mut operation: impl FnMut()) -> anyhow::Result<u64> {
    let mut last = 0;
    for _ in 0..50 {
        let start = Instant::now();
        for _ in 0..CALLS {
            operation();
        }
        let figure = start.elapsed().as_nanos() as u64 / u64::from(CALLS);
        if figure.abs_diff(last) * SETTLED <= figure {
            return Ok(figure);
        }
        last = figure;
    }
    bail!("the figures do not settle; the last was {last}")
}

/// Hands a figure to the host.
pub fn line(measure: &str, case: &str, value: u64) {
    println!(
        "{}",
        json!({ "measure": measure, "case": case, "value": value })
    );
}
