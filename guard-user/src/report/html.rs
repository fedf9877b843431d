//! A report as a page of HTML: one file, without scripts, that loads nothing.
//!
//! Names in it are chosen by whoever is guarded. [`maud`] escapes whatever is not a literal here,
//! names have had what changes the direction of text or can't be seen escaped before
//! ([`crate::events::text::escaped`]), and the page's own content security policy lets nothing run or
//! load but its style sheet, which it knows by its digest.

use super::chart;
use super::moments::Why;
use super::most::Ranking;
use super::over_time::duration;
use super::tally::{Outcome, Tally};
use super::text::{facts, operations, sums};
use super::{Report, grouped};
use crate::events::event::{Body, Event, Level, PolicyChange, SessionStep};
use crate::events::terminal;
use crate::events::time::Time;
use guard_ebpf::operation::Verdict;
use jiff::tz::TimeZone;
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// The style sheet.
pub(super) const STYLE: &str = include_str!("style.css");

/// The content security policy: nothing but the style sheet with this digest.
pub(super) const CONTENT: &str = "default-src 'none'; \
    style-src 'sha256-PhFGXeBVf3Z1jcx348JYiR/Ega6psoU5YqyBcUKCVuc='; base-uri 'none'; form-action 'none'";

/// A report as a page, made at a time, with times as a time zone has them.
#[must_use]
pub fn page(report: &Report, zone: &TimeZone, now: Time) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(CONTENT);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                title { "Session " (report.session) " – guard report" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    (head(report, zone))
                    @for outcome in Outcome::EVERY {
                        @if report.total.sum(outcome) > 0 {
                            (over_time(report, outcome, zone))
                        }
                    }
                    (rules(report))
                    (targets(report))
                    (actors(report))
                    (moments(report, zone))
                }
                footer {
                    p {
                        "Made by guard " (env!("CARGO_PKG_VERSION")) ", " (moment(now, zone)) ". "
                        "What a session does to its own, and what rules allow, is not recorded."
                    }
                }
            }
        }
    };
    page.into_string()
}

fn head(report: &Report, zone: &TimeZone) -> Markup {
    html! {
        header {
            h1 { "Session " bdi { (report.session) } }
            dl {
                @for (name, value) in facts(report, zone).into_iter().chain(sums(report)) {
                    div {
                        dt { (name) }
                        dd { bdi { (value) } }
                    }
                }
            }
        }
    }
}

fn over_time(report: &Report, outcome: Outcome, zone: &TimeZone) -> Markup {
    let over_time = &report.over_time;
    let heading = match outcome {
        Outcome::Refused => "Refused over time",
        Outcome::Recorded => "Recorded over time",
    };
    let top = chart::top(over_time, outcome);
    let ends = report.span.map(|(first, last)| ends(first, last, zone));
    html! {
        section {
            h2 { (heading) }
            (chart::legend(&report.total, outcome))
            figure {
                div.scale aria-hidden="true" {
                    span { (grouped(top)) }
                    span { (grouped(top / 2)) }
                    span { "0" }
                }
                (chart::over_time(over_time, outcome, zone))
                @if let Some([first, last]) = ends {
                    figcaption { (first) span { "a column is " (duration(over_time.width())) } (last) }
                }
            }
            details {
                summary { "The same as a table" }
                table {
                    thead { tr { th.number scope="col" { (outcome.name()) } th scope="col" { "from" } th scope="col" { "what" } } }
                    tbody {
                        @for (start, tally) in over_time.columns() {
                            @if tally.sum(outcome) > 0 {
                                tr {
                                    td.number { (grouped(tally.sum(outcome))) }
                                    td { (moment(start, zone)) }
                                    td { (super::by_operation(&tally, outcome)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn rules(report: &Report) -> Markup {
    table("By rule", "rule", &report.rules, None, |cause| {
        html! {
            strong { bdi { (cause.name) } }
            @if let Some(because) = &cause.because { p { bdi { (because) } } }
            @if let Some(source) = &cause.source { p.dim { code { (source) } } }
        }
    })
}

fn targets(report: &Report) -> Markup {
    let unnamed = (report.unnamed.total() > 0).then_some((
        &report.unnamed,
        "to further targets of bursts, which the log does not name",
    ));
    table("By target", "target", &report.targets, unnamed, |place| {
        html! { span.kind { (place.kind()) } " " code { (place.name()) } }
    })
}

fn actors(report: &Report) -> Markup {
    table("By command", "command", &report.actors, None, |actor| {
        html! {
            strong { code { (actor.comm) } } " of " bdi { (actor.user) }
            @if let Some(exe) = &actor.exe { p.dim { code { (exe) } } }
        }
    })
}

/// Rows with their numbers and bars; the last ones are what is summed up.
fn table<K>(
    heading: &'static str,
    column: &'static str,
    ranking: &Ranking<K>,
    more: Option<(&Tally, &'static str)>,
    show: impl Fn(&K) -> Markup,
) -> Markup {
    if ranking.rows.is_empty() {
        return html! {};
    }
    let rest = (ranking.rest.total() > 0).then_some((&ranking.rest, "in other rows"));
    let summed: Vec<_> = more.into_iter().chain(rest).collect();
    let longest = ranking
        .rows
        .iter()
        .map(|(_, tally)| tally.total())
        .chain(summed.iter().map(|(tally, _)| tally.total()))
        .max()
        .unwrap_or(0);
    html! {
        section {
            h2 { (heading) }
            @if !ranking.is_exact {
                p.dim { "There are more rows than are told apart: the numbers are the least that it can be." }
            }
            table.ranking {
                thead { tr { th.number scope="col" { "count" } th scope="col" { (column) } th.bars aria-hidden="true" {} } }
                tbody {
                    @for (key, tally) in &ranking.rows {
                        tr {
                            td.number { (grouped(tally.total())) }
                            td { (show(key)) p.dim { (operations(tally)) } }
                            td.bars aria-hidden="true" { (chart::bar(tally, longest)) }
                        }
                    }
                    @for (tally, words) in summed {
                        tr {
                            td.number { (grouped(tally.total())) }
                            td { em { (words) } p.dim { (operations(tally)) } }
                            td.bars aria-hidden="true" { (chart::bar(tally, longest)) }
                        }
                    }
                }
            }
        }
    }
}

fn moments(report: &Report, zone: &TimeZone) -> Markup {
    html! {
        section {
            h2 { "What happened" }
            ol.moments {
                @for (why, event) in &report.moments {
                    li class=(kind(event)) {
                        (moment(event.time, zone))
                        div { (event_in_words(*why, event)) }
                    }
                }
            }
            @if report.left_out > 0 {
                p.dim { (grouped(report.left_out)) " more are in the log only." }
            }
        }
    }
}

fn event_in_words(why: Why, event: &Event) -> Markup {
    let lines = terminal::lines(event);
    let (headline, details) = lines
        .split_first()
        .map_or(("", &[][..]), |(first, rest)| (first, rest));
    // Where a caret points into a line.
    let is_drawn =
        matches!(&event.body, Body::Policy(edit) if edit.change == PolicyChange::Rejected);
    html! {
        p {
            bdi { (headline) }
            @match why {
                Why::First => span.tag { "first of its kind" },
                Why::Burst => span.tag { "large burst" },
                Why::Step => {},
            }
        }
        @if is_drawn && !details.is_empty() {
            pre { @for line in details { (line) "\n" } }
        } @else {
            @for line in details { p.dim { bdi { (line) } } }
        }
    }
}

/// How an event looks.
const fn kind(event: &Event) -> &'static str {
    match &event.body {
        Body::Verdict(judged) => match judged.verdict {
            Verdict::Deny => "bad",
            Verdict::Audit | Verdict::Allow => "odd",
        },
        Body::Policy(edit) => match edit.change {
            PolicyChange::Applied => "good",
            PolicyChange::Rejected => "bad",
        },
        Body::Session(change) => match change.change {
            SessionStep::Frozen => "bad",
            _ => "good",
        },
        Body::Lost(_) => "odd",
        Body::Notice(notice) => match notice.level {
            Level::Info => "plain",
            Level::Warning => "odd",
            Level::Error => "bad",
        },
    }
}

/// Two times, with their days where these are different.
fn ends(first: Time, last: Time, zone: &TimeZone) -> [Markup; 2] {
    let day = |time: Time| time.date_in(zone)[..10].to_owned();
    [first, last].map(|time| {
        if day(first) == day(last) {
            html! { time datetime=(time) { (time.clock_in(zone)) } }
        } else {
            moment(time, zone)
        }
    })
}

/// A time for people and for programs.
fn moment(time: Time, zone: &TimeZone) -> Markup {
    html! { time datetime=(time) { (time.date_in(zone)) } }
}
