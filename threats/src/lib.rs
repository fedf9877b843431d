//! The catalogue of threats: every way that is known to do harm to a machine from a shell, what
//! stops it, and which test shows that it is stopped.
//!
//! One table for everybody who asks: `docs/threats.md` is written from it, `guard threats` shows
//! it for the machine that it runs on, and a check fails when a row names a test that does not
//! exist, or when the virtual machines try a row that is not here.

mod deputies;
mod engine;
mod escapes;
mod files;
mod machine;
mod memory;
mod mounts;
mod processes;
mod signals;
mod starvation;

use serde::Serialize;

/// A version of the kernel: `(6, 12)`.
pub type Series = (u32, u32);

/// What becomes of a threat in a session under the default policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stopped {
    /// It is refused as this operation of a policy.
    Operation(&'static str),
    /// It is refused as the operation `machine`, with this facility.
    Facility(&'static str),
    /// Only limits of the session's cgroup stop it.
    Limits,
    /// It is let through, since it harms nothing that is not the session's own.
    Harmless,
    /// Guard can't stop it.
    No,
}

/// One threat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Threat {
    /// The letter of its group and a number, which it keeps.
    pub id: &'static str,
    /// What it is.
    pub title: &'static str,
    /// What it does.
    pub effect: &'static str,
    /// How it looks in a shell or a program.
    pub command: &'static str,
    /// What becomes of it.
    pub stopped: Stopped,
    /// The engine's programs that judge it, as `guard_ebpf::kernel::PROGRAMS` names them.
    pub programs: &'static [&'static str],
    /// The kernel that brought it; `None` for all that guard runs on.
    pub since: Option<Series>,
    /// What remains of it all the same, or what to do instead of relying on guard.
    pub remains: &'static str,
    /// The tests that show it, as `cargo xtask test` names them.
    pub tests: &'static [&'static str],
    /// Why there is none.
    pub untested: &'static str,
}

impl Threat {
    /// Whether a kernel has it.
    #[must_use]
    pub fn exists_on(&self, kernel: Series) -> bool {
        self.since.is_none_or(|since| kernel >= since)
    }
}

/// Threats of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    /// The letter that its numbers begin with.
    pub letter: char,
    /// What it is about.
    pub title: &'static str,
    /// In the order of their numbers.
    pub threats: &'static [Threat],
}

/// Every threat that is known.
pub const GROUPS: &[Group] = &[
    Group {
        letter: 'A',
        title: "Signals",
        threats: signals::THREATS,
    },
    Group {
        letter: 'B',
        title: "Other control over processes",
        threats: processes::THREATS,
    },
    Group {
        letter: 'C',
        title: "Starving others",
        threats: starvation::THREATS,
    },
    Group {
        letter: 'D',
        title: "Tracing and memory",
        threats: memory::THREATS,
    },
    Group {
        letter: 'E',
        title: "Files",
        threats: files::THREATS,
    },
    Group {
        letter: 'F',
        title: "Mounts and devices",
        threats: mounts::THREATS,
    },
    Group {
        letter: 'G',
        title: "The machine",
        threats: machine::THREATS,
    },
    Group {
        letter: 'H',
        title: "Leaving the session",
        threats: escapes::THREATS,
    },
    Group {
        letter: 'I',
        title: "Guard itself",
        threats: engine::THREATS,
    },
    Group {
        letter: 'J',
        title: "Asking others to do it",
        threats: deputies::THREATS,
    },
];

/// All of them, one after the other.
pub fn all() -> impl Iterator<Item = &'static Threat> {
    GROUPS.iter().flat_map(|group| group.threats)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_in_order_and_of_their_group() {
        for group in GROUPS {
            for (at, threat) in group.threats.iter().enumerate() {
                assert_eq!(threat.id, format!("{}{}", group.letter, at + 1));
            }
        }
    }

    #[test]
    fn every_row_says_what_people_ask() {
        for threat in all() {
            let id = threat.id;
            for (what, text) in [
                ("title", threat.title),
                ("effect", threat.effect),
                ("command", threat.command),
            ] {
                assert!(!text.is_empty(), "{id} has no {what}");
            }
            assert!(
                threat.tests.is_empty() != threat.untested.is_empty(),
                "{id} has either a test or the reason why there is none"
            );
            match threat.stopped {
                Stopped::Operation(_) | Stopped::Facility(_) => {
                    assert!(!threat.programs.is_empty(), "{id}: which program stops it?");
                }
                Stopped::Limits | Stopped::No => {
                    assert!(
                        !threat.remains.is_empty(),
                        "{id}: what can be done about it?"
                    );
                }
                Stopped::Harmless => {}
            }
        }
    }

    #[test]
    fn a_threat_is_there_from_its_kernel_on() {
        let threat = |id| all().find(|threat| threat.id == id).unwrap();
        assert!(threat("A1").exists_on((5, 10)));
        assert!(threat("F4").exists_on((6, 1)) && !threat("F4").exists_on((5, 10)));
    }
}
