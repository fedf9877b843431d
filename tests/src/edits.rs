//! Edits of a policy while a session does, as fast as it can, what both the old and the new one permit,
//! and what both forbid: no verdict is ever one of neither.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::chown;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::context::Context;
use crate::registry::{Test, few};
use crate::support::agent::{AGENT, Agent};
use crate::support::guard::{self, GUARD, Server};
use crate::support::victim::{Kind, Victim};

/// All of them.
pub const TESTS: &[Test] = &[few("policy::edits_under_load", edits_under_load)];

/// How many edits. `GUARD_EDITS=1000 cargo xtask test --vm policy::edits_under_load` makes more.
const EDITS: usize = 40;

const PERMITTED: &str = "/srv/hammered/permitted";
const FORBIDDEN: &str = "/srv/hammered/forbidden";

/// The policy after so many edits. The rules that decide stand at another place each time, behind
/// others, in an automaton of another form.
fn policy(edit: usize) -> String {
    let mut text = "version: 1\ngroups:\n".to_owned();
    for index in 0..edit % 5 {
        let _ = writeln!(
            text,
            "  group-{index}: [{{ exe: \"/opt/{edit}/*-{index}\" }}]"
        );
    }
    text += "  everybody: [{ name: \"*\" }]\nrules:\n";
    for index in 0..edit % 7 * 3 {
        let (verb, other) = if edit.is_multiple_of(2) {
            ("allow", "deny")
        } else {
            ("deny", "allow")
        };
        let _ = writeln!(
            text,
            "  - {{ {verb}: [delete, attributes], on: \"/srv/hammered-{edit}/**/{index}\" }}"
        );
        let _ = writeln!(
            text,
            "  - {{ {other}: [signal], signals: [USR{}] }}",
            index % 2 + 1
        );
    }
    for index in 0..edit % 5 {
        let _ = writeln!(text, "  - {{ deny: [signal], to: group-{index} }}");
    }
    let _ = write!(
        text,
        "  - {{ deny: [attributes], on: {FORBIDDEN} }}\n  \
         - {{ allow: [attributes], on: \"/srv/hammered/**\" }}\n  \
         - {{ deny: [signal], signals: [CONT], to: everybody }}\n  \
         - {{ allow: [signal], signals: [WINCH], to: everybody }}\n"
    );
    text
}

/// `guard tail`, of which the edits that were put in force are looked at.
struct Tail(Child, BufReader<ChildStdout>);

impl Tail {
    fn start() -> anyhow::Result<Self> {
        let mut child = Command::new(GUARD)
            .args(["tail", "--json", "--session", "hammered", "--since", "1h"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().context("no output")?;
        Ok(Self(child, BufReader::new(output)))
    }

    /// Waits for an edit that is in force.
    fn applied(&mut self) -> anyhow::Result<()> {
        loop {
            let mut line = String::new();
            ensure!(self.1.read_line(&mut line)? > 0, "guard tail has ended");
            let event: Value = serde_json::from_str(&line)?;
            match event["change"].as_str() {
                Some("applied") => return Ok(()),
                Some("rejected" | "ended") => anyhow::bail!("{event}"),
                _ => {}
            }
        }
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn edits_under_load(_: &mut Context) -> anyhow::Result<()> {
    const END: &str = "/tmp/hammered-end";
    let edits = match std::env::var("GUARD_EDITS") {
        Ok(number) => number.parse().context("GUARD_EDITS is no number")?,
        Err(_) => EDITS,
    };
    fs::create_dir_all("/srv/hammered")?;
    for path in [PERMITTED, FORBIDDEN] {
        fs::write(path, "")?;
        chown(path, Some(AGENT), Some(AGENT))?;
    }
    let file = guard::policy("hammered", &policy(0))?;
    let _server = Server::start()?;
    let mut agent = Agent::with("hammered", AGENT, &["--policy", &file])?;
    let victim = Victim::spawn(Kind::Plain, AGENT)?;
    let mut tail = Tail::start()?;
    let pid = victim.pid;
    let start = Instant::now();
    let hammering = std::thread::spawn(move || {
        let words: [&dyn std::fmt::Display; 4] = [&pid, &PERMITTED, &FORBIDDEN, &END];
        agent.succeed("hammer", &words).map(|done| (done, agent))
    });
    let edited = (1..=edits).try_for_each(|edit| {
        // Where it has found a wrong verdict, nothing would happen any more.
        ensure!(
            !hammering.is_finished(),
            "it has stopped before edit {edit}"
        );
        let new = format!("{file}.new");
        fs::write(&new, policy(edit))?;
        fs::rename(&new, &file)?;
        tail.applied().with_context(|| format!("edit {edit}"))
    });
    fs::write(END, "")?;
    let hammered = hammering
        .join()
        .map_err(|_| anyhow::anyhow!("it panicked"))?;
    let (done, _agent) = hammered?;
    edited?;
    let seconds = start.elapsed().as_secs().max(1);
    println!(
        "    {edits} edits in {seconds} s, {done} permitted and {done} forbidden operations, {} of \
         each a second",
        done.unsigned_abs() / seconds
    );
    // None of them was before or behind the edits only.
    ensure!(done > edits as i64, "{done} operations in {edits} edits");
    victim.ensure_whole()
}
