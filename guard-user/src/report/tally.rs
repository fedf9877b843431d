//! Counts: how often which operation was refused, and how often it was recorded and went through.

use guard_ebpf::operation::{MAX_OPERATIONS, Operation, Verdict};

/// What became of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was refused.
    Refused,
    /// It went through and was recorded.
    Recorded,
}

impl Outcome {
    /// Both.
    pub const EVERY: [Self; 2] = [Self::Refused, Self::Recorded];

    /// What a verdict comes to; none for what was simply let through.
    #[must_use]
    pub const fn of(verdict: Verdict) -> Option<Self> {
        match verdict {
            Verdict::Deny => Some(Self::Refused),
            Verdict::Audit => Some(Self::Recorded),
            Verdict::Allow => None,
        }
    }

    /// Its name, to be shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Recorded => "recorded",
        }
    }
}

/// Counts by outcome and operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally([[u64; MAX_OPERATIONS]; 2]);

impl Tally {
    /// So many operations.
    #[must_use]
    pub fn of(outcome: Outcome, operation: Operation, count: u64) -> Self {
        let mut tally = Self::default();
        tally.0[outcome as usize][operation as usize] = count;
        tally
    }

    /// Adds another's counts.
    pub fn add(&mut self, other: &Self) {
        let mine = self.0.iter_mut().flatten();
        for (mine, others) in mine.zip(other.0.iter().flatten()) {
            *mine = mine.saturating_add(*others);
        }
    }

    /// How many operations of one outcome.
    #[must_use]
    pub fn sum(&self, outcome: Outcome) -> u64 {
        let counts = self.0[outcome as usize].iter();
        counts.fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// How many operations.
    #[must_use]
    pub fn total(&self) -> u64 {
        let sums = Outcome::EVERY.map(|outcome| self.sum(outcome));
        sums[0].saturating_add(sums[1])
    }

    /// How often an operation had an outcome.
    #[must_use]
    pub const fn count(&self, outcome: Outcome, operation: Operation) -> u64 {
        self.0[outcome as usize][operation as usize]
    }

    /// The operations that had an outcome, in the order of their numbers.
    pub fn operations(&self, outcome: Outcome) -> impl Iterator<Item = (Operation, u64)> {
        Operation::EVERY
            .into_iter()
            .map(move |operation| (operation, self.count(outcome, operation)))
            .filter(|(_, count)| *count > 0)
    }
}

impl FromIterator<Tally> for Tally {
    fn from_iter<I: IntoIterator<Item = Self>>(tallies: I) -> Self {
        let mut sum = Self::default();
        for tally in tallies {
            sum.add(&tally);
        }
        sum
    }
}
