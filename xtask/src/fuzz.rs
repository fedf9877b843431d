//! `cargo xtask fuzz`: a fuzz target for a while, with limits beyond which it counts as failed.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::paths;
use crate::setup;
use crate::setup::packages;
use crate::shell;

/// What makes a build one for LLVM's fuzzer: it counts where the program comes by and sees what it
/// compares with.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";

/// Named, so that the flags do not reach build scripts and procedural macros.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The most memory that a target may take, in MB, and the longest that it may take for one input, in
/// seconds.
const LIMITS: [&str; 2] = ["-rss_limit_mb=256", "-timeout=25"];

/// A fuzz target.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Target {
    /// The policy parser and compiler.
    Policy,
    /// The server's end of the control socket.
    ControlSocket,
}

/// Looks for inputs that crash, hang or swell what reads them.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// What reads them.
    target: Target,
    /// For how long.
    #[arg(long, default_value_t = 600)]
    seconds: u32,
}

/// The task. What was found in earlier runs is where it begins.
pub fn main(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    setup::for_build()?;
    packages::ensure(packages::FUZZER)?;
    let name = match arguments.target {
        Target::Policy => "policy",
        Target::ControlSocket => "control-socket",
    };
    let output = paths::target().join("fuzz");
    let mut build = shell::cargo();
    build
        .env("RUSTFLAGS", FLAGS)
        .args(["build", "--release", "--target", TARGET, "--bin", name])
        .args(["--manifest-path", "guard-user/fuzz/Cargo.toml"])
        .arg("--target-dir")
        .arg(&output);
    shell::run(&mut build)?;
    let corpus = output.join("corpus").join(name);
    fs::create_dir_all(&corpus).with_context(|| corpus.display().to_string())?;
    let found = output.join("found");
    fs::create_dir_all(&found).with_context(|| found.display().to_string())?;
    let program = output.join(TARGET).join("release").join(name);
    let mut fuzzer = shell::command(&program.to_string_lossy());
    fuzzer
        .args(LIMITS)
        .arg(format!("-max_total_time={}", arguments.seconds))
        .arg(format!("-artifact_prefix={}/{name}-", found.display()))
        .arg("-print_final_stats=1")
        .arg(&corpus);
    if matches!(arguments.target, Target::Policy) {
        fuzzer.arg(paths::workspace().join("policies"));
    } else {
        // The server's log.
        fuzzer.arg("-close_fd_mask=2");
        seed(&corpus)?;
    }
    shell::run(&mut fuzzer)?;
    Ok(ExitCode::SUCCESS)
}

/// Requests to begin with: a fuzzer would need long to find the form of one.
fn seed(corpus: &Path) -> anyhow::Result<()> {
    let requests = include_str!("../../guard-user/fuzz/control_socket.txt");
    for (number, request) in requests.lines().enumerate() {
        // One descriptor, in one piece, to be put in its envelope (see `control_socket.rs`).
        let input = format!("\x21{request}");
        fs::write(corpus.join(format!("seed-{number}")), input)?;
    }
    Ok(())
}
