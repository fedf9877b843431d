//! `guard policy`: the language of policies, and what policies come to.

use super::exit::{Exit, Failure};
use super::output::{json, print};
use crate::policy::schema::schema;

/// Show what policies say
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Print the JSON Schema of policies, by which editors complete and check them
    ///
    /// For an editor with the YAML language server: put it into a file, and name that at the top of
    /// a policy, in a line `# yaml-language-server: $schema=FILE`.
    Schema,
}

/// Shows it.
pub fn run(raw: &Arguments) -> Result<Exit, Failure> {
    match &raw.what {
        What::Schema => print(&json(&schema()))?,
    };
    Ok(Exit::Success)
}
