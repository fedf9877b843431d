//! Operations, verdicts, reasons and facilities in JSON: by their names.
//!
//! Their types belong to the part that both sides share, which knows nothing of `serde`:
//! fields say `#[serde(with = "names")]`.

use guard_ebpf::operation::{Facility, Operation, Reason, Verdict};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Something that a fixed set of names stands for.
pub trait Named: Copy + 'static {
    /// What it is called in messages.
    const WHAT: &'static str;

    /// All of them.
    fn every() -> &'static [Self];

    /// Its name.
    fn name(self) -> &'static str;

    /// What a name stands for.
    #[must_use]
    fn named(name: &str) -> Option<Self> {
        Self::every().iter().copied().find(|one| one.name() == name)
    }
}

macro_rules! named {
    ($($kind:ident $what:literal),+) => {$(
        impl Named for $kind {
            const WHAT: &'static str = $what;

            fn every() -> &'static [Self] {
                &Self::EVERY[..]
            }

            fn name(self) -> &'static str {
                // The inherent function comes before the trait's.
                $kind::name(self)
            }
        }
    )+};
}

named!(
    Operation "operation",
    Verdict "verdict",
    Reason "reason",
    Facility "facility"
);

/// For `#[serde(with)]`.
pub fn serialize<T: Named, S: Serializer>(one: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(one.name())
}

/// For `#[serde(with)]`.
pub fn deserialize<'de, T: Named, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    find(&String::deserialize(deserializer)?)
}

fn find<T: Named, E: serde::de::Error>(name: &str) -> Result<T, E> {
    T::named(name).ok_or_else(|| E::custom(format_args!("there is no {} \"{name}\"", T::WHAT)))
}

/// The same for values that may be missing.
pub mod option {
    use super::{Deserialize, Deserializer, Named, Serialize, Serializer, find};

    /// For `#[serde(with)]`.
    #[allow(clippy::ref_option)]
    pub fn serialize<T: Named, S: Serializer>(
        one: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        one.map(Named::name).serialize(serializer)
    }

    /// For `#[serde(with)]`.
    pub fn deserialize<'de, T: Named, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        Option::<String>::deserialize(deserializer)?
            .map(|name| find(&name))
            .transpose()
    }
}

/// The same for lists.
pub mod list {
    use super::{Deserialize, Deserializer, Named, Serializer, find};

    /// For `#[serde(with)]`.
    pub fn serialize<T: Named, S: Serializer>(all: &[T], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(all.iter().map(|one| one.name()))
    }

    /// For `#[serde(with)]`.
    pub fn deserialize<'de, T: Named, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<T>, D::Error> {
        Vec::<String>::deserialize(deserializer)?
            .iter()
            .map(|name| find(name))
            .collect()
    }
}
