//! Tables of cases: all of them run, and the failures are told together, each by its name.

use std::fmt::Display;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What came of the cases so far.
#[derive(Debug, Default)]
pub struct Cases {
    count: usize,
    failures: Vec<String>,
}

impl Cases {
    /// Runs one case.
    pub fn run(&mut self, name: impl Display, case: impl FnOnce() -> anyhow::Result<()>) {
        self.count += 1;
        let start = Instant::now();
        match case() {
            Ok(()) => println!("  ok {name} ({} ms)", start.elapsed().as_millis()),
            Err(error) => {
                println!("  FAILED {name}: {error:#}");
                self.failures.push(format!("{name}: {error:#}"));
            }
        }
    }

    /// Says that a case cannot be had here, and why.
    pub fn leave_out(&self, name: impl Display, why: impl Display) {
        println!("  left out {name}: {why}");
    }

    /// An error when a case failed, or when there was none.
    pub fn finish(self) -> anyhow::Result<()> {
        anyhow::ensure!(self.count > 0, "the table has no case");
        anyhow::ensure!(
            self.failures.is_empty(),
            "{} of {} cases failed:\n  {}",
            self.failures.len(),
            self.count,
            self.failures.join("\n  ")
        );
        Ok(())
    }
}

/// Waits until something holds; whether it did within the time.
pub fn until(patience: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if holds() {
            return true;
        }
        if start.elapsed() > patience {
            return false;
        }
        sleep(Duration::from_millis(3));
    }
}
