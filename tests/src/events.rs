//! Events: live and from the logs, when there are too many of them, when the disk is full.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nix::libc::{self, SIGHUP, SIGWINCH};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::Value;

use crate::context::Context;
use crate::registry::{Test, enforcing};
use crate::support::agent::{AGENT, Agent};
use crate::support::cases::{Cases, until};
use crate::support::guard::{self, GUARD, Server};
use crate::support::raw;
use crate::support::victim::{Kind, Victim};

/// All of them.
pub const TESTS: &[Test] = &[
    enforcing("events::tail_follows_and_escapes", tail_follows),
    enforcing("events::a_full_ring_costs_events_and_no_verdict", full_ring),
    enforcing("events::a_full_disk_costs_events_and_no_verdict", full_disk),
];

/// `guard tail` that follows.
struct Tail {
    child: Child,
    lines: Receiver<String>,
}

impl Tail {
    fn start(options: &[&str]) -> anyhow::Result<Self> {
        let mut child = Command::new(GUARD)
            .arg("tail")
            .args(options)
            .env("COLUMNS", "80")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let out: ChildStdout = child.stdout.take().context("no output")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        // It has no way to say that it follows: it holds a connection to the control socket,
        // which is the only socket that it has.
        let pid = child.id();
        let follows = until(guard::PATIENCE, || {
            fs::read_dir(format!("/proc/{pid}/fd"))
                .into_iter()
                .flatten()
                .flatten()
                .any(|entry| {
                    fs::read_link(entry.path())
                        .is_ok_and(|to| to.to_string_lossy().starts_with("socket:"))
                })
        });
        ensure!(follows, "guard tail does not connect");
        std::thread::sleep(Duration::from_millis(100));
        Ok(Self { child, lines })
    }

    fn wait_for(&self, wanted: impl Fn(&str) -> bool) -> anyhow::Result<String> {
        let mut seen = Vec::new();
        loop {
            let line = self
                .lines
                .recv_timeout(guard::PATIENCE)
                .with_context(|| format!("no such line among {seen:?}"))?;
            if wanted(&line) {
                return Ok(line);
            }
            seen.push(line);
        }
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn tail_follows(_: &mut Context) -> anyhow::Result<()> {
    let _server = Server::start()?;
    let mut cases = Cases::default();
    let mut agent = Agent::guarded("seen", 0)?;
    let mut unseen = Agent::guarded("unseen", AGENT)?;
    let victim = Victim::spawn(Kind::Plain, AGENT)?;
    let json = Tail::start(&["--json", "--session", "seen"])?;
    let text = Tail::start(&[])?;
    let only = Tail::start(&["--json", "--op", "delete"])?;
    cases.run("a refusal as it happens", || {
        unseen.refused("kill", &[&victim.pid, &SIGHUP])?;
        agent.refused("kill", &[&victim.pid, &SIGHUP])?;
        let line = json.wait_for(|line| line.contains("\"HUP\""))?;
        let event: Value = serde_json::from_str(&line)?;
        ensure!(
            event["session"] == "seen" && event["target"]["pid"] == victim.pid,
            "{line}"
        );
        let line = text.wait_for(|line| line.contains("HUP"))?;
        ensure!(line.contains("seen"), "{line:?}");
        Ok(())
    });
    cases.run("names are escaped", || {
        let name = "/srv/\u{1b}[31mred\u{202e}txt\n\u{7}";
        fs::write(name, "")?;
        agent.refused("unlink", &[&name])?;
        let line = json.wait_for(|line| line.contains("red"))?;
        ensure!(line.contains("\\u001b[31mred\\u202e"), "{line:?}");
        let event: Value = serde_json::from_str(&line)?;
        ensure!(event["target"]["path"] == name, "{event}");
        let line = text.wait_for(|line| line.contains("red"))?;
        ensure!(
            !line.contains(['\u{1b}', '\u{202e}', '\u{7}']),
            "raw: {line:?}"
        );
        let line = only.wait_for(|_| true)?;
        ensure!(
            line.contains("\"delete\"") && line.contains("red"),
            "{line}"
        );
        Ok(())
    });
    cases.run("bytes that are no text", || {
        use std::os::unix::ffi::OsStrExt as _;
        fs::create_dir("/srv/bytes")?;
        fs::write(std::ffi::OsStr::from_bytes(b"/srv/bytes/sub\xff"), "")?;
        // The attacker cannot be told this name in JSON; it removes what it finds.
        agent.succeed("all-below", &[&"/srv/bytes"])?;
        let line = json.wait_for(|line| line.contains("\"raw\""))?;
        ensure!(line.contains("737562ff"), "{line}");
        Ok(())
    });
    cases.run("the past", || {
        let ran = guard::guard(&["tail", "--json", "--no-follow", "--op", "signal"])?;
        let sessions: Vec<_> = ["\"seen\"", "\"unseen\""]
            .into_iter()
            .filter(|name| ran.out.contains(name))
            .collect();
        ensure!(sessions.len() == 2, "{}", ran.out);
        ensure!(!ran.out.contains("\"delete\""), "{}", ran.out);
        let ran = guard::guard(&["tail", "--no-follow", "--session", "seen"])?;
        ensure!(
            ran.out.contains("HUP") && !ran.out.contains('\u{1b}'),
            "{}",
            ran.out
        );
        let ran = guard::guard(&["tail", "--no-follow", "--verdict", "audit", "--since", "1h"])?;
        ensure!(!ran.out.contains("HUP"), "{}", ran.out);
        // The log up to here, and what happens from here on, without a seam.
        let all = Tail::start(&["--json", "--since", "1h", "--session", "seen"])?;
        all.wait_for(|line| line.contains("\"HUP\""))?;
        agent.refused("kill", &[&victim.pid, &SIGWINCH])?;
        all.wait_for(|line| line.contains("\"WINCH\""))?;
        Ok(())
    });
    cases.finish()
}

fn full_ring(_: &mut Context) -> anyhow::Result<()> {
    /// More than the ring's 4 MiB hold of records that are longer than 100 bytes.
    const ATTEMPTS: u64 = 45_000;
    let server = Server::start()?;
    let mut agent = Agent::guarded("ring", 0)?;
    let victim = Victim::spawn(Kind::Plain, 0)?;
    let before = guard::count("ring", "signal", "deny")?;
    let server_pid = server.pid() as usize;
    raw::call(libc::SYS_kill, &[server_pid, libc::SIGSTOP as usize])?;
    let refused = agent.succeed("flood", &[&victim.pid, &SIGWINCH, &ATTEMPTS]);
    raw::call(libc::SYS_kill, &[server_pid, libc::SIGCONT as usize])?;
    let refused = refused?;
    ensure!(
        refused as u64 == ATTEMPTS,
        "{refused} of {ATTEMPTS} were refused"
    );
    victim.ensure_whole()?;
    let counted = guard::count("ring", "signal", "deny")? - before;
    ensure!(counted == ATTEMPTS, "{counted} of {ATTEMPTS} were counted");
    let lost = guard::session("ring")?["lost"].as_u64().unwrap_or(0);
    ensure!(
        lost > 0,
        "nothing was lost: the ring is larger than the test"
    );
    let told = guard::wait_for_event("ring", |event| event["event"] == "lost")?;
    ensure!(
        told["what"] == "records" && told["operation"] == "signal",
        "{told}"
    );
    let sum = |field: &str, value: &str| -> anyhow::Result<u64> {
        Ok(guard::events("ring")?
            .iter()
            .filter(|event| event[field] == value)
            .filter_map(|event| event["count"].as_u64())
            .sum())
    };
    let adds_up = until(guard::PATIENCE, || {
        matches!(
            (sum("signal", "WINCH"), sum("what", "records")),
            (Ok(shown), Ok(lost)) if shown + lost == ATTEMPTS
        )
    });
    ensure!(
        adds_up,
        "{} events and {} lost are not {ATTEMPTS}",
        sum("signal", "WINCH")?,
        sum("what", "records")?
    );
    // And then all is as before.
    agent.refused("kill", &[&victim.pid, &SIGHUP])?;
    guard::wait_for_event("ring", |event| event["signal"] == "HUP")?;
    Ok(())
}

fn full_disk(_: &mut Context) -> anyhow::Result<()> {
    fs::create_dir_all("/var/log/guard")?;
    mount(
        Some("tmpfs"),
        "/var/log/guard",
        Some("tmpfs"),
        MsFlags::empty(),
        Some("size=64k,mode=700"),
    )?;
    let result = on_full_disk();
    umount2("/var/log/guard", MntFlags::MNT_DETACH)?;
    result
}

fn on_full_disk() -> anyhow::Result<()> {
    let _server = Server::start()?;
    let mut agent = Agent::guarded("disk", 0)?;
    let victim = Victim::spawn(Kind::Plain, 0)?;
    agent.refused("kill", &[&victim.pid, &SIGHUP])?;
    guard::wait_for_event("disk", |event| event["signal"] == "HUP")?;
    let fill = "/var/log/guard/fill";
    let written = fs::write(fill, vec![0; 1 << 20]);
    ensure!(written.is_err(), "the disk is not full");
    let tail = Tail::start(&["--json"])?;
    for _ in 0..40 {
        // Each in a process of its own, so that each is an event of its own: a page is full
        // after some of them.
        agent.refused("kill", &[&victim.pid, &SIGWINCH])?;
    }
    victim.ensure_whole()?;
    tail.wait_for(|line| line.contains("\"WINCH\""))
        .context("who follows sees it all the same")?;
    tail.wait_for(|line| line.contains("\"notice\"") && line.contains("No space left"))
        .context("it is said once")?;
    let mut unlogged = 0;
    until(guard::PATIENCE, || {
        unlogged =
            guard::session("disk").map_or(0, |session| session["unlogged"].as_u64().unwrap_or(0));
        unlogged > 0
    });
    ensure!(unlogged > 0, "{}", guard::session("disk")?);
    fs::remove_file(fill)?;
    agent.refused("kill", &[&victim.pid, &SIGHUP])?;
    let lost = guard::wait_for_event("disk", |event| event["what"] == "log")?;
    ensure!(
        lost["count"].as_u64().is_some_and(|count| count > 0),
        "{lost}"
    );
    Ok(())
}
