//! The policies that come with the guard: those in `policies/`, as they were when it was
//! built.

/// A preset: its name and its text.
pub struct Preset {
    /// What `include` and `--policy` call it.
    pub name: &'static str,
    /// The document.
    pub text: &'static str,
}

/// All presets: whole policies first, then those that are combined with one.
pub const PRESETS: [Preset; 10] = [
    Preset {
        name: "default",
        text: include_str!("../../../policies/default.yaml"),
    },
    Preset {
        name: "strict",
        text: include_str!("../../../policies/strict.yaml"),
    },
    Preset {
        name: "audit",
        text: include_str!("../../../policies/audit.yaml"),
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
        name: "containers",
        text: include_str!("../../../policies/containers.yaml"),
    },
    Preset {
        name: "kubernetes-node",
        text: include_str!("../../../policies/kubernetes-node.yaml"),
    },
    Preset {
        name: "desktop",
        text: include_str!("../../../policies/desktop.yaml"),
    },
    Preset {
        name: "dev-servers",
        text: include_str!("../../../policies/dev-servers.yaml"),
    },
    Preset {
        name: "ci-runner",
        text: include_str!("../../../policies/ci-runner.yaml"),
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
