//! Everything that a person or CI runs: `cargo xtask --help`.

mod bench;
mod build;
mod ci;
mod demo;
mod fuzz;
mod paths;
mod run;
mod setup;
mod shell;
mod test;
mod threats;
mod tidy;
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
    Bench(bench::Arguments),
    Setup(setup::Arguments),
    Build(build::Arguments),
    Ci(ci::Arguments),
    Demo(demo::Arguments),
    Fuzz(fuzz::Arguments),
    Run(run::Arguments),
    Test(test::Arguments),
    Threats(threats::Arguments),
    Tidy(tidy::Arguments),
    Vm(vm::Arguments),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::Bench(arguments) => bench::main(&arguments),
        Task::Setup(arguments) => setup::main(&arguments),
        Task::Build(arguments) => build::main(&arguments),
        Task::Ci(arguments) => Ok(ci::main(&arguments)),
        Task::Demo(arguments) => demo::main(&arguments),
        Task::Fuzz(arguments) => fuzz::main(&arguments),
        Task::Run(arguments) => run::main(&arguments),
        Task::Test(arguments) => test::main(&arguments),
        Task::Threats(arguments) => threats::main(&arguments),
        Task::Tidy(arguments) => tidy::main(&arguments),
        Task::Vm(arguments) => vm::main(&arguments),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
