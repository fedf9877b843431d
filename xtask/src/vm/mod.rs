//! `cargo xtask vm`: a machine to try things in, with guard in it.

pub mod boot;
pub mod initramfs;
pub mod machine;
mod modules;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use serde_json::json;

use crate::build;
use crate::setup::{self, Mirror};

use boot::{Name, Plan};
use machine::{End, Processor, Terminal};

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
    let guest = build::guest()?;
    if !arguments.small {
        bail!("only --small is there so far");
    }
    if arguments.command.is_empty() {
        bail!("give a command after --");
    }
    let line = arguments.command.join(" ");
    let plan = Plan {
        mode: json!({ "command": { "argv": ["/bin/sh", "-c", line] } }),
        deadline: arguments.deadline,
        machine_deadline: arguments.deadline + 60,
        add: arguments.add.clone(),
        environment: BTreeMap::new(),
        root: None,
        processor: Processor::Emulated,
        terminal: Terminal::Output,
        memory: arguments.memory,
        label: "-vm",
    };
    let (name, kernel) = arguments.kernel.resolve(&arguments.mirror)?;
    let machine = boot::prepare(&name, &kernel, &plan, &guest)?;
    let mut status = None;
    let mut broken = None;
    let end = machine.run(|line| {
        if let Some(exit) = line["exit"].as_u64() {
            status = Some(exit as u8);
        }
        if let Some(why) = line["broken"].as_str() {
            broken = Some(why.to_owned());
        }
    })?;
    if let Some(why) = broken {
        bail!("the machine could not do its job: {why}");
    }
    let console = machine.console();
    match (end, status) {
        (_, Some(status)) => Ok(ExitCode::from(status)),
        (End::Deadline, None) => bail!(
            "the machine was still running after {} s and was ended; its console: {}",
            machine.deadline.as_secs(),
            console.display()
        ),
        (End::Failed(status), None) => bail!("qemu ended with {status}"),
        (End::Off, None) => {
            let text = machine::read(&console);
            let lines: Vec<_> = text.lines().collect();
            eprintln!("{}", lines[lines.len().saturating_sub(40)..].join("\n"));
            bail!(
                "the machine went down before the command had ended; the end of its console stands above"
            )
        }
    }
}
