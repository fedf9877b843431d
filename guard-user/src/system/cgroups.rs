//! The cgroup hierarchy (version 2): where it is mounted, and which cgroup a number means.

use super::mounts::Mounts;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The cgroup2 mount.
#[derive(Debug)]
pub struct Cgroups {
    point: PathBuf,
    directory: File,
}

/// `FILEID_KERNFS`: the handle is the 64-bit number of a kernfs node, which for a cgroup is
/// its id (Linux 5.5, commit 33c5ac9175195; on 64-bit machines also its inode number).
const FILEID_KERNFS: i32 = 0xfe;

/// A `struct file_handle` with room for a kernfs number.
#[repr(C)]
struct Handle {
    bytes: u32,
    kind: i32,
    id: u64,
}

impl Cgroups {
    /// Finds the mount and opens it.
    ///
    /// An error says that there is none: hosts with version 1 only, or none mounted yet.
    pub fn open(mounts: &Mounts) -> io::Result<Self> {
        let point = mounts
            .iter()
            .find(|mount| mount.kind == "cgroup2")
            .map(|mount| mount.point.clone())
            .ok_or_else(|| {
                io::Error::new(io::ErrorKind::NotFound, "no cgroup2 hierarchy is mounted")
            })?;
        let directory = File::options()
            .read(true)
            .custom_flags(libc::O_DIRECTORY | libc::O_CLOEXEC)
            .open(&point)?;
        Ok(Self { point, directory })
    }

    /// Where it is mounted.
    #[must_use]
    pub fn point(&self) -> &Path {
        &self.point
    }

    /// The path of a cgroup below the mount, as `/proc/PID/cgroup` shows it: `/` is the
    /// root. `None` when it has been removed, or without `CAP_DAC_READ_SEARCH`.
    #[must_use]
    pub fn path(&self, id: u64) -> Option<PathBuf> {
        let opened = self.open_by_id(id).ok()?;
        let visible = std::fs::read_link(format!("/proc/self/fd/{}", opened.as_raw_fd())).ok()?;
        let below = visible.strip_prefix(&self.point).ok()?;
        Some(Path::new("/").join(below))
    }

    fn open_by_id(&self, id: u64) -> io::Result<OwnedFd> {
        let mut handle = Handle {
            bytes: 8,
            kind: FILEID_KERNFS,
            id,
        };
        // SAFETY: the pointer is to a live `struct file_handle` whose first field tells the
        // true size of what follows the second; the kernel only reads it.
        let descriptor = unsafe {
            libc::open_by_handle_at(
                self.directory.as_raw_fd(),
                (&raw mut handle).cast(),
                libc::O_PATH | libc::O_CLOEXEC,
            )
        };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call has just returned this descriptor, and nothing else owns it.
        Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
    }
}

const _: () = assert!(size_of::<Handle>() == 16);

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_host_without_a_cgroup2_mount_is_an_error_that_says_so() {
        let error = Cgroups::open(&Mounts::default()).expect_err("no mounts");
        assert_eq!(error.to_string(), "no cgroup2 hierarchy is mounted");
    }

    #[test]
    fn every_cgroup_is_found_by_its_number() {
        let mounts = Mounts::read().expect("proc is mounted");
        let Ok(cgroups) = Cgroups::open(&mounts) else {
            assert!(
                !std::fs::read_to_string("/proc/mounts")
                    .expect("proc is mounted")
                    .contains(" cgroup2 "),
                "there is a cgroup2 mount and it was not found"
            );
            return;
        };
        let root = std::fs::metadata(cgroups.point()).expect("mounted").ino();
        let opened = cgroups.open_by_id(root);
        if opened.is_err_and(|error| error.raw_os_error() == Some(libc::EPERM)) {
            assert!(is_confined(), "the capability is there and it was refused");
            return;
        }
        assert_eq!(cgroups.path(root), Some("/".into()));
        let mut directories = 0;
        for entry in std::fs::read_dir(cgroups.point()).expect("readable") {
            let entry = entry.expect("an entry");
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let id = entry.metadata().expect("its number").ino();
                let expected = Path::new("/").join(entry.file_name());
                assert_eq!(cgroups.path(id), Some(expected));
                directories += 1;
            }
        }
        assert_eq!(cgroups.path(u64::MAX), None, "{directories} looked at");
    }

    /// Whether we lack `CAP_DAC_READ_SEARCH` (2), as users do and even root in some containers.
    fn is_confined() -> bool {
        let status = std::fs::read_to_string("/proc/self/status").expect("proc is mounted");
        let effective = status
            .lines()
            .find_map(|line| line.strip_prefix("CapEff:\t"))
            .expect("capabilities");
        u64::from_str_radix(effective, 16).expect("hexadecimal") & 1 << 2 == 0
    }
}
