//! Whole programs outside a session: a small C build and `git status`. Everything that the
//! machine executes between start and end counts.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use super::{clock, line};
use crate::boot::Image;

/// Runs of which the median is taken, after one that warms up.
const RUNS: usize = 11;

/// Where the sources and the repository are.
const DIR: &str = "/tmp/guard-bench-programs";

/// Measures both programs, where they are.
pub fn measure(image: Image, case: &str) -> anyhow::Result<()> {
    if image == Image::Small {
        return Ok(());
    }
    if !Path::new(DIR).exists() {
        prepare().context("the sources")?;
    }
    program(
        case,
        "a C build (make, gcc, 4 files)",
        &["make", "-s", "-B"],
        "build",
    )?;
    program(
        case,
        "git status (400 files)",
        &["git", "status", "--short"],
        "tree",
    )
}

fn program(case: &str, what: &str, argv: &[&str], dir: &str) -> anyhow::Result<()> {
    let mut counts = Vec::new();
    run(argv, dir)?;
    for _ in 0..RUNS {
        let start = clock::now();
        run(argv, dir)?;
        counts.push(clock::now() - start);
    }
    line("programs", what, case, clock::median_of(counts), "");
    Ok(())
}

fn run(argv: &[&str], dir: &str) -> anyhow::Result<()> {
    let mut command = Command::new(argv[0]);
    command
        .args(&argv[1..])
        .current_dir(format!("{DIR}/{dir}"))
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", DIR)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let status = command
        .status()
        .with_context(|| format!("failed to run {}", argv[0]))?;
    ensure!(status.success(), "{argv:?} ended with {status}");
    Ok(())
}

fn prepare() -> anyhow::Result<()> {
    let build = format!("{DIR}/build");
    fs::create_dir_all(&build)?;
    let mut rule = String::from("program: main.o one.o two.o three.o\n\tgcc -o $@ $^\n");
    for name in ["main", "one", "two", "three"] {
        let function = if name == "main" { "main" } else { name };
        let mut text =
            String::from("#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n");
        for number in 0..10 {
            writeln!(
                text,
                "static int {name}_{number}(int n) {{ char b[64]; snprintf(b, 64, \"%d\", n); \
                 return n < 2 ? (int)strlen(b) : {name}_{number}(n - 1) + atoi(b); }}"
            )?;
        }
        writeln!(text, "int {function}(void) {{ return {name}_0(3)")?;
        for number in 1..10 {
            writeln!(text, " + {name}_{number}({number})")?;
        }
        text.push_str("; }\n");
        fs::write(format!("{build}/{name}.c"), text)?;
        writeln!(rule, "{name}.o: {name}.c\n\tgcc -O1 -c -o $@ $<")?;
    }
    fs::write(format!("{build}/Makefile"), rule)?;
    for dir in 0..20 {
        fs::create_dir_all(format!("{DIR}/tree/{dir}"))?;
        for file in 0..20 {
            fs::write(
                format!("{DIR}/tree/{dir}/{file}"),
                format!("{dir} {file}\n"),
            )?;
        }
    }
    for argv in [
        &["git", "init", "--quiet"][..],
        &["git", "add", "."],
        &[
            "git",
            "-c",
            "user.name=n",
            "-c",
            "user.email=e",
            "commit",
            "--quiet",
            "-m",
            "m",
        ],
        // Nothing is as young as the index: git would read it all again.
        &["sleep", "2"],
        &["git", "status"],
    ] {
        run(argv, "tree")?;
    }
    Ok(())
}
