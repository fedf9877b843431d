//! What a session may take of the machine: it reaches its limits, and the rest goes on.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nix::mount::{MsFlags, mount, umount};

use crate::cli::{ROOT, sh};
use crate::context::Context;
use crate::registry::{Test, enforcing};
use crate::support::cases::{Cases, until};
use crate::support::guard::{self, GUARD, Ran, Server};
use crate::support::victim::{Kind, Victim};

/// All of them.
pub const TESTS: &[Test] = &[
    enforcing(
        "limits::a_session_has_limits_unless_a_policy_says_otherwise",
        limits_are_set,
    ),
    enforcing(
        "limits::a_fork_bomb_ends_at_the_limit_of_its_session",
        fork_bomb,
    ),
    enforcing(
        "limits::a_session_that_takes_too_much_memory_is_ended_and_nobody_else",
        memory_hog,
    ),
    enforcing(
        "limits::an_edit_of_the_limits_counts_in_a_running_session",
        edited_limits,
    ),
    enforcing(
        "limits::a_controller_that_is_missing_is_said",
        missing_controller,
    ),
];

/// How long an emulated processor may take for what a real one does at once.
const PATIENCE: Duration = Duration::from_mins(1);

/// `guard run` of a shell under a policy.
fn under(policy: &str, name: &str, script: &str) -> anyhow::Result<Ran> {
    sh(
        &["--user", "root", "--name", name, "--policy", policy],
        script,
    )
}

/// A session that goes on until its standard input is closed.
struct Session(Child);

impl Session {
    fn start(name: &str, options: &[&str]) -> anyhow::Result<Self> {
        let child = Command::new(GUARD)
            .args(["run", "--user", "root", "--name", name])
            .args(options)
            .args(["--", "cat"])
            .current_dir("/srv")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        let mut session = Self(child);
        let mut ended = None;
        let started = until(PATIENCE, || {
            ended = session.0.try_wait().ok().flatten();
            ended.is_some() || guard::session(name).is_ok_and(|session| session["tasks"] == 1)
        });
        ensure!(
            started && ended.is_none(),
            "session {name} did not start: {ended:?}"
        );
        Ok(session)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// A control file of a session's cgroup.
fn setting(name: &str, file: &str) -> anyhow::Result<String> {
    let session = guard::session(name)?;
    let cgroup = session["cgroup"].as_str().context("no cgroup")?;
    let text = fs::read_to_string(format!("{cgroup}/{file}"))?;
    Ok(text.trim().to_owned())
}

/// The machine's memory in bytes.
fn memory() -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.context("no MemTotal")?.parse::<u64>()? * 1024)
}

fn limits_are_set(_: &mut Context) -> anyhow::Result<()> {
    fs::create_dir_all("/srv/work")?;
    let _server = Server::start()?;
    let mut cases = Cases::default();
    cases.run("the defaults", || {
        let _session = Session::start("plain", &[])?;
        let page = 4096;
        let expected = memory()? / 100 * 75;
        let found: u64 = setting("plain", "memory.max")?.parse()?;
        ensure!(
            found.abs_diff(expected) <= 100 + page,
            "memory.max is {found}, not {expected}"
        );
        ensure!(setting("plain", "memory.oom.group")? == "0", "oom.group");
        ensure!(setting("plain", "pids.max")? == "4096", "pids.max");
        ensure!(setting("plain", "cpu.max")? == "max 100000", "cpu.max");
        ensure!(setting("plain", "cpu.weight")? == "100", "cpu.weight");
        Ok(())
    });
    cases.run("a policy's", || {
        let text = "version: 1\ninclude: [default]\n\
                    limits: { memory: 64M, swap: 0, processes: 50, cpu: 150%, weight: 20 }\n";
        let policy = guard::policy("limits", text)?;
        let _session = Session::start("asked", &["--policy", &policy])?;
        for (file, value) in [
            ("memory.max", "67108864"),
            ("pids.max", "50"),
            ("cpu.max", "150000 100000"),
            ("cpu.weight", "20"),
        ] {
            let found = setting("asked", file)?;
            ensure!(found == value, "{file} is {found}");
        }
        Ok(())
    });
    cases.run("who goes first when memory runs out", || {
        let ran = sh(
            ROOT,
            "cat /proc/self/oom_score_adj; sh -c 'cat /proc/self/oom_score_adj'",
        )?;
        ran.ensure_status(0)?;
        ensure!(ran.out == "1000\n1000\n", "{ran:?}");
        let server = fs::read_to_string("/proc/self/oom_score_adj")?;
        ensure!(server.trim() == "0", "outside it is {server}");
        Ok(())
    });
    cases.run("a mistake", || {
        let policy = guard::policy("mistaken", "version: 1\nlimits: { memory: 4GB }\n")?;
        under(&policy, "mistaken", "true")?
            .ensure_status(2)?
            .ensure_says(&["mistaken.yaml:2:", "4G"])?;
        Ok(())
    });
    cases.finish()
}

/// Forks until it can't. What it leaves holds none of its descriptors.
const BOMB: &str = "n=0; while [ $n -lt 300 ]; do sleep 1000 & n=$((n+1)); done";

fn fork_bomb(_: &mut Context) -> anyhow::Result<()> {
    let _server = Server::start()?;
    let victim = Victim::spawn(Kind::Plain, 0)?;
    let text = "version: 1\ninclude: [default]\nlimits: { processes: 40 }\n";
    let policy = guard::policy("few", text)?;
    let ran = under(&policy, "bomb", &format!("exec <&- >&- 2>&-; {BOMB}"))?;
    // busybox's shell ends with 2 when it can't fork. What matters is how far it came.
    let processes = guard::session("bomb")?["tasks"].as_u64().context("tasks")?;
    ensure!(
        (30..=40).contains(&processes),
        "{processes} processes are left: {ran:?}"
    );
    ensure!(
        setting("bomb", "pids.current")?.parse::<u64>()? <= 40,
        "more than the limit"
    );
    let refused = setting("bomb", "pids.events")?;
    ensure!(refused != "max 0", "no fork was refused: {refused}");
    // Outside, forks go on.
    for _ in 0..60 {
        ensure!(Command::new("/bin/true").status()?.success(), "a fork");
    }
    victim.ensure_whole()?;
    guard::guard(&["stop", "--grace", "1", "bomb"])?.ensure_status(0)?;
    ensure!(guard::session("bomb").is_err(), "it is still there");
    Ok(())
}

/// Doubles a string until it is ended.
const HOG: &str = "x=0123456789abcdef; while :; do x=$x$x; done";

fn memory_hog(_: &mut Context) -> anyhow::Result<()> {
    let _server = Server::start()?;
    let victim = Victim::spawn(Kind::Plain, 0)?;
    let text = "version: 1\ninclude: [default]\nlimits: { memory: 48M, swap: 0 }\n";
    let policy = guard::policy("small", text)?;
    // The one that takes too much is ended; the session's first process lives to tell.
    let ran = under(
        &policy,
        "hog",
        &format!("sh -c '{HOG}'; echo status $?; exit 9"),
    )?;
    ran.ensure_status(9)?;
    ensure!(ran.out.contains("status 137"), "{ran:?}");
    victim.ensure_whole()?;
    // Under the default limit it is the same: three quarters, and not the whole machine.
    let ran = sh(ROOT, &format!("sh -c '{HOG}'; echo status $?; exit 8"))?;
    ran.ensure_status(8)?;
    ensure!(ran.out.contains("status 137"), "{ran:?}");
    victim.ensure_whole()?;
    guard::status()?;
    Ok(())
}

fn edited_limits(_: &mut Context) -> anyhow::Result<()> {
    let _server = Server::start()?;
    let text = |processes| {
        format!("version: 1\ninclude: [default]\nlimits: {{ processes: {processes} }}\n")
    };
    let policy = guard::policy("edited", &text(100))?;
    let _session = Session::start("edited", &["--policy", &policy])?;
    ensure!(setting("edited", "pids.max")? == "100", "at the start");
    guard::policy("edited", &text(200))?;
    let changed = until(PATIENCE, || {
        setting("edited", "pids.max").is_ok_and(|limit| limit == "200")
    });
    ensure!(changed, "the edit is not in force");
    Ok(())
}

fn missing_controller(_: &mut Context) -> anyhow::Result<()> {
    const PLACE: &str = "/run/guard-tests/pids";
    let _server = Server::start()?;
    // A controller belongs to one version of cgroups at a time.
    fs::write("/sys/fs/cgroup/cgroup.subtree_control", "-pids")?;
    fs::create_dir_all(PLACE)?;
    mount(
        Some("pids"),
        PLACE,
        Some("cgroup"),
        MsFlags::empty(),
        Some("pids"),
    )
    .context("the controller can't be given to version 1")?;
    let ran = sh(&["--user", "root", "--name", "unlimited"], "exit 3");
    let doctor = guard::guard(&["doctor"]);
    umount(PLACE)?;
    let ran = ran?;
    ran.ensure_status(3)?
        .ensure_says(&["\"pids\"", "guard doctor"])?;
    ensure!(!ran.err.contains("\"memory\""), "{}", ran.err);
    let doctor = doctor?;
    ensure!(
        doctor.status == 0 && doctor.out.contains("missing: pids"),
        "{doctor:?}"
    );
    let said = guard::wait_for_event("unlimited", |event| {
        event["message"]
            .as_str()
            .is_some_and(|message| message.contains("\"pids\""))
    });
    ensure!(said.is_ok(), "no event tells of it: {said:?}");
    Ok(())
}
