//! The command `guard`.

use std::process::ExitCode;

fn main() -> ExitCode {
    guard_user::cli::main(std::env::args_os()).code().into()
}
