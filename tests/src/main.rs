//! `guard-tests`: the guest's init, its test runner, and the list of tests for the host.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use guard_tests::actor;
use guard_tests::bench;
use guard_tests::boot::{Boot, Image};
use guard_tests::context::Context;
use guard_tests::init;
use guard_tests::registry::{self, Skip};
use guard_tests::threats;

fn main() -> ExitCode {
    if std::process::id() == 1 {
        init::main();
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match dispatch(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("guard-tests: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn dispatch(arguments: &[&str]) -> anyhow::Result<ExitCode> {
    match arguments {
        ["list", "--threats"] => {
            for (id, test) in threats() {
                println!("{id} {test}");
            }
            Ok(ExitCode::SUCCESS)
        }
        ["list", rest @ ..] => list(rest),
        ["run", boot, name] => run(boot.parse()?, name),
        ["service"] => init::service(),
        ["bench", rest @ ..] => {
            bench::main(rest)?;
            Ok(ExitCode::SUCCESS)
        }
        ["agent", uid] => {
            actor::serve(uid.parse()?)?;
            Ok(ExitCode::SUCCESS)
        }
        ["attack", descriptor, name, arguments @ ..] => {
            actor::once(descriptor.parse()?, name, arguments)?;
            Ok(ExitCode::SUCCESS)
        }
        _ => bail!(
            "usage: guard-tests list [--threats] [--kernel SERIES] [--image small|full|systemd] | run SERIES NAME | agent UID | \
             attack FD NAME ARGUMENTS | bench SERIES IMAGE"
        ),
    }
}

/// Prints the names of the tests that a boot has to run, one a line.
fn list(options: &[&str]) -> anyhow::Result<ExitCode> {
    let mut boot: Option<Boot> = None;
    let mut image: Option<Image> = None;
    for pair in options.chunks(2) {
        match pair {
            ["--kernel", series] => boot = Some(series.parse()?),
            ["--image", name] => image = Some(name.parse()?),
            _ => bail!("`{}` is not an option of list with a value", pair[0]),
        }
    }
    for test in registry::all() {
        if boot.is_none_or(|boot| test.kernels.contain(boot))
            && image.is_none_or(|image| test.image == image)
        {
            println!("{}", test.name);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs one test in this process. The status and the file tell the init what came of it.
fn run(boot: Boot, name: &str) -> anyhow::Result<ExitCode> {
    let test = registry::all()
        .find(|test| test.name == name)
        .with_context(|| format!("no test is called `{name}`"))?;
    let Err(error) = (test.run)(&mut Context { boot }) else {
        return Ok(ExitCode::SUCCESS);
    };
    let listed = registry::SKIPS
        .iter()
        .any(|(test, kernels, _)| *test == name && kernels.contain(boot));
    let skip = error.is::<Skip>();
    if skip && listed {
        std::fs::write(init::WHY, format!("{error:#}"))?;
        return Ok(ExitCode::from(init::SKIPPED));
    }
    let how = if skip { "an unlisted skip: " } else { "" };
    std::fs::write(init::WHY, format!("{how}{error:#}"))?;
    eprintln!("{name}: {error:?}");
    Ok(ExitCode::FAILURE)
}
