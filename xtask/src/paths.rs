//! Where things are in the project's folder.

use std::env;
use std::path::{Path, PathBuf};

/// The project's folder.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the project's folder")
}

/// What is fetched and can be fetched again: kernels, packages, disk images.
pub fn cache() -> PathBuf {
    workspace().join(".cache")
}

/// Programs that the build needs and the system does not have.
pub fn tools() -> PathBuf {
    workspace().join(".tools")
}

/// Cargo's target directory.
pub fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

/// What the virtual machines write: consoles, results.
pub fn vm() -> PathBuf {
    target().join("vm")
}

/// The file of that name on `PATH` or in the administrator's directories.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

/// A path beside `path` for the time in which it is made: `NAME.SUFFIX`.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}
