//! `cargo xtask setup`: brings what is missing. Idempotent, and called by the tasks that need it.

mod apt;
pub mod busybox;
mod compiler;
pub mod image;
pub mod kernels;
mod packages;

use std::process::ExitCode;

pub use apt::Mirror;

/// Brings what the build and the virtual machines need: packages, compiler, linker, kernels.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    mirror: Mirror,
    /// Only what the build needs.
    #[arg(long)]
    build: bool,
}

/// The task.
pub fn main(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    for_build()?;
    if !arguments.build {
        for_machines(&arguments.mirror)?;
        kernels::fetch(&kernels::matrix(), &arguments.mirror)?;
        image::ensure(&arguments.mirror)?;
    }
    println!("setup: everything is there");
    Ok(ExitCode::SUCCESS)
}

/// What building guard needs.
pub fn for_build() -> anyhow::Result<()> {
    compiler::ensure()
}

/// What starting a virtual machine needs, but for its kernel.
pub fn for_machines(mirror: &Mirror) -> anyhow::Result<()> {
    packages::ensure(packages::MACHINE)?;
    busybox::ensure(mirror)
}
