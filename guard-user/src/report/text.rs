//! A report as text, in the width of a terminal.

use super::most::Ranking;
use super::over_time::duration;
use super::tally::{Outcome, Tally};
use super::{End, Report, by_operation, grouped};
use crate::events::event::InForce;
use crate::events::lines::Lines;
use crate::events::terminal::{self, MARGIN, PLAIN};
use crate::events::text::{escaped, width};
use crate::events::time::Time;
use anstyle::Style;
use jiff::tz::TimeZone;

pub use crate::events::lines::Look;

const HEAD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();

/// How many rows of each table are shown; a page has more.
const ROWS: usize = 12;

/// Heights of a column, from nothing on.
const HEIGHTS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A report as text, with times as a time zone has them.
#[must_use]
pub fn text(report: &Report, zone: &TimeZone, look: Look) -> String {
    let look = Look {
        session: false,
        ..look
    };
    let mut text = head(report, zone, look);
    for outcome in Outcome::EVERY {
        if report.total.sum(outcome) > 0 {
            text += &over_time(report, outcome, zone, look);
        }
    }
    text += &table("By rule", &report.rules, look, |lines, cause, tally| {
        lines.put_wrapped(PLAIN, &cause.name);
        beside(lines, &operations(tally));
        for words in cause.because.iter().chain(&cause.source) {
            lines.next_line();
            lines.put_wrapped(DIM, words);
        }
    });
    text += &table("By target", &report.targets, look, |lines, place, tally| {
        lines.put(DIM, &format!("{:10}", place.kind()));
        lines.put_wrapped(PLAIN, &place.name());
        beside(lines, &operations(tally));
    });
    if report.unnamed.total() > 0 {
        let mut lines = row(&report.unnamed, look);
        lines.put_wrapped(
            DIM,
            "to further targets of bursts, which the log does not name",
        );
        text += &lines.finish();
    }
    text += &table("By command", &report.actors, look, |lines, actor, tally| {
        let exe = actor.exe.as_ref().map(|exe| format!(" ({exe})"));
        let who = format!(
            "{}{} of {}",
            actor.comm,
            exe.unwrap_or_default(),
            actor.user
        );
        lines.put_wrapped(PLAIN, &who);
        beside(lines, &operations(tally));
    });
    text += &title("What happened", look);
    for (_, event) in &report.moments {
        text += &terminal::render_at(event, &event.time.clock_in(zone), look);
    }
    if report.left_out > 0 {
        let mut lines = Lines::new(look);
        let left_out = format!("{} more were left out here.", grouped(report.left_out));
        lines.put(DIM, &left_out);
        text += &lines.finish();
    }
    text
}

/// Who, under what, when, and how much.
fn head(report: &Report, zone: &TimeZone, look: Look) -> String {
    let mut text = {
        let mut lines = Lines::new(look);
        lines.put(HEAD, &format!("Session {}", report.session));
        lines.finish()
    };
    for (name, value) in facts(report, zone).into_iter().chain(sums(report)) {
        let mut lines = Lines::new(look);
        lines.put(DIM, &format!("{name:MARGIN$}"));
        lines.put_wrapped(PLAIN, &value);
        text += &lines.finish();
    }
    text
}

/// What is known of a session, each with its name.
pub(super) fn facts(report: &Report, zone: &TimeZone) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if let Some(known) = &report.session_known {
        facts.push(("command", escaped(known.command.join(" ").as_bytes())));
        let safe =
            |text: &Option<String>, none: &str| escaped(text.as_deref().unwrap_or(none).as_bytes());
        facts.push(("user", safe(&known.user, "not known")));
        facts.push(("workspace", safe(&known.workspace, "none")));
    }
    facts.push(("policy", policy(report.policy.as_ref())));
    if let Some((first, last)) = report.span {
        facts.push(("started", first.date_in(zone)));
        facts.push(ended(report.end, first, last, zone));
    }
    facts
}

fn policy(policy: Option<&InForce>) -> String {
    let Some(policy) = policy else {
        return "not in this log, which an earlier version of guard wrote".to_owned();
    };
    let mut text = policy.names.join(", ");
    let others: Vec<_> = policy
        .files
        .iter()
        .filter(|file| !policy.names.contains(file))
        .map(String::as_str)
        .collect();
    if !others.is_empty() {
        text = format!("{text} (with {})", others.join(", "));
    }
    if let Some(rules) = policy.rules {
        text = format!("{text}; {rules} rules, built-in ones included");
    }
    escaped(text.as_bytes())
}

fn ended(end: End, first: Time, last: Time, zone: &TimeZone) -> (&'static str, String) {
    let lasted = |to: Time| duration((to.milliseconds() - first.milliseconds()).max(0));
    match end {
        End::Running => ("ended", format!("it runs, for {} so far", lasted(last))),
        End::Ended { at, status } => {
            let status = match status {
                Some(status) => format!("status {status}"),
                None => "with a status that is not known".to_owned(),
            };
            let at = format!("{}, after {}", at.date_in(zone), lasted(at));
            ("ended", format!("{at}; {status}"))
        }
        End::Unknown => (
            "ended",
            format!("the log stops at {} and does not say", last.date_in(zone)),
        ),
    }
}

/// What became of what the session did, each with its name.
pub(super) fn sums(report: &Report) -> Vec<(&'static str, String)> {
    let mut sums = Vec::new();
    for outcome in Outcome::EVERY {
        let sum = report.total.sum(outcome);
        if sum > 0 {
            let mut operations = by_operation(&report.total, outcome);
            if report.total.operations(outcome).count() > 1 {
                operations = format!("{}: {operations}", grouped(sum));
            }
            sums.push((outcome.name(), operations));
        } else if outcome == Outcome::Refused {
            sums.push((outcome.name(), "nothing".to_owned()));
        }
    }
    let (applied, rejected) = report.edits;
    if applied + rejected > 0 {
        let edits = format!(
            "the policy, {}; {rejected} of its edits had a mistake and changed nothing",
            times(applied)
        );
        sums.push(("edited", edits));
    }
    for (what, count) in &report.lost {
        sums.push(("missing", format!("{} {what}", grouped(*count))));
    }
    if !report.lost.is_empty() {
        let note = "what is missing here was judged all the same";
        sums.push(("", note.to_owned()));
    }
    sums
}

fn times(count: u64) -> String {
    match count {
        0 => "never".to_owned(),
        1 => "once".to_owned(),
        _ => format!("{} times", grouped(count)),
    }
}

/// A line of columns for each operation.
fn over_time(report: &Report, outcome: Outcome, zone: &TimeZone, look: Look) -> String {
    let room = look.width.saturating_sub(2 * MARGIN).max(20);
    let over_time = report.over_time.within(room);
    let columns: Vec<_> = over_time.columns().collect();
    let name = match outcome {
        Outcome::Refused => "Refused over time",
        Outcome::Recorded => "Recorded over time",
    };
    let column = duration(over_time.width());
    let mut text = title(&format!("{name}, a column is {column}"), look);
    // Few columns are drawn broad.
    let breadth = (room / columns.len().max(1)).max(1);
    let highest = columns
        .iter()
        .flat_map(|(_, tally)| tally.operations(outcome).map(|(_, count)| count))
        .max()
        .unwrap_or(1);
    for (operation, sum) in report.total.operations(outcome) {
        let mut lines = Lines::new(look);
        lines.put(PLAIN, &format!("{:MARGIN$}", operation.name()));
        let drawn: String = columns
            .iter()
            .map(|(_, tally)| height(tally.count(outcome, operation), highest))
            .flat_map(|height| std::iter::repeat_n(height, breadth))
            .collect();
        lines.put(PLAIN, &drawn);
        lines.put(PLAIN, &format!("{:>MARGIN$}", grouped(sum)));
        text += &lines.finish();
    }
    if let Some((first, last)) = report.span {
        let (first, last) = (first.clock_in(zone), last.clock_in(zone));
        let gap = (columns.len() * breadth).saturating_sub(first.len());
        let mut lines = Lines::new(look);
        lines.put(DIM, &format!("{:MARGIN$}{first}{last:>gap$}", ""));
        text += &lines.finish();
    }
    text
}

/// How high a count stands: nothing only for none.
fn height(count: u64, highest: u64) -> char {
    let steps = HEIGHTS.len() as u64 - 1;
    let scaled = u128::from(count) * u128::from(steps);
    HEIGHTS[scaled.div_ceil(u128::from(highest.max(1))) as usize]
}

fn title(title: &str, look: Look) -> String {
    let mut lines = Lines::new(look);
    lines.put(HEAD, title);
    format!("\n{}", lines.finish())
}

/// A row that begins with its count.
fn row(tally: &Tally, look: Look) -> Lines {
    let mut lines = Lines::new(look);
    let room = MARGIN - 2;
    lines.put(PLAIN, &format!("{:>room$}  ", grouped(tally.total())));
    lines
}

/// Adds what does not belong to the name before it: on the same line where there is room.
fn beside(lines: &mut Lines, text: &str) {
    if lines.room() < 2 + width(text) {
        lines.next_line();
    } else {
        lines.put(PLAIN, "  ");
    }
    lines.put_wrapped(DIM, text);
}

fn table<K>(
    name: &str,
    ranking: &Ranking<K>,
    look: Look,
    show: impl Fn(&mut Lines, &K, &Tally),
) -> String {
    if ranking.rows.is_empty() {
        return String::new();
    }
    let at_least = if ranking.is_exact { "" } else { ", at least" };
    let mut text = title(&format!("{name}{at_least}"), look);
    for (key, tally) in ranking.rows.iter().take(ROWS) {
        let mut lines = row(tally, look);
        show(&mut lines, key, tally);
        text += &lines.finish();
    }
    let left = ranking.rows.get(ROWS..).unwrap_or_default();
    let mut rest: Tally = left.iter().map(|(_, tally)| *tally).collect();
    rest.add(&ranking.rest);
    if rest.total() > 0 {
        let mut lines = row(&rest, look);
        let others = left.len() + ranking.others;
        let others = if ranking.is_exact {
            format!("in {others} more rows")
        } else {
            "in more rows".to_owned()
        };
        lines.put_wrapped(DIM, &others);
        text += &lines.finish();
    }
    text
}

/// What was done, for a row.
pub(super) fn operations(tally: &Tally) -> String {
    let refused = by_operation(tally, Outcome::Refused);
    let recorded = by_operation(tally, Outcome::Recorded);
    match (refused.is_empty(), recorded.is_empty()) {
        (_, true) => refused,
        (true, false) => format!("recorded: {recorded}"),
        (false, false) => format!("{refused}; recorded: {recorded}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_empty_for_nothing_only() {
        let drawn: String = [0, 1, 25, 50, 199, 200]
            .map(|count| height(count, 200))
            .into_iter()
            .collect();
        assert_eq!(drawn, " ▁▁▂██");
        assert_eq!(height(u64::MAX, u64::MAX), '█');
    }

    #[test]
    fn no_count_is_wider_than_its_room() {
        assert_eq!(width(&grouped(99_999_999)), MARGIN);
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(12), "12");
    }
}
