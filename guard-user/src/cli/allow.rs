//! `guard allow` and `guard revoke`: one thing that a rule refuses is granted to a session, and taken
//! back.

use std::fmt::Write as _;

use super::exit::{Exit, Failure};
use super::explain::Words;
use super::output::{json, print};
use crate::events::text::escaped;
use crate::policy::at_most;
use crate::server::client::unexpected;
use crate::server::protocol::{Allow, GrantStatus, Request, Response};
use crate::session::name::Name;

/// Let a session do one thing that is refused, for a while
///
/// The grant is for this session, this operation, this target and the rule that refuses it now:
/// of a process the one that has this number now, of a file the one that lies at the path now. It
/// ends by itself. Each use is an event. What protects guard itself can't be granted, and neither
/// can what is still to be made: that takes a rule.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// To which session
    session: String,
    #[command(flatten)]
    words: Words,
    /// Only if this rule refuses it; `default` for what is refused for want of a rule
    #[arg(long, value_name = "NAME")]
    rule: Option<String>,
    /// Once. A use is a system call: a program may take several
    #[arg(long, conflicts_with = "times")]
    once: bool,
    /// So many times
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    times: Option<u64>,
    /// For how long: `30s`, `10m`, `1h`, at most `7d`
    #[arg(long = "for", value_name = "TIME", default_value = "10m", value_parser = time)]
    time: u32,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Take back what was granted to a session
#[derive(Debug, clap::Args)]
pub struct Revoke {
    /// Of which session
    session: String,
    /// Which grant, by the number that `guard status` shows
    #[arg(required_unless_present = "all")]
    number: Option<u32>,
    /// All of them
    #[arg(long, conflicts_with = "number")]
    all: bool,
}

fn time(text: &str) -> Result<u32, &'static str> {
    at_most::seconds(text).ok_or(at_most::TIME)
}

/// Grants.
pub fn run(raw: &Arguments) -> Result<Exit, Failure> {
    let session = name(&raw.session)?;
    let question = raw.words.question()?;
    super::require_root()?;
    let request = Request::Allow(Box::new(Allow {
        session: session.clone(),
        question,
        rule: raw.rule.clone(),
        times: if raw.once { Some(1) } else { raw.times },
        seconds: raw.time,
    }));
    let grant = match super::ask_about(&session, &request)? {
        Response::Granted(grant) => grant,
        other => return Err(unexpected(&other)),
    };
    let text = if raw.json {
        json(&grant)
    } else {
        format!(
            "Session {session} may {}.\nTake it back with: guard revoke {session} {}\n",
            shown(&grant),
            grant.number
        )
    };
    print(&text)?;
    Ok(Exit::Success)
}

/// Takes back.
pub fn revoke(raw: &Revoke) -> Result<Exit, Failure> {
    let session = name(&raw.session)?;
    super::require_root()?;
    let request = Request::Revoke {
        session: session.clone(),
        number: raw.number,
    };
    let grants = match super::ask_about(&session, &request)? {
        Response::Revoked { grants } => grants,
        other => return Err(unexpected(&other)),
    };
    let mut text = String::new();
    if grants.is_empty() {
        text = format!("Session {session} was granted nothing.\n");
    }
    for grant in &grants {
        let _ = writeln!(
            text,
            "Session {session} may no more {} (used {} times).",
            escaped(grant.what.as_bytes()),
            grant.used
        );
    }
    print(&text)?;
    Ok(Exit::Success)
}

fn name(word: &str) -> Result<Name, Failure> {
    Name::new(word).map_err(|error| Failure::usage(error.to_string()))
}

/// A grant for people: what, under which rule, how often and how long.
pub(super) fn shown(grant: &GrantStatus) -> String {
    let rule = match &grant.rule {
        Some(rule) => format!("the rule {} refuses it", escaped(rule.as_bytes())),
        None => "no rule allows it".to_owned(),
    };
    let often = match grant.times {
        Some(1) if grant.used == 0 => "once, ".to_owned(),
        Some(times) => format!("{} of {times} times, ", times - grant.used),
        None => String::new(),
    };
    format!(
        "{} ({often}for {}; {rule})",
        escaped(grant.what.as_bytes()),
        left(grant.seconds)
    )
}

/// How long a grant still holds; a second that has begun counts.
fn left(seconds: u64) -> String {
    match seconds + 1 {
        seconds @ ..=90 => format!("{seconds} s"),
        seconds @ ..=5400 => format!("{} min", seconds.div_ceil(60)),
        seconds => format!("{} h", seconds.div_ceil(3600)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_says_how_often_and_how_long() {
        let grant = GrantStatus {
            number: 3,
            what: "delete /srv/db/x".into(),
            rule: Some("photos".into()),
            used: 0,
            times: Some(1),
            seconds: 599,
        };
        assert_eq!(
            shown(&grant),
            "delete /srv/db/x (once, for 10 min; the rule photos refuses it)"
        );
        let grant = GrantStatus {
            rule: None,
            used: 1,
            times: Some(3),
            seconds: 29,
            ..grant
        };
        assert_eq!(
            shown(&grant),
            "delete /srv/db/x (2 of 3 times, for 30 s; no rule allows it)"
        );
        let grant = GrantStatus {
            times: None,
            seconds: 7200,
            ..grant
        };
        assert_eq!(
            shown(&grant),
            "delete /srv/db/x (for 3 h; no rule allows it)"
        );
    }
}
