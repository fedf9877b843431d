//! What a policy is loaded for: the session's user and places, and the host.

use std::io;
use std::path::{Path, PathBuf};

use crate::system::files::read_ordinary;
use crate::system::links::{self, Resolved};
use crate::system::mounts::Mounts;

/// The session that a policy is for.
#[derive(Clone, Debug)]
pub struct Environment {
    /// The name of the user whom the session runs as: `${user}`.
    pub user: String,
    /// That user's number: `${uid}`.
    pub uid: u32,
    /// That user's home directory: `${home}` and `~`.
    pub home: PathBuf,
    /// The session's workspace, without symbolic links: `${workspace}`.
    pub workspace: Option<PathBuf>,
    /// The repository of git's that the workspace belongs to, where it lies outside of it:
    /// `${repository}`. As it was found when the session started.
    pub repository: Option<PathBuf>,
    /// The mounts when the session started: what rules that let something through go by, since
    /// the session may have mounted things since.
    pub mounts_at_start: Mounts,
    /// The mounts now: what rules that refuse go by.
    pub mounts_now: Mounts,
    /// What is the guard's own.
    pub protected: Protected,
}

/// Files and directories of the guard's own that no session may change, besides its
/// configuration, its log and its state: the running executable, for one.
#[derive(Clone, Debug, Default)]
pub struct Protected {
    /// Absolute paths; of a directory everything below it counts too.
    pub paths: Vec<PathBuf>,
}

/// What loading a policy asks of the host.
pub trait Host {
    /// Reads a file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// The number of the user of a name.
    fn uid(&self, name: &str) -> Option<u32>;
    /// The names of the host's users, as far as they can be listed: to propose the nearest.
    fn user_names(&self) -> Vec<String>;
    /// Where a path leads. `uid` is the user who is not trusted with links.
    fn resolve(&self, path: &Path, uid: u32) -> Resolved;
    /// Whether a user could change or replace a file.
    fn is_changeable(&self, path: &Path, uid: u32) -> bool;
}

/// The largest file that is taken for a policy, in bytes.
pub const MAX_FILE: u64 = 1 << 20;

/// The host that this process runs on. `find_user` looks a user's number up.
pub struct ThisHost<F> {
    /// The number of the user of a name.
    pub find_user: F,
}

impl<F: Fn(&str) -> Option<u32>> Host for ThisHost<F> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        read_ordinary(path, MAX_FILE)
    }

    fn uid(&self, name: &str) -> Option<u32> {
        (self.find_user)(name)
    }

    fn user_names(&self) -> Vec<String> {
        let users = std::fs::read("/etc/passwd").unwrap_or_default();
        String::from_utf8_lossy(&users)
            .lines()
            .filter_map(|line| Some(line.split_once(':')?.0.to_owned()))
            .collect()
    }

    fn resolve(&self, path: &Path, uid: u32) -> Resolved {
        links::resolve(path, uid)
    }

    fn is_changeable(&self, path: &Path, uid: u32) -> bool {
        links::is_changeable(path, uid)
    }
}
