//! `cargo xtask vm`: a machine to try things in, with guard in it.

pub mod boot;
mod initramfs;
pub mod machine;
mod modules;
pub mod probe;

use std::env;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::build;
use crate::setup::{self, Mirror, image};

use boot::{Name, Plan};
use machine::{End, Machine, Terminal};

/// A shell, or one command, in a virtual machine with guard in it.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The small image (an initramfs with busybox) instead of Debian.
    #[arg(long)]
    small: bool,
    /// The kernel's series.
    #[arg(long, value_name = "SERIES", default_value = "6.12")]
    kernel: Name,
    /// A file or directory to copy into the machine.
    #[arg(long, value_name = "HOST:GUEST", value_parser = pair)]
    add: Vec<(PathBuf, String)>,
    /// Seconds after which a command and its machine are ended.
    #[arg(long, default_value_t = 120)]
    deadline: u64,
    /// Memory in MiB.
    #[arg(long, default_value_t = 1024)]
    memory: u32,
    #[command(flatten)]
    mirror: Mirror,
    /// A shell command line; its output and its status are this command's.
    #[arg(last = true)]
    command: Vec<String>,
}

fn pair(text: &str) -> anyhow::Result<(PathBuf, String)> {
    let (host, guest) = text.split_once(':').context("write HOST:GUEST")?;
    Ok((host.into(), guest.to_owned()))
}

/// The task.
pub fn main(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    setup::for_build()?;
    setup::for_machines(&arguments.mirror)?;
    let root = (!arguments.small)
        .then(|| image::ensure(&arguments.mirror))
        .transpose()?;
    let guest = build::guest()?;
    let (name, kernel) = arguments.kernel.resolve(&arguments.mirror)?;
    let shell = arguments.command.is_empty();
    let mut plan = Plan {
        add: arguments.add.clone(),
        root,
        memory: arguments.memory,
        label: "-vm",
        ..Plan::new(json!(null))
    };
    if shell {
        println!("{name}: guard is in it; `exit` powers it off, what it wrote is forgotten");
        let (rows, columns) = size();
        let terminal = env::var("TERM").unwrap_or_else(|_| "dumb".to_owned());
        plan.mode = json!({ "shell": { "rows": rows, "columns": columns, "terminal": terminal } });
        plan.terminal = Terminal::Interactive;
        plan.machine_deadline = 24 * 60 * 60;
        plan.processor = probe::fastest(&guest, &arguments.mirror)?;
    } else {
        let line = arguments.command.join(" ");
        plan.mode = json!({ "steps": { "steps": [{ "argv": ["/bin/sh", "-c", line] }] } });
        plan.terminal = Terminal::Output;
        plan.deadline = arguments.deadline;
        plan.machine_deadline = arguments.deadline + 60;
    }
    let status = status(&boot::prepare(&name, &kernel, &plan, &guest)?, |_| ())?;
    Ok(ExitCode::from(status))
}

/// Runs a machine whose job is steps or a shell; the status is the last step's. `each` gets every
/// line of results.
pub fn status(machine: &Machine, mut each: impl FnMut(&Value)) -> anyhow::Result<u8> {
    let mut status = None;
    let mut broken = None;
    let end = machine.run(|line| {
        if let Some(exit) = line["exit"].as_u64() {
            status = Some(exit as u8);
        } else if let Some(why) = line["broken"].as_str() {
            broken = Some(why.to_owned());
        }
        each(&line);
    })?;
    if let Some(why) = broken {
        bail!("the machine could not do its job: {why}");
    }
    let console = machine.console();
    match (end, status) {
        (_, Some(status)) => Ok(status),
        (End::Deadline, None) => bail!(
            "the machine was still running after {} s and was ended; its console: {}",
            machine.deadline.as_secs(),
            console.display()
        ),
        (End::Failed(status, said), None) => {
            bail!("qemu ended with {status}:\n{}", said.trim_end())
        }
        (End::Off, None) => {
            let text = machine::read(&console);
            let lines: Vec<_> = text.lines().collect();
            eprintln!("{}", lines[lines.len().saturating_sub(40)..].join("\n"));
            bail!(
                "the machine went down before its job was done; the end of its console stands above"
            )
        }
    }
}

/// Lines and columns of this terminal.
fn size() -> (u16, u16) {
    let size = Command::new("stty")
        .arg("size")
        .stdin(Stdio::inherit())
        .output();
    size.ok()
        .and_then(|output| {
            let text = String::from_utf8(output.stdout).ok()?;
            let (rows, columns) = text.trim().split_once(' ')?;
            Some((rows.parse().ok()?, columns.parse().ok()?))
        })
        .unwrap_or((24, 80))
}
