//! Which compiler builds the eBPF programs and which linker links them.
//!
//! One file for two users: `guard-user/build.rs`, which builds the programs, and `xtask setup`,
//! which brings what is missing. Standard library only, because a build script waits for it.
//!
//! The BPF target has no prebuilt `core`, so the compiler needs its own library source. A rustup
//! nightly with `rust-src` is the usual way; any compiler that has the source will do, through
//! `RUSTC_BOOTSTRAP`, Debian's `rustc-web` with `rust-web-src` for one.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The release of bpf-linker that `xtask setup` installs.
///
/// Later ones link against a system-wide LLVM 23; this one uses the LLVM that comes with rustc.
pub const LINKER_VERSION: &str = "0.10.3";

/// The newest LLVM whose bitcode [`LINKER_VERSION`] reads.
pub const LINKER_LLVM: u32 = 22;

/// The target that the programs are compiled for.
pub const TARGET: &str = "bpfel-unknown-none";

/// A compiler that can build `core` for the BPF target.
#[derive(Debug, Clone)]
pub struct Compiler {
    /// The compiler proper, not rustup's proxy.
    pub rustc: PathBuf,
    /// What `rustc --print sysroot` says.
    pub sysroot: PathBuf,
    /// Release as major and minor, for instance (1, 96).
    pub release: (u32, u32),
    /// Major version of the LLVM that it was built with.
    pub llvm: u32,
    /// The line that `rustc -V` prints.
    pub name: String,
}

impl Compiler {
    /// Asks a compiler for its particulars; `None` where it cannot be run.
    pub fn probe(rustc: &Path) -> Option<Self> {
        let verbose = output(rustc, &["-vV"])?;
        let field = |key: &str| verbose.lines().find_map(|line| line.strip_prefix(key));
        let mut release = field("release: ")?.split('.').map_while(|n| n.parse().ok());
        Some(Self {
            rustc: rustc.to_owned(),
            sysroot: PathBuf::from(output(rustc, &["--print", "sysroot"])?.trim()),
            release: (release.next()?, release.next()?),
            llvm: field("LLVM version: ")?.split('.').next()?.parse().ok()?,
            name: verbose.lines().next()?.to_owned(),
        })
    }

    /// Whether the source of the standard library lies beside it.
    pub fn has_library_source(&self) -> bool {
        self.sysroot
            .join("lib/rustlib/src/rust/library/core/Cargo.toml")
            .exists()
    }
}

/// What stands in the way of building the programs, with the command that brings it.
#[derive(Debug)]
pub struct Missing(pub String);

/// The first compiler that can build the programs: rustup's nightly, the one in use, the system's.
///
/// `current` is the compiler that cargo itself uses, where that is known; `minimum` is the
/// workspace's `rust-version`.
pub fn compiler(current: Option<&OsStr>, minimum: &str) -> Result<Compiler, Missing> {
    let mut seen = Vec::new();
    for rustc in candidates(current) {
        let Some(found) = Compiler::probe(&rustc) else {
            continue;
        };
        let lacks = if !found.has_library_source() {
            "has no library source".to_owned()
        } else if found.release < version(minimum) {
            format!("is older than {minimum}")
        } else if found.llvm > LINKER_LLVM {
            format!(
                "uses LLVM {}, bpf-linker reads up to {LINKER_LLVM}",
                found.llvm
            )
        } else {
            return Ok(found);
        };
        seen.push(format!("\n  {} {lacks}", found.name));
    }
    Err(Missing(format!(
        "no compiler here can build the eBPF programs: they need the source of Rust's core library.{}\n\
         Run one of these:\n  \
         cargo xtask setup\n  \
         rustup component add rust-src\n  \
         rustup toolchain install nightly --component rust-src\n  \
         apt install rustc-web rust-web-src",
        seen.concat()
    )))
}

/// The linker: the project's own first, then the one on `PATH`.
pub fn linker(workspace: &Path) -> Result<PathBuf, Missing> {
    let own = workspace.join(".tools/bin/bpf-linker");
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::iter::once(own)
        .chain(std::env::split_paths(&path).map(|dir| dir.join("bpf-linker")))
        .find(|file| file.is_file())
        .ok_or_else(|| {
            Missing(format!(
                "bpf-linker is missing, and the eBPF programs cannot be linked without it.\n\
                 Run one of these:\n  \
                 cargo xtask setup\n  \
                 cargo install --locked bpf-linker --version {LINKER_VERSION}"
            ))
        })
}

/// The directory whose LLVM the linker is to load: it takes the first that it finds on
/// `LD_LIBRARY_PATH`, so the right one has to stand there first.
pub fn llvm_dir(compiler: &Compiler, current: Option<&OsStr>) -> Option<PathBuf> {
    let current = current.and_then(|rustc| Compiler::probe(Path::new(rustc)));
    [Some(compiler.clone()), current]
        .into_iter()
        .flatten()
        .filter(|found| found.llvm == LINKER_LLVM)
        .map(|found| found.sysroot.join("lib"))
        .find(|dir| {
            fs::read_dir(dir).is_ok_and(|mut entries| {
                entries.any(|entry| {
                    entry.is_ok_and(|e| e.file_name().to_string_lossy().starts_with("libLLVM"))
                })
            })
        })
}

fn candidates(current: Option<&OsStr>) -> Vec<PathBuf> {
    let nightly = output(
        Path::new("rustup"),
        &["which", "--toolchain", "nightly", "rustc"],
    );
    [
        nightly.map(|path| PathBuf::from(path.trim())),
        current.map(PathBuf::from),
        Some(PathBuf::from("/usr/bin/rustc")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn version(text: &str) -> (u32, u32) {
    let mut numbers = text.split('.').map_while(|n| n.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

fn output(program: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(arguments)
        // Asking must not start a download.
        .env("RUSTUP_AUTO_INSTALL", "0")
        // Cargo and rustup leave these for their children; they would choose the answer.
        .env_remove("RUSTUP_TOOLCHAIN")
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
