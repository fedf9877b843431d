//! Servers and sessions from start to end, accidents included.

use std::thread;

use anyhow::{Context as _, ensure};
use nix::libc::{SIGKILL, SIGUSR1};

use crate::context::Context;
use crate::registry::{Test, enforcing};
use crate::support::agent::{AGENT, Agent};
use crate::support::cases::until;
use crate::support::guard;
use crate::support::process;
use crate::support::victim::{Kind, Victim};

/// All of them.
pub const TESTS: &[Test] = &[enforcing(
    "lifecycle::a_killed_server_changes_nothing",
    a_killed_server,
)];

const NAMED: &str = "\
version: 1
groups:
  victims:
    - { name: \"guard-tests\" }
rules:
  - name: leave-victims-alone
    deny: [signal]
    to: victims
    because: they have done nothing
";

fn a_killed_server(_: &mut Context) -> anyhow::Result<()> {
    let policy = guard::policy("named", NAMED)?;
    // This one starts a server of its own, which leaves when nothing is left to do.
    let mut guarded = Agent::with("survivor", 0, &["--policy", &policy])?;
    let mut user = Agent::guarded("user", AGENT)?;
    let victim = Victim::spawn(Kind::Plain, 0)?;
    guarded.refused("kill", &[&victim.pid, &SIGKILL])?;
    let server = guard::status()?["server"].as_i64().context("no server")? as i32;
    guard::kill(server)?;
    ensure!(guard::is_pinned(), "the programs went with the server");
    guarded.refused("kill", &[&victim.pid, &SIGKILL])?;
    guarded.refused("attach", &[&victim.pid])?;
    guarded.refused("unlink", &[&"/etc/passwd"])?;
    user.refused("unlink", &[&"/srv/work-survivor"]).ok();
    victim.ensure_whole()?;
    // A new process of the session, too.
    let result = guarded.attack_via("double-fork", "kill", &[&victim.pid, &SIGUSR1])?;
    ensure!(result == Err(nix::errno::Errno::EPERM), "{result:?}");
    victim.ensure_whole()?;

    // Several commands at once: one of them starts a server, and all of them are answered.
    let askers: Vec<_> = (0..4).map(|_| thread::spawn(guard::status)).collect();
    let mut servers = Vec::new();
    for asker in askers {
        let status = asker.join().map_err(|_| anyhow::anyhow!("a panic"))??;
        let sessions = status["sessions"].as_array().map_or(0, Vec::len);
        ensure!(sessions == 2, "{status}");
        servers.push(status["server"].as_i64().context("no server")?);
    }
    servers.dedup();
    ensure!(servers.len() == 1, "several servers: {servers:?}");
    ensure!(servers[0] != i64::from(server), "the server was not killed");

    let adopted = guard::wait_for_event("survivor", |event| event["change"] == "adopted");
    ensure!(adopted.is_ok(), "no event tells of it: {adopted:?}");
    // What happened while there was no server is told, with the names of the rules.
    let event = guard::wait_for_event("survivor", |event| event["signal"] == "USR1")?;
    ensure!(
        event["rule"] == "leave-victims-alone" && event["because"] == "they have done nothing",
        "{event}"
    );
    let session = guard::session("survivor")?;
    ensure!(session["command"][1] == "agent", "{session}");
    guarded.refused("kill", &[&victim.pid, &SIGKILL])?;

    // It ends as it would have.
    ensure!(guarded.dismiss()? == 0, "its status");
    ensure!(user.dismiss()? == 0, "the other's status");
    let gone = until(guard::PATIENCE, || {
        !guard::is_pinned() && process::state(servers[0] as i32).is_none()
    });
    ensure!(
        gone,
        "the server or its programs are left after the last session"
    );
    Ok(())
}
