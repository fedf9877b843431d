//! `guard resume`: the limits that a session has exceeded are lifted.

use super::exit::{Exit, Failure};
use super::output::print;
use crate::server::client::unexpected;
use crate::server::protocol::{Request, Response};
use crate::session::name::Name;

/// Let a session go on that has exceeded the limit of a rule
///
/// A rule of a policy can let something through so many times (`at-most`). A session that goes
/// beyond that is refused by this rule until somebody has looked at what it is doing: `guard tail`
/// shows it, and this lifts it. The rule then counts from the beginning.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Which session
    session: String,
}

/// Lifts the limits.
pub fn run(raw: &Arguments) -> Result<Exit, Failure> {
    let session = Name::new(&raw.session).map_err(|error| Failure::usage(error.to_string()))?;
    super::require_root()?;
    let request = Request::Resume {
        session: session.clone(),
    };
    match super::ask_about(&session, &request)? {
        Response::Resumed { rules } if rules.is_empty() => {
            print(&format!(
                "Session {session} has exceeded no limit, and goes on as it did.\n"
            ))?;
            Ok(Exit::Success)
        }
        Response::Resumed { rules } => {
            print(&format!(
                "Session {session} goes on; counted anew: {}.\n",
                rules.join(", ")
            ))?;
            Ok(Exit::Success)
        }
        other => Err(unexpected(&other)),
    }
}
