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
    let directory = format!("/srv/kept-{uid}");
    fs::create_dir_all(&directory)?;
    // Somebody who becomes an ordinary user has to be able to as well.
    chown(&directory, Some(AGENT), Some(AGENT))?;
    let way = way.split_once('=').map_or(way, |(way, _)| way);
    let file = format!("{directory}/{way}");
    fs::write(&file, "kept")?;
    chown(&file, Some(AGENT), Some(AGENT))?;
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

fn control(cases: &mut Cases, when: &str) -> anyhow::Result<()> {
    for (uid, who) in [(0, "root"), (AGENT, "user")] {
        let mut free = Agent::free(uid)?;
        for &(way, can_name) in ways(uid) {
            if can_name {
                cases.run(format_args!("{when}, {who}: kill after {way}"), || {
                    let victim = victim(uid, way)?;
                    let result = free.attack_via(way, "kill", &[&victim.pid, &SIGKILL])?;
                    ensure!(result.is_ok(), "{result:?}");
                    ensure!(victim::shows(victim.pid, Effect::Dies), "it lives");
                    Ok(())
                });
            }
            cases.run(format_args!("{when}, {who}: unlink after {way}"), || {
                let file = file(uid, way)?;
                let result = free.attack_via(way, "unlink", &[&file])?;
                ensure!(result.is_ok(), "{result:?}");
                ensure!(!fs::exists(&file)?, "it is still there");
                Ok(())
            });
        }
    }
    Ok(())
}

pub fn the_label_stays(_: &mut Context) -> anyhow::Result<()> {
    let mut cases = Cases::default();
    fs::create_dir_all(ELSEWHERE)?;
    control(&mut cases, "without guard")?;
    let _server = Server::start()?;
    for (uid, who) in [(0, "root"), (AGENT, "user")] {
        let mut guarded = Agent::guarded(who, uid)?;
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
    control(&mut cases, "beside sessions")?;
    cases.finish()
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
