//! Everything that a person or CI runs: `cargo xtask --help`.

mod build;
mod paths;
mod run;
mod setup;
mod shell;
mod test;
mod vm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Guard's builds, virtual machines, tests and checks.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    Setup(setup::Arguments),
    Build(build::Arguments),
    Run(run::Arguments),
    Test(test::Arguments),
    Vm(vm::Arguments),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::Setup(arguments) => setup::main(&arguments),
        Task::Build(arguments) => build::main(&arguments),
        Task::Run(arguments) => run::main(&arguments),
        Task::Test(arguments) => test::main(&arguments),
        Task::Vm(arguments) => vm::main(&arguments),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
