//! `kill -9 -1`: every process of the machine is tried, and one line tells of it.

use anyhow::ensure;
use nix::libc::SIGKILL;

use crate::context::Context;
use crate::support::agent::{AGENT, Agent, SELF};
use crate::support::guard::{self, GUARD, Server};
use crate::support::process;
use crate::support::victim::{Kind, Victim};

/// `kill -9 -1` from a session of root's.
pub fn kill_everything(_: &mut Context) -> anyhow::Result<()> {
    const OWN: usize = 3;
    let _server = Server::start()?;
    // The name is kept in the status by a process that is not there when everything is killed.
    let mut keeper = Agent::guarded("keeper", 0)?;
    let mut victims = Vec::new();
    for uid in [0, 0, 0, AGENT, AGENT, 1001] {
        victims.push(Victim::spawn(Kind::Plain, uid)?);
    }
    victims.push(Victim::spawn(Kind::Threads, AGENT)?);
    let before = process::all()?;
    let output = guard::ran(
        std::process::Command::new(GUARD)
            .args(["run", "--user", "root", "--name", "all", "--"])
            .args([SELF, "attack", "1", "children-and-all"])
            .arg(OWN.to_string())
            .current_dir("/srv/work-keeper"),
    )?;
    let after = process::all()?;
    output.ensure_status(0)?;
    ensure!(
        output.out.contains(&format!("{{\"value\":{OWN}}}")),
        "its own children should have died: {}",
        output.out
    );
    for victim in &victims {
        victim.ensure_whole()?;
    }
    keeper.refused("kill", &[&victims[0].pid, &SIGKILL])?;
    let event = guard::wait_for_event("all", |event| event["signal"] == "KILL")?;
    let folded: Vec<_> = guard::events("all")?
        .into_iter()
        .filter(|event| event["signal"] == "KILL")
        .collect();
    ensure!(folded.len() == 1, "{} lines: {folded:?}", folded.len());
    // Everything but process 1 is tried: both lists, without it, with the command's client.
    let common = before.iter().filter(|pid| after.contains(pid)).count() - 1 + 1;
    let at_most = before.len() + after.len() - common;
    let count = event["count"].as_u64().unwrap_or(0) as usize;
    ensure!(
        (common..=at_most).contains(&count),
        "{count} were refused; there were {common} to {at_most} processes: {event}"
    );
    let ended = guard::wait_for_event("all", |event| event["change"] == "ended")?;
    let told: u64 = guard::events("all")?
        .iter()
        .filter(|event| event["operation"] == "signal" && event["verdict"] == "deny")
        .filter_map(|event| event["count"].as_u64())
        .sum();
    ensure!(
        ended["refused"]["signal"] == told,
        "events tell of {told} signals, and the end is {ended}"
    );
    ensure!(
        output.err.contains(&count.to_string()),
        "the summary lacks {count}: {}",
        output.err
    );
    Ok(())
}
