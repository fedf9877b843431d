//! The mount table: which file system a path lies on, and where a file can be seen.
//!
//! The kernel side knows a file by its file system's device number and its path from that
//! file system's root; people know it by its path in the tree of mounts. This file
//! translates both ways.
//!
//! It reads `/proc/self/mountinfo` itself: what is needed of a line is six fields, and the
//! crates that parse it keep the device as text, take paths to be UTF-8, or bring time
//! zones and compression along.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fmt::Write;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

/// Where the kernel lists the mounts that this process sees.
pub const TABLE: &str = "/proc/self/mountinfo";

/// The table as it is now, as text. Bytes that text can't have are written as the kernel writes
/// spaces.
pub fn table() -> io::Result<String> {
    Ok(as_text(&std::fs::read(TABLE)?))
}

fn as_text(table: &[u8]) -> String {
    let mut text = String::with_capacity(table.len());
    for chunk in table.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // Writing to a string cannot fail.
            let _ = write!(text, "\\{byte:03o}");
        }
    }
    text
}

/// One mount, as a line of `/proc/self/mountinfo` describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Its number; the kernel uses numbers again.
    pub id: u32,
    /// The number of the mount that it lies on.
    pub parent: u32,
    /// The file system's device number as the kernel holds it (`s_dev`): `major << 20 | minor`.
    /// On btrfs and overlayfs it is not what `stat` says.
    pub device: u32,
    /// The directory (or file) of the file system that is mounted, from its root.
    pub root: PathBuf,
    /// Where it is mounted.
    pub point: PathBuf,
    /// The type of the file system.
    pub kind: String,
}

impl Mount {
    /// Whether the mounted directory has been removed meanwhile. The kernel says so in the
    /// path itself; a path of its own never holds two slashes.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.root.as_os_str().as_bytes().ends_with(b"//deleted")
    }
}

/// Where a path lies.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The file system's device number, `major << 20 | minor`.
    pub device: u32,
    /// The path from the root of that file system; the root itself is `/`.
    pub path: PathBuf,
}

/// The mounts of one mount namespace at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mounts {
    mounts: Vec<Mount>,
    ids: HashSet<u32>,
}

impl Mounts {
    /// The mounts that this process sees now.
    pub fn read() -> io::Result<Self> {
        Self::parse(std::fs::read(TABLE)?)
    }

    /// The mounts of a table in the form of `/proc/PID/mountinfo` (proc(5)).
    ///
    /// A line that does not have that form is an error that shows it.
    pub fn parse(table: impl AsRef<[u8]>) -> io::Result<Self> {
        let mut mounts = Vec::new();
        for line in table.as_ref().split(|&byte| byte == b'\n') {
            if line.is_empty() {
                continue;
            }
            mounts.push(parse_line(line).ok_or_else(|| {
                let line = line.escape_ascii();
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("not a line of a mount table: \"{line}\""),
                )
            })?);
        }
        let ids = mounts.iter().map(|mount| mount.id).collect();
        Ok(Self { mounts, ids })
    }

    /// All mounts, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Mount> {
        self.mounts.iter()
    }

    /// The mounts that can be seen: that no other hides.
    pub fn seen(&self) -> impl Iterator<Item = &Mount> {
        self.mounts.iter().filter(|mount| {
            self.covering(&mount.point)
                .is_some_and(|(covering, _)| covering.id == mount.id)
        })
    }

    /// Which file system an absolute path lies on, and where there.
    ///
    /// Names are taken as they are: symbolic links have to be resolved before. `None` for a
    /// path that is relative or contains `..`, and for a mount of a directory that has been
    /// removed meanwhile.
    #[must_use]
    pub fn locate(&self, path: &Path) -> Option<Place> {
        let (mount, rest) = self.covering(path)?;
        if mount.is_deleted() {
            return None;
        }
        Some(Place {
            device: mount.device,
            path: join(&mount.root, &rest),
        })
    }

    /// Where a file can be seen that lies at `path` from the root of a file system.
    ///
    /// Of several places the oldest mount's is taken: later bind mounts may have been made
    /// by whoever wants a file to be shown under a harmless name. `None` when no mount that
    /// isn't hidden by another shows it.
    #[must_use]
    pub fn visible(&self, device: u32, path: &[u8]) -> Option<PathBuf> {
        let path = rooted(path);
        self.mounts
            .iter()
            .filter(|mount| mount.device == device && !mount.is_deleted())
            .filter_map(|mount| {
                let rest = path.strip_prefix(&mount.root).ok()?;
                Some((mount, join(&mount.point, rest)))
            })
            .find(|(mount, seen)| {
                self.covering(seen)
                    .is_some_and(|(covering, _)| covering.id == mount.id)
            })
            .map(|(_, seen)| seen)
    }

    /// The mounts below a path (not at it) that can be seen.
    pub fn below<'mounts>(
        &'mounts self,
        path: &'mounts Path,
    ) -> impl Iterator<Item = &'mounts Mount> {
        self.seen()
            .filter(move |mount| mount.point != path && mount.point.starts_with(path))
    }

    /// The mount that a path lies on, and the path from its mount point.
    fn covering(&self, path: &Path) -> Option<(&Mount, PathBuf)> {
        let mut current: Option<&Mount> = None;
        let mut seen = PathBuf::new();
        for component in path.components() {
            match component {
                Component::RootDir | Component::Normal(_) => seen.push(component),
                Component::CurDir => continue,
                Component::ParentDir | Component::Prefix(_) => return None,
            }
            // Mounts at one point lie on each other; the last one is seen.
            while let Some(next) = self.mounted_on(current, &seen) {
                current = Some(next);
            }
        }
        let mount = current?;
        let rest = seen.strip_prefix(&mount.point).ok()?.to_path_buf();
        Some((mount, rest))
    }

    /// The mount at a point that lies on a given mount; on none that is listed at the start.
    fn mounted_on(&self, current: Option<&Mount>, point: &Path) -> Option<&Mount> {
        self.mounts.iter().rfind(|mount| {
            mount.point == point
                && match current {
                    Some(current) => mount.parent == current.id && mount.id != current.id,
                    None => mount.parent == mount.id || !self.ids.contains(&mount.parent),
                }
        })
    }
}

/// `Path::join` without the trailing slash for an empty rest.
fn join(base: &Path, rest: &Path) -> PathBuf {
    if rest.as_os_str().is_empty() {
        base.to_path_buf()
    } else {
        base.join(rest)
    }
}

/// A path from the root of a file system, with or without its first slash.
fn rooted(path: &[u8]) -> PathBuf {
    let path = path.strip_prefix(b"/").unwrap_or(path);
    Path::new("/").join(OsString::from_vec(path.to_vec()))
}

/// `id parent major:minor root point options… - type source options`
fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|&byte| byte == b' ');
    let id = number(fields.next()?)?;
    let parent = number(fields.next()?)?;
    let device = device(fields.next()?)?;
    let root = unescape(fields.next()?);
    let point = unescape(fields.next()?);
    // The mount's options, then any number of optional fields, ended by a dash.
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
    Some(Mount {
        id,
        parent,
        device,
        root,
        point,
        kind: String::from_utf8_lossy(kind).into_owned(),
    })
}

/// `major:minor` in the kernel's own form, which has 20 bits for the minor number.
fn device(field: &[u8]) -> Option<u32> {
    let colon = field.iter().position(|&byte| byte == b':')?;
    let (major, minor) = (number(&field[..colon])?, number(&field[colon + 1..])?);
    (major < 1 << 12 && minor < 1 << 20).then_some(major << 20 | minor)
}

fn number(field: &[u8]) -> Option<u32> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

/// Undoes the kernel's octal escapes: space, tab, newline, backslash and `#`.
fn unescape(field: &[u8]) -> PathBuf {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, after @ ..] = rest {
        if let [
            b'\\',
            a @ b'0'..=b'3',
            b @ b'0'..=b'7',
            c @ b'0'..=b'7',
            after @ ..,
        ] = rest
        {
            plain.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
            rest = after;
        } else {
            plain.push(*first);
            rest = after;
        }
    }
    OsString::from_vec(plain).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
24 27 0:6 / /dev rw,relatime shared:2 - devtmpfs devtmpfs rw,mode=755
25 24 0:23 / /dev/shm rw,relatime - tmpfs tmpfs rw
30 25 0:27 / /dev/shm rw,relatime - tmpfs tmpfs rw
40 27 0:40 /@home /home rw - btrfs /dev/vdb rw
41 27 0:40 /@data /srv/my\\040data rw - btrfs /dev/vdb rw
42 27 254:0 /etc /tmp/innocent rw - ext4 /dev/vda rw
43 27 8:300 / /mnt rw - xfs /dev/vdc rw
44 43 8:301 / /mnt/inner rw - xfs /dev/vdd rw
45 43 8:302 / /mnt rw - xfs /dev/vde rw
46 27 254:0 /gone//deleted /old rw - ext4 /dev/vda rw
";

    fn device(numbers: &str) -> u32 {
        super::device(numbers.as_bytes()).expect("major:minor")
    }

    fn mounts() -> Mounts {
        Mounts::parse(TABLE).expect("a good table")
    }

    fn located(path: &str) -> Option<(u32, String)> {
        let place = mounts().locate(Path::new(path))?;
        Some((place.device, place.path.to_str()?.to_owned()))
    }

    #[test]
    fn a_path_is_located_on_the_mount_that_covers_it() {
        let root = device("254:0");
        assert_eq!(located("/"), Some((root, "/".into())));
        assert_eq!(located("/usr/bin/id"), Some((root, "/usr/bin/id".into())));
        assert_eq!(located("/homes/x"), Some((root, "/homes/x".into())));
        assert_eq!(located("/home"), Some((40, "/@home".into())));
        assert_eq!(located("/home/u/a"), Some((40, "/@home/u/a".into())));
        assert_eq!(located("/srv/my data/x"), Some((40, "/@data/x".into())));
    }

    #[test]
    fn the_last_mount_at_a_point_hides_the_others_and_what_lies_on_them() {
        assert_eq!(located("/dev/shm/x"), Some((27, "/x".into())));
        assert_eq!(located("/mnt/x"), Some((device("8:302"), "/x".into())));
        assert_eq!(
            located("/mnt/inner/x"),
            Some((device("8:302"), "/inner/x".into()))
        );
        let below: Vec<_> = mounts()
            .below(Path::new("/mnt"))
            .map(|mount| mount.id)
            .collect();
        assert!(below.is_empty(), "{below:?}");
    }

    #[test]
    fn what_cannot_be_located_is_not() {
        assert_eq!(located("relative"), None);
        assert_eq!(located("/home/../etc"), None);
        assert_eq!(located("/old/x"), None);
    }

    #[test]
    fn a_file_is_shown_where_it_was_first_visible() {
        let mounts = mounts();
        let seen = |device, path: &str| mounts.visible(device, path.as_bytes());
        assert_eq!(
            seen(device("254:0"), "/etc/shadow"),
            Some("/etc/shadow".into()),
            "not under the name that a later bind mount gives it"
        );
        assert_eq!(seen(40, "@home/u"), Some("/home/u".into()));
        assert_eq!(seen(40, "/@data/x"), Some("/srv/my data/x".into()));
        assert_eq!(seen(40, "/@homes/x"), None);
        assert_eq!(seen(device("8:300"), "/x"), None, "hidden by another mount");
        assert_eq!(
            seen(device("254:0"), "/dev/shm/x"),
            None,
            "hidden by a mount"
        );
        assert_eq!(seen(99, "/x"), None);
    }

    #[test]
    fn mounts_below_a_path_are_those_that_can_be_seen() {
        let mounts = mounts();
        let below = |path: &str| -> Vec<String> {
            mounts
                .below(Path::new(path))
                .map(|mount| mount.point.display().to_string())
                .collect()
        };
        assert_eq!(below("/dev"), ["/dev/shm"]);
        assert_eq!(below("/dev/shm"), [] as [&str; 0]);
        assert_eq!(below("/srv"), ["/srv/my data"]);
    }

    #[test]
    fn this_machines_own_table_is_read() {
        let mounts = Mounts::read().expect("proc is mounted");
        let place = mounts.locate(Path::new("/proc/self")).expect("located");
        assert_eq!(place.path, Path::new("/self"));
        assert_eq!(
            mounts.visible(place.device, b"/self"),
            Some("/proc/self".into())
        );
    }

    #[test]
    fn a_table_is_text_whatever_directories_are_called() {
        let table = b"27 1 254:0 / /srv/caf\xe9\\040\xc3\xa9 rw - ext4 /dev/vda rw\n";
        let text = as_text(table);
        assert!(text.contains("/srv/caf\\351\\040\u{e9} "), "{text}");
        assert_eq!(Mounts::parse(&text).unwrap(), Mounts::parse(table).unwrap());
        let point = &Mounts::parse(&text).unwrap().mounts[0].point;
        assert_eq!(point.as_os_str().as_bytes(), b"/srv/caf\xe9 \xc3\xa9");
        Mounts::parse(super::table().unwrap()).unwrap();
    }

    #[test]
    fn a_broken_table_is_an_error_that_shows_the_line() {
        let error = Mounts::parse("27 1 254:0 / /\n").expect_err("no type");
        assert_eq!(
            error.to_string(),
            "not a line of a mount table: \"27 1 254:0 / /\""
        );
    }
}
