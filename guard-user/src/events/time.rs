//! Points in time: how events write them, and how people say them (`--since`).

use jiff::civil::{Date, DateTime, Time as Clock};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::time::{Duration, SystemTime};

/// A point in time, to the millisecond. In JSON: RFC 3339 in UTC,
/// `2026-11-22T14:03:12.345Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(i64);

impl Time {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        Self::since_epoch(
            SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default(),
        )
    }

    /// The point a while after 1970 (UTC). Whatever lies beyond the year 9999 is its end.
    #[must_use]
    pub fn since_epoch(duration: Duration) -> Self {
        let latest = Timestamp::MAX.as_millisecond();
        Self(i64::try_from(duration.as_millis()).map_or(latest, |millis| millis.min(latest)))
    }

    /// The point so many milliseconds after 1970 (UTC), or the nearest that there is to it between
    /// the years -9999 and 9999.
    #[must_use]
    pub fn of_milliseconds(milliseconds: i64) -> Self {
        Self(milliseconds.clamp(
            Timestamp::MIN.as_millisecond(),
            Timestamp::MAX.as_millisecond(),
        ))
    }

    /// Milliseconds since 1970 (UTC).
    #[must_use]
    pub const fn milliseconds(self) -> i64 {
        self.0
    }

    /// Reads RFC 3339. An error says what a time looks like.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        text.parse::<Timestamp>()
            .map(|timestamp| Self(timestamp.as_millisecond()))
            .map_err(|_| TimeError(text.to_owned()))
    }

    /// Reads what people write after `--since`, in the time zone of this machine.
    ///
    /// - a while ago: `90s`, `10m`, `2h`, `1d`;
    /// - the last time that the clock showed `HH:MM` or `HH:MM:SS`;
    /// - a day or a point in local time: `2026-11-22`, `2026-11-22 14:03`;
    /// - RFC 3339 with its offset: `2026-11-22T14:03:12Z`.
    pub fn parse_since(text: &str) -> Result<Self, TimeError> {
        Self::parse_since_at(text, Self::now(), &TimeZone::system())
    }

    fn parse_since_at(text: &str, now: Self, zone: &TimeZone) -> Result<Self, TimeError> {
        let wrong = || TimeError(text.to_owned());
        let text = text.trim();
        if let Some(ago) = parse_ago(text) {
            return Ok(Self(now.0.saturating_sub(ago).max(0)));
        }
        let local = |point: DateTime| {
            point
                .to_zoned(zone.clone())
                .map(|zoned| Self(zoned.timestamp().as_millisecond()))
                .map_err(|_| wrong())
        };
        // A bare clock time first: RFC 3339 always has a date.
        if text.len() <= 8 && text.contains(':') {
            let clock: Clock = text.parse().map_err(|_| wrong())?;
            let today = zone.to_datetime(now.timestamp()).date();
            let point = local(today.to_datetime(clock))?;
            if point <= now {
                return Ok(point);
            }
            let yesterday = today.checked_sub(1.day()).map_err(|_| wrong())?;
            return local(yesterday.to_datetime(clock));
        }
        if let Ok(time) = Self::parse(text) {
            return Ok(time);
        }
        if let Ok(date) = text.parse::<Date>()
            && text.len() <= 10
        {
            return local(date.to_datetime(Clock::midnight()));
        }
        local(text.parse().map_err(|_| wrong())?)
    }

    /// The clock of this machine at that time: `14:03:12`.
    #[must_use]
    pub fn clock(self) -> String {
        self.clock_in(&TimeZone::system())
    }

    /// The clock of a time zone at that time.
    #[must_use]
    pub fn clock_in(self, zone: &TimeZone) -> String {
        let local = zone.to_datetime(self.timestamp());
        format!(
            "{:02}:{:02}:{:02}",
            local.hour(),
            local.minute(),
            local.second()
        )
    }

    /// The day and the clock in a time zone at that time: `2026-11-22 14:03:12`.
    #[must_use]
    pub fn date_in(self, zone: &TimeZone) -> String {
        let local = zone.to_datetime(self.timestamp());
        format!("{} {}", local.date(), self.clock_in(zone))
    }

    /// For file names: `20261122T140312345Z`.
    #[must_use]
    pub fn stamp(self) -> String {
        let mut stamp = self.to_string();
        stamp.retain(|character| !matches!(character, '-' | ':' | '.'));
        stamp
    }

    /// Reads what [`Self::stamp`] writes.
    #[must_use]
    pub fn parse_stamp(stamp: &str) -> Option<Self> {
        let (date, time) = stamp.strip_suffix('Z')?.split_once('T')?;
        if date.len() != 8 || time.len() != 9 || !stamp.is_ascii() {
            return None;
        }
        Self::parse(&format!(
            "{}-{}-{}T{}:{}:{}.{}Z",
            &date[..4],
            &date[4..6],
            &date[6..],
            &time[..2],
            &time[2..4],
            &time[4..6],
            &time[6..]
        ))
        .ok()
    }

    fn timestamp(self) -> Timestamp {
        Timestamp::from_millisecond(self.0).unwrap_or(Timestamp::MAX)
    }
}

/// `NUMBER` and a unit, in milliseconds.
fn parse_ago(text: &str) -> Option<i64> {
    let unit = match text.chars().next_back()? {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        _ => return None,
    };
    let digits = &text[..text.len() - 1];
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: i64 = digits.parse().ok()?;
    number.checked_mul(unit * 1000)
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.timestamp())
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// A text that is no time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeError(String);

impl fmt::Display for TimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "\"{}\" is no time; write 10m, 2h or 1d (ago), 14:30, 2026-11-22, \
             or 2026-11-22T14:30:00Z",
            self.0.escape_debug()
        )
    }
}

impl std::error::Error for TimeError {}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::offset;

    fn since(text: &str) -> String {
        let now = Time::parse("2026-11-22T14:03:12.345Z").expect("a time");
        // Two hours ahead: the clock on the wall shows 16:03.
        let zone = TimeZone::fixed(offset(2));
        match Time::parse_since_at(text, now, &zone) {
            Ok(time) => time.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn times_are_written_in_utc_with_milliseconds_and_read_back() {
        let time = Time::parse("2026-11-22T16:03:12.3456+02:00").expect("a time");
        assert_eq!(time.to_string(), "2026-11-22T14:03:12.345Z");
        assert_eq!(Time::parse(&time.to_string()), Ok(time));
        assert_eq!(time.stamp(), "20261122T140312345Z");
        assert_eq!(Time::parse_stamp("20261122T140312345Z"), Some(time));
        for wrong in [
            "",
            "T",
            "20261122T140312Z",
            "20261322T140312345Z",
            "é261122T140312345Z",
        ] {
            assert_eq!(Time::parse_stamp(wrong), None, "{wrong}");
        }
        let whole = Time::parse("2026-11-22T14:03:12Z").expect("a time");
        assert_eq!(whole.to_string(), "2026-11-22T14:03:12.000Z");
        assert_eq!(whole.clock_in(&TimeZone::fixed(offset(-3))), "11:03:12");
        assert_eq!(
            Time::since_epoch(Duration::MAX).to_string(),
            "9999-12-30T22:00:00.999Z"
        );
    }

    #[test]
    fn a_while_ago() {
        assert_eq!(since("90s"), "2026-11-22T14:01:42.345Z");
        assert_eq!(since("10m"), "2026-11-22T13:53:12.345Z");
        assert_eq!(since("2h"), "2026-11-22T12:03:12.345Z");
        assert_eq!(since(" 1d "), "2026-11-21T14:03:12.345Z");
        assert_eq!(since("999999999d"), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn the_last_time_that_the_clock_showed_it() {
        assert_eq!(since("16:03"), "2026-11-22T14:03:00.000Z");
        assert_eq!(since("16:04"), "2026-11-21T14:04:00.000Z");
        assert_eq!(since("09:05:07"), "2026-11-22T07:05:07.000Z");
    }

    #[test]
    fn days_and_points() {
        assert_eq!(since("2026-11-20"), "2026-11-19T22:00:00.000Z");
        assert_eq!(since("2026-11-20 08:30"), "2026-11-20T06:30:00.000Z");
        assert_eq!(since("2026-11-20T08:30:00Z"), "2026-11-20T08:30:00.000Z");
    }

    #[test]
    fn anything_else_is_an_error_that_shows_what_to_write() {
        for text in [
            "",
            "m",
            "-5m",
            "1w",
            "25:00",
            "12:00am",
            "yesterday",
            "1.5h",
        ] {
            assert_eq!(
                since(text),
                format!(
                    "\"{text}\" is no time; write 10m, 2h or 1d (ago), 14:30, 2026-11-22, \
                     or 2026-11-22T14:30:00Z"
                )
            );
        }
    }
}
