//! The runtime directory of a session: its socket, and the file that holds its last receipts.
//!
//! Its name cannot be guessed, and the directory above it cannot be listed: so one session does not
//! find another's, even where both belong to one user. The command finds its own in its environment.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use crate::session::name::Name;

/// How many random bytes are in the name.
const RANDOM: usize = 12;

/// Makes the directory of a session in `parent`. The session has no say in it: it belongs to root,
/// and what is in it is given to the session's user.
pub fn create(parent: &Path, session: &Name) -> io::Result<PathBuf> {
    let mut random = [0; RANDOM];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    let mut name = format!("{session}.");
    for byte in random {
        // Writing to a string cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    let directory = parent.join(name);
    DirBuilder::new().mode(0o755).create(&directory)?;
    // Whatever the mask of new files is.
    fs::set_permissions(&directory, Permissions::from_mode(0o755))?;
    Ok(directory)
}

/// Removes a session's directory. One that is gone already is fine.
pub fn remove(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Where a session asks.
pub fn socket(directory: &Path) -> PathBuf {
    directory.join("socket")
}

/// What a session reads.
pub fn receipts(directory: &Path) -> PathBuf {
    directory.join("receipts")
}

/// Puts a text in the place of the last receipts, in one step, for a user to read.
pub fn write_receipts(directory: &Path, uid: u32, text: &str) -> io::Result<()> {
    let file = receipts(directory);
    let new = file.with_extension("new");
    let mut writer = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o400)
        .open(&new)?;
    writer.write_all(text.as_bytes())?;
    fchown(&writer, Some(uid), None)?;
    fs::rename(&new, &file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_directory_is_the_sessions_own_and_its_file_is_replaced_as_a_whole() {
        let base = tempfile::tempdir().unwrap();
        let name = Name::new("a-1").unwrap();
        let first = create(base.path(), &name).unwrap();
        let second = create(base.path(), &name).unwrap();
        assert_ne!(first, second, "its name can be guessed");
        let uid = nix::unistd::geteuid().as_raw();
        write_receipts(&first, uid, "one\n").unwrap();
        let before = File::open(receipts(&first)).unwrap();
        write_receipts(&first, uid, "two\n").unwrap();
        let after = fs::metadata(receipts(&first)).unwrap();
        assert_ne!(before.metadata().unwrap().ino(), after.ino());
        assert_eq!(after.mode() & 0o777, 0o400);
        assert_eq!(fs::read_to_string(receipts(&first)).unwrap(), "two\n");
        assert_eq!(fs::read_dir(&first).unwrap().count(), 1);
        remove(&first).unwrap();
        remove(&first).unwrap();
        assert!(!first.exists());
    }
}
