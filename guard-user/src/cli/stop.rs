//! `guard stop`: a session's end, by force.

use std::path::Path;

use super::exit::{Exit, Failure};
use super::output::print;
use crate::server::client::{self, unexpected};
use crate::server::paths::Paths;
use crate::server::protocol::{Request, Response};
use crate::session::name::Name;

/// The longest time that processes can be given, in seconds.
const MAX_GRACE: u64 = 3600;

/// End all processes of a session
///
/// They are asked first (SIGTERM) and killed when they take too long, wherever they have gone.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Which session
    session: String,
    /// How many seconds processes may take to end by themselves
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    grace: u64,
}

/// What to end.
#[derive(Debug, PartialEq)]
pub struct Config {
    session: Name,
    grace: u64,
}

impl Arguments {
    /// Checks the name.
    pub fn validate(self) -> Result<Config, Failure> {
        let session =
            Name::new(&self.session).map_err(|error| Failure::usage(error.to_string()))?;
        if self.grace > MAX_GRACE {
            return Err(Failure::usage(format!(
                "--grace can be {MAX_GRACE} seconds at most."
            )));
        }
        Ok(Config {
            session,
            grace: self.grace,
        })
    }
}

impl Config {
    /// Ends the session.
    pub fn run(self) -> Result<Exit, Failure> {
        super::require_root()?;
        let paths = Paths::system();
        // Without a server there may be an engine with sessions all the same.
        if client::find(&paths)?.is_none() && !Path::new("/sys/fs/bpf/guard").exists() {
            return Err(Failure::usage(format!(
                "There is no session \"{}\", nor any other.",
                self.session
            )));
        }
        let request = Request::Stop {
            session: self.session.clone(),
            grace: self.grace * 1000,
        };
        match client::ask(&paths, &request)? {
            Response::Stopped { processes, left: 0 } => {
                let had = match processes {
                    1 => "1 process".to_owned(),
                    _ => format!("{processes} processes"),
                };
                print(&format!(
                    "Session {} has ended; it had {had}.\n",
                    self.session
                ))?;
                Ok(Exit::Success)
            }
            Response::Stopped { left, .. } => Err(Failure {
                exit: Exit::Unmet,
                message: format!(
                    "{left} processes of session {} could not be ended: they wait in the kernel \
                     for a device or a file system. They stay guarded until the end; `guard \
                     status` shows them.",
                    self.session
                ),
            }),
            response => Err(unexpected(&response)),
        }
    }
}
