//! Whether two processes see the same files and networks under the same names.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What a process sees the host through, and what it is called.
const VIEWS: [(&str, &str); 3] = [
    ("ns/mnt", "mount namespace"),
    ("ns/net", "network namespace"),
    ("root", "root directory"),
];

/// Which of the mount namespace, the network namespace and the root directory another process
/// does not share with this one: names for people, one after the other; none when it shares all.
pub fn foreign(pid: u32) -> io::Result<Option<String>> {
    differing(Path::new("/proc/self"), Path::new(&format!("/proc/{pid}")))
}

fn differing(own: &Path, other: &Path) -> io::Result<Option<String>> {
    let mut found = Vec::new();
    for (link, name) in VIEWS {
        let identity = |process: &Path| {
            let metadata = process.join(link).metadata()?;
            io::Result::Ok((metadata.dev(), metadata.ino()))
        };
        if identity(own)? != identity(other)? {
            found.push(name);
        }
    }
    Ok((!found.is_empty()).then(|| found.join(" and ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_is_not_shared_is_named() {
        let proc = tempfile::tempdir().unwrap();
        let (one, other) = (proc.path().join("1"), proc.path().join("2"));
        fs::create_dir_all(one.join("ns")).unwrap();
        fs::create_dir_all(other.join("ns")).unwrap();
        for (link, _) in VIEWS {
            fs::write(one.join(link), "").unwrap();
            fs::hard_link(one.join(link), other.join(link)).unwrap();
        }
        assert_eq!(differing(&one, &other).unwrap(), None);
        for link in ["ns/mnt", "root"] {
            fs::remove_file(other.join(link)).unwrap();
            fs::write(other.join(link), "").unwrap();
        }
        let named = "mount namespace and root directory".to_owned();
        assert_eq!(differing(&one, &other).unwrap(), Some(named));
        fs::remove_file(other.join("ns/net")).unwrap();
        assert!(differing(&one, &other).is_err());
    }

    #[test]
    fn a_child_shares_everything() {
        let mut child = std::process::Command::new("/bin/sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let found = foreign(child.id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found.unwrap(), None);
    }
}
