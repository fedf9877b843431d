//! What policy files looked like: by it an edit is told from a file that was only touched.
//!
//! It is made of the bytes that the compiler has read. A fingerprint that is taken later could be
//! that of an edit that nobody has read yet, and the edit would be lost.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::policy::environment::{Host, MAX_FILE};
use crate::system::files::read_ordinary;
use crate::system::links::Resolved;

/// What these files look like now: their bytes, or why they can't be read, and who could change
/// them, which decides whether an edit is taken.
pub(super) fn now(files: &[PathBuf]) -> u64 {
    of(files, |_| None)
}

/// The same, of files of which some were read before.
fn of(files: &[PathBuf], read: impl Fn(&Path) -> Option<u64>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for file in files {
        file.hash(&mut hasher);
        let bytes = read(file).unwrap_or_else(|| content(&read_ordinary(file, MAX_FILE)));
        bytes.hash(&mut hasher);
        let owners = file
            .ancestors()
            .filter_map(|part| std::fs::metadata(part).ok())
            .map(|metadata| (metadata.uid(), metadata.mode()));
        owners.for_each(|owner| owner.hash(&mut hasher));
    }
    hasher.finish()
}

fn content(read: &io::Result<Vec<u8>>) -> u64 {
    let mut hasher = DefaultHasher::new();
    match read {
        Ok(bytes) => bytes.hash(&mut hasher),
        Err(error) => error.to_string().hash(&mut hasher),
    }
    hasher.finish()
}

/// A host that remembers what was read.
pub(super) struct Remembering<H> {
    host: H,
    read: RefCell<BTreeMap<PathBuf, u64>>,
}

impl<H> Remembering<H> {
    /// One that has read nothing.
    pub fn new(host: H) -> Self {
        Self {
            host,
            read: RefCell::default(),
        }
    }

    /// The fingerprint of these files as they were read.
    pub fn fingerprint(&self, files: &[PathBuf]) -> u64 {
        let read = self.read.borrow();
        of(files, |file| read.get(file).copied())
    }
}

impl<H: Host> Host for Remembering<H> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let result = self.host.read(path);
        let mut read = self.read.borrow_mut();
        read.insert(path.to_owned(), content(&result));
        result
    }

    fn uid(&self, name: &str) -> Option<u32> {
        self.host.uid(name)
    }

    fn user_names(&self) -> Vec<String> {
        self.host.user_names()
    }

    fn resolve(&self, path: &Path, uid: u32) -> Resolved {
        self.host.resolve(path, uid)
    }

    fn is_changeable(&self, path: &Path, uid: u32) -> bool {
        self.host.is_changeable(path, uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::environment::ThisHost;

    #[test]
    fn what_was_read_counts_and_not_what_was_written_since() {
        let base = tempfile::tempdir().unwrap();
        let file = base.path().join("a.yaml");
        let files = [file.clone(), base.path().join("missing.yaml")];
        std::fs::write(&file, "one").unwrap();
        let host = Remembering::new(ThisHost {
            find_user: |_: &str| None,
        });
        for file in &files {
            let _ = host.read(file);
        }
        assert_eq!(host.fingerprint(&files), now(&files));
        std::fs::write(&file, "two").unwrap();
        assert_ne!(host.fingerprint(&files), now(&files));
        std::fs::write(&file, "one").unwrap();
        assert_eq!(host.fingerprint(&files), now(&files));
        std::fs::write(&files[1], "").unwrap();
        assert_ne!(host.fingerprint(&files), now(&files));
    }
}
