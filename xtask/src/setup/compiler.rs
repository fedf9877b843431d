//! The compiler and the linker of the eBPF programs.

use crate::paths;
use crate::shell;

use super::packages;

#[path = "../../../guard-user/build/toolchain.rs"]
#[allow(dead_code, reason = "the build script uses the rest of it")]
mod toolchain;

/// Brings a compiler that can build the programs.
pub fn ensure_compiler() -> anyhow::Result<()> {
    let current = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let compiler = || toolchain::compiler(Some(&current), env!("CARGO_PKG_RUST_VERSION"));
    if compiler().is_err() {
        println!("setup: no compiler here can build the eBPF programs");
        packages::ensure_newest(packages::COMPILER)?;
        compiler().map_err(|missing| anyhow::anyhow!(missing.0))?;
    }
    Ok(())
}

/// Brings bpf-linker.
pub fn ensure_linker() -> anyhow::Result<()> {
    if toolchain::linker(paths::workspace()).is_err() {
        println!(
            "setup: building bpf-linker {} into .tools (a minute or two)",
            toolchain::LINKER_VERSION
        );
        shell::run(
            shell::cargo()
                .args(["install", "--locked", "--quiet", "bpf-linker", "--version"])
                .arg(toolchain::LINKER_VERSION)
                .arg("--root")
                .arg(paths::tools())
                .env_remove("RUSTFLAGS")
                .env_remove("CARGO_TARGET_DIR"),
        )?;
    }
    Ok(())
}
