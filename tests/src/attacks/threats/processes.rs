//! Starving and slowing processes without a signal (B, C).

use std::fs;

use nix::libc;

use super::scene::{Helper, Scene, Script, Stage, does, file, ready, rest, string};
use super::scene::{words32, words64, write};
use super::{Row, both, root, user};
use crate::support::raw::call;
use crate::support::victim::Kind;

/// `IOPRIO_CLASS_IDLE` in its place.
const IDLE_IO: usize = 3 << 13;
const PRIO_PROCESS: usize = 0;
const IOPRIO_PROCESS: usize = 1;

/// An attack on a process: the script, and a number that the attack is to change.
fn on_process(
    stage: &Stage<'_>,
    script: impl FnOnce(i32) -> Script,
    look: impl Fn(usize) -> Option<usize> + 'static,
) -> anyhow::Result<Scene> {
    let victim = stage.victim()?;
    let pid = victim.pid as usize;
    let before = look(pid);
    Ok(script(victim.pid)
        .scene()
        .shows(move || look(pid) != before)
        .keep(victim))
}

/// An attack on a process of which only the call's success can be seen.
fn told(stage: &Stage<'_>, script: impl FnOnce(i32) -> Script) -> anyhow::Result<Scene> {
    let victim = stage.victim()?;
    Ok(script(victim.pid).scene().keep(victim))
}

/// A resource limit of a process.
fn limit(pid: usize, resource: u32) -> Option<usize> {
    let mut limits = [0_usize; 2];
    let words = [pid, resource as usize, 0, limits.as_mut_ptr() as usize];
    call(libc::SYS_prlimit64, &words).ok()?;
    Some(limits[0])
}

fn prlimit(stage: &Stage<'_>, resource: u32, value: u64) -> anyhow::Result<Scene> {
    on_process(
        stage,
        |pid| {
            let limits = words64(&[value, value]);
            does(libc::SYS_prlimit64, &[&pid, &resource, &limits, &0])
        },
        move |pid| limit(pid, resource),
    )
}

fn scheduler(pid: usize) -> Option<usize> {
    call(libc::SYS_sched_getscheduler, &[pid]).ok()
}

/// A file in `/proc/PID`.
fn knob(stage: &Stage<'_>, name: &'static str, value: &'static str) -> anyhow::Result<Scene> {
    // In a terminal session of its own, as `autogroup` has it.
    let helper = Helper::start(stage.uid, || {
        let _ = call(libc::SYS_setsid, &[]);
        ready();
        rest()
    })?;
    let path = format!("/proc/{}/{name}", helper.pid);
    let look = {
        let path = path.clone();
        move || fs::read_to_string(&path).unwrap_or_default()
    };
    let before = look();
    let scene = write(path, value).scene().keep(helper);
    // Some can only be written.
    Ok(if before.is_empty() {
        scene
    } else {
        scene.shows(move || look() != before)
    })
}

/// A swap area in a file.
fn swap_area(path: &str) -> anyhow::Result<()> {
    const PAGES: u32 = 16;
    let mut area = vec![0_u8; 4096 * PAGES as usize];
    area[1024..1028].copy_from_slice(&1_u32.to_le_bytes());
    area[1028..1032].copy_from_slice(&(PAGES - 1).to_le_bytes());
    area[4086..4096].copy_from_slice(b"SWAPSPACE2");
    let _ = fs::remove_file(path);
    fs::write(path, area)?;
    nix::unistd::sync();
    Ok(())
}

fn swapping(path: &str) -> bool {
    fs::read_to_string("/proc/swaps").is_ok_and(|text| text.contains(path))
}

fn swap(number: i64, path: &'static str) -> anyhow::Result<Scene> {
    swap_area(path)?;
    let words = [crate::support::raw::c_string(path)];
    let address = words[0].as_ptr() as usize;
    let on = number == libc::SYS_swapon;
    if !on {
        call(libc::SYS_swapon, &[address, 0])?;
    }
    Ok(does(number, &[&string(path), &0])
        .scene()
        .shows(move || swapping(path) == on)
        .undo(move || {
            let _ = call(libc::SYS_swapoff, &[words[0].as_ptr() as usize]);
            let _ = fs::remove_file(path);
        }))
}

const NO_FILES: u32 = libc::RLIMIT_NOFILE;

pub const ROWS: &[Row] = &[
    both("B2", "prlimit: open files", |s| prlimit(s, NO_FILES, 1)),
    both("B2", "prlimit: address space", |s| {
        prlimit(s, libc::RLIMIT_AS, 4096)
    }),
    both("B2", "prlimit: size of files", |s| {
        prlimit(s, libc::RLIMIT_FSIZE, 0)
    }),
    both("B2", "prlimit: time on the processor", |s| {
        on_process(
            s,
            |pid| {
                let limits = words64(&[1, u64::MAX]);
                does(libc::SYS_prlimit64, &[&pid, &libc::RLIMIT_CPU, &limits, &0])
            },
            |pid| limit(pid, libc::RLIMIT_CPU),
        )
    }),
    both("B2", "prlimit of an own process", |s| {
        let own = s.agent.own(Kind::Plain)?;
        let limits = words64(&[64, 64]);
        Ok(does(libc::SYS_prlimit64, &[&own, &NO_FILES, &limits, &0])
            .scene()
            .shows(move || limit(own as usize, NO_FILES) == Some(64)))
    })
    .twin(),
    both("B3", "setpriority", |s| {
        on_process(
            s,
            |pid| does(libc::SYS_setpriority, &[&PRIO_PROCESS, &pid, &19]),
            |pid| call(libc::SYS_getpriority, &[PRIO_PROCESS, pid]).ok(),
        )
    }),
    both("B3", "setpriority of a process group", |s| {
        on_process(
            s,
            |pid| does(libc::SYS_setpriority, &[&1, &pid, &19]),
            |pid| call(libc::SYS_getpriority, &[PRIO_PROCESS, pid]).ok(),
        )
    }),
    both("B3", "sched_setscheduler", |s| {
        on_process(
            s,
            |pid| {
                does(
                    libc::SYS_sched_setscheduler,
                    &[&pid, &libc::SCHED_IDLE, &words32(&[0])],
                )
            },
            scheduler,
        )
    }),
    both("B3", "sched_setattr", |s| {
        on_process(
            s,
            |pid| {
                let mut attributes = [0_u32; 12];
                attributes[0] = 48;
                attributes[1] = libc::SCHED_BATCH as u32;
                does(libc::SYS_sched_setattr, &[&pid, &words32(&attributes), &0])
            },
            scheduler,
        )
    }),
    both("B3", "sched_setparam", |s| {
        told(s, |pid| {
            does(libc::SYS_sched_setparam, &[&pid, &words32(&[0])])
        })
    }),
    both("B3", "sched_setaffinity", |s| {
        told(s, |pid| {
            does(libc::SYS_sched_setaffinity, &[&pid, &8, &words64(&[1])])
        })
    }),
    both("B3", "priority of an own process", |s| {
        let own = s.agent.own(Kind::Plain)? as usize;
        Ok(does(libc::SYS_setpriority, &[&PRIO_PROCESS, &own, &5])
            .then(
                libc::SYS_sched_setscheduler,
                &[&own, &libc::SCHED_IDLE, &words32(&[0])],
            )
            .then(libc::SYS_ioprio_set, &[&IOPRIO_PROCESS, &own, &IDLE_IO])
            .scene()
            .shows(move || scheduler(own) == Some(libc::SCHED_IDLE as usize)))
    })
    .twin(),
    root("B4", "a real-time priority for itself", |_| {
        Ok(does(
            libc::SYS_sched_setscheduler,
            &[&0, &libc::SCHED_FIFO, &words32(&[1])],
        )
        .scene())
    }),
    root("B4", "a negative niceness for itself", |_| {
        Ok(does(libc::SYS_setpriority, &[&PRIO_PROCESS, &0, &-5]).scene())
    }),
    both("B4", "a higher niceness for itself", |_| {
        Ok(does(libc::SYS_setpriority, &[&PRIO_PROCESS, &0, &5]).scene())
    })
    .twin(),
    both("B5", "ioprio_set", |s| {
        on_process(
            s,
            |pid| does(libc::SYS_ioprio_set, &[&IOPRIO_PROCESS, &pid, &IDLE_IO]),
            |pid| call(libc::SYS_ioprio_get, &[IOPRIO_PROCESS, pid]).ok(),
        )
    }),
    both("B6", "autogroup", |s| knob(s, "autogroup", "19")),
    both("B7", "oom_score_adj", |s| knob(s, "oom_score_adj", "1000")),
    both("B7", "oom_adj", |s| knob(s, "oom_adj", "15")),
    both("B7", "coredump_filter", |s| knob(s, "coredump_filter", "0")),
    both("B7", "clear_refs", |s| knob(s, "clear_refs", "1")),
    root("B7", "timerslack_ns", |s| {
        knob(s, "timerslack_ns", "9000000")
    }),
    both("B7", "a thread's oom_score_adj", |s| {
        let victim = s.victim()?;
        let path = format!("/proc/{0}/task/{0}/oom_score_adj", victim.pid);
        let seen = path.clone();
        Ok(write(path, "900")
            .scene()
            .shows(move || fs::read_to_string(&seen).is_ok_and(|text| text.trim() == "900"))
            .keep(victim))
    }),
    both("B7", "files of its own process", |_| {
        Ok(write("/proc/self/coredump_filter", "0")
            .then(
                libc::SYS_write,
                &[
                    &file(libc::O_WRONLY, "/proc/self/comm"),
                    &string("mine"),
                    &4,
                ],
            )
            .scene())
    })
    .twin(),
    // Root's could be lowered by the same write.
    user("B7", "its own oom_score_adj made worse", |_| {
        // It begins with the highest of all.
        Ok(write("/proc/self/oom_score_adj", "1000").scene())
    })
    .twin(),
    both("B11", "migrate_pages", |s| {
        told(s, |pid| {
            let node = words64(&[1]);
            does(libc::SYS_migrate_pages, &[&pid, &8, &node, &node])
        })
    }),
    both("B11", "move_pages", |s| {
        told(s, |pid| {
            does(
                libc::SYS_move_pages,
                &[
                    &pid,
                    &1,
                    &words64(&[0x1000]),
                    &words32(&[0]),
                    &words32(&[0]),
                    &2,
                ],
            )
        })
    }),
    root("C3", "its own oom_score_adj", |_| {
        Ok(write("/proc/self/oom_score_adj", "-1000").scene())
    }),
    root("C3", "higher limits than it was given", |_| {
        // CAP_SYS_RESOURCE.
        let limits = words64(&[2_000_000_000, 2_000_000_000]);
        Ok(does(
            libc::SYS_prlimit64,
            &[&0, &libc::RLIMIT_MSGQUEUE, &limits, &0],
        )
        .scene())
    })
    .twin(),
    root("C9", "swapoff", |_| {
        swap(libc::SYS_swapoff, "/mnt/ext4/swap")
    }),
    root("F15", "swapon", |_| {
        swap(libc::SYS_swapon, "/mnt/ext4/swap")
    }),
];
