//! What the server needs of the policy compiler.

use std::path::PathBuf;

use crate::policy::compiled::Compiled;
use crate::policy::diagnostics::Diagnostic;
use crate::session::limits::Limits;

/// Whom and what a policy is compiled for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Names of presets and absolute paths, in their order; empty for the default policy.
    pub policies: Vec<String>,
    /// The user's name.
    pub user: String,
    /// The user's number.
    pub uid: u32,
    /// The user's home directory.
    pub home: PathBuf,
    /// The workspace, if any.
    pub workspace: Option<PathBuf>,
    /// The repository that the workspace belongs to, where it lies outside of it.
    pub repository: Option<PathBuf>,
    /// Whether nothing is to be refused, only recorded, whatever the policies say of their mode.
    pub audit: bool,
    /// The mount table when the session started (`/proc/self/mountinfo`).
    pub mounts: String,
}

/// A policy that can be put in force.
#[derive(Clone, Debug)]
pub struct Ready {
    /// For the engine.
    pub compiled: Compiled,
    /// What the session may take of the machine.
    pub limits: Limits,
    /// Every file that it was read from, includes among them.
    pub files: Vec<PathBuf>,
    /// What was read: [`fingerprint::now`](super::fingerprint::now) of these files gives the same
    /// as long as they are what they were then.
    pub fingerprint: u64,
    /// What is to be said about it, a sentence each.
    pub notes: Vec<String>,
}

/// A policy that can't be put in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Every mistake with its place, in lines.
    pub message: String,
    /// The same one by one; none where it is not a policy's.
    pub mistakes: Vec<Diagnostic>,
    /// Every file that was read, or that should have been.
    pub files: Vec<PathBuf>,
    /// As in [`Ready`].
    pub fingerprint: u64,
}

/// Compiles policies. It may take its time: the server asks on a thread of its own.
pub trait Compiler: Send + Sync {
    /// Compiles.
    fn compile(&self, subject: &Subject) -> Result<Ready, Mistake>;
}
