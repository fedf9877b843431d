//! Whom the kernel ends when the machine's memory runs out.

use std::fs;
use std::io;

/// The score of a session's processes, which they inherit (`oom_score_adj`).
///
/// Only the highest leaves no doubt: what a process takes of the machine, in thousandths, is
/// added to it, so that with any lower one a session of many small processes would be spared for
/// one large process outside. Among themselves the session's processes are still ordered by what
/// they take. To lower it, a process needs `CAP_SYS_RESOURCE`.
pub const SCORE: i32 = 1000;

/// Makes a process, and all that it starts, one that is ended before any outside the sessions.
pub fn prefer(pid: u32) -> io::Result<()> {
    fs::write(format!("/proc/{pid}/oom_score_adj"), SCORE.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_score_is_inherited() {
        // A process of its own: the score can't be lowered again without privileges.
        let mut first = std::process::Command::new("/bin/sh")
            .args(["-c", "read x; cat /proc/self/oom_score_adj"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        prefer(first.id()).unwrap();
        drop(first.stdin.take());
        let output = first.wait_with_output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), "1000");
        assert!(prefer(u32::MAX).is_err());
    }
}
