//! The repository of git's that a workspace belongs to and does not hold: that of a linked
//! working tree, of a submodule, or of a directory within a working tree.
//!
//! Without it an agent could edit such a workspace and not commit. It is looked for once, when a
//! session starts: what a session writes into its workspace later says nothing.

use std::ffi::OsStr;
use std::fs;
use std::io::Read as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The longest file that is read: it holds one path.
const LONGEST: u64 = 4096;

/// The directory of the repository, without symbolic links, when it lies outside of the
/// workspace. `home` is that of the session's user: what it is in, nobody works on from below.
pub fn of(workspace: &Path, home: &Path) -> Option<PathBuf> {
    let tree = workspace
        .ancestors()
        .take_while(|directory| *directory == workspace || !home.starts_with(directory))
        .find(|directory| fs::symlink_metadata(directory.join(".git")).is_ok())?;
    let pointer = tree.join(".git");
    let found = if fs::symlink_metadata(&pointer).ok()?.is_file() {
        linked(tree, &pointer)?
    } else {
        pointer
    };
    let found = found.canonicalize().ok()?;
    // Whoever could write the pointer could name anything: it must be a repository of the same
    // owner's, and only what git keeps in one is opened in it.
    let is_repository = found.iter().any(is_name)
        && found.join("HEAD").is_file()
        && found.join("objects").is_dir()
        && found.join("refs").is_dir()
        && owner(&found)? == owner(workspace)?;
    (is_repository && !found.starts_with(workspace)).then_some(found)
}

fn owner(path: &Path) -> Option<u32> {
    fs::metadata(path).ok().map(|metadata| metadata.uid())
}

/// Whether a directory of this name may be a repository: `.git`, or `NAME.git` without a working
/// tree.
fn is_name(name: &OsStr) -> bool {
    name.as_bytes().ends_with(b".git")
}

/// Follows the file `.git` of a working tree whose repository is elsewhere.
fn linked(tree: &Path, pointer: &Path) -> Option<PathBuf> {
    let line = line(pointer)?;
    let directory = tree.join(path(line.strip_prefix(b"gitdir: ")?));
    let Some(common) = self::line(&directory.join("commondir")) else {
        // A submodule's is whole.
        return Some(directory);
    };
    // A linked working tree's points back to it.
    let back = directory.join(path(&self::line(&directory.join("gitdir"))?));
    let is_mutual = back.canonicalize().ok()? == pointer.canonicalize().ok()?;
    is_mutual.then(|| directory.join(path(&common)))
}

/// The one line of a file.
fn line(file: &Path) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    // What is no file after all must not be waited for.
    let open = fs::File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(file)
        .ok()?;
    if !open.metadata().ok()?.is_file() {
        return None;
    }
    open.take(LONGEST).read_to_end(&mut text).ok()?;
    while text.last().is_some_and(|&byte| byte == b'\n') {
        text.pop();
    }
    Some(text)
}

fn path(bytes: &[u8]) -> PathBuf {
    std::ffi::OsString::from_vec(bytes.to_vec()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A repository with what git puts into every one.
    fn repository(at: &Path) {
        for directory in ["objects", "refs", "hooks"] {
            fs::create_dir_all(at.join(directory)).unwrap();
        }
        fs::write(at.join("HEAD"), "ref: refs/heads/main\n").unwrap();
    }

    fn base() -> (tempfile::TempDir, PathBuf) {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().canonicalize().unwrap();
        (base, path)
    }

    #[test]
    fn a_workspace_that_holds_its_repository_needs_none() {
        let (_base, base) = base();
        repository(&base.join("work/.git"));
        assert_eq!(of(&base.join("work"), Path::new("/home/u")), None);
        fs::create_dir(base.join("plain")).unwrap();
        assert_eq!(of(&base.join("plain"), Path::new("/home/u")), None);
    }

    #[test]
    fn a_directory_within_a_working_tree_belongs_to_its_repository() {
        let (_base, base) = base();
        repository(&base.join("work/.git"));
        fs::create_dir_all(base.join("work/packages/one")).unwrap();
        let within = base.join("work/packages/one");
        let found = of(&within, Path::new("/home/u"));
        assert_eq!(found, Some(base.join("work/.git")));
        // Not the one that a home is kept in.
        assert_eq!(of(&within, &base.join("work")), None);
    }

    #[test]
    fn a_linked_working_tree_and_its_repository_name_each_other() {
        let (_base, base) = base();
        let main = base.join("main/.git");
        repository(&main);
        fs::create_dir_all(main.join("worktrees/side")).unwrap();
        fs::write(main.join("worktrees/side/commondir"), "../..\n").unwrap();
        let side = base.join("side");
        fs::create_dir(&side).unwrap();
        let pointer = format!("gitdir: {}\n", main.join("worktrees/side").display());
        fs::write(side.join(".git"), pointer).unwrap();
        let back = main.join("worktrees/side/gitdir");
        fs::write(&back, format!("{}\n", side.join(".git").display())).unwrap();
        assert_eq!(of(&side, Path::new("/home/u")), Some(main));

        fs::write(&back, "/somewhere/else/.git\n").unwrap();
        assert_eq!(of(&side, Path::new("/home/u")), None);
    }

    #[test]
    fn a_submodule_has_its_own() {
        let (_base, base) = base();
        repository(&base.join("main/.git/modules/part"));
        fs::create_dir_all(base.join("main/part")).unwrap();
        fs::write(
            base.join("main/part/.git"),
            "gitdir: ../.git/modules/part\n",
        )
        .unwrap();
        assert_eq!(
            of(&base.join("main/part"), Path::new("/home/u")),
            Some(base.join("main/.git/modules/part"))
        );
    }

    #[test]
    fn what_is_no_repository_is_not_opened() {
        let (_base, base) = base();
        fs::create_dir_all(base.join("precious")).unwrap();
        fs::create_dir_all(base.join("work")).unwrap();
        fs::write(base.join("work/.git"), "gitdir: ../precious\n").unwrap();
        assert_eq!(of(&base.join("work"), Path::new("/home/u")), None);
        repository(&base.join("precious"));
        assert_eq!(
            of(&base.join("work"), Path::new("/home/u")),
            None,
            "its name"
        );
    }
}
