//! Counts over time: columns of one width, which grows with the span, so that there are never more
//! than a chart has room for.

use super::tally::Tally;
use crate::events::time::Time;
use std::collections::BTreeMap;

/// How many columns there are at most.
pub const MOST: usize = 96;

/// Widths of columns that people are used to, in seconds. Each is a multiple of the one before, so
/// columns become wider by being added up.
const WIDTHS: [i64; 14] = [
    1, 2, 10, 20, 60, 120, 600, 1_200, 3_600, 7_200, 21_600, 43_200, 86_400, 604_800,
];

/// Counts over time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverTime {
    /// In milliseconds.
    width: i64,
    /// The numbers of the first and the last column, counted from 1970.
    span: Option<(i64, i64)>,
    /// Those in which something is.
    columns: BTreeMap<i64, Tally>,
}

impl Default for OverTime {
    fn default() -> Self {
        Self {
            width: WIDTHS[0] * 1000,
            span: None,
            columns: BTreeMap::new(),
        }
    }
}

impl OverTime {
    /// Adds what happened at a time; nothing extends the span all the same.
    pub fn add(&mut self, time: Time, tally: &Tally) {
        let at = self.place(time);
        let (first, last) = self.span.unwrap_or((at, at));
        self.span = Some((first.min(at), last.max(at)));
        if tally.total() > 0 {
            self.columns.entry(at).or_default().add(tally);
        }
        self.fit(MOST);
    }

    /// The same in no more than so many columns.
    #[must_use]
    pub fn within(&self, most: usize) -> Self {
        let mut coarser = self.clone();
        coarser.fit(most.max(2));
        coarser
    }

    /// The width of a column in milliseconds.
    #[must_use]
    pub const fn width(&self) -> i64 {
        self.width
    }

    /// The columns, from the first to the last, with the time at which each begins.
    pub fn columns(&self) -> impl ExactSizeIterator<Item = (Time, Tally)> {
        let (first, last) = self.span.map_or((0, -1), |span| span);
        (0..self.len()).map(move |offset| {
            let at = (first + offset as i64).min(last);
            let counts = self.columns.get(&at).copied().unwrap_or_default();
            (Time::of_milliseconds(at * self.width), counts)
        })
    }

    /// How many columns there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.span
            .map_or(0, |(first, last)| (last - first) as usize + 1)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.span.is_none()
    }

    fn place(&self, time: Time) -> i64 {
        time.milliseconds().div_euclid(self.width)
    }

    fn fit(&mut self, most: usize) {
        while self.len() > most {
            let factor = next(self.width) / self.width;
            self.width *= factor;
            self.span = self
                .span
                .map(|(first, last)| (first.div_euclid(factor), last.div_euclid(factor)));
            for (at, tally) in std::mem::take(&mut self.columns) {
                let column = self.columns.entry(at.div_euclid(factor)).or_default();
                column.add(&tally);
            }
        }
    }
}

/// The next width, in milliseconds.
fn next(width: i64) -> i64 {
    let wider = WIDTHS.iter().map(|seconds| seconds * 1000);
    wider
        .into_iter()
        .find(|wider| *wider > width)
        .unwrap_or(width * 2)
}

/// A width in words: `5 s`, `10 min`, `3 h`, `7 days`.
#[must_use]
pub fn duration(milliseconds: i64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        ..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        86_400..172_800 => "1 day".to_owned(),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tally::Outcome;
    use guard_ebpf::operation::Operation;
    use proptest::prelude::*;

    fn one() -> Tally {
        Tally::of(Outcome::Refused, Operation::Signal, 1)
    }

    #[test]
    fn widths_are_multiples_of_one_another() {
        for pair in WIDTHS.windows(2) {
            assert_eq!(pair[1] % pair[0], 0, "{pair:?}");
        }
        assert_eq!(next(604_800_000), 1_209_600_000);
        let words = [1, 59, 60, 600, 3_600, 10_800, 86_400, 604_800]
            .map(|seconds| duration(seconds * 1000));
        assert_eq!(
            words,
            [
                "1 s", "59 s", "1 min", "10 min", "1 h", "3 h", "1 day", "7 days"
            ]
        );
    }

    #[test]
    fn a_clock_that_was_set_costs_detail_and_no_memory() {
        let mut over_time = OverTime::default();
        for milliseconds in [i64::MAX, 0, 1_700_000_000_000, -5_000] {
            let time = Time::of_milliseconds(milliseconds);
            over_time.add(time, &one());
        }
        assert!(over_time.len() <= MOST);
        let sum: Tally = over_time.columns().map(|(_, tally)| tally).collect();
        assert_eq!(sum.total(), 4);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_all_is_in_its_place(
            times in prop::collection::vec(0_i64..4_000_000_000_000, 1..200),
            most in 1_usize..100,
        ) {
            let mut over_time = OverTime::default();
            for time in &times {
                over_time.add(Time::of_milliseconds(*time), &one());
            }
            let shown = over_time.within(most);
            prop_assert!(shown.len() <= most.max(2));
            for (start, tally) in shown.columns() {
                let start = start.milliseconds();
                let within = times
                    .iter()
                    .filter(|time| (start..start + shown.width()).contains(*time));
                prop_assert_eq!(tally.total(), within.count() as u64);
            }
            let sum: Tally = shown.columns().map(|(_, tally)| tally).collect();
            prop_assert_eq!(sum.total(), times.len() as u64);
        }
    }
}
