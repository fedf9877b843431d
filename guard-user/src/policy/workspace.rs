//! Which directory a session may treat as its own.
//!
//! In its workspace a session may delete whatever is there. So a directory in which nobody
//! would want that by accident is never taken because a command happens to be started in it:
//! the root, a home, a directory of the system.

use std::path::{Path, PathBuf};

/// Directories of the system: neither they nor what lies below is a workspace by default.
const SYSTEM: [&str; 10] = [
    "/bin", "/boot", "/dev", "/etc", "/proc", "/run", "/sbin", "/sys", "/usr", "/var",
];

/// Directories within those below which people do keep their work. `*` is any one name.
const EXCEPTIONS: [&str; 6] = [
    "/dev/shm",
    "/run/user/*",
    "/usr/local/src",
    "/usr/src",
    "/var/tmp",
    "/var/www",
];

/// What a session's workspace is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// This directory, without symbolic links.
    Taken(PathBuf),
    /// There is none; the reason is a sentence for people.
    None(String),
}

/// Chooses the workspace of a session.
///
/// `requested` is what was asked for (`--workspace`), `current` the directory in which the
/// command is started, `home` that of the session's user, `homes` those of others.
///
/// Without a request, a directory that is not fit gives [`Choice::None`]. A request for one
/// is an error, which says why; a request for a directory of the system is granted, as long
/// as it isn't one of those right below the root.
pub fn choose(
    requested: Option<&Path>,
    current: &Path,
    home: &Path,
    homes: &[PathBuf],
) -> Result<Choice, String> {
    let wanted = requested.unwrap_or(current);
    let found = wanted.canonicalize().and_then(|path| {
        if path.is_dir() {
            Ok(path)
        } else {
            Err(std::io::Error::from(std::io::ErrorKind::NotADirectory))
        }
    });
    let shown = wanted.display();
    let path = match found {
        Ok(path) => path,
        Err(error) if requested.is_some() => {
            return Err(format!("the workspace {shown} cannot be used: {error}"));
        }
        Err(error) => {
            return Ok(Choice::None(format!(
                "the session has no workspace: the current directory {shown} cannot be used: {error}"
            )));
        }
    };
    if path.to_str().is_none() {
        // Client and server could not speak of it, and no policy could name it.
        let shown = path.display();
        return match requested {
            Some(_) => Err(format!(
                "{shown} cannot be the workspace: its path is not UTF-8; name another directory"
            )),
            None => Ok(Choice::None(format!(
                "the session has no workspace: the path of the current directory {shown} is not \
                 UTF-8; start in another directory, or name one with --workspace"
            ))),
        };
    }
    let homes: Vec<PathBuf> = homes.iter().map(|home| real(home)).collect();
    let reason = unfit(&path, &real(home), &homes).or_else(|| {
        let system = is_of_the_system(&path);
        (requested.is_none() && system).then(|| "belongs to the system".to_owned())
    });
    let shown = path.display();
    match (reason, requested) {
        (None, _) => Ok(Choice::Taken(path)),
        (Some(reason), Some(_)) => Err(format!(
            "{shown} cannot be the workspace: it {reason}, and a session may delete whatever lies \
             in its workspace; name a directory further down"
        )),
        (Some(reason), None) => Ok(Choice::None(format!(
            "the session has no workspace: the current directory {shown} {reason}; start in the \
             directory of the project, or name it with --workspace"
        ))),
    }
}

/// A path without symbolic links, as far as that can be said.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_path_buf())
}

/// Whether a directory is so wide that it is never a workspace, not even on request: the root, what
/// lies right below it, a home, and whatever contains the home of the session's user.
#[must_use]
pub fn is_too_wide(path: &Path, home: &Path, homes: &[PathBuf]) -> bool {
    unfit(path, home, homes).is_some()
}

/// Why a directory is never a workspace, not even on request: "it …".
fn unfit(path: &Path, home: &Path, homes: &[PathBuf]) -> Option<String> {
    let depth = path.components().count() - 1;
    if depth == 0 {
        Some("is the root".to_owned())
    } else if path == home {
        Some("is the home directory".to_owned())
    } else if home.starts_with(path) {
        Some(format!("contains the home directory {}", home.display()))
    } else if depth == 1 {
        Some("lies right below the root and belongs to the system".to_owned())
    } else if homes.iter().any(|other| other == path) || depth == 2 && path.starts_with("/home") {
        Some("is somebody's home directory".to_owned())
    } else {
        None
    }
}

fn is_of_the_system(path: &Path) -> bool {
    let system = SYSTEM.iter().any(|directory| path.starts_with(directory))
        || path
            .iter()
            .nth(1)
            .is_some_and(|top| top.as_encoded_bytes().starts_with(b"lib"));
    system && !EXCEPTIONS.iter().any(|exception| is_below(path, exception))
}

/// Whether a path lies below (not at) a directory in which `*` is any name.
fn is_below(path: &Path, directory: &str) -> bool {
    let mut names = path.iter();
    let begins = Path::new(directory).iter().all(|expected| {
        names
            .next()
            .is_some_and(|name| expected == "*" || name == expected)
    });
    begins && names.next().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    fn reason(path: &str) -> Option<String> {
        let homes = [
            PathBuf::from("/data/bob"),
            PathBuf::from("/var/lib/postgresql"),
        ];
        unfit(Path::new(path), Path::new("/home/alice"), &homes)
    }

    #[test]
    fn homes_and_what_contains_them_are_never_workspaces() {
        for path in [
            "/",
            "/home",
            "/home/alice",
            "/home/bob",
            "/data/bob",
            "/etc",
            "/srv",
            "/x",
        ] {
            assert!(reason(path).is_some(), "{path}");
        }
        for path in [
            "/home/alice/work",
            "/srv/app",
            "/opt/app",
            "/data/bob/x",
            "/mnt/disk",
        ] {
            assert_eq!(reason(path), None, "{path}");
        }
    }

    #[test]
    fn the_system_is_no_workspace_unless_asked_for() {
        for path in [
            "/etc/nginx",
            "/usr/lib/x",
            "/var/lib/x",
            "/var/tmp",
            "/lib64/x",
            "/run/user/1000",
            "/dev/shm",
        ] {
            assert!(is_of_the_system(Path::new(path)), "{path}");
        }
        for path in [
            "/var/tmp/x",
            "/var/www/site",
            "/usr/src/linux",
            "/run/user/1000/x",
            "/dev/shm/x",
            "/srv/app",
            "/home/alice/etc",
            "/tmp/x",
        ] {
            assert!(!is_of_the_system(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn a_request_is_granted_or_an_error_and_the_current_directory_taken_or_not() {
        let none: &[PathBuf] = &[];
        let home = Path::new("/home/alice");
        let lib = Path::new("/usr/lib")
            .canonicalize()
            .expect("every host has it");
        let chosen = choose(Some(&lib), Path::new("/"), home, none);
        assert_eq!(chosen, Ok(Choice::Taken(lib.clone())));
        let Ok(Choice::None(reason)) = choose(None, &lib, home, none) else {
            panic!("a directory of the system was taken");
        };
        assert!(reason.contains("belongs to the system"), "{reason}");
        assert!(reason.contains("--workspace"), "{reason}");

        let error = choose(Some(Path::new("/")), &lib, home, none).expect_err("the root");
        assert!(
            error.starts_with("/ cannot be the workspace: it is the root"),
            "{error}"
        );
        let error = choose(Some(Path::new("/no/such")), &lib, home, none).expect_err("missing");
        assert!(error.contains("/no/such cannot be used"), "{error}");
        let base = tempfile::tempdir().expect("a directory");
        let odd = base.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9"));
        std::fs::create_dir(&odd).expect("made");
        let error = choose(Some(&odd), &lib, home, none).expect_err("not UTF-8");
        assert!(error.contains("not UTF-8"), "{error}");
        let Ok(Choice::None(reason)) = choose(None, &odd, home, none) else {
            panic!("a directory that can't be named was taken");
        };
        assert!(reason.contains("not UTF-8"), "{reason}");
        let file = Path::new("/proc/self/status");
        let error = choose(Some(file), &lib, home, none).expect_err("a file");
        assert!(error.contains("cannot be used"), "{error}");
    }
}
