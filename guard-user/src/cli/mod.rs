//! The command line: a file per verb. Each has the raw arguments as they were typed, and
//! the validated configuration that it runs with.

mod allow;
mod background;
mod canary;
mod check;
mod doctor;
pub mod exit;
mod explain;
mod generate;
mod hook;
mod learn;
pub mod output;
mod past;
mod plan;
mod policy;
mod ps;
mod report;
mod resume;
mod run;
mod server;
mod status;
mod stop;
mod stream;
mod tail;
mod threats;
mod r#try;
mod under;
mod whom;
mod why;

use std::ffi::OsString;

use clap::{CommandFactory, Parser, Subcommand};

use exit::{Exit, Failure};

use crate::server::client;
use crate::server::paths::Paths;
use crate::server::protocol::{Request, Response};
use crate::session::name::Name;

/// The raw command line.
#[derive(Debug, Parser)]
#[command(
    name = "guard",
    version,
    about = "Lets a coding agent destroy what it made, and nothing else",
    long_about = "Lets a coding agent destroy what it made, and nothing else.\n\n\
        Guard starts a command in a guarded session. The kernel itself then refuses the \
        session's signals to processes that it did not start, tracing them, and the deletion \
        of files outside its workspace.",
    after_help = "Exit statuses: 0 success, 1 doctor or stop fell short, explain or try says no, or why finds nothing, 2 a mistake in a policy or \
        on the command line, 125 guard failed, 126 and 127 as a shell has them; otherwise the \
        command's own.",
    disable_help_subcommand = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(run::Arguments),
    Plan(plan::Arguments),
    Learn(learn::Arguments),
    Tail(tail::Arguments),
    Report(report::Arguments),
    Why(why::Arguments),
    Status(status::Arguments),
    Stop(stop::Arguments),
    Resume(resume::Arguments),
    Allow(allow::Arguments),
    Revoke(allow::Revoke),
    Explain(explain::Arguments),
    Ps(ps::Arguments),
    Check(check::Arguments),
    Policy(policy::Arguments),
    Hook(hook::Arguments),
    Doctor(doctor::Arguments),
    Threats(threats::Arguments),
    Server(server::Arguments),
    #[command(hide = true)]
    Canary(canary::Arguments),
    #[command(hide = true)]
    Generate(generate::Arguments),
}

/// Runs a command line. What it failed of has been said on standard error.
pub fn main(words: impl IntoIterator<Item = OsString>) -> Exit {
    let arguments = match Arguments::try_parse_from(words) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help that nobody reads to its end is help all the same.
            let _ = error.print();
            return if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Success
            };
        }
    };
    let result = match arguments.verb {
        Verb::Run(raw) => raw.validate().and_then(run::Config::run),
        Verb::Plan(raw) => raw.validate().and_then(plan::Config::run),
        Verb::Learn(raw) => raw.validate().and_then(learn::Config::run),
        Verb::Tail(raw) => raw.validate().and_then(tail::Config::run),
        Verb::Report(raw) => report::run(&raw),
        Verb::Why(raw) => why::run(&raw),
        Verb::Hook(raw) => hook::run(&raw),
        Verb::Status(raw) => status::run(&raw),
        Verb::Stop(raw) => raw.validate().and_then(stop::Config::run),
        Verb::Resume(raw) => resume::run(&raw),
        Verb::Allow(raw) => allow::run(&raw),
        Verb::Revoke(raw) => allow::revoke(&raw),
        Verb::Explain(raw) => explain::run(&raw),
        Verb::Ps(raw) => ps::run(&raw),
        Verb::Check(raw) => check::run(&raw),
        Verb::Policy(raw) => policy::run(&raw),
        Verb::Doctor(raw) => doctor::run(&raw),
        Verb::Threats(raw) => threats::run(&raw),
        Verb::Server(raw) => server::run(&raw),
        Verb::Canary(raw) => canary::run(&raw),
        Verb::Generate(raw) => generate::run(raw),
    };
    result.unwrap_or_else(|failure| {
        if !failure.message.is_empty() {
            output::say(&failure.message);
        }
        failure.exit
    })
}

/// The definition that help, completions and manual pages are made from.
#[must_use]
pub fn definition() -> clap::Command {
    Arguments::command()
}

/// The names of the presets, for help texts.
fn presets() -> String {
    let names = crate::policy::presets::PRESETS.map(|preset| preset.name);
    format!("Presets: {}.", names.join(", "))
}

/// Fails, with what to type, when the caller is not root.
fn require_root() -> Result<(), Failure> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "Only root can do this. Type: sudo {}",
        typed(std::env::args_os())
    )))
}

/// Asks the server about a session. No server is started where there is none: then there is no session.
fn ask_about(session: &Name, request: &Request) -> Result<Response, Failure> {
    let paths = Paths::system();
    let nobody = || Failure::usage(format!("There is no session \"{session}\", nor any other."));
    client::find(&paths)?.ok_or_else(nobody)?;
    client::ask(&paths, request)
}

/// A command line as it can be typed again.
fn typed(words: impl Iterator<Item = OsString>) -> String {
    let words: Vec<String> = words.map(|word| quoted(&word.to_string_lossy())).collect();
    words.join(" ")
}

/// A word as a shell takes it.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=:,@%+".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests;
