//! Stock kernels from Debian's packages: the newest of each series, kept in the cache.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::paths;

use super::apt::{Apt, Mirror};

/// The series on which guard has to work, besides the newest that there is.
const SERIES: &[&str] = &["6.1", "6.12", "6.18", "7.0"];

/// The name that stands for the newest series that there is.
pub const NEWEST: &str = "newest";

/// A series that is too old for guard, which has to say so.
pub const OLD: &str = "5.10";

/// A kernel in the cache.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// For instance `6.12`.
    pub series: String,
    /// For instance `6.12.117+deb12-cloud-amd64`.
    pub version: String,
    dir: PathBuf,
}

impl Kernel {
    /// The bootable image.
    pub fn image(&self) -> PathBuf {
        self.dir.join("vmlinuz")
    }

    /// The directory of its modules, where they could be had.
    pub fn modules(&self) -> Option<PathBuf> {
        Some(self.dir.join("modules/kernel")).filter(|dir| dir.is_dir())
    }
}

/// The series of the whole matrix.
pub fn matrix() -> Vec<String> {
    SERIES
        .iter()
        .copied()
        .chain([NEWEST, OLD])
        .map(str::to_owned)
        .collect()
}

/// Brings the newest kernel of each series, in the order asked for.
pub fn fetch(series: &[String], mirror: &Mirror) -> anyhow::Result<Vec<Kernel>> {
    let apt = Apt::open(mirror)?;
    let available = apt.names("linux-image-")?;
    series
        .iter()
        .map(|series| {
            let newest = newest(&available, series)?;
            let dir = paths::cache().join("kernels").join(&newest.series);
            let known = fs::read_to_string(dir.join("version")).unwrap_or_default();
            if known != newest.version {
                println!("setup: fetching kernel {}", newest.version);
                unpack(&apt, &newest.version, &dir)
                    .with_context(|| format!("failed to fetch kernel {}", newest.version))?;
            }
            Ok(Kernel { dir, ..newest })
        })
        .collect()
}

/// Picks the newest kernel of a series from the names of all the packages.
fn newest(packages: &[String], series: &str) -> anyhow::Result<Kernel> {
    let mut kernels: Vec<_> = packages
        .iter()
        .filter_map(|name| name.strip_prefix("linux-image-"))
        .filter(|version| version.ends_with("-cloud-amd64"))
        .filter_map(|version| {
            let numbers = numbers(version);
            let [major, minor, _, ..] = numbers[..] else {
                return None;
            };
            Some((numbers, format!("{major}.{minor}"), version))
        })
        .filter(|(_, found, _)| series == NEWEST || found == series)
        .collect();
    kernels.sort();
    let Some((_, series, version)) = kernels.pop() else {
        bail!("Debian's archive has no kernel of the series {series}");
    };
    Ok(Kernel {
        series,
        version: version.to_owned(),
        dir: PathBuf::new(),
    })
}

/// The numbers before the flavour: `6.12.117+deb12-cloud-amd64` is 6, 12, 117, 12.
fn numbers(version: &str) -> Vec<u32> {
    version
        .trim_end_matches("-cloud-amd64")
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .collect()
}

/// Fetches a kernel's packages and lays them out the same way whatever their age: `vmlinuz`,
/// `modules/kernel/…`, `version`.
fn unpack(apt: &Apt, version: &str, dir: &Path) -> anyhow::Result<()> {
    let image = format!("linux-image-{version}");
    let mut packages = vec![image.clone()];
    // From 7.0 on the image and the modules are packages of their own.
    let depends = apt.field(&image, "Depends")?.unwrap_or_default();
    for part in ["linux-binary", "linux-modules"] {
        let name = format!("{part}-{version}");
        // Of a series that has a successor the archive keeps the image, but not the modules.
        if depends.contains(&name) && apt.has(&name)? {
            packages.push(name);
        }
    }
    let unpacked = paths::beside(dir, "unpacked");
    let new = paths::beside(dir, "new");
    for dir in [&unpacked, &new] {
        let _ = fs::remove_dir_all(dir);
        fs::create_dir_all(dir)?;
    }
    apt.unpack(&packages, &unpacked)?;
    let modules = ["usr/lib/modules", "lib/modules"].map(|path| unpacked.join(path).join(version));
    let image = std::iter::once(unpacked.join(format!("boot/vmlinuz-{version}")))
        .chain(modules.iter().map(|dir| dir.join("vmlinuz")))
        .find(|path| path.is_file())
        .with_context(|| format!("no image in {}", packages.join(" ")))?;
    fs::rename(image, new.join("vmlinuz"))?;
    if let Some(tree) = modules.iter().find(|dir| dir.join("kernel").is_dir()) {
        fs::rename(tree, new.join("modules"))?;
    }
    fs::write(new.join("version"), version)?;
    fs::remove_dir_all(&unpacked)?;
    let _ = fs::remove_dir_all(dir);
    fs::rename(&new, dir)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_a_series_is_picked_by_number() {
        let packages: Vec<String> = [
            "linux-image-6.1-cloud-amd64",
            "linux-image-6.1.0-0.deb11.52-cloud-amd64",
            "linux-image-6.1.0-9-cloud-amd64",
            "linux-image-6.1.0-56-cloud-amd64",
            "linux-image-6.12.99+deb12-cloud-amd64",
            "linux-image-6.12.117+deb12-cloud-amd64",
            "linux-image-7.3.4+deb13-cloud-amd64",
            "linux-image-7.3.4+deb13-amd64-unsigned",
        ]
        .map(str::to_owned)
        .into();
        let picked = |series| newest(&packages, series).unwrap().version;
        assert_eq!(picked("6.1"), "6.1.0-56-cloud-amd64");
        assert_eq!(picked("6.12"), "6.12.117+deb12-cloud-amd64");
        assert_eq!(picked(NEWEST), "7.3.4+deb13-cloud-amd64");
        assert!(newest(&packages, "5.15").is_err());
    }
}
