//! Tests of reports: as they were read and found good, what they count, and what names can do.

use super::html::{CONTENT, STYLE, page};
use super::text::{Look, text};
use super::*;
use crate::events::log::Log;
use crate::events::text::{is_printable, width};
use crate::events::{history, samples as events};
use jiff::tz::{TimeZone, offset};
use sha2::{Digest, Sha256};

const EIGHTY: Look = Look {
    width: 80,
    whole: false,
    colour: false,
    session: true,
};

fn zone() -> TimeZone {
    TimeZone::fixed(offset(1))
}

pub(super) fn now() -> Time {
    Time::parse("2026-11-23T08:00:00Z").expect("a time")
}

pub(super) fn paged(report: &Report) -> String {
    page(report, &zone(), now())
}

/// Compares with a file; with `GUARD_UPDATE_SNAPSHOTS` set it is written anew.
fn compare(name: &str, text: &str) {
    let file = format!("{}/src/report/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("GUARD_UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&file, text).unwrap();
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        expected == text,
        "{file} differs from what is shown:\n{text}"
    );
}

#[test]
fn reports_are_as_they_were_read_and_found_good() {
    let report = samples::afternoon();
    compare("sample.txt", &text(&report, &zone(), EIGHTY));
    compare("sample.html", &paged(&report));
}

#[test]
fn the_style_sheet_is_the_one_that_the_page_allows() {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::new();
    for three in Sha256::digest(STYLE).chunks(3) {
        let mut bits = [0; 4];
        bits[1..=three.len()].copy_from_slice(three);
        let bits = u32::from_be_bytes(bits);
        for at in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * at)) as usize & 63];
            let is_filler = at > three.len();
            encoded.push(if is_filler { '=' } else { letter.into() });
        }
    }
    let allowed = format!("style-src 'sha256-{encoded}';");
    assert!(CONTENT.contains(&allowed), "{allowed}");
    let paged = paged(&samples::afternoon());
    assert!(paged.contains(&format!("<style>{STYLE}</style>")));
}

/// Tags and attributes are those of this program; whatever else is in the page is text.
#[test]
fn no_name_becomes_markup() {
    let plain = paged(&samples::afternoon());
    let hostile = paged(&samples::hostile("x"));
    let tags = |page: &str| -> std::collections::BTreeSet<String> {
        page.split('<')
            .skip(1)
            .map(|rest| {
                let tag = rest.split('>').next().unwrap_or_default();
                let name = tag.split([' ', '=']).next().unwrap_or_default();
                name.to_owned()
            })
            .collect()
    };
    let added: Vec<_> = tags(&hostile).difference(&tags(&plain)).cloned().collect();
    assert!(added.is_empty(), "{added:?}");
    for name in samples::HOSTILE {
        let raw = name.contains(['<', '"']) && hostile.contains(name);
        assert!(!raw, "{name:?} is in the page as it is");
    }
    let odd: Vec<_> = hostile
        .chars()
        .filter(|character| !is_printable(*character) && *character != '\n')
        .collect();
    assert!(odd.is_empty(), "{odd:?}");
    assert!(hostile.contains("gpj\\u{202e}.exe"));
}

#[test]
fn no_name_steers_a_terminal_or_reaches_beyond_its_columns() {
    let text = text(&samples::hostile("x"), &zone(), EIGHTY);
    for line in text.lines() {
        assert!(line.chars().all(is_printable), "{line:?}");
        assert!(width(line) <= 80, "{line:?}");
    }
}

#[test]
fn a_log_is_read_whole_and_what_is_missing_is_said() {
    let home = tempfile::tempdir().unwrap();
    let start = Time::parse("2026-11-22T14:00:00Z").unwrap();
    let mut log = Log::create(home.path(), "work", start);
    for name in [
        "started",
        "signal",
        "delete",
        "audit",
        "lost-records",
        "lost-log",
    ] {
        assert_eq!(log.append(&events::named(name)), None);
    }
    let path = log.path().to_owned();
    let mut contents = std::fs::read(&path).unwrap();
    contents.extend_from_slice(b"{\"v\":1,\"time\":\"2026-");
    std::fs::write(&path, contents).unwrap();
    let report = read(&path).unwrap();
    assert_eq!(report.session, "work");
    assert_eq!(report.end, End::Unknown);
    assert_eq!(report.total.sum(Outcome::Refused), 4);
    assert_eq!(report.total.sum(Outcome::Recorded), 1);
    let missing: Vec<_> = report.lost.values().copied().collect();
    assert_eq!(missing, [7, 12, 1], "{:?}", report.lost);
    let text = text(&report, &zone(), EIGHTY);
    assert!(
        text.contains("what is missing here was judged all the same"),
        "{text}"
    );
    assert!(text.contains("missing   1 lines of the log"), "{text}");
    assert_eq!(history::logs(home.path(), Some("work")).unwrap().len(), 1);
}

#[test]
fn a_log_in_which_nothing_was_refused_says_so() {
    let mut gathering = Gathering::default();
    gathering.add(&events::named("started"));
    gathering.add(&events::named("ended"));
    let report = gathering.finish();
    let text = text(&report, &zone(), EIGHTY);
    assert!(text.contains("\nrefused   nothing\n"), "{text}");
    assert!(
        text.contains("ended     2026-11-22 16:00:00, after 1 h; status 0"),
        "{text}"
    );
    assert!(!text.contains("By rule"), "{text}");
    assert!(!paged(&report).contains("<svg"), "a chart of nothing");
}

/// Whoever is guarded chooses names; a log full of new ones takes no more memory than its tables
/// have room for.
#[test]
fn a_log_of_nothing_but_new_names_stays_in_bounds() {
    let mut gathering = Gathering::default();
    let mut event = events::named("delete");
    for number in 0..30_000_u64 {
        if let Body::Verdict(judged) = &mut event.body {
            judged.actor.comm = format!("c{number}");
            judged.rule = Some(format!("r{number}"));
            if let crate::events::event::Target::File(file) = &mut judged.target {
                file.path = format!("/{}/{}/{number}", number % 300, number % 7);
            }
        }
        gathering.add(&event);
    }
    let report = gathering.finish();
    assert_eq!(report.total.total(), 30_000);
    let sum = |rows: &mut dyn Iterator<Item = Tally>, rest: &Tally| {
        let mut sum: Tally = rows.collect();
        sum.add(rest);
        sum.total()
    };
    let rules = &report.rules;
    assert_eq!(
        sum(&mut rules.rows.iter().map(|row| row.1), &rules.rest),
        30_000
    );
    let targets = &report.targets;
    assert_eq!(
        sum(&mut targets.rows.iter().map(|row| row.1), &targets.rest),
        30_000
    );
    assert!(!rules.is_exact && report.left_out > 0);
    let text = text(&report, &zone(), EIGHTY);
    assert!(text.contains("By rule, at least"), "{text}");
    assert!(text.lines().count() < 500);
}
