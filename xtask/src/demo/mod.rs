//! `cargo xtask demo`: what guard is for, in a virtual machine that nothing can come out of.
//!
//! The same session of an agent runs twice, each time in a machine that has just been started:
//! without guard and with it. The machine's init, which no process can kill, sees what dies and
//! during which command; a check from outside the session looks at what is left. The closing
//! table has nothing in it but what these two have seen.

mod table;

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::build::{self, Guest};
use crate::paths;
use crate::setup::{self, Mirror, image};
use crate::vm::boot::{self, Name, Plan};
use crate::vm::machine::{Processor, Terminal};
use crate::vm::{self, probe};

use table::Seen;

/// An agent's session in a virtual machine, without guard and with it.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The kernel's series.
    #[arg(long, value_name = "SERIES", default_value = "6.12")]
    kernel: Name,
    /// Only this half.
    #[arg(long, value_enum)]
    only: Option<Half>,
    #[command(flatten)]
    mirror: Mirror,
}

impl Arguments {
    /// Both halves on the usual kernel.
    pub fn both(mirror: &Mirror) -> Self {
        Self {
            kernel: Name {
                series: "6.12".to_owned(),
                nobpf: false,
            },
            only: None,
            mirror: mirror.clone(),
        }
    }
}

/// One of the two runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Half {
    /// As machines are today.
    Without,
    /// The session is started by `guard run`.
    With,
}

/// Where the scripts are in the machine.
const SCRIPTS: &str = "/opt/demo";

/// What the agent's session is.
const SESSION: &str = "bash /opt/demo/agent-session.sh";

/// The task.
pub fn main(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    setup::for_build()?;
    setup::for_machines(&arguments.mirror)?;
    image::ensure(&arguments.mirror)?;
    println!("building guard");
    let guest = build::guest()?;
    let processor = probe::fastest(&guest, &arguments.mirror)?;
    let half = |half| -> anyhow::Result<Option<Seen>> {
        if arguments.only.is_some_and(|only| only != half) {
            return Ok(None);
        }
        run(half, processor, &guest, arguments).map(Some)
    };
    let without = half(Half::Without)?;
    let with = half(Half::With)?;
    Ok(table::print(without.as_ref(), with.as_ref()))
}

/// Boots a machine and runs one half in it.
fn run(
    half: Half,
    processor: Processor,
    guest: &Guest,
    arguments: &Arguments,
) -> anyhow::Result<Seen> {
    let (name, kernel) = arguments.kernel.resolve(&arguments.mirror)?;
    let how = match processor {
        Processor::Kvm => "on this machine's processor",
        Processor::Emulated | Processor::Counting => "emulated",
    };
    let title = match half {
        Half::Without => "without guard",
        Half::With => "with guard",
    };
    println!(
        "\n=== {title}: Debian on Linux {}, {how} ===",
        kernel.version
    );
    let plan = Plan {
        deadline: 300,
        machine_deadline: 600,
        add: vec![(paths::workspace().join("xtask/demo"), SCRIPTS.to_owned())],
        root: Some(image::ensure(&arguments.mirror)?),
        processor,
        terminal: Terminal::Output,
        label: match half {
            Half::Without => "-demo-without",
            Half::With => "-demo-with",
        },
        ..Plan::new(json!({ "steps": { "steps": steps(half) } }))
    };
    let mut seen = Seen::default();
    let machine = boot::prepare(&name, &kernel, &plan, guest)?;
    let status = vm::status(&machine, |line| seen.take(line))?;
    anyhow::ensure!(status == 0, "a step of the demo ended with status {status}");
    Ok(seen)
}

fn steps(half: Half) -> Vec<Value> {
    let shell = |line: String| json!(["/bin/bash", "-c", line]);
    let mut steps = vec![json!({ "argv": ["/bin/bash", format!("{SCRIPTS}/victims.sh")] })];
    if half == Half::With {
        // Beside the session, as somebody who audits would have it on another terminal.
        let tail = "until guard status > /dev/null 2>&1; do sleep 0.1; done; \
                    guard tail 2>&1 | sed -u 's/^/    guard tail | /'";
        steps.push(json!({ "argv": shell(tail.to_owned()), "background": true }));
    }
    let session = match half {
        Half::Without => SESSION.to_owned(),
        // Root, as agents have it in containers: nothing but guard stands in its way.
        Half::With => {
            format!("guard run --user root --name demo --workspace /srv/project -- {SESSION}")
        }
    };
    steps.push(json!({ "argv": shell(session), "watch": true }));
    if half == Half::With {
        // What is still on its way to the one who audits.
        steps.push(json!({ "argv": ["/bin/sleep", "2"] }));
    }
    steps.push(json!({ "argv": ["/usr/bin/python3", format!("{SCRIPTS}/check.py")] }));
    steps
}
