//! Where policies come from: presets and files.

use std::path::{Path, PathBuf};

use super::presets::is_preset_name;

/// Where a policy comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A preset that is built in.
    Preset(String),
    /// A file.
    File(PathBuf),
}

impl Source {
    /// What `--policy` means by a word: a preset's name, or a path.
    #[must_use]
    pub fn from_argument(word: &str) -> Self {
        if is_preset_name(word) {
            Self::Preset(word.to_owned())
        } else {
            Self::File(word.into())
        }
    }
}

/// What people call a source.
pub(super) fn source_name(source: &Source) -> String {
    match source {
        Source::Preset(name) => name.clone(),
        Source::File(path) => path.display().to_string(),
    }
}

/// What an entry of `include` means: a preset, or a file from the including file's directory.
pub(super) fn included_source(from: &Source, name: &str) -> Source {
    match (Source::from_argument(name), from) {
        (Source::File(path), Source::File(from)) => {
            Source::File(from.parent().unwrap_or(Path::new("")).join(path))
        }
        (source, _) => source,
    }
}
