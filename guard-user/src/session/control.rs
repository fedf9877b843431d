//! A cgroup's controllers: handed down from its parents, and set to a session's limits.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use super::limits::{CPU_PERIOD_MICROSECONDS, Numbers};

/// The controllers that limits need, and what is not held back without one.
pub const CONTROLLERS: [(&str, &str); 4] = [
    (
        "memory",
        "its memory is not limited, so that it can take what others need",
    ),
    (
        "pids",
        "the number of its processes is not limited, so that it can take all that there are",
    ),
    (
        "cpu",
        "its processes count one by one for the processors, so that many of them slow down \
         everybody",
    ),
    ("io", "its weight does not count for disks"),
];

/// Lets the cgroups below a directory have the controllers. What it can't hand down shows where
/// limits are set.
pub fn hand_down(directory: &Path) {
    for (controller, _) in CONTROLLERS {
        // One by one: a single one that is not to be had would fail them all.
        let _ = write(
            &directory.join("cgroup.subtree_control"),
            &format!("+{controller}"),
        );
    }
}

/// A control file, what it is set to, and whether it matters when that is impossible.
struct Setting {
    controller: &'static str,
    file: &'static str,
    value: String,
    matters: bool,
}

fn settings(numbers: &Numbers) -> Vec<Setting> {
    let or_max = |number: Option<u64>| number.map_or_else(|| "max".to_owned(), |n| n.to_string());
    let setting = |controller, file, value, matters| Setting {
        controller,
        file,
        value,
        matters,
    };
    let weight = numbers.weight.unwrap_or(100).to_string();
    vec![
        setting(
            "memory",
            "memory.max",
            or_max(numbers.memory),
            numbers.memory.is_some(),
        ),
        // It is missing where swap is not counted (`swapaccount=0`), and there memory still is.
        setting("memory", "memory.swap.max", or_max(numbers.swap), false),
        setting(
            "pids",
            "pids.max",
            or_max(numbers.processes),
            numbers.processes.is_some(),
        ),
        setting(
            "cpu",
            "cpu.max",
            format!("{} {CPU_PERIOD_MICROSECONDS}", or_max(numbers.cpu)),
            numbers.cpu.is_some(),
        ),
        // Even a weight that is everybody's makes the session count as one.
        setting("cpu", "cpu.weight", weight.clone(), true),
        setting("io", "io.weight", weight, numbers.weight.is_some()),
    ]
}

/// Sets a cgroup's limits.
pub fn limit(directory: &Path, numbers: &Numbers) -> Vec<String> {
    shortfalls(directory, numbers, write)
}

/// What of these limits a cgroup does not have, whose limits somebody else has set.
pub fn check(directory: &Path, numbers: &Numbers) -> Vec<String> {
    shortfalls(directory, numbers, |file, _| fs::metadata(file).map(|_| ()))
}

/// Goes through all limits; a sentence for each controller that is missing and would matter.
fn shortfalls(
    directory: &Path,
    numbers: &Numbers,
    mut set: impl FnMut(&Path, &str) -> io::Result<()>,
) -> Vec<String> {
    let mut failed: Vec<(&str, String)> = Vec::new();
    for setting in settings(numbers) {
        let file = directory.join(setting.file);
        if let Err(error) = set(&file, &setting.value)
            && setting.matters
            && failed.iter().all(|(name, _)| *name != setting.controller)
        {
            failed.push((setting.controller, format!("{}: {error}", file.display())));
        }
    }
    let because = |controller| {
        let (_, what) = CONTROLLERS.iter().find(|(name, _)| *name == controller)?;
        Some(*what)
    };
    failed
        .into_iter()
        .map(|(controller, error)| {
            format!(
                "the session can't be limited by the cgroup controller \"{controller}\" here \
                 ({error}): {}; `guard doctor` says what to do",
                because(controller).unwrap_or_default()
            )
        })
        .collect()
}

/// Writes into a control file, which is there already.
pub fn write(file: &Path, text: &str) -> io::Result<()> {
    fs::OpenOptions::new()
        .write(true)
        .open(file)?
        .write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [&str; 6] = [
        "memory.max",
        "memory.swap.max",
        "pids.max",
        "cpu.max",
        "cpu.weight",
        "io.weight",
    ];

    fn numbers() -> Numbers {
        Numbers {
            memory: Some(1 << 20),
            swap: Some(0),
            processes: Some(7),
            cpu: None,
            weight: Some(20),
        }
    }

    #[test]
    fn all_limits_are_written() {
        let directory = tempfile::tempdir().unwrap();
        for file in FILES {
            fs::write(directory.path().join(file), "").unwrap();
        }
        assert_eq!(limit(directory.path(), &numbers()), [""; 0]);
        let written = FILES.map(|file| fs::read_to_string(directory.path().join(file)).unwrap());
        assert_eq!(written, ["1048576", "0", "7", "max 100000", "20", "20"]);
    }

    #[test]
    fn each_controller_that_is_missing_is_said_once_and_only_where_it_matters() {
        let directory = tempfile::tempdir().unwrap();
        let said = limit(directory.path(), &numbers());
        assert_eq!(said, check(directory.path(), &numbers()));
        for (number, (controller, what)) in CONTROLLERS.iter().enumerate() {
            assert!(
                said[number].contains(&format!("\"{controller}\"")),
                "{said:?}"
            );
            assert!(said[number].contains(what), "{said:?}");
        }
        assert_eq!(said.len(), CONTROLLERS.len());
        let said = limit(directory.path(), &Numbers::default());
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains("\"cpu\""));
    }

    #[test]
    fn controllers_are_handed_down_one_by_one() {
        let directory = tempfile::tempdir().unwrap();
        // Without a file nothing happens; it is never made.
        hand_down(directory.path());
        let file = directory.path().join("cgroup.subtree_control");
        assert!(!file.exists());
        fs::write(&file, "").unwrap();
        hand_down(directory.path());
        // Of an ordinary file, each write replaces the beginning.
        assert_eq!(fs::read_to_string(&file).unwrap(), "+iousry");
    }
}
