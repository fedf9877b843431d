//! Guard itself: its start, its sessions, its memory.

use std::env;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::line;
use super::subject::{Outsider, WORKSPACE};

/// The case of which the refusals are expected.
pub const IN_SESSION: &str = "guard, in a session";

/// The default policy, and leave for what measures to go before everything else.
const MEASURED: &str = r"
version: 1
include: [default]
rules:
  - allow: [machine]
    facilities: [priority]
    because: the measurement must not be interrupted
";

/// A policy that lets a signal to a foreign process through as well, for one question about it.
const LENIENT: &str = r"
version: 1
groups:
  roots: [{ user: root }]
rules:
  - allow: [machine]
    facilities: [priority]
    because: the measurement must not be interrupted
  - allow: [signal]
    to: roots
    because: the measurement of what is let through
";

/// Refusals after which the server's memory is looked at again.
const EVENTS: u32 = 10_000;

/// Where the programs are pinned.
const PINS: &str = "/sys/fs/bpf/guard";

/// The table of guard's own figures.
const TABLE: &str = "guard";

/// Runs a part of this program as a process of its own.
pub fn itself(arguments: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new(env::current_exe()?);
    command.arg("bench").args(arguments);
    succeed(&mut command)
}

fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let status = command.stdin(Stdio::null()).status()?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}

/// A server with the programs loaded: both go when this goes.
pub struct Server(Child);

impl Server {
    /// Starts it, and measures how much it has executed when it is ready.
    pub fn start() -> anyhow::Result<Self> {
        let path = "/run/guard-bench.socket";
        let socket = UnixDatagram::bind(path)?;
        socket.set_read_timeout(Some(Duration::from_mins(2)))?;
        let child = Command::new("guard")
            .args(["server", "--stay"])
            .env("NOTIFY_SOCKET", path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("failed to start guard")?;
        let server = Self(child);
        let mut message = [0; 256];
        loop {
            let length = socket
                .recv(&mut message)
                .context("the server does not say that it is ready")?;
            if message[..length].starts_with(b"READY=1") {
                break;
            }
        }
        let executed = server.executed()?;
        line(
            TABLE,
            "instructions from start to armed (millions)",
            "figure",
            executed / 1_000_000,
            "",
        );
        line(
            TABLE,
            "of these in the kernel: loading, verifying, attaching (millions)",
            "figure",
            server.in_kernel()? / 1_000_000,
            "",
        );
        server.resident("resident memory when armed (kB)")?;
        Ok(server)
    }

    /// Runs a part of this program in a session.
    #[allow(
        clippy::unused_self,
        reason = "there is a session only while there is a server"
    )]
    pub fn in_session(&self, arguments: &[&str]) -> anyhow::Result<()> {
        under(MEASURED, arguments)
    }

    /// Runs a part of this program in a session that may signal what root runs.
    #[allow(clippy::unused_self, reason = "as above")]
    pub fn in_lenient_session(&self, arguments: &[&str]) -> anyhow::Result<()> {
        under(LENIENT, arguments)
    }

    /// Looks at the memory with one session, and after many events.
    pub fn memory(&self, outsider: &Outsider) -> anyhow::Result<()> {
        let mut living = Command::new("guard")
            .args(["run", "--user", "root", "--workspace", WORKSPACE, "--"])
            .args(["sleep", "1000000"])
            .stdin(Stdio::null())
            .spawn()?;
        std::thread::sleep(Duration::from_secs(3));
        self.resident("resident memory with a session (kB)")?;
        let pid = outsider.to_string();
        let session = |events: u32| {
            let before = self.executed()?;
            self.in_session(&["refusals", &pid, &events.to_string()])?;
            anyhow::Ok(self.executed()? - before)
        };
        let without = session(0)?;
        line(
            TABLE,
            "the server's instructions for a session (millions)",
            "figure",
            without / 1_000_000,
            "",
        );
        let with = session(EVENTS)?;
        line(
            TABLE,
            "the server's instructions for an event",
            "figure",
            with.saturating_sub(without) / u64::from(EVENTS),
            "",
        );
        self.resident("resident memory after 10,000 events (kB)")?;
        kill(Pid::from_raw(living.id() as i32), Signal::SIGTERM)?;
        living.wait()?;
        Ok(())
    }

    /// Instructions that it has executed, with the kernel's for it: the time that the scheduler
    /// has given to its threads.
    fn executed(&self) -> anyhow::Result<u64> {
        let mut sum = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.0.id()))? {
            let text = fs::read_to_string(task?.path().join("schedstat"))?;
            let first = text
                .split_whitespace()
                .next()
                .context("an empty schedstat")?;
            sum += first.parse::<u64>()?;
        }
        Ok(sum)
    }

    /// How many of those in the kernel: the 15th field of `/proc/PID/stat`, in ticks of 10 ms,
    /// which are ten million instructions here.
    fn in_kernel(&self) -> anyhow::Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        // The second field is a name in parentheses.
        let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks = rest.split_whitespace().nth(12).context("a short stat")?;
        Ok(ticks.parse::<u64>()? * 10_000_000)
    }

    fn resident(&self, what: &str) -> anyhow::Result<()> {
        let path = format!("/proc/{}/status", self.0.id());
        let text = fs::read_to_string(&path)?;
        let Some(value) = text
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.split_whitespace().next())
        else {
            bail!("{path} has no VmRSS");
        };
        line(TABLE, what, "figure", value.parse()?, "");
        Ok(())
    }
}

/// Runs a part of this program in a session under a policy.
fn under(policy: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let path = "/run/guard-bench.yaml";
    fs::write(path, policy)?;
    let mut command = Command::new("guard");
    command
        .args(["run", "--user", "root", "--workspace", WORKSPACE])
        .args(["--policy", path, "--"])
        .arg(env::current_exe()?)
        .arg("bench")
        .args(arguments)
        .current_dir(WORKSPACE);
    succeed(&mut command)
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        // Programs go with their pins.
        let _ = fs::remove_dir_all(PINS);
    }
}
