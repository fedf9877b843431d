//! `guard generate` (hidden): completions and manual pages, for whoever makes a package.

use std::path::PathBuf;

use clap_complete::Shell;

use super::exit::{Exit, Failure};
use super::output::print;

/// Make shell completions or manual pages
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Completions for a shell, to standard output
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Manual pages, into a directory
    Man {
        /// The directory
        directory: PathBuf,
    },
}

/// Makes them.
pub fn run(raw: Arguments) -> Result<Exit, Failure> {
    match raw.what {
        What::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut super::definition(), "guard", &mut text);
            print(&String::from_utf8_lossy(&text))?;
        }
        What::Man { directory } => {
            clap_mangen::generate_to(super::definition(), &directory).map_err(|error| {
                Failure::guard(format!(
                    "Manual pages can't be written into {}: {error}.",
                    directory.display()
                ))
            })?;
        }
    }
    Ok(Exit::Success)
}
