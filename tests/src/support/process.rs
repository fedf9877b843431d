//! Looking at processes from outside: `/proc`.

use std::fs;

use anyhow::{Context as _, bail};

/// The letter of a process's state; `None` when it is gone.
pub fn state(pid: i32) -> Option<char> {
    status_field(pid, "State:")?.chars().next()
}

/// A line of `/proc/PID/status`.
pub fn status_field(pid: i32, field: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    text.lines()
        .find_map(|line| Some(line.strip_prefix(field)?.trim().to_owned()))
}

/// When a process started, in clock ticks: with the pid, its identity.
pub fn start(pid: i32) -> anyhow::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, rest) = text.rsplit_once(')').context("no name in /proc/PID/stat")?;
    let field = rest
        .split_whitespace()
        .nth(19)
        .context("no start in /proc/PID/stat")?;
    Ok(field.parse()?)
}

/// The threads of a process, the leader first.
pub fn threads(pid: i32) -> anyhow::Result<Vec<i32>> {
    let mut threads = numbers(&format!("/proc/{pid}/task"))?;
    threads.sort_unstable();
    Ok(threads)
}

/// Every process that there is, kernel threads too.
pub fn all() -> anyhow::Result<Vec<i32>> {
    numbers("/proc")
}

fn numbers(directory: &str) -> anyhow::Result<Vec<i32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).context(directory.to_owned())? {
        if let Ok(number) = entry?.file_name().to_string_lossy().parse() {
            found.push(number);
        }
    }
    if found.is_empty() {
        bail!("{directory} lists nothing");
    }
    Ok(found)
}
