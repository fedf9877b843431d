//! `guard hook`: what agents run before and after each call of a tool, and its installation.

use std::io::{IsTerminal, Read, Write};
use std::path::Path;

use super::exit::{Exit, Failure};
use super::output::{print, say};
use crate::events::event::Event;
use crate::events::receipts::Asked;
use crate::events::text::harmless;
use crate::hook::install::{self, Agent, Change};
use crate::hook::{Payload, Step, answer};
use crate::server::client::unexpected;
use crate::server::inside_client as inside;
use crate::server::protocol::{Request, Response};
use crate::session::environment::SESSION;

/// The most that an agent may say of a call of a tool, in bytes: its output is part of it.
const LONGEST: u64 = 64 << 20;

/// Tell an agent what was refused to it, after each call of a tool
///
/// Agents run this by themselves before and after each call of a tool, once it is installed. It reads
/// what the agent says of the call, and answers with the refusals of that call: what, why, what to do
/// instead. It is silent where nothing was refused, and outside of sessions.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Whose hook
    #[arg(value_enum)]
    agent: Agent,
    /// Show what is to be added to the agent's configuration, and add it when you agree
    #[arg(long)]
    install: bool,
    /// Add it without asking
    #[arg(long, requires = "install")]
    yes: bool,
}

/// Answers an agent, or installs the hook.
pub fn run(raw: &Arguments) -> Result<Exit, Failure> {
    if raw.install {
        return install_hook(raw.agent, raw.yes);
    }
    if let Err(failure) = answer_agent() {
        // Not by the exit status: to an agent, 2 means that the call of the tool is to be blocked.
        say(&failure.message);
    }
    Ok(Exit::Success)
}

fn answer_agent() -> Result<(), Failure> {
    let mut said = Vec::new();
    std::io::stdin()
        .take(LONGEST)
        .read_to_end(&mut said)
        .map_err(|error| Failure::guard(format!("Standard input can't be read: {error}.")))?;
    // The agent has had its say, and sees no broken pipe.
    let Some(directory) = inside::directory() else {
        return Ok(());
    };
    let payload = Payload::read(&said).map_err(|error| {
        Failure::usage(format!(
            "What the agent says of a call can't be understood: {error}."
        ))
    })?;
    match payload.step() {
        Step::Nothing => Ok(()),
        Step::Begins(call) => match inside::ask(&directory, &Request::Mark { call })? {
            Response::Marked => Ok(()),
            other => Err(unexpected(&other)),
        },
        Step::Ended(call, event) => {
            let request = Request::Why {
                session: None,
                asked: Asked::Call(call),
            };
            let response = inside::ask(&directory, &request)?;
            let Response::Receipts(values) = response else {
                return Err(unexpected(&response));
            };
            let receipts: Vec<Event> = values
                .into_iter()
                .filter_map(|value| serde_json::from_value(value).ok())
                .collect();
            if let Some(answer) = answer(&event, &receipts) {
                print(&format!("{answer}\n"))?;
            }
            Ok(())
        }
    }
}

fn install_hook(agent: Agent, yes: bool) -> Result<Exit, Failure> {
    if std::env::var_os(SESSION).is_some() {
        return Err(Failure::usage(
            "Inside a session, agents' hooks stay as they are: agents run them outside of sessions \
             too. Type this in a shell outside.",
        ));
    }
    if std::env::var_os("SUDO_UID").is_some() && nix::unistd::geteuid().is_root() {
        return Err(Failure::usage(
            "The hook goes into your own configuration, not root's. Type it without sudo.",
        ));
    }
    let home = std::env::var_os("HOME").ok_or_else(|| Failure::usage("HOME is not set."))?;
    let command = install::command(agent)?;
    let place = install::place(agent, Path::new(&home))?;
    let file = harmless(&place.file().display().to_string());
    let Some(change) = place.change(&command)? else {
        print(&format!("{file} has guard's hook already.\n"))?;
        return Ok(Exit::Success);
    };
    print(&format!("{file}:\n{}", harmless(&change.shown())))?;
    if !yes && !agrees(&file)? {
        print("Nothing was written.\n")?;
        return Ok(Exit::Unmet);
    }
    write(&change)?;
    print(&format!("Written. {}\n", agent.next()))?;
    Ok(Exit::Success)
}

fn agrees(file: &str) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        say("nobody can be asked here; --yes writes it without asking");
        return Ok(false);
    }
    print(&format!("Write this to {file}? [y/N] "))?;
    let _ = std::io::stdout().flush();
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line);
    Ok(read.is_ok() && matches!(line.trim(), "y" | "Y" | "yes"))
}

fn write(change: &Change) -> Result<(), Failure> {
    change
        .write()
        .map_err(|error| Failure::guard(format!("{} can't be written: {error}.", change.file())))
}
