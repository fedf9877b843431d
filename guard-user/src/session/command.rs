//! Where a command is: what `execvp` would find, asked before anything is started.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::cli::exit::{Exit, Failure};

/// Finds a command as a shell would: a name with a slash is a path; any other is looked
/// for in the directories of `path`.
///
/// Files that are there and can't be executed give status 126, nothing 127.
pub fn find(command: &OsStr, path: Option<&OsStr>) -> Result<PathBuf, Failure> {
    if command.is_empty() {
        return Err(not_found("The command is empty. Name one after --."));
    }
    if command.as_bytes().contains(&b'/') {
        return check(Path::new(command));
    }
    let path = path.map_or_else(|| OsString::from("/usr/bin:/bin"), OsStr::to_owned);
    let mut refused = None;
    for directory in std::env::split_paths(&path) {
        // An empty element is the working directory.
        let directory = if directory.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            directory
        };
        match check(&directory.join(command)) {
            Ok(found) => return Ok(found),
            Err(failure) if failure.exit == Exit::NotExecutable => refused = Some(failure),
            Err(_) => {}
        }
    }
    Err(refused.unwrap_or_else(|| {
        let name = command.to_string_lossy();
        let name = name.escape_debug();
        not_found(format!(
            "The command \"{name}\" isn't in any directory of PATH. sudo replaces PATH by its own; \
             if the command is in yours, give its whole path: sudo guard run -- \"$(command -v \
             {name})\""
        ))
    }))
}

fn not_found(message: impl Into<String>) -> Failure {
    Failure {
        exit: Exit::NotFound,
        message: message.into(),
    }
}

fn check(file: &Path) -> Result<PathBuf, Failure> {
    let shown = file.to_string_lossy();
    let shown = shown.escape_debug();
    let metadata = std::fs::metadata(file).map_err(|error| match error.kind() {
        std::io::ErrorKind::PermissionDenied => Failure {
            exit: Exit::NotExecutable,
            message: format!("The command {shown} can't be reached: {error}."),
        },
        _ => not_found(format!("There is no command {shown}: {error}.")),
    })?;
    let refusal = if metadata.is_dir() {
        "it is a directory"
    } else if metadata.permissions().mode() & 0o111 == 0 {
        "it isn't executable; chmod +x makes it so"
    } else {
        return Ok(file.to_owned());
    };
    Err(Failure {
        exit: Exit::NotExecutable,
        message: format!("The command {shown} can't be executed: {refusal}."),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit_of(command: &str, path: &str) -> Exit {
        find(OsStr::new(command), Some(OsStr::new(path)))
            .unwrap_err()
            .exit
    }

    #[test]
    fn a_command_is_found_in_path() {
        let found = find(OsStr::new("sh"), Some(OsStr::new("/nowhere:/bin"))).unwrap();
        assert_eq!(found, Path::new("/bin/sh"));
        assert_eq!(exit_of("sh", "/nowhere"), Exit::NotFound);
    }

    #[test]
    fn what_is_there_and_cannot_be_executed_is_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tool");
        std::fs::write(&file, "").unwrap();
        let path = directory.path().to_str().unwrap();
        assert_eq!(exit_of("tool", path), Exit::NotExecutable);
        assert_eq!(exit_of(file.to_str().unwrap(), ""), Exit::NotExecutable);
        assert_eq!(exit_of(path, ""), Exit::NotExecutable);
        assert_eq!(exit_of(&format!("{path}/none"), ""), Exit::NotFound);
        assert_eq!(exit_of("", "/bin"), Exit::NotFound);
        // A later directory may have one that can be executed.
        std::os::unix::fs::symlink("/bin/true", directory.path().join("true")).unwrap();
        let found = find(OsStr::new("true"), Some(OsStr::new(path))).unwrap();
        assert_eq!(found, directory.path().join("true"));
    }
}
