//! `cargo xtask setup`: brings what is missing. Idempotent, and called by the tasks that need it.

mod apt;
pub mod busybox;
mod compiler;
pub mod image;
pub mod kernels;
pub mod packages;
pub mod scratch;

use std::process::ExitCode;
use std::thread;

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
    if arguments.build {
        for_build()?;
    } else {
        everything(&arguments.mirror)?;
    }
    println!("setup: everything is there");
    Ok(ExitCode::SUCCESS)
}

/// What all the tasks need.
pub fn everything(mirror: &Mirror) -> anyhow::Result<()> {
    // Packages one after the other, since apt has one lock; then the image, which takes longest,
    // beside the rest.
    compiler::ensure_compiler()?;
    packages::ensure(packages::MACHINE)?;
    packages::ensure(packages::IMAGE)?;
    packages::ensure(packages::BROWSER)?;
    busybox::ensure(mirror)?;
    thread::scope(|scope| {
        let image = scope.spawn(|| image::ensure(mirror));
        compiler::ensure_linker()?;
        kernels::fetch(&kernels::matrix(), mirror)?;
        image.join().expect("making the image does not panic")?;
        Ok(())
    })
}

/// What building guard needs.
pub fn for_build() -> anyhow::Result<()> {
    compiler::ensure_compiler()?;
    compiler::ensure_linker()
}

/// What starting a virtual machine needs, but for its kernel.
pub fn for_machines(mirror: &Mirror) -> anyhow::Result<()> {
    packages::ensure(packages::MACHINE)?;
    busybox::ensure(mirror)
}
