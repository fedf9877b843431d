//! Whole programs: a small C build and `git status`. Everything that the
//! machine executes between start and end counts. In a session the same, in its workspace.

use std::fmt::Write as _;
use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use super::{clock, line};
use crate::boot::Image;

/// Runs of which the median is taken, after one that warms up.
const RUNS: usize = 11;

/// Runs that bring the kernel's caches to where they stay: what a build leaves behind in them makes
/// a fork several percent cheaper and looking at many files dearer, for good.
const WARMING: usize = 15;

/// Where the sources and the repository are: in the workspace.
const DIR: &str = "/tmp/guard-bench/programs";

/// A program that is measured: its name in the table, how it is started, and where.
struct Measured {
    what: &'static str,
    argv: &'static [&'static str],
    dir: &'static str,
}

const PROGRAMS: &[Measured] = &[
    Measured {
        what: "a C build (make, gcc, 4 files)",
        argv: &["make", "-s", "-B"],
        dir: "build",
    },
    Measured {
        what: "git status (400 files)",
        argv: &["git", "status", "--short"],
        dir: "tree",
    },
];

/// Makes the sources, and has the programs run until the kernel's caches are what they will be.
pub fn warm_up(image: Image) -> anyhow::Result<()> {
    if image == Image::Small {
        return Ok(());
    }
    prepare().context("the sources")?;
    for _ in 0..WARMING {
        for program in PROGRAMS {
            run(program.argv, program.dir)?;
        }
    }
    Ok(())
}

/// Measures the programs, where they are.
pub fn measure(image: Image, case: &str) -> anyhow::Result<()> {
    if image == Image::Small {
        return Ok(());
    }
    PROGRAMS.iter().try_for_each(|program| one(case, program))
}

fn one(case: &str, program: &Measured) -> anyhow::Result<()> {
    let mut counts = Vec::new();
    run(program.argv, program.dir)?;
    for _ in 0..RUNS {
        let start = clock::now();
        run(program.argv, program.dir)?;
        counts.push(clock::now() - start);
    }
    line("programs", program.what, case, clock::median_of(counts), "");
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
