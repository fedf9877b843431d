//! `cargo xtask test`.
use std::process::ExitCode;
/// x
#[derive(Debug, clap::Args)]
pub struct Arguments {}
/// x
pub fn main(_: &Arguments) -> anyhow::Result<ExitCode> {
    todo!()
}
