//! The processes of a session, found by their label: wherever they have gone, they carry it.

use std::fs;
use std::path::Path;

/// The living processes that `is_meant` picks out of `/proc`. Zombies, which only wait to
/// be noticed by their parent, don't count.
pub fn living(proc: &Path, is_meant: impl Fn(u32) -> bool) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(proc) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&pid| is_meant(pid) && is_living(proc, pid))
        .collect()
}

fn is_living(proc: &Path, pid: u32) -> bool {
    fs::read(proc.join(pid.to_string()).join("stat"))
        .is_ok_and(|stat| !matches!(state(&stat), None | Some(b'Z' | b'X' | b'x')))
}

/// The state in `/proc/PID/stat`: the field after the command name, which is in parentheses
/// and may hold any of them itself.
fn state(stat: &[u8]) -> Option<u8> {
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    stat.get(end + 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_stands_behind_the_name_whatever_is_in_it() {
        assert_eq!(state(b"7 (a) Z 1"), Some(b'Z'));
        assert_eq!(state(b"7 (a) R (b)) S 1"), Some(b'S'));
        assert_eq!(state(b"7 (a"), None);
        assert_eq!(state(b"7 (a)"), None);
    }

    #[test]
    fn zombies_and_strangers_are_left_out() {
        let proc = tempfile::tempdir().unwrap();
        for (pid, stat) in [("1", "1 (a) S 0"), ("2", "2 (b) Z 1"), ("3", "3 (c) R 1")] {
            fs::create_dir(proc.path().join(pid)).unwrap();
            fs::write(proc.path().join(pid).join("stat"), stat).unwrap();
        }
        fs::create_dir(proc.path().join("sys")).unwrap();
        assert_eq!(living(proc.path(), |pid| pid < 3), [1]);
    }
}
