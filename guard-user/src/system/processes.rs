//! What `/proc` says of a process, if it is still the one that is meant.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// The path of a process's executable, as the kernel names it for the process's own tree
/// of mounts.
///
/// `None` when the process is gone, when another has its pid by now (`start`, in
/// nanoseconds since boot, is not its start time), or when it has executed something else
/// meanwhile (`inode` is not its executable's): a name that could be wrong is worse than
/// none.
#[must_use]
pub fn executable(pid: u32, start: u64, inode: u64) -> Option<PathBuf> {
    let directory = PathBuf::from(format!("/proc/{pid}"));
    let link = directory.join("exe");
    let path = std::fs::read_link(&link).ok()?;
    if std::fs::metadata(&link).ok()?.ino() != inode {
        return None;
    }
    // Asked last: what was read before belongs to this process too, since it has run all
    // the time.
    let ticks = start_ticks(&std::fs::read(directory.join("stat")).ok()?)?;
    (ticks == start / nanoseconds_per_tick()?).then_some(path)
}

/// When a process started, in clock ticks since boot; none when it is gone.
#[must_use]
pub fn start(pid: u32) -> Option<u64> {
    start_ticks(&std::fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// The start time of a process in clock ticks since boot: field 22 of `/proc/PID/stat`.
fn start_ticks(stat: &[u8]) -> Option<u64> {
    // Field 2 is the command name in parentheses, which may hold anything, `)` included.
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    let field = stat[end + 1..]
        .split(|&byte| byte == b' ')
        .filter(|field| !field.is_empty())
        .nth(22 - 3)?;
    std::str::from_utf8(field).ok()?.parse().ok()
}

fn nanoseconds_per_tick() -> Option<u64> {
    let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok()??;
    1_000_000_000_u64.checked_div(u64::try_from(ticks).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn myself() -> (u32, u64, u64) {
        let stat = std::fs::read("/proc/self/stat").expect("proc is mounted");
        let ticks = start_ticks(&stat).expect("a start time");
        let inode = std::fs::metadata("/proc/self/exe").expect("exe").ino();
        let nanoseconds = ticks * nanoseconds_per_tick().expect("a clock");
        (std::process::id(), nanoseconds, inode)
    }

    #[test]
    fn a_running_processs_executable_is_found() {
        let (pid, start, inode) = myself();
        let own = std::env::current_exe().expect("a path");
        assert_eq!(executable(pid, start, inode), Some(own.clone()));
        assert_eq!(
            executable(pid, start + 1_000_000, inode),
            Some(own),
            "a record's start time is finer than a clock tick"
        );
    }

    #[test]
    fn another_process_or_executable_is_not_taken_for_it() {
        let (pid, start, inode) = myself();
        assert_eq!(executable(pid, start + 1_000_000_000, inode), None);
        assert_eq!(executable(pid, start, inode + 1), None);
        assert_eq!(executable(0, start, inode), None);
    }

    #[test]
    fn a_hostile_command_name_does_not_move_the_fields() {
        let fields: Vec<String> = (3..=52).map(|field| field.to_string()).collect();
        let stat = format!("7 (a) b ( 1 2 3)) {}\n", fields.join(" "));
        assert_eq!(start_ticks(stat.as_bytes()), Some(22));
        assert_eq!(start_ticks(b"7 (x"), None);
        assert_eq!(start_ticks(b""), None);
    }
}
