//! Whatever a process of a session does to become somebody else, its label stays.

use std::fs;
use std::os::unix::fs::chown;

use anyhow::ensure;
use nix::errno::Errno;
use nix::libc::SIGKILL;

use crate::context::Context;
use crate::support::agent::{AGENT, Agent};
use crate::support::cases::Cases;
use crate::support::guard::Server;
use crate::support::process;
use crate::support::victim::{self, Effect, Kind, Victim};

/// A cgroup outside of every session.
const ELSEWHERE: &str = "/sys/fs/cgroup/elsewhere";

/// Ways, and whether the victim still has a pid there that can be named.
const WAYS: &[(&str, bool)] = &[
    ("fork", true),
    ("thread", true),
    ("setsid", true),
    ("double-fork", true),
    ("exec", true),
    ("exec-in-thread", true),
    ("user-namespace", true),
    ("mount-namespace", true),
    ("pid-namespace", false),
];

/// Ways that only root has.
const ROOT_WAYS: &[(&str, bool)] = &[
    ("setuid=1000", true),
    ("leave-cgroup=/sys/fs/cgroup/elsewhere", true),
    ("child-in-cgroup=/sys/fs/cgroup/elsewhere", true),
];

fn ways(uid: u32) -> impl Iterator<Item = &'static (&'static str, bool)> {
    let root = if uid == 0 { ROOT_WAYS } else { &[] };
    WAYS.iter().chain(root)
}

/// A file that the attacker may delete as far as its permissions go.
fn file(uid: u32, way: &str) -> anyhow::Result<String> {
    let owner = if way.starts_with("setuid") {
        AGENT
    } else {
        uid
    };
    let way = way.split_once('=').map_or(way, |(way, _)| way);
    let directory = format!("/srv/kept-{uid}-{way}");
    fs::create_dir_all(&directory)?;
    chown(&directory, Some(owner), Some(owner))?;
    let file = format!("{directory}/file");
    fs::write(&file, "kept")?;
    chown(&file, Some(owner), Some(owner))?;
    Ok(file)
}

/// Whom the attack is made on: an ordinary user's process where the attacker becomes one.
fn victim(uid: u32, way: &str) -> anyhow::Result<Victim> {
    let uid = if way.starts_with("setuid") {
        AGENT
    } else {
        uid
    };
    Victim::spawn(Kind::Plain, uid)
}

fn control(cases: &mut Cases, when: &str, users: &[u32]) -> anyhow::Result<()> {
    for &uid in users {
        let mut free = Agent::free(uid)?;
        for &(way, can_name) in ways(uid) {
            if can_name {
                cases.run(format_args!("{when}, user {uid}: kill after {way}"), || {
                    let victim = victim(uid, way)?;
                    let result = free.attack_via(way, "kill", &[&victim.pid, &SIGKILL])?;
                    ensure!(result.is_ok(), "{result:?}");
                    ensure!(victim::shows(victim.pid, Effect::Dies), "it lives");
                    Ok(())
                });
            }
            cases.run(
                format_args!("{when}, user {uid}: unlink after {way}"),
                || {
                    let file = file(uid, way)?;
                    let result = free.attack_via(way, "unlink", &[&file])?;
                    ensure!(result.is_ok(), "{result:?}");
                    ensure!(!fs::exists(&file)?, "it is still there");
                    Ok(())
                },
            );
        }
    }
    Ok(())
}

/// Lets root go the ways that take a capability or write to a cgroup: what follows on them is
/// refused all the same.
const OPEN_WAYS: &str = "version: 1
include: [default]
rules:
  - name: open-ways
    allow: [machine]
    facilities: [administration, cgroups]
    because: this is a test of what is at their end
";

/// The ways that are closed to root without such a policy.
fn is_closed(way: &str) -> bool {
    way.ends_with("-namespace") && !way.starts_with("user") || way.contains("-cgroup=")
}

pub fn the_label_stays(_: &mut Context) -> anyhow::Result<()> {
    let mut cases = Cases::default();
    fs::create_dir_all(ELSEWHERE)?;
    control(&mut cases, "without guard", &[0, AGENT])?;
    let _server = Server::start()?;
    let policy = "/srv/open-ways.yaml";
    fs::write(policy, OPEN_WAYS)?;
    closed(&mut cases)?;
    for (uid, who) in [(0, "root"), (AGENT, "user")] {
        let options: &[&str] = if uid == 0 { &["--policy", policy] } else { &[] };
        let mut guarded = Agent::with(who, uid, options)?;
        for &(way, can_name) in ways(uid) {
            if can_name {
                cases.run(format_args!("session of {who}: kill after {way}"), || {
                    let victim = victim(uid, way)?;
                    let result = guarded.attack_via(way, "kill", &[&victim.pid, &SIGKILL])?;
                    ensure!(result == Err(Errno::EPERM), "{result:?}");
                    victim.ensure_whole()
                });
            }
            cases.run(format_args!("session of {who}: unlink after {way}"), || {
                let file = file(uid, way)?;
                let result = guarded.attack_via(way, "unlink", &[&file])?;
                ensure!(result == Err(Errno::EPERM), "{result:?}");
                ensure!(fs::read(&file)? == b"kept", "it was changed");
                Ok(())
            });
        }
        // A thread that was there before its process came into the session is judged by its
        // leader.
        if uid == 0 {
            let mut moved = Agent::moved(who)?;
            for way in ["", "thread", "exec-in-thread", "double-fork"] {
                cases.run(
                    format_args!("moved into the session: kill after {way:?}"),
                    || {
                        let victim = Victim::spawn(Kind::Plain, uid)?;
                        let result = moved.attack_via(way, "kill", &[&victim.pid, &SIGKILL])?;
                        ensure!(result == Err(Errno::EPERM), "{result:?}");
                        victim.ensure_whole()
                    },
                );
            }
        }
    }
    control(&mut cases, "beside sessions", &[AGENT])?;
    cases.finish()
}

/// Under the default policy root cannot even set out on some ways.
fn closed(cases: &mut Cases) -> anyhow::Result<()> {
    let mut guarded = Agent::guarded("closed", 0)?;
    for &(way, _) in ways(0).filter(|(way, _)| is_closed(way)) {
        cases.run(format_args!("session of root: the way of {way}"), || {
            let file = file(0, way)?;
            let result = guarded.attack_via(way, "unlink", &[&file]);
            let told = format!("{result:?}");
            let is_refused = !matches!(result, Ok(Ok(_)));
            ensure!(
                is_refused && (told.contains("EPERM") || told.contains("not permitted")),
                "{told}"
            );
            ensure!(fs::read(&file)? == b"kept", "it was changed");
            Ok(())
        });
    }
    Ok(())
}

/// Before 6.2, task storage may fail to answer when it is asked while it is being asked.
pub fn many_threads_at_once(_: &mut Context) -> anyhow::Result<()> {
    const THREADS: usize = 8;
    const ROUNDS: usize = 60;
    let _server = Server::start()?;
    let mut guarded = Agent::guarded("storm", 0)?;
    let victim = Victim::spawn(Kind::Plain, 0)?;
    let through = guarded.succeed("storm", &[&victim.pid, &THREADS, &ROUNDS])?;
    victim.ensure_whole()?;
    ensure!(through == 0, "{through} attempts were not refused");
    let counted = crate::support::guard::count("storm", "signal", "deny")?;
    let made = (2 * THREADS * ROUNDS) as u64;
    ensure!(
        (made..made + 4).contains(&counted),
        "{made} attempts were made, and {counted} refusals counted"
    );
    let session = crate::support::guard::session("storm")?;
    ensure!(
        session["errors"] == 0 && session["unlabelled"] == 0,
        "{session}"
    );
    // Two sessions at a time do not know each other's processes.
    let mut other = Agent::guarded("other", 0)?;
    let theirs = other.own(Kind::Plain)?;
    guarded.refused("kill", &[&theirs, &SIGKILL])?;
    ensure!(process::state(theirs) == Some('S'), "it did not survive");
    other.succeed("kill", &[&theirs, &SIGKILL])?;
    ensure!(victim::shows(theirs, Effect::Dies), "its own did not die");
    Ok(())
}
