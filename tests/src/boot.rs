//! Which machine a test runs on: the kernel's series, its LSM list, the root file system.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context as _, bail};
use serde::Deserialize;

/// One boot of the matrix, named as `xtask test --kernel` names it: `6.12`, `6.12-nobpf`, `5.10`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Boot {
    /// The kernel's series, for instance (6, 12).
    pub series: (u32, u32),
    /// Whether it was booted with a LSM list that lacks `bpf` on purpose.
    pub nobpf: bool,
}

impl Boot {
    /// Whether guard can enforce here: BPF LSM programs are in the LSM list, and the kernel is
    /// one that guard supports. Elsewhere it has to refuse to start.
    pub fn enforces(self) -> bool {
        !self.nobpf && self.series >= (6, 1)
    }

    /// Whether real programs run here without guard as well, for comparison: what they do then is
    /// the same on every kernel, and takes minutes; this one is the fastest when it is emulated.
    pub fn is_thorough(self) -> bool {
        self.series == (6, 1)
    }

    /// Whether what takes long is run as root here, and elsewhere as a user.
    pub fn is_for_root(self) -> bool {
        self.series == (6, 12)
    }
}

impl FromStr for Boot {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (series, nobpf) = match text.split_once('-') {
            None => (text, false),
            Some((series, "nobpf")) => (series, true),
            Some((_, other)) => bail!("unknown kind of boot `{other}` in `{text}`"),
        };
        let (major, minor) = series
            .split_once('.')
            .with_context(|| format!("`{text}` is not a kernel series like 6.12"))?;
        Ok(Self {
            series: (major.parse()?, minor.parse()?),
            nobpf,
        })
    }
}

impl fmt::Display for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = self.series;
        write!(f, "{major}.{minor}")?;
        if self.nobpf {
            f.write_str("-nobpf")
        } else {
            Ok(())
        }
    }
}

/// The root file system that a test needs, and what starts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Image {
    /// An initramfs: busybox, guard, this program. Boots in seconds.
    Small,
    /// Debian with real programs, databases among them, on ext4.
    Full,
    /// The same, with systemd as its first process and Debian's services running.
    Systemd,
}

impl Image {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Full => "full",
            Self::Systemd => "systemd",
        }
    }
}

impl FromStr for Image {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        match text {
            "small" => Ok(Self::Small),
            "full" => Ok(Self::Full),
            "systemd" => Ok(Self::Systemd),
            _ => bail!("unknown image `{text}`; there are small, full and systemd"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boots_are_read_as_they_are_written() {
        for text in ["5.10", "6.12", "6.12-nobpf", "7.3"] {
            assert_eq!(text.parse::<Boot>().unwrap().to_string(), text);
        }
        assert!("six".parse::<Boot>().is_err());
        assert!("6.12-odd".parse::<Boot>().is_err());
    }

    #[test]
    fn guard_enforces_where_bpf_is_in_the_list() {
        let enforces = |text: &str| text.parse::<Boot>().unwrap().enforces();
        assert!(enforces("6.1") && enforces("7.0"));
        assert!(!enforces("5.10") && !enforces("6.12-nobpf"));
    }
}
