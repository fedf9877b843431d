//! What the checks read: files below a root, which is `/` but for tests.

use std::fs;
use std::path::{Path, PathBuf};

/// The machine as its files tell of it.
#[derive(Clone, Debug)]
pub struct Machine {
    root: PathBuf,
}

impl Machine {
    /// The one that this process runs on.
    #[must_use]
    pub fn this() -> Self {
        Self::at("/")
    }

    /// One whose files lie below a directory.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where a path of the machine is.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// A file's text without white space around it; none when it can't be read.
    pub fn text(&self, path: &str) -> Option<String> {
        let text = fs::read_to_string(self.path(path)).ok()?;
        Some(text.trim().to_owned())
    }

    /// A file's bytes; none when it can't be read.
    pub fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        fs::read(self.path(path)).ok()
    }

    /// Whether there is something at a path.
    pub fn has(&self, path: &str) -> bool {
        Path::exists(&self.path(path))
    }

    /// The kernel's release, such as `6.12.1-amd64`.
    pub fn release(&self) -> Option<String> {
        self.text("/proc/sys/kernel/osrelease")
    }

    /// A line `NAME=value` of the kernel's configuration, where it is kept as plain text.
    pub fn kernel_option(&self, name: &str) -> Option<String> {
        let release = self.release()?;
        let places = [
            format!("/boot/config-{release}"),
            format!("/lib/modules/{release}/config"),
            format!("/usr/lib/modules/{release}/config"),
        ];
        let text = places.iter().find_map(|place| self.text(place))?;
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
        Some(value.trim_matches('"').to_owned())
    }
}
