//! `cargo xtask threats`: writes `docs/threats.md` from the catalogue, and checks the catalogue
//! against what there is: operations, facilities, programs and tests.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::process::ExitCode;

use anyhow::Context as _;
use guard_ebpf::kernel::PROGRAMS;
use guard_ebpf::operation::{Facility, Operation};
use guard_threats::{GROUPS, Group, Stopped, Threat, all};

use crate::paths;
use crate::shell;

/// What is written.
const FILE: &str = "docs/threats.md";

const HEAD: &str = "\
# Threats

How many more dangerous commands are there than `kill`? These are the ones that are known: what each
does, what stops it in a session under the default policy, since which kernel there is such a thing,
what remains, and the test that shows it. `guard threats` shows the same for the machine that it
runs on.

This file is written by `cargo xtask threats` from `threats/src/lib.rs` and the files beside it;
`cargo xtask tidy` fails when it is stale, or when a test that it names does not exist.

Each test runs in virtual machines with kernels from 6.1 to the newest. It makes the attack first
without guard, where it has to succeed, or the test would prove nothing; then from inside a session,
as root and, where that makes sense, as an ordinary user. There it has to be refused, and its target
has to be whole as seen from outside of the session. Beside the attacks stand their twins: the same
things done to what is the session's own, which have to go on working.

How a row is stopped:

- `signal`, `delete`, … is the operation of a policy that it is refused as. A rule can allow it.
- `machine: settings`, … is the operation `machine` with its facility. A rule can allow it.
- *limits*: only limits of the session's cgroup help. The row says which.
- *harmless*: it is let through, since it harms nothing that is not the session's own.
- *not stopped*: out of guard's reach. The row says what to do instead.
";

/// Writes the document of the known threats.
#[derive(Debug, clap::Args)]
pub struct Arguments {}

/// The task.
pub fn main(_: &Arguments) -> anyhow::Result<ExitCode> {
    fs::write(paths::workspace().join(FILE), document()).context(FILE)?;
    println!(
        "{FILE}: {} threats, {} of them tested",
        all().count(),
        tested()
    );
    Ok(ExitCode::SUCCESS)
}

fn tested() -> usize {
    all().filter(|threat| !threat.tests.is_empty()).count()
}

/// The document as it should be.
fn document() -> String {
    let mut text = HEAD.to_owned();
    let _ = writeln!(
        text,
        "\nThere are {} rows, and {} of them have a test.\n\n| group | rows | tested |\n| --- | --- | --- |",
        all().count(),
        tested()
    );
    for group in GROUPS {
        let tested = group
            .threats
            .iter()
            .filter(|threat| !threat.tests.is_empty())
            .count();
        let rows = group.threats.len();
        let _ = writeln!(
            text,
            "| {}: {} | {rows} | {tested} |",
            group.letter, group.title
        );
    }
    for group in GROUPS {
        text.push_str(&section(group));
    }
    text
}

fn section(group: &Group) -> String {
    let mut text = format!(
        "\n## {}: {}\n\n| | threat | what it does | stopped as | by | what remains | shown by |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n",
        group.letter, group.title
    );
    for threat in group.threats {
        let since = threat.since.map_or_else(String::new, |(major, minor)| {
            format!(" (since Linux {major}.{minor})")
        });
        let _ = writeln!(
            text,
            "| {} | {}: {}{since} | {} | {} | {} | {} | {} |",
            threat.id,
            cell(threat.title),
            code(threat.command),
            cell(threat.effect),
            stopped(threat.stopped),
            list(threat.programs),
            cell(threat.remains),
            if threat.tests.is_empty() {
                format!("no test: {}", cell(threat.untested))
            } else {
                list(threat.tests)
            },
        );
    }
    text
}

fn stopped(stopped: Stopped) -> String {
    match stopped {
        Stopped::Operation(name) => format!("`{name}`"),
        Stopped::Facility(name) => format!("`machine`: {name}"),
        Stopped::Limits => "*limits*".to_owned(),
        Stopped::Harmless => "*harmless*".to_owned(),
        Stopped::No => "*not stopped*".to_owned(),
    }
}

fn list(words: &[&str]) -> String {
    words
        .iter()
        .map(|word| code(word))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Text in a table: a bar would end the cell, and a star would begin an emphasis.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn code(text: &str) -> String {
    // What has a back quote in it needs two around it.
    if text.contains('`') {
        format!("`` {} ``", cell(text))
    } else {
        format!("`{}`", cell(text))
    }
}

/// What is wrong with the catalogue or its document.
pub fn problems() -> anyhow::Result<Vec<String>> {
    let mut problems: Vec<String> = all().flat_map(unknown).collect();
    let tests = listed(&["list"])?;
    let named = listed(&["list", "--threats"])?;
    let known: BTreeSet<&str> = tests.lines().collect();
    // The rows that the virtual machines try, as `A1 threats::signals_as_root`.
    let rows: BTreeSet<(&str, &str)> = named
        .lines()
        .filter_map(|line| line.split_once(' '))
        .collect();
    for threat in all() {
        for test in threat.tests {
            if !known.contains(test) {
                problems.push(format!("{}: no test is called `{test}`", threat.id));
            } else if test.starts_with("threats::") && !rows.contains(&(threat.id, test)) {
                problems.push(format!("{}: `{test}` has no row about it", threat.id));
            }
        }
    }
    for (id, test) in rows {
        let threat = all().find(|threat| threat.id == id);
        if !threat.is_some_and(|threat| threat.tests.contains(&test)) {
            problems.push(format!("`{test}` tries {id}, whose row does not name it"));
        }
    }
    let written = fs::read_to_string(paths::workspace().join(FILE)).unwrap_or_default();
    if written != document() {
        problems.push(format!("{FILE} is stale: run `cargo xtask threats`"));
    }
    Ok(problems)
}

/// The names in a row that guard does not know.
fn unknown(threat: &'static Threat) -> Vec<String> {
    let mut problems = Vec::new();
    let is_known = match threat.stopped {
        Stopped::Operation(name) => Operation::EVERY.iter().any(|known| known.name() == name),
        Stopped::Facility(name) => Facility::EVERY.iter().any(|known| known.name() == name),
        Stopped::Limits | Stopped::Harmless | Stopped::No => true,
    };
    if !is_known {
        problems.push(format!(
            "{}: guard has no such operation or facility: {}",
            threat.id,
            stopped(threat.stopped)
        ));
    }
    for name in threat.programs {
        if !PROGRAMS.iter().any(|program| program.name == *name) {
            problems.push(format!("{}: the engine has no program `{name}`", threat.id));
        }
    }
    problems
}

fn listed(words: &[&str]) -> anyhow::Result<String> {
    shell::output(
        shell::cargo()
            .args(["run", "--quiet", "--package", "guard-tests", "--"])
            .args(words),
    )
}
