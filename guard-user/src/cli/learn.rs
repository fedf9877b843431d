//! `guard learn`: from what a session was refused, the rules that let it through.

use super::exit::{Exit, Failure};
use super::output::{print, say};
use super::past;
use super::whom::Whom;
use crate::events::time::Time;
use crate::explain::facts::is_local;
use crate::server::policies::Policies;
use crate::session::name::Name;
use crate::system::mounts::Mounts;
use crate::system::users;
use crate::trial::learn::{Learner, Reach};
use crate::trial::width::Width;

/// Propose rules that let through what a session was refused
///
/// Writes a policy to be reviewed: the fewest rules that let through what the session's logs say was
/// refused, or would have been (`guard plan`, `mode: audit`), each with what it is made of. No rule is
/// wider than a directory or a group of processes that has a name, and none lifts what no policy lifts.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Which session, running or ended; all that were called so
    session: String,
    /// Only what happened since: 90s, 10m, 2h, 1d, HH:MM, a date, or a date and time
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Name each file as it was met, and no directory in place of those in it
    #[arg(long)]
    exact: bool,
}

/// What to learn from.
#[derive(Debug, PartialEq)]
pub struct Config {
    session: Name,
    since: Option<Time>,
    exact: bool,
}

impl Arguments {
    /// Checks the name and the time.
    pub fn validate(self) -> Result<Config, Failure> {
        Ok(Config {
            session: Name::new(&self.session).map_err(|error| Failure::usage(error.to_string()))?,
            since: past::since(self.since.as_deref())?,
            exact: self.exact,
        })
    }
}

impl Config {
    /// Writes the policy.
    pub fn run(self) -> Result<Exit, Failure> {
        super::require_root()?;
        let mut history = past::of(&self.session, self.since)?;
        let mut learner = Learner::default();
        for event in history.by_ref() {
            learner.add(event);
        }
        learner.miss(history.unreadable());
        let mounts = Mounts::read()
            .map_err(|error| Failure::guard(format!("The mount table can't be read: {error}.")))?;
        let subject = Whom::default().subject()?;
        let width = Width {
            home: subject.home.clone(),
            homes: users::homes(),
        };
        let reach = if self.exact {
            Reach::Exact
        } else {
            Reach::Alike(&width)
        };
        let session = self.session.as_str();
        let write = |checked: Option<&str>| {
            let text = learner.document(session, reach, &mounts, checked);
            text.map_err(|why| Failure::guard(format!("The rules can't be written: {why}.")))
        };
        let text = write(None)?;
        let loaded = Policies::of_this_process()
            .load_text(&subject, &text)
            .map_err(|mistake| {
                Failure::guard(format!(
                    "The rules are more than a policy holds. Learn from less (--since), or write \
                     wider ones by hand.\n{}",
                    mistake.message
                ))
            })?;
        let refused = learner.refused_by(&loaded.compiled, &mounts, &|address| is_local(address));
        let refused: Vec<_> = refused.map(|(event, _)| event.id.clone()).collect();
        if let Some(first) = refused.first() {
            say(&format!(
                "{} of the targets are not let through all the same, the first of them that of the \
                 event {first}: where they lay is another file system now",
                refused.len()
            ));
        }
        let checked = (refused.is_empty() && !learner.events().is_empty())
            .then_some("Checked: this lets through every target that the events name.");
        print(&write(checked)?)?;
        Ok(Exit::Success)
    }
}
