//! Handing the machine over to systemd, with the job as one of its services.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// systemd, as Debian has it.
const SYSTEMD: &str = "/usr/lib/systemd/systemd";

/// Where an administrator's units are.
const UNITS: &str = "/etc/systemd/system";

/// What the machine is to reach: everything that Debian starts, and then the job.
const TARGET: &str = "guard-tests.target";

/// The job's unit.
const SERVICE: &str = "guard-tests.service";

/// The processes of the job's unit.
const MEMBERS: &str = "/sys/fs/cgroup/system.slice/guard-tests.service/cgroup.procs";

/// How long processes that were killed may take to be gone.
const PATIENCE: Duration = Duration::from_secs(2);

/// Gives the machine to systemd; returns only when it cannot be run.
pub fn start() -> anyhow::Result<()> {
    let target =
        "[Unit]\nRequires=multi-user.target\nAfter=multi-user.target\nWants=guard-tests.service\n";
    let service = "[Unit]\nAfter=multi-user.target\n\
        [Service]\nType=oneshot\nExecStart=/usr/bin/guard-tests service\n\
        StandardOutput=tty\nStandardError=tty\nTTYPath=/dev/ttyS0\n\
        OOMPolicy=continue\nTasksMax=infinity\nLimitMEMLOCK=infinity\n";
    for (unit, text) in [(TARGET, target), (SERVICE, service)] {
        let file = Path::new(UNITS).join(unit);
        fs::write(&file, text).with_context(|| format!("failed to write {}", file.display()))?;
    }
    // Nobody logs in on the console, which is the tests'.
    let _ = symlink(
        "/dev/null",
        Path::new(UNITS).join("serial-getty@ttyS0.service"),
    );
    let error = Command::new(SYSTEMD)
        .arg(format!("--unit={TARGET}"))
        .env_clear()
        .exec();
    Err(error).with_context(|| format!("failed to run {SYSTEMD}"))
}

/// Ends what a test left running: guard, its sessions, and what is in the job's cgroup. Services
/// of Debian's go on.
pub fn end_everything() {
    let _ = Command::new("systemctl")
        .args(["stop", "--quiet", "guard.service", "guard-*.scope"])
        .status();
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        let members = fs::read_to_string(MEMBERS).unwrap_or_default();
        let others = members.lines().filter_map(|pid| pid.parse().ok());
        let mut gone = true;
        for pid in others.filter(|pid| *pid != std::process::id() as i32) {
            gone = false;
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        // Its own children stay until somebody asks what became of them.
        while matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(status) if status != WaitStatus::StillAlive)
        {
        }
        if gone {
            return;
        }
        sleep(Duration::from_millis(2));
    }
}
