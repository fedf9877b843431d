//! Names of sessions. A name becomes a file, a cgroup and a systemd unit.

use std::fmt;
use std::path::Path;

/// The longest name, in bytes.
pub const MAX_LENGTH: usize = 48;

/// A name that is safe as a file, a cgroup and part of a systemd unit: 1 to
/// [`MAX_LENGTH`] ASCII letters, digits, `-` and `_`, the first of them a letter or digit.
///
/// There is no dot in it, so that it can't be a control file of a cgroup (`cgroup.procs`,
/// `memory.max`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
pub struct Name(String);

impl Name {
    /// Checks a name.
    pub fn new(name: &str) -> Result<Self, BadName> {
        let starts_well = name
            .bytes()
            .next()
            .is_some_and(|first| first.is_ascii_alphanumeric());
        let is_plain = name.bytes().all(is_allowed);
        if starts_well && is_plain && name.len() <= MAX_LENGTH {
            Ok(Self(name.to_owned()))
        } else {
            Err(BadName(name.to_owned()))
        }
    }

    /// What a session of this command is called before its number.
    #[must_use]
    pub fn stem(command: &Path) -> String {
        let base = command.file_name().unwrap_or_default().to_string_lossy();
        let plain: String = base
            .bytes()
            .map(|byte| if is_allowed(byte) { byte as char } else { '-' })
            .skip_while(|character| !character.is_ascii_alphanumeric())
            // Room for the dash and the number.
            .take(MAX_LENGTH - 11)
            .collect();
        if plain.is_empty() {
            "session".to_owned()
        } else {
            plain
        }
    }

    /// The first of `STEM-1`, `STEM-2`, … that isn't taken.
    pub fn numbered(stem: &str, is_taken: impl Fn(&Self) -> bool) -> Result<Self, BadName> {
        let mut number = 1_u32;
        loop {
            let name = Self::new(&format!("{stem}-{number}"))?;
            if !is_taken(&name) {
                return Ok(name);
            }
            number += 1;
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::new(&name).map_err(serde::de::Error::custom)
    }
}

/// A name that a session can't have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadName(String);

impl fmt::Display for BadName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "\"{}\" can't be the name of a session. A name has 1 to {MAX_LENGTH} letters, digits, \
             \"-\" and \"_\" (ASCII), and begins with a letter or a digit.",
            self.0.escape_debug()
        )
    }
}

impl std::error::Error for BadName {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_that_would_be_paths_or_control_files_are_refused() {
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "cgroup.procs",
            "-x",
            "_x",
            "a b",
            "é",
            "a\n",
            "a\0",
        ] {
            assert!(Name::new(bad).is_err(), "{bad:?} was taken");
        }
        assert!(Name::new(&"a".repeat(MAX_LENGTH + 1)).is_err());
        assert!(Name::new(&"a".repeat(MAX_LENGTH)).is_ok());
    }

    #[test]
    fn a_session_is_called_after_its_command_and_a_number() {
        let stem = Name::stem(Path::new("/usr/bin/python3.11"));
        let first = Name::numbered(&stem, |_| false).unwrap();
        assert_eq!(first.as_str(), "python3-11-1");
        let second = Name::numbered(&stem, |name| *name == first).unwrap();
        assert_eq!(second.as_str(), "python3-11-2");
        assert_eq!(Name::stem(Path::new("/")), "session");
        assert_eq!(Name::stem(Path::new("--")), "session");
    }

    #[test]
    fn a_name_from_a_file_is_checked_too() {
        assert!(serde_json::from_str::<Name>("\"../x\"").is_err());
        assert!(serde_json::from_str::<Name>("\"x-1\"").is_ok());
    }

    proptest! {
        #[test]
        fn any_command_gives_a_name(command in ".*", number in any::<u32>()) {
            let stem = Name::stem(Path::new(&command));
            let name = Name::new(&format!("{stem}-{number}"));
            prop_assert!(name.is_ok());
        }
    }
}
