//! What is counted over all runners.

use std::fmt;
use std::ops::AddAssign;
use std::process::ExitCode;

/// Tests by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Did what they claim.
    pub passed: usize,
    /// Did not, or did not run.
    pub failed: usize,
    /// Were not run, for a reason that is listed.
    pub skipped: usize,
}

impl Tally {
    /// Success is nothing failed and something passed.
    pub fn exit(self) -> ExitCode {
        if self.failed == 0 && self.passed > 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}
