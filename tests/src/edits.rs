//! Edits of a policy while a session does, as fast as it can, what both the old and the new one permit,
//! and what both forbid: no verdict is ever one of neither. Nor is half of one: limits, grants and what is
//! remembered of files that may be written belong to the policy that an act is judged under.

use std::fmt::{Display, Write as _};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::ops::Range;
use std::os::fd::AsFd as _;
use std::os::unix::fs::chown;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use nix::errno::Errno;
use nix::libc;
use serde_json::Value;

use crate::context::Context;
use crate::registry::{Test, few};
use crate::support::agent::{AGENT, Agent};
use crate::support::guard::{self, GUARD, Server, guard};
use crate::support::raw;
use crate::support::victim::{Kind, Victim};

/// All of them.
pub const TESTS: &[Test] = &[
    few("policy::edits_under_load", edits_under_load),
    few("policy::edits_amid_an_act", edits_amid_an_act),
];

/// How many edits. `GUARD_EDITS=1000 cargo xtask test --vm policy::edits` makes more.
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
    fn start(session: &str) -> anyhow::Result<Self> {
        let mut child = Command::new(GUARD)
            .args(["tail", "--json", "--session", session, "--since", "1h"])
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

/// How many edits are wanted.
fn edits() -> anyhow::Result<usize> {
    match std::env::var("GUARD_EDITS") {
        Ok(number) => number.parse().context("GUARD_EDITS is no number"),
        Err(_) => Ok(EDITS),
    }
}

fn edits_under_load(_: &mut Context) -> anyhow::Result<()> {
    const END: &str = "/tmp/hammered-end";
    let edits = edits()?;
    fs::create_dir_all("/srv/hammered")?;
    for path in [PERMITTED, FORBIDDEN] {
        fs::write(path, "")?;
        chown(path, Some(AGENT), Some(AGENT))?;
    }
    let file = guard::policy("hammered", &policy(0))?;
    let _server = Server::start()?;
    let mut agent = Agent::with("hammered", AGENT, &["--policy", &file])?;
    let victim = Victim::spawn(Kind::Plain, AGENT)?;
    let mut tail = Tail::start("hammered")?;
    let pid = victim.pid;
    let start = Instant::now();
    let hammering = std::thread::spawn(move || {
        let words: [&dyn Display; 4] = [&pid, &PERMITTED, &FORBIDDEN, &END];
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

/// Where the files are that acts are about: so deep that looking for the rule is most of an act.
const DEEP: &str = "/srv/amid";
/// How many directories they lie in, each with a name of so many bytes.
const DIRECTORIES: usize = 16;
const NAME: usize = 250;

/// The policy after so many edits. Whether the edit is even or odd, the same is let through: but each rule
/// stands where the other policy has another one, which lets through what this one refuses, or the other way
/// round. What may be opened to be written is another thing each time.
///
/// At first (0) the rule by which `closed` is refused is the one that gets a grant. After that another
/// rule comes before it, and the grant is of no use any more.
fn amid(edit: usize) -> String {
    let mut text = "version: 1\nrules:\n".to_owned();
    if !edit.is_multiple_of(2) {
        text += "  - { name: first, deny: [attributes], on: /srv/nothing/** }\n";
    }
    let closed = if edit == 0 { "nothing" } else { "closed" };
    let verb = if edit.is_multiple_of(2) {
        "allow"
    } else {
        "deny"
    };
    let _ = write!(
        text,
        "  - {{ name: spent, allow: [attributes], on: {DEEP}/**/spent, at-most: {{ count: 1, per: session }} }}\n  \
         - {{ name: ample, allow: [attributes], on: {DEEP}/**/ample, at-most: {{ count: 1000000000, per: session }} }}\n  \
         - {{ name: closed, deny: [attributes], on: {DEEP}/**/{closed} }}\n  \
         - {{ name: lifted, deny: [attributes], on: [{DEEP}/**/closed, {DEEP}/**/lifted] }}\n  \
         - {{ name: opened, {verb}: [overwrite], on: {DEEP}/**/opened }}\n# edit {edit}\n"
    );
    text
}

/// A kernel that can be interrupted anywhere, as far as it goes.
struct Preempted(String);

impl Preempted {
    /// The mode, the one in force in parentheses.
    const FILE: &str = "/sys/kernel/debug/sched/preempt";

    fn fully() -> anyhow::Result<Self> {
        let modes = fs::read_to_string(Self::FILE).context(Self::FILE)?;
        let before = modes.split(['(', ')']).nth(1).context(modes.clone())?;
        fs::write(Self::FILE, "full").context(Self::FILE)?;
        Ok(Self(before.to_owned()))
    }
}

impl Drop for Preempted {
    fn drop(&mut self) {
        let _ = fs::write(Self::FILE, &self.0);
    }
}

/// Has all threads of a process run before whatever else wants to.
fn come_first(pid: i32) -> anyhow::Result<()> {
    let priority = 1_i32;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let name = thread?.file_name();
        let thread: usize = name.to_str().context("no number")?.parse()?;
        let words = [
            thread,
            libc::SCHED_FIFO as usize,
            (&raw const priority) as usize,
        ];
        raw::call(libc::SYS_sched_setscheduler, &words)?;
    }
    Ok(())
}

/// An edit whenever a timer ends, which is in the middle of an act mostly: server and test come first then, and
/// the act goes on under another policy's rule.
fn edits_amid_an_act(_: &mut Context) -> anyhow::Result<()> {
    let edits = edits()?;
    let mut directory = DEEP.to_owned();
    for number in 0..DIRECTORIES {
        let _ = write!(directory, "/{number:0NAME$}");
    }
    fs::create_dir_all(&directory)?;
    let path = |name: &str| format!("{directory}/{name}");
    for name in ["spent", "ample", "closed", "lifted", "opened"] {
        fs::write(path(name), "")?;
        chown(path(name), Some(AGENT), Some(AGENT))?;
    }
    let file = guard::policy("amid", &amid(0))?;
    let server = Server::start()?;
    let mut agent = Agent::with("amid", AGENT, &["--policy", &file])?;
    for name in ["closed", "lifted"] {
        let words = ["allow", "amid", "attributes", &path(name)];
        guard(&[&words[..], &["--rule", "lifted", "--for", "1d"]].concat())?.ensure_status(0)?;
    }
    // One is let through, and no more.
    let text = format!("t:{}", path("spent"));
    agent.succeed("script", &[&libc::SYS_chmod, &text, &0o644])?;
    agent.refused("script", &[&libc::SYS_chmod, &text, &0o644])?;
    // With a descriptor of before.
    let mut writer = Agent::moved("amid")?;
    let opened = fs::File::options().write(true).open(path("opened"))?;
    let mut tail = Tail::start("amid")?;
    let mut edit = |number: usize| {
        let new = format!("{file}.new");
        fs::write(&new, amid(number))?;
        fs::rename(&new, &file)?;
        tail.applied().with_context(|| format!("edit {number}"))
    };
    let write = [
        libc::SYS_write.to_string(),
        "received".into(),
        "t:x".into(),
        "1".into(),
    ];
    let mut edit_and_write = |number: usize| {
        edit(number)?;
        let written = writer.script(&write, Some(opened.as_fd()))?;
        let expected = if number.is_multiple_of(2) {
            Ok(1)
        } else {
            Err(Errno::EPERM)
        };
        ensure!(
            written == expected,
            "after edit {number}, writing to what was opened before: {written:?}"
        );
        Ok(())
    };
    // The grant for `closed` counts no more, before it is tried.
    edit_and_write(1)?;
    let _preempted = Preempted::fully()?;
    come_first(server.pid())?;
    come_first(std::process::id() as i32)?;
    // Apart, since what makes records leaves less time to be interrupted in.
    for (files, numbers) in [
        (&["permitted:ample", "opened:opened"][..], 2..edits + 2),
        (
            &["forbidden:closed", "permitted:lifted", "forbidden:spent"],
            edits + 2..2 * edits + 2,
        ),
    ] {
        agent = hammer_amid(agent, &directory, files, numbers, &mut edit_and_write)?;
    }
    Ok(())
}

/// Edits while the agent does to files what it is to do.
fn hammer_amid(
    mut agent: Agent,
    directory: &str,
    files: &[&str],
    mut edits: Range<usize>,
    edit: &mut impl FnMut(usize) -> anyhow::Result<()>,
) -> anyhow::Result<Agent> {
    const END: &str = "/tmp/amid-end";
    let _ = fs::remove_file(END);
    let words = [END, directory].into_iter().chain(files.iter().copied());
    let words: Vec<_> = words.map(str::to_owned).collect();
    let count = edits.len();
    let hammering = std::thread::spawn(move || {
        let words: Vec<&dyn Display> = words.iter().map(|word| word as &dyn Display).collect();
        agent
            .succeed("hammer-files", &words)
            .map(|done| (done, agent))
    });
    let edited = edits.try_for_each(|number| {
        // Where it has found a wrong verdict, nothing would happen any more.
        ensure!(
            !hammering.is_finished(),
            "it has stopped before edit {number}"
        );
        std::thread::sleep(Duration::from_micros(3000 + number as u64 * 7919 % 17_000));
        edit(number)
    });
    fs::write(END, "")?;
    let hammered = hammering
        .join()
        .map_err(|_| anyhow::anyhow!("it panicked"))?;
    let (done, agent) = hammered?;
    edited?;
    println!("    {count} edits, {done} rounds of {files:?}");
    // None of them was before or behind the edits only.
    ensure!(done > count as i64, "{done} rounds in {count} edits");
    Ok(agent)
}
