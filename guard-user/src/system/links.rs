//! Symbolic links: where a path leads, and who could have made it lead there.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// How many links are followed: the kernel's own limit (`MAXSYMLINKS`).
const MAX_LINKS: usize = 40;

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The path without symbolic links. What does not exist is kept as it is.
    pub path: PathBuf,
    /// The links on the way, each as a path without links.
    pub links: Vec<PathBuf>,
    /// The first link that the user asked about could have made, or the first name that could
    /// not be looked at.
    pub doubtful: Option<PathBuf>,
}

impl Resolved {
    /// A path that leads nowhere else.
    #[must_use]
    pub fn unchanged(path: &Path) -> Self {
        Self {
            path: path.to_path_buf(),
            links: Vec::new(),
            doubtful: None,
        }
    }
}

/// Resolves the symbolic links of an absolute path as far as it exists.
///
/// `uid` is the user of whom links are doubtful: one who owns the link or a directory on the
/// way to it, or could write to one. Root could have made every link. Groups are not looked
/// up: a directory that any group may write to counts.
///
/// Links that lead in a circle, and what cannot be looked at, are kept as they are; the
/// latter is doubtful.
pub fn resolve(path: &Path, uid: u32) -> Resolved {
    let mut resolved = PathBuf::from("/");
    let mut links = Vec::new();
    let mut doubtful = None;
    // The user could put a link into the directory that `resolved` is, or above it.
    let mut writable = resolved
        .symlink_metadata()
        .is_ok_and(|metadata| is_writable(&metadata, uid));
    let mut rest: Vec<PathBuf> = names(path);
    while let Some(name) = rest.pop() {
        if name == Path::new("..") {
            resolved.pop();
            continue;
        }
        let next = resolved.join(&name);
        let metadata = match next.symlink_metadata() {
            Ok(metadata) => metadata,
            Err(error) => {
                let missing = matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                );
                if !missing {
                    doubtful.get_or_insert_with(|| next.clone());
                }
                resolved = next;
                resolved.extend(rest.into_iter().rev());
                break;
            }
        };
        if metadata.is_symlink() && links.len() < MAX_LINKS {
            if doubtful.is_none() && (writable || uid == 0 || metadata.uid() == uid) {
                doubtful = Some(next.clone());
            }
            // Between the two looks somebody may have taken it away.
            let target = std::fs::read_link(&next).unwrap_or_default();
            links.push(next);
            if target.is_absolute() {
                resolved = PathBuf::from("/");
            }
            rest.extend(names(&target));
        } else {
            writable |= is_writable(&metadata, uid);
            resolved = next;
        }
    }
    Resolved {
        path: resolved,
        links,
        doubtful,
    }
}

/// Whether a user could change a file or put another in its place: who owns it, or a directory
/// on the way to it, or could write to one of those. Root can always.
pub fn is_changeable(path: &Path, uid: u32) -> bool {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let resolved = resolve(&absolute, uid);
    if uid == 0 || resolved.doubtful.is_some() {
        return true;
    }
    let mut own = true;
    for part in resolved.path.ancestors() {
        let Ok(metadata) = part.symlink_metadata() else {
            continue;
        };
        let open = metadata.mode() & 0o022 != 0;
        // In a sticky directory only the owner of a file can replace it.
        let sticky = !own && metadata.mode() & 0o1000 != 0;
        if metadata.uid() == uid || open && !sticky {
            return true;
        }
        own = false;
    }
    false
}

/// The names of a path, the last one first.
fn names(path: &Path) -> Vec<PathBuf> {
    path.components()
        .rev()
        .filter(|component| matches!(component, Component::Normal(_) | Component::ParentDir))
        .map(|component| PathBuf::from(component.as_os_str()))
        .collect()
}

/// Whether a user could change what is in a directory. A sticky directory counts: links can
/// be made there.
fn is_writable(metadata: &std::fs::Metadata, uid: u32) -> bool {
    metadata.is_dir() && (metadata.uid() == uid || metadata.mode() & 0o022 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("guard-links-{}-{name}", std::process::id()));
            std::fs::create_dir(&path).expect("a new folder");
            Self(path.canonicalize().expect("it exists"))
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn links_are_followed_as_far_as_the_path_exists() {
        let folder = Folder::new("follow");
        let at = |name: &str| folder.0.join(name);
        std::fs::create_dir_all(at("real/deep")).expect("made");
        symlink("real", at("relative")).expect("made");
        symlink(at("relative/deep"), at("absolute")).expect("made");
        symlink("loop", at("loop")).expect("made");

        let resolved = resolve(&at("absolute/../x/y"), 4242);
        assert_eq!(resolved.path, at("real/x/y"));
        assert_eq!(resolved.links, [at("absolute"), at("relative")]);

        let plain = resolve(&at("real/deep/new"), 4242);
        assert_eq!(plain, Resolved::unchanged(&at("real/deep/new")));

        let circle = resolve(&at("loop/x"), 4242);
        assert_eq!(circle.path, at("loop/x"));
    }

    #[test]
    fn who_can_change_a_file_is_who_owns_it_or_a_directory_above_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = Folder::new("change");
        let file = folder.0.join("p.yaml");
        std::fs::write(&file, "").expect("written");
        let mode = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("set");
        };
        mode(&folder.0, 0o755);
        mode(&file, 0o644);
        let owner = file.symlink_metadata().expect("it exists").uid();
        assert!(is_changeable(&file, owner));
        assert!(is_changeable(&file, 0));
        assert!(!is_changeable(&file, 4242));
        mode(&file, 0o666);
        assert!(is_changeable(&file, 4242));
        mode(&file, 0o644);
        mode(&folder.0, 0o777);
        assert!(is_changeable(&file, 4242));
        mode(&folder.0, 0o1777);
        assert!(!is_changeable(&file, 4242));
    }

    #[test]
    fn a_link_is_doubtful_when_the_user_could_have_made_it() {
        let folder = Folder::new("doubt");
        symlink("/usr", folder.0.join("link")).expect("made");
        let owner = folder.0.symlink_metadata().expect("it exists").uid();
        let link = folder.0.join("link");
        assert_eq!(resolve(&link, owner).doubtful, Some(link.clone()));
        assert_eq!(resolve(&link, 0).doubtful, Some(link));
    }
}
