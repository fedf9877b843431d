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

/// A process that runs, in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// Its command name, any bytes.
    pub comm: Vec<u8>,
    /// Its parent's pid; 0 for those of the kernel's.
    pub parent: u32,
    /// When it started: nanoseconds since boot, rounded down to a clock tick (ten milliseconds).
    pub start: u64,
}

/// The process that has a pid now. `None` when none has.
#[must_use]
pub fn running(pid: u32) -> Option<Running> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    Some(Running {
        comm: comm(&stat)?.to_vec(),
        parent: field(&stat, 4)?,
        start: start_ticks(&stat)?.checked_mul(nanoseconds_per_tick()?)?,
    })
}

/// The pids of every process that runs, in their order.
#[must_use]
pub fn pids() -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten();
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let mut pids: Vec<u32> = pids.collect();
    pids.sort_unstable();
    pids
}

/// When a process started, in clock ticks since boot; none when it is gone.
#[must_use]
pub fn start(pid: u32) -> Option<u64> {
    start_ticks(&std::fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// The start time of a process in clock ticks since boot.
fn start_ticks(stat: &[u8]) -> Option<u64> {
    field(stat, 22)
}

/// The command name: field 2 of `/proc/PID/stat`, in parentheses. It may hold anything, `)` included.
fn comm(stat: &[u8]) -> Option<&[u8]> {
    let begin = stat.iter().position(|&byte| byte == b'(')?;
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    stat.get(begin + 1..end)
}

/// A number that stands behind the command name in `/proc/PID/stat`, by its place in the line, from 1.
fn field<T: std::str::FromStr>(stat: &[u8], place: usize) -> Option<T> {
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    let field = stat[end + 1..]
        .split(|&byte| byte == b' ')
        .filter(|field| !field.is_empty())
        .nth(place.checked_sub(3)?)?;
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
    fn a_running_process_has_a_parent_that_started_before_it() {
        let own = running(std::process::id()).expect("it runs");
        assert_eq!(own.parent, std::os::unix::process::parent_id());
        let parent = running(own.parent).expect("it runs");
        assert!(parent.start <= own.start, "{parent:?} {own:?}");
        let comm = std::fs::read("/proc/self/comm").expect("proc is mounted");
        assert_eq!(own.comm, comm.trim_ascii_end());
        assert_eq!(running(0), None);
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
        assert_eq!(comm(stat.as_bytes()), Some(&b"a) b ( 1 2 3)"[..]));
        assert_eq!(field(stat.as_bytes(), 4), Some(4_u32));
        assert_eq!(comm(b"7 ) ("), None);
        assert_eq!(start_ticks(b"7 (x"), None);
        assert_eq!(start_ticks(b""), None);
    }
}
