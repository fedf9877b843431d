//! `cargo xtask test`: the host's tests, then the virtual machines'.

mod boots;
mod host;
mod report;
mod tally;

use std::process::ExitCode;

use crate::build;
use crate::setup::{self, Mirror, kernels};
use crate::vm::boot::Name;

pub use tally::Tally;

/// Seconds for each test in a virtual machine, where nobody says: a compiler that is started on an
/// emulated processor, four times over, takes minutes, and longer where others use the machine too.
const DEADLINE: u64 = 600;

/// Tests on this machine, then in virtual machines: every kernel of the matrix.
#[derive(Debug, Default, clap::Args)]
pub struct Arguments {
    /// Only this series: 6.12, 6.12-nobpf, newest. May be given several times.
    #[arg(long, value_name = "SERIES", value_delimiter = ',')]
    kernel: Vec<Name>,
    /// Only the tests on this machine.
    #[arg(long, conflicts_with = "vm")]
    host: bool,
    /// Only the tests in virtual machines.
    #[arg(long)]
    vm: bool,
    /// Seconds for each test in a virtual machine.
    #[arg(long, default_value_t = DEADLINE)]
    deadline: u64,
    /// Virtual machines at a time.
    #[arg(long, default_value_t = jobs())]
    jobs: usize,
    #[command(flatten)]
    mirror: Mirror,
    /// Only tests whose name has this in it.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

impl Arguments {
    /// Everything, with the packages from `mirror`.
    pub fn everything(mirror: &Mirror) -> Self {
        Self {
            deadline: DEADLINE,
            jobs: jobs(),
            mirror: mirror.clone(),
            ..Self::default()
        }
    }
}

/// Half as many again as there are processors: each machine has one, and a quarter of the time its tests
/// wait for something.
fn jobs() -> usize {
    std::thread::available_parallelism().map_or(2, |processors| processors.get() * 3 / 2)
}

/// The task.
pub fn main(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let tally = run(arguments)?;
    println!("{tally}");
    Ok(tally.exit())
}

/// Runs the tests and counts.
pub fn run(arguments: &Arguments) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    setup::for_build()?;
    // Who names a kernel means the virtual machines.
    if !arguments.vm && arguments.kernel.is_empty() {
        tally += host::run(&arguments.names)?;
    }
    if !arguments.host {
        setup::for_machines(&arguments.mirror)?;
        let names = if arguments.kernel.is_empty() {
            matrix()
        } else {
            arguments.kernel.clone()
        };
        let guest = build::guest()?;
        tally += boots::run(&names, &guest, arguments)?;
    }
    Ok(tally)
}

/// Every boot: each series, and one that lacks `bpf` in its LSM list.
fn matrix() -> Vec<Name> {
    let mut names: Vec<_> = kernels::matrix()
        .into_iter()
        .map(|series| Name {
            series,
            nobpf: false,
        })
        .collect();
    names.push(Name {
        series: "6.12".to_owned(),
        nobpf: true,
    });
    names
}
