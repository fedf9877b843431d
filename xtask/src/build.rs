//! `cargo xtask build`: guard, with the eBPF programs in it, as one file.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use crate::paths;
use crate::setup;
use crate::shell;

/// The triple of every build here. Named, so that flags for the program do not reach build
/// scripts and procedural macros.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// One file that can be copied to another machine: nothing of the build machine's libraries.
const STATIC: &str = "-Ctarget-feature=+crt-static";

/// Builds guard with the eBPF programs in it: one file to copy to another machine.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Small and optimised.
    #[arg(long)]
    pub release: bool,
}

/// The task.
pub fn main(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    setup::for_build()?;
    let guard = guard(arguments.release)?;
    let size = std::fs::metadata(&guard)?.len();
    println!(
        "{} ({}.{} MB)",
        guard.display(),
        size / 1_000_000,
        size / 100_000 % 10
    );
    Ok(ExitCode::SUCCESS)
}

/// Builds guard and says where it is.
pub fn guard(release: bool) -> anyhow::Result<PathBuf> {
    let profile = if release { "release" } else { "dev" };
    shell::run(cargo(profile).args(["--package", "guard-user", "--bins"]))?;
    let dir = if release { "release" } else { "debug" };
    Ok(guard_in(dir))
}

/// What a virtual machine gets.
#[derive(Debug)]
pub struct Guest {
    /// The program under test.
    pub guard: PathBuf,
    /// The guest's init and the tests.
    pub tests: PathBuf,
}

/// Builds what a machine gets in which guard is measured: the program that people get.
pub fn bench() -> anyhow::Result<Guest> {
    Ok(Guest {
        guard: guard(true)?,
        ..guest()?
    })
}

/// Builds what a virtual machine gets.
pub fn guest() -> anyhow::Result<Guest> {
    shell::run(cargo("guest").args([
        "--package",
        "guard-user",
        "--package",
        "guard-tests",
        "--bins",
    ]))?;
    Ok(Guest {
        guard: guard_in("guest"),
        tests: paths::target().join(TARGET).join("guest/guard-tests"),
    })
}

fn cargo(profile: &str) -> Command {
    let mut cargo = shell::cargo();
    cargo
        .args(["build", "--quiet", "--target", TARGET, "--profile", profile])
        .env("CARGO_ENCODED_RUSTFLAGS", STATIC);
    cargo
}

/// The binary may still be called like its package.
fn guard_in(profile: &str) -> PathBuf {
    let dir = paths::target().join(TARGET).join(profile);
    let guard = dir.join("guard");
    if guard.exists() {
        guard
    } else {
        dir.join("guard-user")
    }
}
