//! Signals: in every way, to every kind of target.

use std::path::Path;

use std::fmt::Display;

use anyhow::{Context as _, ensure};
use nix::errno::Errno;
use nix::libc::{self, SIGCONT, SIGHUP, SIGINT, SIGKILL, SIGSTOP, SIGTERM, SIGUSR1};

use crate::context::Context;
use crate::support::agent::{AGENT, Agent};
use crate::support::cases::Cases;
use crate::support::guard::{self, Server};
use crate::support::process;
use crate::support::raw;
use crate::support::victim::{self, Effect, Kind, Victim};

/// How an attack of this family is refused.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// The caller is told (EPERM).
    Told,
    /// The calls succeed, and the signal does not come.
    Silent,
}

struct Case {
    name: &'static str,
    attack: &'static str,
    kind: Kind,
    /// What the attack is told of a target: its process and its last thread.
    words: fn(i32, i32) -> Vec<String>,
    effect: Effect,
    refusal: Refusal,
    /// The kernel that brought it.
    from: (u32, u32),
}

macro_rules! words {
    ($($word:expr),*) => { vec![$($word.to_string()),*] };
}

const fn told(
    name: &'static str,
    attack: &'static str,
    kind: Kind,
    words: fn(i32, i32) -> Vec<String>,
    effect: Effect,
) -> Case {
    Case {
        name,
        attack,
        kind,
        words,
        effect,
        refusal: Refusal::Told,
        from: (6, 1),
    }
}

const fn silent(
    name: &'static str,
    attack: &'static str,
    kind: Kind,
    words: fn(i32, i32) -> Vec<String>,
) -> Case {
    Case {
        refusal: Refusal::Silent,
        ..told(name, attack, kind, words, Dies)
    }
}

use Effect::{Continues, Dies, Stops};
use Kind::{NamespaceInit, Plain, Stopped, Threads, Urgent};

const CASES: &[Case] = &[
    told("kill", "kill", Plain, |p, _| words![p, SIGKILL], Dies),
    told("TERM", "kill", Plain, |p, _| words![p, SIGTERM], Dies),
    told("HUP", "kill", Plain, |p, _| words![p, SIGHUP], Dies),
    told("INT", "kill", Plain, |p, _| words![p, SIGINT], Dies),
    told("USR1", "kill", Plain, |p, _| words![p, SIGUSR1], Dies),
    told(
        "a real-time signal",
        "kill",
        Plain,
        |p, _| words![p, 64],
        Dies,
    ),
    told("STOP", "kill", Plain, |p, _| words![p, SIGSTOP], Stops),
    told(
        "CONT",
        "kill",
        Stopped,
        |p, _| words![p, SIGCONT],
        Continues,
    ),
    told(
        "process group",
        "kill",
        Plain,
        |p, _| words![-p, SIGKILL],
        Dies,
    ),
    told(
        "thread by kill",
        "kill",
        Threads,
        |_, t| words![t, SIGKILL],
        Dies,
    ),
    told(
        "thread by tkill",
        "tkill",
        Threads,
        |_, t| words![t, SIGKILL],
        Dies,
    ),
    told(
        "thread by tgkill",
        "tgkill",
        Threads,
        |p, t| words![p, t, SIGKILL],
        Dies,
    ),
    told(
        "leader by tgkill",
        "tgkill",
        Threads,
        |p, _| words![p, p, SIGKILL],
        Dies,
    ),
    told(
        "rt_sigqueueinfo",
        "sigqueue",
        Plain,
        |p, _| words![p, SIGKILL],
        Dies,
    ),
    told(
        "rt_tgsigqueueinfo",
        "tgsigqueue",
        Threads,
        |p, t| words![p, t, SIGKILL],
        Dies,
    ),
    told("pidfd", "pidfd", Plain, |p, _| words![p, SIGKILL, 0], Dies),
    Case {
        from: (6, 9),
        // PIDFD_SIGNAL_PROCESS_GROUP
        ..told(
            "pidfd of a group",
            "pidfd",
            Plain,
            |p, _| words![p, SIGKILL, 4],
            Dies,
        )
    },
    told(
        "init of a pid namespace",
        "kill",
        NamespaceInit,
        |p, _| words![p, SIGKILL],
        Dies,
    ),
    silent("F_SETOWN", "owner", Plain, |p, _| {
        words!["process", p, SIGKILL]
    }),
    silent("F_SETOWN of a group", "owner", Plain, |p, _| {
        words!["group", p, SIGKILL]
    }),
    silent("F_SETOWN_EX of a thread", "owner", Threads, |_, t| {
        words!["ex-thread", t, SIGKILL]
    }),
    silent("F_SETOWN_EX of a process", "owner", Plain, |p, _| {
        words!["ex-process", p, SIGKILL]
    }),
    silent("F_SETOWN_EX of a group", "owner", Plain, |p, _| {
        words!["ex-group", p, SIGKILL]
    }),
    silent("FIOSETOWN", "owner", Plain, |p, _| {
        words!["fiosetown", p, SIGKILL]
    }),
    silent("SIOCSPGRP", "owner", Plain, |p, _| {
        words!["siocspgrp", p, SIGKILL]
    }),
    silent("SIGIO itself", "owner", Plain, |p, _| {
        words!["process", p, 0]
    }),
    silent("SIGURG", "urgent", Urgent, |p, _| words![p]),
    silent("end of a lease", "lease", Plain, |p, _| words![p, SIGKILL]),
    silent("dnotify", "notify", Plain, |p, _| words![p, SIGKILL]),
];

fn attack(agent: &mut Agent, case: &Case, pid: i32) -> anyhow::Result<Result<i64, Errno>> {
    let thread = *process::threads(pid)?.last().context("it has no thread")?;
    let words = (case.words)(pid, thread);
    let words: Vec<&dyn Display> = words.iter().map(|word| word as &dyn Display).collect();
    agent.attack(case.attack, &words)
}

/// The attack goes through.
fn succeeds(agent: &mut Agent, case: &Case, pid: i32) -> anyhow::Result<()> {
    let result = attack(agent, case, pid)?;
    ensure!(result.is_ok(), "the call failed: {result:?}");
    ensure!(
        victim::shows(pid, case.effect),
        "the target did not show it: {:?}, state {:?}",
        case.effect,
        process::state(pid)
    );
    Ok(())
}

/// The attack is refused, and the target is whole.
fn fails(agent: &mut Agent, case: &Case) -> anyhow::Result<()> {
    let victim = Victim::spawn(case.kind, agent.uid)?;
    let result = attack(agent, case, victim.pid)?;
    victim.ensure_whole()?;
    match case.refusal {
        Refusal::Told => ensure!(result == Err(Errno::EPERM), "it was told {result:?}"),
        Refusal::Silent => ensure!(result.is_ok(), "it was told {result:?}"),
    }
    Ok(())
}

/// The control run.
fn control(cases: &mut Cases, context: &Context, when: &str) -> anyhow::Result<()> {
    for (uid, who) in [(0, "root"), (AGENT, "user")] {
        let mut free = Agent::free(uid)?;
        for case in CASES.iter().filter(|case| context.boot.series >= case.from) {
            cases.run(format_args!("{when}, {who}: {}", case.name), || {
                let victim = Victim::spawn(case.kind, uid)?;
                succeeds(&mut free, case, victim.pid)
            });
        }
    }
    Ok(())
}

pub fn every_way_to_send_one(context: &mut Context) -> anyhow::Result<()> {
    let mut cases = Cases::default();
    // What an earlier test left loaded: here guard is not to be there at all.
    let _ = std::fs::remove_dir_all(guard::PINS);
    control(&mut cases, context, "without guard")?;
    let _server = Server::start()?;
    for (uid, who) in [(0, "root"), (AGENT, "user")] {
        let mut guarded = Agent::guarded(who, uid)?;
        for case in CASES.iter().filter(|case| context.boot.series >= case.from) {
            cases.run(format_args!("session of {who}: {}", case.name), || {
                fails(&mut guarded, case)
            });
            // A pid namespace takes a capability, and a root's holds for the whole machine.
            if case.kind == NamespaceInit {
                continue;
            }
            cases.run(format_args!("session of {who}, own: {}", case.name), || {
                let own = guarded.own(case.kind)?;
                succeeds(&mut guarded, case, own)
            });
        }
        cases.run(format_args!("session of {who}: signal 0"), || {
            let victim = Victim::spawn(Plain, uid)?;
            guarded.succeed("kill", &[&victim.pid, &0])?;
            guarded.succeed("pidfd", &[&victim.pid, &0, &0])?;
            Ok(())
        });
        cases.run(format_args!("session of {who}: the event"), || {
            let victim = Victim::spawn(Plain, uid)?;
            guarded.refused("kill", &[&victim.pid, &SIGHUP])?;
            let event = guard::wait_for_event(who, |event| {
                event["operation"] == "signal" && event["target"]["pid"] == victim.pid
            })?;
            ensure!(
                event["verdict"] == "deny"
                    && event["signal"] == "HUP"
                    && event["reason"] == "default"
                    && event["count"] == 1
                    && event["actor"]["exe"] == crate::support::agent::SELF
                    && event["actor"]["uid"] == uid
                    && event["target"]["uid"] == uid,
                "{event}"
            );
            Ok(())
        });
        cases.run(
            format_args!("session of {who}: the event of an owner"),
            || {
                let victim = Victim::spawn(Plain, uid)?;
                guarded.succeed("owner", &[&"process", &victim.pid, &SIGKILL])?;
                let event = guard::wait_for_event(who, |event| {
                    event["operation"] == "signal" && event["target"]["pid"] == victim.pid
                })?;
                ensure!(event["signal"] == "KILL", "{event}");
                Ok(())
            },
        );
        if uid == 0 {
            process_one(&mut cases, &mut guarded);
            parent_death(&mut cases, who);
            control(&mut cases, context, "beside a session")?;
        }
    }
    cases.finish()
}

/// The first process is a target like any other.
fn process_one(cases: &mut Cases, guarded: &mut Agent) {
    cases.run("process 1", || {
        let mut free = Agent::free(0)?;
        // The kernel drops it, since the init has no handler for it; the call succeeds.
        free.succeed("kill", &[&1, &SIGTERM])?;
        guarded.refused("kill", &[&1, &SIGTERM])?;
        guarded.refused("kill", &[&1, &SIGKILL])?;
        guarded.refused("pidfd", &[&1, &SIGKILL, &0])
    });
}

/// A process whose parent comes into a session and ends: its own wish to be told of that by a
/// signal is a signal from the session.
fn parent_death(cases: &mut Cases, session: &str) {
    let scene = |moved: bool| -> anyhow::Result<i32> {
        let (reader, writer) = std::io::pipe()?;
        let (gate_reader, gate) = std::io::pipe()?;
        let parent = raw::fork(|| {
            let child = raw::fork(|| {
                let _ = raw::call(
                    libc::SYS_prctl,
                    &[libc::PR_SET_PDEATHSIG as usize, SIGKILL as usize],
                );
                raw::close_from(3);
                loop {
                    let _ = raw::call(libc::SYS_pause, &[]);
                }
            });
            let pid = child.unwrap_or(0).to_le_bytes();
            let _ = std::io::Write::write_all(&mut &writer, &pid);
            let mut byte = [0];
            let _ = std::io::Read::read(&mut &gate_reader, &mut byte);
            0
        })?;
        let mut pid = [0_u8; 4];
        std::io::Read::read_exact(&mut &reader, &mut pid)?;
        let child = i32::from_le_bytes(pid);
        ensure!(
            crate::support::cases::until(guard::PATIENCE, || process::state(child) == Some('S')),
            "the child did not come up"
        );
        if moved {
            let status = guard::session(session)?;
            let cgroup = Path::new(status["cgroup"].as_str().context("no cgroup")?).to_owned();
            std::fs::write(cgroup.join("cgroup.procs"), parent.to_string())?;
        }
        std::io::Write::write_all(&mut &gate, b"x")?;
        raw::wait(parent)?;
        Ok(child)
    };
    cases.run("death of a parent, free", || {
        ensure!(victim::shows(scene(false)?, Dies), "it did not die");
        Ok(())
    });
    cases.run("death of a parent, in the session", || {
        let child = scene(true)?;
        std::thread::sleep(std::time::Duration::from_millis(50));
        let state = process::state(child);
        let ended = guard::kill(child);
        ensure!(state == Some('S'), "the child's state is {state:?}");
        ended
    });
}
