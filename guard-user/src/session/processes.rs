//! Which processes of a session still live.

use std::fs;
use std::path::Path;

/// Those of some processes that live. Zombies, which only wait to be noticed by their
/// parent, don't count.
pub fn living(proc: &Path, pids: &[u32]) -> Vec<u32> {
    pids.iter()
        .copied()
        .filter(|&pid| is_living(proc, pid))
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
    fn zombies_and_those_that_are_gone_are_left_out() {
        let proc = tempfile::tempdir().unwrap();
        for (pid, stat) in [("1", "1 (a) S 0"), ("2", "2 (b) Z 1"), ("3", "3 (c) R 1")] {
            fs::create_dir(proc.path().join(pid)).unwrap();
            fs::write(proc.path().join(pid).join("stat"), stat).unwrap();
        }
        assert_eq!(living(proc.path(), &[1, 2, 3, 4]), [1, 3]);
    }
}
