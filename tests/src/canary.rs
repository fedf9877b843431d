//! Proof of life: what is loaded is enforced, or the sessions are frozen and everybody is told.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use nix::libc::{EOPNOTSUPP, SIGKILL};
use serde_json::Value;

use crate::context::Context;
use crate::registry::{Test, enforcing};
use crate::support::agent::{AGENT, Agent};
use crate::support::cases::until;
use crate::support::guard::{self, GUARD, Server};
use crate::support::process;
use crate::support::victim::{Kind, Victim};

/// All of them.
pub const TESTS: &[Test] = &[
    enforcing(
        "canary::programs_that_are_switched_off_freeze_the_sessions",
        switched_off,
    ),
    enforcing("canary::a_frozen_session_can_be_stopped", frozen_is_stopped),
    enforcing(
        "canary::pins_that_are_removed_freeze_the_sessions",
        unpinned,
    ),
    enforcing("canary::it_is_seen_as_health_only", only_health),
    enforcing(
        "canary::it_is_replaced_when_it_or_the_server_is_killed",
        replaced,
    ),
];

/// The kernel's switch.
const FTRACE: &str = "/proc/sys/kernel/ftrace_enabled";

/// Within what a failure must show on a machine that is emulated: generous. The time that it took
/// is in the log.
const DEADLINE: Duration = Duration::from_secs(30);

/// Switches the programs off; false on kernels that don't let that happen (from 7.3 on).
fn switch_off() -> anyhow::Result<bool> {
    match fs::write(FTRACE, "0") {
        Err(error) if error.raw_os_error() == Some(EOPNOTSUPP) => {
            let switch = fs::read_to_string(FTRACE)?;
            ensure!(switch.trim() == "1", "the switch is {switch}");
            Ok(false)
        }
        result => {
            result?;
            Ok(true)
        }
    }
}

/// Whether all processes of a session's cgroup stand still.
fn is_frozen(cgroup: &str) -> bool {
    fs::read_to_string(format!("{cgroup}/cgroup.events"))
        .is_ok_and(|events| events.lines().any(|line| line == "frozen 1"))
}

fn cgroup(session: &str) -> anyhow::Result<String> {
    let session = guard::session(session)?;
    Ok(session["cgroup"].as_str().context("no cgroup")?.to_owned())
}

/// Waits until a session is frozen, or not any more.
fn wait_for(cgroup: &str, frozen: bool) -> anyhow::Result<()> {
    let start = Instant::now();
    let came = until(DEADLINE, || is_frozen(cgroup) == frozen);
    println!("  frozen {frozen} after {} ms", start.elapsed().as_millis());
    ensure!(came, "{cgroup}: frozen is not {frozen}");
    Ok(())
}

/// The lines that `guard tail` writes from now on.
struct Tail {
    child: std::process::Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Tail {
    fn start() -> anyhow::Result<Self> {
        let mut child = Command::new(GUARD)
            .args(["tail", "--json"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = BufReader::new(child.stdout.take().context("no output")?);
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let into = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if let Ok(mut lines) = into.lock() {
                    lines.push(line);
                }
            }
        });
        Ok(Self { child, lines })
    }

    /// Waits until it follows: until what is refused now shows.
    fn wait_until_it_follows(&self, agent: &mut Agent) -> anyhow::Result<()> {
        let follows = until(DEADLINE, || {
            let _ = agent.attack("kill", &[&std::process::id(), &SIGKILL]);
            std::thread::sleep(Duration::from_millis(300));
            self.lines.lock().is_ok_and(|lines| !lines.is_empty())
        });
        ensure!(follows, "guard tail shows nothing");
        Ok(())
    }

    fn wait_for(&self, parts: &[&str]) -> anyhow::Result<()> {
        let text = || {
            let lines = self.lines.lock();
            lines.map(|lines| lines.join("\n")).unwrap_or_default()
        };
        let has = |line: &str| parts.iter().all(|part| line.contains(part));
        ensure!(
            until(DEADLINE, || text().lines().any(has)),
            "guard tail does not say {parts:?}: {}",
            text()
        );
        Ok(())
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The alarm in `guard status --json`.
fn alarm() -> anyhow::Result<Option<String>> {
    Ok(guard::status()?["alarm"].as_str().map(str::to_owned))
}

fn switched_off(_: &mut Context) -> anyhow::Result<()> {
    let _server = Server::start()?;
    let victim = Victim::spawn(Kind::Plain, 0)?;
    let mut agent = Agent::guarded("lively", 0)?;
    let mut user = Agent::guarded("other", AGENT)?;
    let tail = Tail::start()?;
    tail.wait_until_it_follows(&mut agent)?;
    agent.refused("kill", &[&victim.pid, &SIGKILL])?;
    let (first, second) = (cgroup("lively")?, cgroup("other")?);
    if !switch_off()? {
        return Ok(());
    }
    let seen = (|| {
        wait_for(&first, true)?;
        wait_for(&second, true)?;
        tail.wait_for(&["\"error\"", "signal", "delete", "kernel.ftrace_enabled=1"])?;
        let said = alarm()?.context("no alarm")?;
        ensure!(said.contains("frozen") && said.contains("signal"), "{said}");
        guard::wait_for_event("lively", |event| event["level"] == "error")?;
        let doctor = guard::guard(&["doctor"])?;
        ensure!(doctor.status == 1, "{doctor:?}");
        Ok(())
    })();
    fs::write(FTRACE, "1")?;
    seen?;
    wait_for(&first, false)?;
    wait_for(&second, false)?;
    tail.wait_for(&["\"info\"", "enforces again"])?;
    ensure!(alarm()?.is_none(), "the alarm stays");
    agent.refused("kill", &[&victim.pid, &SIGKILL])?;
    user.refused("kill", &[&victim.pid, &SIGKILL])?;
    victim.ensure_whole()?;
    ensure!(agent.dismiss()? == 0 && user.dismiss()? == 0, "their ends");
    let gone = until(DEADLINE, || {
        guard::status().is_ok_and(|status| status["sessions"] == Value::Array(Vec::new()))
    });
    ensure!(gone, "sessions are left: {}", guard::status()?);
    Ok(())
}

fn frozen_is_stopped(_: &mut Context) -> anyhow::Result<()> {
    let _server = Server::start()?;
    let agent = Agent::guarded("stopped", 0)?;
    let cgroup = cgroup("stopped")?;
    if !switch_off()? {
        return Ok(());
    }
    let stopped =
        wait_for(&cgroup, true).and_then(|()| guard::guard(&["stop", "--grace", "60", "stopped"]));
    let gone = until(DEADLINE, || process::state(agent.pid).is_none());
    fs::write(FTRACE, "1")?;
    stopped?.ensure_status(0)?;
    ensure!(gone, "its process goes on");
    ensure!(guard::session("stopped").is_err(), "it is listed");
    drop(agent);
    // The next one is as it should be.
    let healthy = until(DEADLINE, || alarm().is_ok_and(|alarm| alarm.is_none()));
    ensure!(healthy, "the alarm stays");
    let victim = Victim::spawn(Kind::Plain, 0)?;
    Agent::guarded("stopped", 0)?.refused("kill", &[&victim.pid, &SIGKILL])
}

fn unpinned(_: &mut Context) -> anyhow::Result<()> {
    let _server = Server::start()?;
    let mut agent = Agent::guarded("unpinned", 0)?;
    let cgroup = cgroup("unpinned")?;
    let tail = Tail::start()?;
    tail.wait_until_it_follows(&mut agent)?;
    for entry in fs::read_dir(guard::PINS)?.flatten() {
        fs::remove_dir_all(entry.path())?;
    }
    wait_for(&cgroup, true)?;
    tail.wait_for(&["\"error\"", "frozen", "removed the programs"])?;
    // It can't go on without programs; what is left is to end it.
    guard::guard(&["stop", "unpinned"])?.ensure_status(0)?;
    ensure!(process::state(agent.pid).is_none(), "its process goes on");
    Ok(())
}

fn only_health(_: &mut Context) -> anyhow::Result<()> {
    let _server = Server::start()?;
    let tail = Tail::start()?;
    let agent = Agent::guarded("watched", 0)?;
    std::thread::sleep(Duration::from_secs(6));
    let status = guard::status()?;
    let sessions = status["sessions"].as_array().context("no sessions")?;
    ensure!(
        sessions.len() == 1 && sessions[0]["name"] == "watched",
        "{status}"
    );
    let proved: Vec<_> = status["proved"]
        .as_array()
        .context("nothing proved")?
        .iter()
        .collect();
    for family in ["signal", "inspect", "trace", "delete"] {
        ensure!(proved.iter().any(|name| **name == family), "{status}");
    }
    ensure!(status["alarm"].is_null(), "{status}");
    ensure!(guard::count("watched", "signal", "deny")? == 0, "{status}");
    drop(agent);
    tail.wait_for(&["watched", "ended"])?;
    let lines = tail.lines.lock().map(|lines| lines.join("\n"));
    let lines = lines.unwrap_or_default();
    ensure!(!lines.contains("\"verdict\""), "{lines}");
    Ok(())
}

/// The canary's process.
fn canary() -> anyhow::Result<i32> {
    let text = fs::read_to_string("/sys/fs/cgroup/guard/guard-canary/cgroup.procs")?;
    Ok(text.trim().parse()?)
}

fn replaced(_: &mut Context) -> anyhow::Result<()> {
    let mut server = Server::start()?;
    let mut agent = Agent::guarded("steady", 0)?;
    let victim = Victim::spawn(Kind::Plain, 0)?;
    let first = canary()?;
    agent.refused("kill", &[&first, &SIGKILL])?;
    guard::kill(first)?;
    let came = until(DEADLINE, || canary().is_ok_and(|next| next != first));
    ensure!(came, "there is no other canary");
    let proved = until(DEADLINE, || alarm().is_ok_and(|alarm| alarm.is_none()));
    ensure!(proved && !is_frozen(&cgroup("steady")?), "{:?}", alarm()?);

    let second = canary()?;
    server.kill()?;
    let _ = fs::remove_file("/run/guard/control.sock");
    let ended = until(DEADLINE, || process::state(second).is_none_or(|s| s == 'Z'));
    ensure!(ended, "it lives on without its server");
    let status = guard::status()?;
    let sessions = status["sessions"].as_array().context("no sessions")?;
    ensure!(sessions.len() == 1, "{status}");
    let came = until(DEADLINE, || canary().is_ok_and(|next| next != second));
    ensure!(came, "the next server has no canary");
    agent.refused("kill", &[&victim.pid, &SIGKILL])?;
    victim.ensure_whole()?;
    ensure!(agent.dismiss()? == 0, "its end");
    // The server that took over leaves with the last session, and takes everything with it.
    let gone = until(DEADLINE, || !guard::is_pinned());
    ensure!(gone, "the engine is left: {}", guard::status()?);
    ensure!(
        !std::path::Path::new("/sys/fs/cgroup/guard").exists(),
        "cgroups are left"
    );
    Ok(())
}
