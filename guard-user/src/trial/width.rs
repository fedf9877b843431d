//! Which directories stand for what is in them: one that a program or a person has for something,
//! and none in which everybody keeps things.

use std::path::{Path, PathBuf};

use crate::policy::workspace;

/// Directories of the kernel's, where each name is another thing: none stands for what is in it.
const KERNEL: [&str; 3] = ["/dev", "/proc", "/sys"];

/// Directories in which all programs of the system have theirs. `*` is any one name.
const SHARED: [&str; 18] = [
    "/media/*",
    "/mnt/*",
    "/run/user",
    "/run/user/*",
    "/usr/bin",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local",
    "/usr/local/*",
    "/usr/sbin",
    "/usr/share",
    "/usr/src",
    "/var/cache",
    "/var/lib",
    "/var/log",
    "/var/spool",
    "/var/tmp",
    "/var/www",
];

/// Directories of a home in which all programs of a user have theirs, and those with keys.
const SHARED_OF_HOME: [&str; 7] = [
    ".cache",
    ".config",
    ".gnupg",
    ".local",
    ".local/bin",
    ".local/share",
    ".ssh",
];

/// What tells narrow directories from wide ones.
#[derive(Clone, Debug)]
pub struct Width {
    /// The home directory of the session's user.
    pub home: PathBuf,
    /// Those of the host's users.
    pub homes: Vec<PathBuf>,
}

impl Width {
    /// Whether a directory may stand for what is in it.
    #[must_use]
    pub fn is_narrow(&self, directory: &Path) -> bool {
        let is_kernel = KERNEL.iter().any(|it| directory.starts_with(it));
        let is_shared = SHARED.iter().any(|it| is_like(directory, it));
        let homes = self.homes.iter().chain([&self.home]);
        let of_home = homes.filter_map(|home| directory.strip_prefix(home).ok());
        let is_shared_of_home = of_home
            .filter_map(Path::to_str)
            .any(|rest| SHARED_OF_HOME.contains(&rest));
        // What contains somebody's home is as wide as that home, and `/` is the home of several.
        let contains_home = self
            .homes
            .iter()
            .any(|home| home.starts_with(directory) && home != Path::new("/"));
        !is_kernel
            && !is_shared
            && !is_shared_of_home
            && !contains_home
            && !workspace::is_too_wide(directory, &self.home, &self.homes)
    }
}

/// Whether a path is a directory in which `*` is any name.
fn is_like(path: &Path, directory: &str) -> bool {
    let expected = Path::new(directory);
    path.iter().count() == expected.iter().count()
        && path
            .iter()
            .zip(expected)
            .all(|(name, expected)| expected == "*" || name == expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn width() -> Width {
        Width {
            home: "/home/ann".into(),
            homes: [
                "/",
                "/root",
                "/home/ann",
                "/data/bob",
                "/var/lib/postgresql",
            ]
            .map(PathBuf::from)
            .to_vec(),
        }
    }

    #[test]
    fn what_everybody_uses_is_wide() {
        for wide in [
            "/",
            "/home",
            "/home/ann",
            "/home/eve",
            "/root",
            "/etc",
            "/srv",
            "/tmp",
            "/var",
            "/usr",
            "/data",
            "/data/bob",
            "/var/lib",
            "/var/tmp",
            "/usr/lib",
            "/usr/local/bin",
            "/run",
            "/run/user/1000",
            "/home/ann/.config",
            "/home/ann/.ssh",
            "/root/.local/share",
            "/data/bob/.cache",
            "/dev/pts",
            "/proc/sys/kernel",
            "/sys/class/net",
            "/mnt/disk",
            "/var/lib/postgresql",
        ] {
            assert!(!width().is_narrow(Path::new(wide)), "{wide}");
        }
    }

    #[test]
    fn what_is_there_for_something_is_narrow() {
        for narrow in [
            "/srv/db",
            "/home/ann/src",
            "/home/ann/.config/app",
            "/etc/app.d",
            "/tmp/build",
            "/var/lib/app",
            "/mnt/disk/photos",
            "/opt/app/cache",
            "/data/bob/reports",
            "/run/user/1000/app",
            "/var/lib/postgresql/15",
        ] {
            assert!(width().is_narrow(Path::new(narrow)), "{narrow}");
        }
    }
}
