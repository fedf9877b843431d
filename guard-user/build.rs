//! Builds the eBPF programs and tells the crate where they are (`GUARD_PROGRAMS`).
//!
//! A cargo inside cargo: the programs are compiled for another target, with `core` built from
//! source, into a target directory of their own (one lock is held by the cargo that runs this).

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

#[path = "build/toolchain.rs"]
mod toolchain;

use toolchain::Missing;

/// What the outer cargo and rustup leave in the environment and would change the inner build.
const LEAKED: &[&str] = &[
    "CARGO",
    "CARGO_BUILD_TARGET",
    "CARGO_TARGET_DIR",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_MAKEFLAGS",
    "CLIPPY_ARGS",
    "MAKEFLAGS",
    "RUSTC",
    "RUSTC_LINKER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTDOC",
    "RUSTFLAGS",
    "RUSTUP_TOOLCHAIN",
    "TARGET",
];

fn main() -> ExitCode {
    match build() {
        Ok(programs) => {
            println!("cargo::rustc-env=GUARD_PROGRAMS={}", programs.display());
            ExitCode::SUCCESS
        }
        Err(Missing(message)) => {
            for line in message.lines() {
                println!("cargo::error={line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<PathBuf, Missing> {
    let variable =
        |name: &str| env::var_os(name).ok_or_else(|| Missing(format!("cargo set no {name}")));
    let manifest = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let workspace = manifest.parent().unwrap_or(&manifest);
    let out_dir = PathBuf::from(variable("OUT_DIR")?);
    let cargo = variable("CARGO")?;
    let current = env::var_os("RUSTC");

    for path in [
        "guard-ebpf/src",
        "guard-ebpf/Cargo.toml",
        "Cargo.lock",
        ".tools/bin",
    ] {
        let path = workspace.join(path);
        // A watched path that isn't there would run this script at every build.
        if path.exists() {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build/toolchain.rs");

    let compiler = toolchain::compiler(current.as_deref(), env!("CARGO_PKG_RUST_VERSION"))?;
    let linker = toolchain::linker(workspace)?;
    let arch = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_else(|_| "x86_64".to_owned());
    let flags = [
        format!("--cfg=bpf_target_arch=\"{arch}\""),
        // BTF is made from debug information; what else there is of it is not kept.
        "-Cdebuginfo=2".to_owned(),
        "-Clink-arg=--btf".to_owned(),
        // Instructions of the third generation: 32-bit ALU, kernel 5.1.
        "-Ctarget-cpu=v3".to_owned(),
        format!("-Clinker={}", linker.display()),
    ];

    let target_dir = target_dir(&out_dir);
    let mut inner = Command::new(cargo);
    for name in LEAKED {
        inner.env_remove(name);
    }
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_CFG_")
            || name.starts_with("CARGO_FEATURE_")
            || name.starts_with("CARGO_PKG_")
            || name.starts_with("CARGO_PROFILE_")
            || name.starts_with("DEP_")
        {
            inner.env_remove(&*name);
        }
    }
    if let Some(dir) = toolchain::llvm_dir(&compiler, current.as_deref()) {
        let rest = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
        let all = std::iter::once(dir).chain(env::split_paths(&rest));
        inner.env("LD_LIBRARY_PATH", env::join_paths(all).unwrap_or(rest));
    }
    let output = inner
        .current_dir(workspace)
        .args(["build", "--release", "--package", "guard-ebpf"])
        .args(["--features", "programs", "--bin", "guard-programs"])
        .args(["--target", toolchain::TARGET, "-Z", "build-std=core"])
        .arg("--target-dir")
        .arg(&target_dir)
        .env("RUSTC", &compiler.rustc)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        // The programs are judged by speed, the user side by size.
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3")
        .env("CARGO_PROFILE_RELEASE_STRIP", "none")
        .output()
        .map_err(|error| Missing(format!("cargo could not be started: {error}")))?;
    let messages = String::from_utf8_lossy(&output.stderr);
    eprint!("{messages}");
    if !output.status.success() {
        return Err(Missing(format!(
            "the eBPF programs did not build with {} (what is wrong stands above)",
            compiler.name
        )));
    }
    // Cargo shows nothing that a build script prints when it succeeds, but these lines.
    if messages.contains("warning: ") {
        for line in messages.lines() {
            println!("cargo::warning={line}");
        }
    }
    let built = target_dir
        .join(toolchain::TARGET)
        .join("release/guard-programs");
    let bytes = fs::read(&built)
        .map_err(|error| Missing(format!("the build made no {}: {error}", built.display())))?;
    let stripped = without_debug(&bytes)
        .map_err(|error| Missing(format!("{} is no object file: {error}", built.display())))?;
    let programs = out_dir.join("guard-programs");
    fs::write(&programs, stripped)
        .map_err(|error| Missing(format!("failed to write {}: {error}", programs.display())))?;
    Ok(programs)
}

/// The object without the debug information that its BTF was made from: nine tenths of it.
fn without_debug(bytes: &[u8]) -> object::build::Result<Vec<u8>> {
    let mut object = object::build::elf::Builder::read(bytes)?;
    for section in &mut object.sections {
        let name = section.name.as_slice();
        section.delete = name.starts_with(b".debug_") || name.starts_with(b".rel.debug_");
    }
    // LLVM keeps all names in one table, the writer wants the sections' in one of their own.
    let names = object.sections.add();
    names.name = b".shstrtab".as_slice().into();
    names.sh_type = object::elf::SHT_STRTAB;
    names.sh_addralign = 1;
    names.data = object::build::elf::SectionData::SectionString;
    object.delete_orphans();
    object.set_section_sizes();
    let mut stripped = Vec::new();
    object.write(&mut stripped)?;
    Ok(stripped)
}

/// `bpf/` in the workspace's target directory, so that debug, release and clippy share one build;
/// cargo marks the root of that directory with a file.
fn target_dir(out_dir: &Path) -> PathBuf {
    out_dir
        .ancestors()
        .find(|dir| dir.join("CACHEDIR.TAG").is_file())
        .unwrap_or(out_dir)
        .join("bpf")
}
