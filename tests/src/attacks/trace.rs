//! Tracing and looking into other processes.

use std::fmt::Display;

use anyhow::ensure;
use nix::errno::Errno;

use std::sync::atomic::AtomicU64;

use crate::context::Context;
use crate::support::agent::{AGENT, Agent};
use crate::support::cases::Cases;
use crate::support::guard::{self, Server};
use crate::support::process;
use crate::support::victim::{Kind, Victim};

/// What attackers look for in the victims' memory: victims are forks of this process.
static MEMORY: AtomicU64 = AtomicU64::new(BEFORE);

/// What stands there.
const BEFORE: u64 = 0x6265_666f_7265_2121;

struct Case {
    name: &'static str,
    attack: &'static str,
    words: fn(i32, usize) -> Vec<String>,
    /// As the policy calls it.
    operation: &'static str,
}

const fn case(
    name: &'static str,
    attack: &'static str,
    operation: &'static str,
    words: fn(i32, usize) -> Vec<String>,
) -> Case {
    Case {
        name,
        attack,
        words,
        operation,
    }
}

macro_rules! words {
    ($($word:expr),*) => { vec![$($word.to_string()),*] };
}

const CASES: &[Case] = &[
    case("PTRACE_ATTACH", "attach", "trace", |p, _| words![p]),
    case("PTRACE_SEIZE", "seize", "trace", |p, _| words![p]),
    case("process_vm_readv", "vm-read", "trace", |p, m| words![p, m]),
    case("process_vm_writev", "vm-write", "trace", |p, m| {
        words![p, m]
    }),
    case("/proc/PID/mem", "mem-file", "trace", |p, m| {
        words![format!("/proc/{p}/mem"), m]
    }),
    case("/proc/PID/task/TID/mem", "mem-file", "trace", |p, m| {
        words![format!("/proc/{p}/task/{p}/mem"), m]
    }),
    case("pidfd_getfd", "take-descriptor", "trace", |p, _| words![p]),
    case("/proc/PID/environ", "open", "inspect", |p, _| {
        words![format!("/proc/{p}/environ")]
    }),
    case("/proc/PID/maps", "open", "inspect", |p, _| {
        words![format!("/proc/{p}/maps")]
    }),
    case("/proc/PID/root", "readlink", "inspect", |p, _| {
        words![format!("/proc/{p}/root")]
    }),
    case("/proc/PID/root/etc", "open", "inspect", |p, _| {
        words![format!("/proc/{p}/root/etc")]
    }),
    case("/proc/PID/cwd", "readlink", "inspect", |p, _| {
        words![format!("/proc/{p}/cwd")]
    }),
    case("/proc/PID/exe", "readlink", "inspect", |p, _| {
        words![format!("/proc/{p}/exe")]
    }),
    case("/proc/PID/fd/0 read", "readlink", "inspect", |p, _| {
        words![format!("/proc/{p}/fd/0")]
    }),
    case("/proc/PID/fd/0 opened", "open", "inspect", |p, _| {
        words![format!("/proc/{p}/fd/0")]
    }),
    case("/proc/PID/ns/mnt", "readlink", "inspect", |p, _| {
        words![format!("/proc/{p}/ns/mnt")]
    }),
    case("/proc/PID/ns/pid opened", "open", "inspect", |p, _| {
        words![format!("/proc/{p}/ns/pid")]
    }),
    case("kcmp", "compare", "inspect", |p, _| words![p]),
];

/// Only root may do this to anybody at all: it takes a capability.
const ROOT: &[Case] = &[
    // Takes CAP_SYS_NICE as well.
    case("process_madvise", "advise", "inspect", |p, m| words![p, m]),
    case("setns of a pidfd", "enter", "inspect", |p, _| words![p]),
];

fn attack(agent: &mut Agent, case: &Case, pid: i32) -> anyhow::Result<Result<i64, Errno>> {
    let words = (case.words)(pid, MEMORY.as_ptr() as usize);
    let words: Vec<&dyn Display> = words.iter().map(|word| word as &dyn Display).collect();
    agent.attack(case.attack, &words)
}

fn succeeds(agent: &mut Agent, case: &Case, pid: i32) -> anyhow::Result<()> {
    let result = attack(agent, case, pid)?;
    ensure!(result.is_ok(), "it failed: {result:?}");
    Ok(())
}

fn table(uid: u32) -> impl Iterator<Item = &'static Case> {
    let root = if uid == 0 { ROOT } else { &[] };
    CASES.iter().chain(root)
}

fn control(cases: &mut Cases, when: &str, users: &[u32]) -> anyhow::Result<()> {
    for &uid in users {
        let mut free = Agent::free(uid)?;
        for case in table(uid) {
            cases.run(format_args!("{when}, user {uid}: {}", case.name), || {
                let victim = Victim::spawn(Kind::Plain, uid)?;
                succeeds(&mut free, case, victim.pid)
            });
        }
    }
    Ok(())
}

/// What is in the victim's memory.
fn memory_of(pid: i32) -> anyhow::Result<u64> {
    use std::os::unix::fs::FileExt as _;
    let mut found = [0; 8];
    std::fs::File::open(format!("/proc/{pid}/mem"))?
        .read_exact_at(&mut found, MEMORY.as_ptr() as u64)?;
    Ok(u64::from_le_bytes(found))
}

pub fn every_way(_: &mut Context) -> anyhow::Result<()> {
    let mut cases = Cases::default();
    control(&mut cases, "without guard", &[0, AGENT])?;
    cases.run("without guard: writing shows", || {
        let victim = Victim::spawn(Kind::Plain, 0)?;
        Agent::free(0)?.succeed(
            "mem-file",
            &[
                &format!("/proc/{}/mem", victim.pid),
                &(MEMORY.as_ptr() as usize),
            ],
        )?;
        let found = memory_of(victim.pid)?;
        ensure!(found == u64::from_le_bytes(*b"attacked"), "{found:x}");
        Ok(())
    });
    cases.run("without guard: PTRACE_TRACEME", || {
        let mut free = Agent::free(0)?;
        free.succeed("traceme", &[])?;
        Ok(())
    });
    let _server = Server::start()?;
    for (uid, who) in [(0, "root"), (AGENT, "user")] {
        let mut guarded = Agent::guarded(who, uid)?;
        let mut tried = Vec::new();
        for case in table(uid) {
            cases.run(format_args!("session of {who}: {}", case.name), || {
                let victim = Victim::spawn(Kind::Plain, uid)?;
                let result = attack(&mut guarded, case, victim.pid)?;
                victim.ensure_whole()?;
                ensure!(memory_of(victim.pid)? == BEFORE, "its memory was written");
                // On newer kernels (6.15) CAP_PERFMON would do for reading: it is refused too.
                ensure!(
                    matches!(result, Err(Errno::EPERM | Errno::EACCES)),
                    "it was told {result:?}"
                );
                tried.push((case, victim.pid));
                Ok(())
            });
            cases.run(format_args!("session of {who}, own: {}", case.name), || {
                let own = guarded.own(Kind::Plain)?;
                if case.attack == "vm-write"
                    || case.attack == "vm-read"
                    || case.attack == "mem-file"
                {
                    // Its own addresses are those of another start of this program.
                    let address = writable(own)?;
                    let words = (case.words)(own, address);
                    let words: Vec<&dyn Display> =
                        words.iter().map(|word| word as &dyn Display).collect();
                    guarded.succeed(case.attack, &words)?;
                    return Ok(());
                }
                if ROOT.iter().any(|other| other.name == case.name) {
                    // The capabilities that it takes hold for the whole machine.
                    let address = writable(own)?;
                    let words = (case.words)(own, address);
                    let words: Vec<&dyn Display> =
                        words.iter().map(|word| word as &dyn Display).collect();
                    return guarded.refused(case.attack, &words);
                }
                succeeds(&mut guarded, case, own)
            });
        }
        quiet(&mut cases, &mut guarded, who);
        let events = guard::events(who)?;
        for (case, pid) in tried {
            cases.run(
                format_args!("session of {who}: the event of {}", case.name),
                || {
                    let is_there = events.iter().any(|event| {
                        event["target"]["pid"] == pid
                            && event["operation"] == case.operation
                            && event["verdict"] == "deny"
                    });
                    ensure!(is_there, "there is none");
                    Ok(())
                },
            );
        }
        cases.run(
            format_args!("session of {who}: PTRACE_TRACEME to `guard run`"),
            || guarded.refused("traceme", &[]),
        );
    }
    cases.run("PTRACE_TRACEME to a parent outside", || {
        let _session = Agent::guarded("traceme", 0)?;
        let mut moved = Agent::moved("traceme")?;
        moved.refused("traceme", &[])?;
        let traced = process::status_field(moved.pid, "TracerPid:");
        ensure!(traced.as_deref() == Some("0"), "its tracer is {traced:?}");
        Ok(())
    });
    control(&mut cases, "beside sessions", &[AGENT])?;
    cases.finish()
}

/// An address in a process that can be written.
fn writable(pid: i32) -> anyhow::Result<usize> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let line = maps
        .lines()
        .find(|line| line.contains(" rw-p ") && line.ends_with("[stack]"))
        .ok_or_else(|| anyhow::anyhow!("no stack in {maps}"))?;
    let end = line.split(['-', ' ']).nth(1).unwrap_or_default();
    // The end of a stack holds the environment and the name; the page below is as good.
    Ok(usize::from_str_radix(end, 16)? - 4096)
}

/// What `ps` does is refused quietly: fields read as zero, and there is no event.
fn quiet(cases: &mut Cases, guarded: &mut Agent, who: &str) {
    cases.run(format_args!("session of {who}: /proc/PID/stat"), || {
        let victim = Victim::spawn(Kind::Plain, guarded.uid)?;
        let before = guard::count(who, "inspect", "deny")?;
        for file in ["stat", "status", "cmdline", "comm", "statm"] {
            guarded.succeed("read", &[&format!("/proc/{}/{file}", victim.pid)])?;
        }
        // Something that does make an event, behind it.
        guarded.refused("kill", &[&victim.pid, &1])?;
        guard::wait_for_event(who, |event| {
            event["target"]["pid"] == victim.pid && event["operation"] == "signal"
        })?;
        let looked = guard::events(who)?
            .into_iter()
            .filter(|event| event["target"]["pid"] == victim.pid && event["operation"] == "inspect")
            .count();
        let after = guard::count(who, "inspect", "deny")?;
        ensure!(looked == 0, "{looked} events");
        ensure!(before == after, "{before} refusals became {after}");
        Ok(())
    });
}
