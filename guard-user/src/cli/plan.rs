//! `guard plan`: a command in a session in which nothing is refused, and what would have been.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use super::exit::{Exit, Failure};
use super::output::say;
use super::run;
use crate::events::history::read_since;
use crate::events::json::line;
use crate::events::lines::Look;
use crate::session::supervise::end_as;
use crate::system::users;
use crate::trial::plan::{Plan, Planner};
use crate::trial::width::Width;

/// Run a command with nothing refused, and show what would have been
///
/// The command really runs: what it deletes, overwrites and ends is gone. Only guard's own
/// protection, which no policy lifts, is in force. At the end the plan is written: what the policy
/// would have refused, by which rule, and where that stands. The status is the command's own.
#[derive(Debug, clap::Args)]
// A group is called after its type, and that of `run` is called alike.
#[group(skip)]
pub struct Arguments {
    /// Write the plan as one line of JSON
    #[arg(long)]
    json: bool,
    /// Where the plan is written [default: standard error, after what the command wrote]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    run: run::Arguments,
}

/// What to run, and how to show the plan.
#[derive(Debug, PartialEq)]
pub struct Config {
    json: bool,
    output: Option<PathBuf>,
    run: run::Config,
}

impl Arguments {
    /// Checks what can be checked without asking the host.
    pub fn validate(self) -> Result<Config, Failure> {
        Ok(Config {
            json: self.json,
            output: self.output,
            run: self.run.validate()?.audited(),
        })
    }
}

impl Config {
    /// Runs the command. Returns only when it could not be started: otherwise this process
    /// ends as the command did.
    pub fn run(self) -> Result<Exit, Failure> {
        super::require_root()?;
        // Before the command, which can't be taken back when this fails.
        let mut output = self.output.as_ref().map(open).transpose()?;
        let ended = self.run.carry_out()?;
        let exit = ended.exit;
        let told = self
            .plan(ended)
            .and_then(|plan| self.write(&plan, output.as_mut()));
        if let Err(failure) = told {
            say(&failure.message);
        }
        end_as(exit)
    }

    fn plan(&self, ended: run::Ended) -> Result<Plan, Failure> {
        let (session, log) = (ended.session.clone(), ended.log.clone());
        let width = Width {
            home: ended.home.clone(),
            homes: users::homes(),
        };
        let remains = self.run.finish(ended)?;
        let cannot = |error: io::Error| {
            Failure::guard(format!(
                "The command ran with nothing refused, and what would have been can't be told: the \
                 log {} can't be read: {error}.",
                log.display()
            ))
        };
        let mut events = read_since(&log, None).map_err(cannot)?;
        let mut planner = Planner::default();
        for event in events.by_ref() {
            planner.add(&event);
        }
        planner.miss(events.unreadable());
        let plan = planner.finish(session.as_str(), self.run.policies(), &width);
        Ok(Plan {
            remaining: remains.left,
            ..plan
        })
    }

    fn write(&self, plan: &Plan, output: Option<&mut File>) -> Result<(), Failure> {
        let text = |look| {
            if self.json {
                line(plan) + "\n"
            } else {
                plan.render(look)
            }
        };
        let written = if let Some(file) = output {
            file.write_all(text(Look::of(file)).as_bytes())
        } else {
            let mut stderr = io::stderr();
            stderr.write_all(text(Look::of(&stderr)).as_bytes())
        };
        written.map_err(|error| {
            let place = match &self.output {
                Some(path) => path.display().to_string(),
                None => "standard error".to_owned(),
            };
            Failure::guard(format!(
                "The plan can't be written to {place}: {error}. `guard tail --session {} --since 1d \
                 --no-follow` shows what happened.",
                plan.session
            ))
        })
    }
}

fn open(path: &PathBuf) -> Result<File, Failure> {
    File::create(path).map_err(|error| {
        Failure::usage(format!(
            "The plan can't be written to {}: {error}. Nothing was started.",
            path.display()
        ))
    })
}
