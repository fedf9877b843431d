//! `guard policy try`: where the next policy says something else than what came of it in a session.

use std::time::{Duration, Instant};

use super::exit::{Exit, Failure};
use super::output::{print, say};
use super::past;
use super::run::absolute;
use super::stream::{Sink, Stream};
use super::whom::Whom;
use crate::events::event::{Body, Event, SessionStep};
use crate::events::filter::Filter;
use crate::events::json::line;
use crate::events::lines::Look;
use crate::events::time::Time;
use crate::explain::facts::is_local;
use crate::policy::compiled::Compiled;
use crate::policy::repository;
use crate::server::compiler::{Compiler as _, Subject};
use crate::server::paths::Paths;
use crate::server::policies::Policies;
use crate::server::state;
use crate::session::name::Name;
use crate::system::mounts::Mounts;
use crate::system::users;
use crate::trial::differences::{Comparison, Difference, Next, Report, begins_anew};
use crate::trial::width::Width;

/// How often the time is looked at while nothing happens, in milliseconds.
const PAUSE: u16 = 250;

/// Show where another policy differs from what came of it in a session, before it is put in force
///
/// What the session's logs tell is decided anew under the policy that is named, and shown where
/// that differs: what would be refused, what would not be any more, by which rule. Events tell of
/// what was refused and of what audit rules let through; of all else where the policy in force says
/// `record: everything`. The status is 1 when something that went through would be refused.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Which session, running or ended
    session: String,
    /// The next policy: files or names of presets, in their order
    #[arg(required = true, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    policies: Vec<String>,
    /// Begin in the past: 90s, 10m, 2h, 1d, HH:MM, a date, or a date and time [default: when the
    /// policy in force was put in force]
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Go on with what happens until it is interrupted, or the session ends: each difference as it
    /// comes, after those of the past
    #[arg(long)]
    follow: bool,
    /// Wait so long first (90s, 10m, 2h) or until the session ends, so that what happens is in it
    #[arg(long, value_name = "TIME", conflicts_with = "follow")]
    r#for: Option<String>,
    /// As JSON, one object a line
    #[arg(long)]
    json: bool,
}

/// Shows it.
pub fn run(raw: &Arguments) -> Result<Exit, Failure> {
    super::require_root()?;
    let session = Name::new(&raw.session).map_err(|error| Failure::usage(error.to_string()))?;
    let since = past::since(raw.since.as_deref())?;
    let until = raw.r#for.as_deref().map(deadline).transpose()?;
    let policies = raw.policies.iter().map(|word| absolute(word));
    let policies: Vec<String> = policies.collect::<Result<_, _>>()?;
    // Says when there is no such session.
    let history = past::of(&session, None)?;
    let (of_session, lives) = of(&session, history)?;
    if !lives && (raw.follow || until.is_some()) {
        return Err(Failure::usage(format!(
            "Session \"{session}\" has ended, so there is nothing to wait for. Leave --follow and \
             --for out to see what it did."
        )));
    }
    let subject = Subject {
        policies: policies.clone(),
        ..of_session
    };
    let ready = Policies::of_this_process()
        .compile(&subject)
        .map_err(|mistake| Failure::usage(mistake.message))?;
    let mounts = Mounts::read()
        .map_err(|error| Failure::guard(format!("The mount table can't be read: {error}.")))?;
    let mut trial = Trial {
        session: &session,
        policies: &policies,
        policy: &ready.compiled,
        mounts: &mounts,
        width: Width {
            home: subject.home.clone(),
            homes: users::homes(),
        },
        since,
        follow: raw.follow,
        until,
        look: (!raw.json).then(Look::of_stdout),
        comparison: Some(Comparison::default()),
        has_caught_up: false,
        refuses: false,
    };
    let filter = Filter {
        session: Some(session.to_string()),
        since,
        ..Filter::default()
    };
    let stream = Stream {
        paths: &Paths::system(),
        filter: &filter,
        past: true,
        follow: raw.follow || until.is_some(),
    };
    stream.hand_over(&mut trial)?;
    trial.report()?;
    Ok(if trial.refuses {
        Exit::Unmet
    } else {
        Exit::Success
    })
}

/// Whom the session's policy is for, and whether it lives: by its state, or by what its log says of
/// its start.
fn of(session: &Name, history: impl Iterator<Item = Event>) -> Result<(Subject, bool), Failure> {
    let states = Paths::system().sessions();
    if let Some(state) = state::find(&states, session) {
        let subject = Subject {
            // A plan's session refuses nothing; what the policy says is asked.
            audit: false,
            ..state.subject()
        };
        return Ok((subject, true));
    }
    let mut subject = Whom::default().subject()?;
    let started = history.filter_map(|event| match event.body {
        Body::Session(change) if change.change == SessionStep::Started => Some(change),
        _ => None,
    });
    if let Some(change) = started.last() {
        let user = change.user.and_then(|name| users::by_name(&name).ok()?);
        if let Some(user) = user {
            subject.user = user.name;
            subject.uid = user.uid;
            subject.home = user.home;
        }
        subject.workspace = change.workspace.map(Into::into);
        let workspace = subject.workspace.as_deref();
        subject.repository = workspace.and_then(|it| repository::of(it, &subject.home));
    }
    Ok((subject, false))
}

/// When a wait is over.
fn deadline(text: &str) -> Result<Instant, Failure> {
    let (number, unit) = text.split_at(text.trim_end_matches(|it: char| it.is_alphabetic()).len());
    let seconds = match unit {
        "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3600),
        _ => None,
    };
    let wait = seconds.and_then(|unit| number.parse::<u32>().ok()?.checked_mul(unit));
    let wait = wait.map(|seconds| Duration::from_secs(seconds.into()));
    wait.and_then(|wait| Instant::now().checked_add(wait))
        .ok_or_else(|| {
            Failure::usage(format!(
                "--for: \"{}\" is no time to wait: write 90s, 10m or 2h.",
                text.escape_debug()
            ))
        })
}

/// A trial under way.
struct Trial<'a> {
    session: &'a Name,
    policies: &'a [String],
    policy: &'a Compiled,
    mounts: &'a Mounts,
    width: Width,
    /// From when on events count; none for when the policy in force was put in force.
    since: Option<Time>,
    /// Whether each difference is shown as it comes.
    follow: bool,
    until: Option<Instant>,
    /// How it is shown; none for JSON.
    look: Option<Look>,
    /// None once it has been reported.
    comparison: Option<Comparison>,
    /// Whether what comes now happens now.
    has_caught_up: bool,
    /// Whether something that went through would be refused.
    refuses: bool,
}

impl Trial<'_> {
    fn compare(&self, comparison: &mut Comparison, event: &Event) {
        let next = Next {
            policy: self.policy,
            mounts: self.mounts,
            is_local: &|address| is_local(address),
        };
        comparison.add(event, next);
    }

    /// Writes what there is so far, once.
    fn report(&mut self) -> Result<bool, Failure> {
        let Some(comparison) = self.comparison.take() else {
            return Ok(true);
        };
        let report = self.finish(comparison);
        print(&match self.look {
            Some(look) => report.render(look),
            None => line(&report) + "\n",
        })
    }

    /// Writes how an event differs that has just happened.
    fn show(&mut self, event: &Event) -> Result<bool, Failure> {
        let mut comparison = Comparison::default();
        self.compare(&mut comparison, event);
        for difference in self.finish(comparison).differences {
            let text = match self.look {
                Some(look) => format!("\n{}", difference.render(look)),
                None => line(&difference) + "\n",
            };
            if !print(&text)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn finish(&mut self, comparison: Comparison) -> Report {
        let report = comparison.finish(self.session.as_str(), self.policies, &self.width);
        self.refuses |= report.differences.iter().any(Difference::is_new_refusal);
        report
    }
}

impl Sink for Trial<'_> {
    fn take(&mut self, event: Event) -> Result<bool, Failure> {
        let is_over = matches!(
            &event.body,
            Body::Session(change) if change.change == SessionStep::Ended
        );
        let Some(mut comparison) = self.comparison.take() else {
            if begins_anew(&event) {
                say("the policy in force has been edited; from here on what it says is compared");
            }
            return Ok(self.show(&event)? && !is_over);
        };
        if begins_anew(&event) && self.since.is_none() {
            comparison = Comparison::default();
        }
        self.compare(&mut comparison, &event);
        self.comparison = Some(comparison);
        // In the past there may be sessions that were called alike.
        Ok(!(is_over && self.has_caught_up) && self.pause()?)
    }

    fn patience(&self) -> Option<u16> {
        self.until.map(|_| PAUSE)
    }

    fn pause(&mut self) -> Result<bool, Failure> {
        Ok(self.until.is_none_or(|until| Instant::now() < until))
    }

    fn caught_up(&mut self) -> Result<bool, Failure> {
        self.has_caught_up = true;
        if self.follow { self.report() } else { Ok(true) }
    }
}
