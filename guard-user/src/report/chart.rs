//! Charts as SVG that needs no script: a name and a description for those who do not see it, and a
//! word at each bar for those who point at it.

use super::over_time::{OverTime, duration};
use super::tally::{Outcome, Tally};
use super::{by_operation, grouped};
use jiff::tz::TimeZone;
use maud::{Markup, html};

/// The height of a chart, in units of its own.
const HEIGHT: u64 = 1000;

/// The room of a column, in the same units, a fifth of which stays free.
const COLUMN: u64 = 100;
const GAP: u64 = 20;

/// Columns over time, each stacked by operation.
pub fn over_time(over_time: &OverTime, outcome: Outcome, zone: &TimeZone) -> Markup {
    let columns: Vec<_> = over_time.columns().collect();
    let highest = columns
        .iter()
        .map(|(_, tally)| tally.sum(outcome))
        .max()
        .unwrap_or(0);
    let highest = nice(highest);
    let breadth = columns.len() as u64 * COLUMN;
    let view = format!("0 0 {breadth} {HEIGHT}");
    let id = outcome.name();
    html! {
        svg.over-time role="img" viewBox=(view) preserveAspectRatio="none"
            aria-labelledby=(format!("{id}-title")) aria-describedby=(format!("{id}-description")) {
            title id=(format!("{id}-title")) { "Operations " (id) " over time" }
            desc id=(format!("{id}-description")) {
                "A column for each " (duration(over_time.width())) ", stacked by operation. "
                "The table below has the same numbers."
            }
            @for half in [0, HEIGHT / 2] {
                line.grid x1="0" x2=(breadth) y1=(half) y2=(half) {}
            }
            @for (at, (start, tally)) in columns.iter().enumerate() {
                @if tally.sum(outcome) > 0 {
                    g {
                        title { (start.date_in(zone)) ": " (by_operation(tally, outcome)) }
                        (stack(tally, outcome, highest, at as u64 * COLUMN))
                    }
                }
            }
            line.base x1="0" x2=(breadth) y1=(HEIGHT) y2=(HEIGHT) {}
        }
    }
}

/// The number at the top of a chart over time.
pub fn top(over_time: &OverTime, outcome: Outcome) -> u64 {
    let sums = over_time.columns().map(|(_, tally)| tally.sum(outcome));
    nice(sums.max().unwrap_or(0))
}

/// One column. What happened at all can be seen.
fn stack(tally: &Tally, outcome: Outcome, highest: u64, x: u64) -> Markup {
    let mut below = 0;
    let parts = tally.operations(outcome).map(|(operation, count)| {
        let height = scaled(count, highest, HEIGHT).max(HEIGHT / 100);
        below += height;
        (operation.name(), HEIGHT.saturating_sub(below), height)
    });
    html! {
        @for (operation, y, height) in parts {
            rect class=(operation) x=(x + GAP / 2) y=(y) width=(COLUMN - GAP) height=(height) {}
        }
    }
}

/// A bar for a row of a table, as long as its share of the longest. The row has its number.
pub fn bar(tally: &Tally, longest: u64) -> Markup {
    let mut before = 0;
    let parts = Outcome::EVERY.into_iter().flat_map(|outcome| {
        tally
            .operations(outcome)
            .map(move |(operation, count)| (operation.name(), count))
    });
    let parts = parts.map(|(operation, count)| {
        let length = scaled(count, longest, HEIGHT).max(HEIGHT / 100);
        let x = before;
        before += length;
        (operation, x, length)
    });
    html! {
        svg.bar aria-hidden="true" viewBox=(format!("0 0 {HEIGHT} 10")) preserveAspectRatio="none" {
            @for (operation, x, length) in parts {
                rect class=(operation) x=(x) y="0" width=(length) height="10" {}
            }
        }
    }
}

/// What the colours mean, with the numbers.
pub fn legend(tally: &Tally, outcome: Outcome) -> Markup {
    html! {
        ul.legend {
            @for (operation, count) in tally.operations(outcome) {
                li {
                    svg.key aria-hidden="true" viewBox="0 0 10 10" {
                        rect class=(operation.name()) width="10" height="10" {}
                    }
                    (operation.name()) " " span.number { (grouped(count)) }
                }
            }
        }
    }
}

fn scaled(count: u64, highest: u64, to: u64) -> u64 {
    let scaled = u128::from(count) * u128::from(to) / u128::from(highest.max(1));
    u64::try_from(scaled).unwrap_or(to)
}

/// The next number that is easily read: 1, 2 or 4 with zeroes, 4 at least.
fn nice(number: u64) -> u64 {
    let mut unit: u64 = 1;
    loop {
        for step in [2, 4, 10] {
            let candidate = unit.saturating_mul(step);
            if candidate >= number.max(4) {
                return candidate;
            }
        }
        unit = unit.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_numbers_that_halve() {
        let tops = [0, 4, 5, 11, 20, 21, 99, 107, 401, u64::MAX].map(nice);
        assert_eq!(tops, [4, 4, 10, 20, 20, 40, 100, 200, 1000, u64::MAX]);
        assert!(
            tops.iter()
                .all(|top| top.is_multiple_of(2) || *top == u64::MAX)
        );
    }

    #[test]
    fn lengths_do_not_overflow() {
        assert_eq!(scaled(u64::MAX, u64::MAX, HEIGHT), HEIGHT);
        assert_eq!(scaled(1, 0, HEIGHT), HEIGHT);
    }
}
