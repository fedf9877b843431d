//! The policies that come with the guard: those in `policies/`, as they were when it was
//! built.

/// A preset: its name and its text.
pub struct Preset {
    /// What `include` and `--policy` call it.
    pub name: &'static str,
    /// The document.
    pub text: &'static str,
}

/// All presets.
pub const PRESETS: [Preset; 4] = [
    Preset {
        name: "default",
        text: include_str!("../../../policies/default.yaml"),
    },
    Preset {
        name: "vms",
        text: include_str!("../../../policies/vms.yaml"),
    },
    Preset {
        name: "databases",
        text: include_str!("../../../policies/databases.yaml"),
    },
    Preset {
        name: "audit",
        text: include_str!("../../../policies/audit.yaml"),
    },
];

/// The text of a preset.
#[must_use]
pub fn find(name: &str) -> Option<&'static str> {
    PRESETS
        .iter()
        .find(|preset| preset.name == name)
        .map(|preset| preset.text)
}

/// Whether a word names a preset rather than a file: it has no slash and no `.yaml` or
/// `.yml` at its end.
#[must_use]
pub fn is_preset_name(word: &str) -> bool {
    let path = std::path::Path::new(word);
    let is_yaml = path
        .extension()
        .is_some_and(|ending| ending == "yaml" || ending == "yml");
    !word.contains('/') && !is_yaml
}
