//! Starving, slowing and stopping processes without a signal (B, C), and the cgroups that they
//! are in (A13).

use std::fs;
use std::os::unix::fs::chown;

use nix::libc;

use super::scene::{Helper, Scene, Script, Stage, does, fresh, open, ready, rest, string};
use super::scene::{words32, words64, write};
use super::{Row, both, root};
use crate::support::raw::call;
use crate::support::victim::{self, Kind};

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

/// Two cgroups below one that belongs to the attacker's user, as a service manager hands them
/// over. The first has a process in it.
struct Cgroups {
    place: String,
    pid: i32,
}

impl Cgroups {
    fn make(stage: &Stage<'_>) -> anyhow::Result<(Self, victim::Victim)> {
        // Without it there would be no limits to set. The root may have processes all the same.
        let _ = fs::write("/sys/fs/cgroup/cgroup.subtree_control", "+memory +pids +cpu");
        let place = format!("/sys/fs/cgroup/others-{}", fresh());
        fs::create_dir_all(format!("{place}/first"))?;
        fs::create_dir_all(format!("{place}/second"))?;
        let _ = fs::write(format!("{place}/cgroup.subtree_control"), "+memory +pids +cpu");
        for directory in [place.clone(), format!("{place}/first"), format!("{place}/second")] {
            chown(&directory, Some(stage.uid), Some(stage.uid))?;
            for entry in fs::read_dir(&directory)? {
                chown(entry?.path(), Some(stage.uid), Some(stage.uid))?;
            }
        }
        let victim = victim::Victim::spawn(Kind::Plain, stage.uid)?;
        let pid = victim.pid;
        fs::write(format!("{place}/first/cgroup.procs"), pid.to_string())?;
        Ok((Self { place, pid }, victim))
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        let _ = fs::write(format!("{}/first/cgroup.freeze", self.place), "0");
        let _ = call(libc::SYS_kill, &[self.pid as usize, libc::SIGKILL as usize]);
        // A cgroup goes once what was in it is gone, which takes a moment.
        crate::support::cases::until(std::time::Duration::from_secs(5), || {
            for directory in ["/first", "/second", ""] {
                let _ = fs::remove_dir(format!("{}{directory}", self.place));
            }
            !fs::exists(&self.place).unwrap_or(false)
        });
    }
}

/// Writing a file of a foreign cgroup.
fn cgroup(
    stage: &Stage<'_>,
    file: &'static str,
    value: &'static str,
    shows: fn(&str, i32) -> bool,
) -> anyhow::Result<Scene> {
    let (cgroups, victim) = Cgroups::make(stage)?;
    let (place, pid) = (cgroups.place.clone(), cgroups.pid);
    Ok(write(format_args!("{place}/{file}"), value)
        .scene()
        .shows(move || shows(&place, pid))
        .keep(cgroups)
        .keep(victim))
}

fn has(place: &str, file: &str, text: &str) -> bool {
    fs::read_to_string(format!("{place}/{file}")).is_ok_and(|found| found.contains(text))
}

/// An object of System V IPC that belongs to the attacker's user. It is removed in the end.
struct Ipc {
    id: usize,
    control: i64,
}

impl Ipc {
    fn make(stage: &Stage<'_>, get: i64, control: i64, words: &[usize]) -> anyhow::Result<Self> {
        let id = call(get, words)?;
        // struct ipc64_perm: key, uid, gid, cuid, cgid, mode, …
        let mut object = [0_u32; 64];
        (object[1], object[2], object[5]) = (stage.uid, stage.uid, 0o600);
        // Of a queue: how many bytes it may hold.
        object[22] = 4096;
        let (set, address) = (libc::IPC_SET as usize, object.as_mut_ptr() as usize);
        let words = if control == libc::SYS_semctl {
            [id, 0, set, address]
        } else {
            [id, set, address, 0]
        };
        call(control, &words)?;
        Ok(Self { id, control })
    }

    fn status(id: usize, control: i64) -> Option<[u32; 64]> {
        let mut object = [0_u32; 64];
        let (stat, address) = (libc::IPC_STAT as usize, object.as_mut_ptr() as usize);
        let words = if control == libc::SYS_semctl {
            [id, 0, stat, address]
        } else {
            [id, stat, address, 0]
        };
        call(control, &words).ok()?;
        Some(object)
    }
}

impl Drop for Ipc {
    fn drop(&mut self) {
        let words = if self.control == libc::SYS_semctl {
            [self.id, 0, libc::IPC_RMID as usize, 0]
        } else {
            [self.id, libc::IPC_RMID as usize, 0, 0]
        };
        let _ = call(self.control, &words);
    }
}

fn memory(stage: &Stage<'_>) -> anyhow::Result<Ipc> {
    let words = [libc::IPC_PRIVATE as usize, 4096, 0o1600];
    Ipc::make(stage, libc::SYS_shmget, libc::SYS_shmctl, &words)
}

fn semaphores(stage: &Stage<'_>) -> anyhow::Result<Ipc> {
    let words = [libc::IPC_PRIVATE as usize, 1, 0o1600];
    Ipc::make(stage, libc::SYS_semget, libc::SYS_semctl, &words)
}

fn queue(stage: &Stage<'_>) -> anyhow::Result<Ipc> {
    let words = [libc::IPC_PRIVATE as usize, 0o1600];
    let queue = Ipc::make(stage, libc::SYS_msgget, libc::SYS_msgctl, &words)?;
    let message = [1_u64, 2];
    call(libc::SYS_msgsnd, &[queue.id, message.as_ptr() as usize, 8, 0])?;
    Ok(queue)
}

/// Anything of an object's state but the times is another.
fn on_ipc(ipc: Ipc, script: Script) -> Scene {
    let (id, control) = (ipc.id, ipc.control);
    let look = move || Ipc::status(id, control).map(|object| (object[1], object[5]));
    let before = look();
    script.scene().shows(move || look() != before).keep(ipc)
}

fn value_of_semaphore(id: usize) -> Option<usize> {
    const GETVAL: usize = 12;
    call(libc::SYS_semctl, &[id, 0, GETVAL, 0]).ok()
}

fn on_semaphore(ipc: Ipc, script: Script) -> Scene {
    let id = ipc.id;
    let before = value_of_semaphore(id);
    script
        .scene()
        .shows(move || value_of_semaphore(id) != before)
        .keep(ipc)
}

fn messages(id: usize) -> Option<u32> {
    // msqid64_ds: perm (48), three times (24), bytes (8), messages.
    Ipc::status(id, libc::SYS_msgctl).map(|object| object[20])
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
        Ok(write("/proc/self/oom_score_adj", "500")
            .then(
                libc::SYS_write,
                &[
                    &super::scene::file(libc::O_WRONLY, "/proc/self/coredump_filter"),
                    &string("0"),
                    &1,
                ],
            )
            .then(
                libc::SYS_write,
                &[
                    &super::scene::file(libc::O_WRONLY, "/proc/self/comm"),
                    &string("mine"),
                    &4,
                ],
            )
            .scene())
    })
    .twin(),
    both("B8", "into another cgroup", |s| {
        let (cgroups, victim) = Cgroups::make(s)?;
        let (place, pid) = (cgroups.place.clone(), cgroups.pid);
        Ok(write(
            format_args!("{place}/second/cgroup.procs"),
            &pid.to_string(),
        )
        .scene()
        .shows(move || has(&format!("/proc/{pid}"), "cgroup", "/second"))
        .keep(cgroups)
        .keep(victim))
    }),
    root("B9", "a child in another cgroup", |s| {
        let (cgroups, victim) = Cgroups::make(s)?;
        let directory = format!("{}/second", cgroups.place);
        Ok(Scene::of("child-in-cgroup", &[&directory])
            .keep(cgroups)
            .keep(victim))
    }),
    root("H1", "out of its cgroup", |s| {
        let (cgroups, victim) = Cgroups::make(s)?;
        Ok(write(format_args!("{}/second/cgroup.procs", cgroups.place), "0")
            .scene()
            .keep(cgroups)
            .keep(victim))
    }),
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
    both("A13", "cgroup.kill", |s| {
        let (cgroups, victim) = Cgroups::make(s)?;
        let pid = cgroups.pid;
        Ok(write(format_args!("{}/first/cgroup.kill", cgroups.place), "1")
            .scene()
            .shows(move || {
                matches!(crate::support::process::state(pid), None | Some('Z' | 'X'))
            })
            .keep(cgroups)
            .keep(victim))
    }),
    both("B1", "cgroup.freeze", |s| {
        cgroup(s, "first/cgroup.freeze", "1", |place, _| {
            has(place, "first/cgroup.events", "frozen 1")
        })
    }),
    both("C1", "memory.max", |s| {
        cgroup(s, "first/memory.max", "1M", |place, _| {
            has(place, "first/memory.max", "1048576")
        })
    }),
    both("C1", "memory.high", |s| {
        cgroup(s, "first/memory.high", "0", |place, _| {
            has(place, "first/memory.high", "0\n")
        })
    }),
    both("C1", "memory.reclaim", |s| {
        let (cgroups, victim) = Cgroups::make(s)?;
        Ok(open(
            format_args!("{}/first/memory.reclaim", cgroups.place),
            libc::O_WRONLY,
        )
        .scene()
        .keep(cgroups)
        .keep(victim))
    }),
    both("C1", "pids.max", |s| {
        cgroup(s, "first/pids.max", "0", |place, _| {
            has(place, "first/pids.max", "0\n")
        })
    }),
    both("C1", "cpu.max", |s| {
        cgroup(s, "first/cpu.max", "1000 1000000", |place, _| {
            has(place, "first/cpu.max", "1000 1000000")
        })
    }),
    both("C1", "cgroup.subtree_control", |s| {
        cgroup(s, "cgroup.subtree_control", "-cpu", |place, _| {
            !has(place, "cgroup.subtree_control", "cpu")
        })
    }),
    root("C1", "a cgroup that is removed", |s| {
        let (cgroups, victim) = Cgroups::make(s)?;
        let directory = format!("{}/second", cgroups.place);
        let seen = directory.clone();
        Ok(does(libc::SYS_rmdir, &[&string(directory)])
            .scene()
            .shows(move || !fs::exists(&seen).unwrap_or(true))
            .keep(cgroups)
            .keep(victim))
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
    root("C9", "swapoff", |_| swap(libc::SYS_swapoff, "/mnt/ext4/swap")),
    root("F15", "swapon", |_| swap(libc::SYS_swapon, "/mnt/ext4/swap")),
    both("B18", "shmctl: removal", |s| {
        let ipc = memory(s)?;
        let id = ipc.id;
        Ok(on_ipc(ipc, does(libc::SYS_shmctl, &[&id, &0, &0])))
    }),
    both("B18", "shmctl: owner and mode", |s| {
        let ipc = memory(s)?;
        let id = ipc.id;
        let mut object = [0_u32; 28];
        (object[1], object[2], object[5]) = (s.uid, s.uid, 0);
        let set = does(libc::SYS_shmctl, &[&id, &1, &words32(&object)]);
        Ok(on_ipc(ipc, set))
    }),
    both("D12", "shmat and a write", |s| {
        let ipc = memory(s)?;
        let id = ipc.id;
        let address = call(libc::SYS_shmat, &[id, 0, 0])?;
        Ok(does(libc::SYS_shmat, &[&id, &0, &0])
            .then(super::scene::STORE, &[&"$1", &7])
            .scene()
            // SAFETY: the segment is attached here until the scene is over.
            .shows(move || unsafe { (address as *const u8).read_volatile() } == 7)
            .undo(move || {
                let _ = call(libc::SYS_shmdt, &[address]);
            })
            .keep(ipc))
    }),
    both("B18", "semctl: removal", |s| {
        let ipc = semaphores(s)?;
        let id = ipc.id;
        Ok(on_ipc(ipc, does(libc::SYS_semctl, &[&id, &0, &0, &0])))
    }),
    both("B18", "semctl: SETVAL", |s| {
        let ipc = semaphores(s)?;
        let id = ipc.id;
        Ok(on_semaphore(ipc, does(libc::SYS_semctl, &[&id, &0, &16, &7])))
    }),
    both("B18", "semctl: SETALL", |s| {
        let ipc = semaphores(s)?;
        let id = ipc.id;
        let set = does(libc::SYS_semctl, &[&id, &0, &17, &words32(&[7])]);
        Ok(on_semaphore(ipc, set))
    }),
    both("B16", "semop", |s| {
        let ipc = semaphores(s)?;
        let id = ipc.id;
        // struct sembuf { number, operation, flags }, of 16 bits.
        let up = words32(&[0x0001_0000, 0]);
        Ok(on_semaphore(ipc, does(libc::SYS_semop, &[&id, &up, &1])))
    }),
    both("B18", "msgctl: removal", |s| {
        let ipc = queue(s)?;
        let id = ipc.id;
        Ok(on_ipc(ipc, does(libc::SYS_msgctl, &[&id, &0, &0])))
    }),
    both("B18", "a message that is taken away", |s| {
        let ipc = queue(s)?;
        let id = ipc.id;
        let buffer = words64(&[0, 0]);
        Ok(does(libc::SYS_msgrcv, &[&id, &buffer, &8, &0, &0])
            .scene()
            .shows(move || messages(id) == Some(0))
            .keep(ipc))
    }),
    both("B18", "a message that is put in", |s| {
        let ipc = queue(s)?;
        let id = ipc.id;
        Ok(does(libc::SYS_msgsnd, &[&id, &words64(&[1, 2]), &8, &0])
            .scene()
            .shows(move || messages(id) == Some(2))
            .keep(ipc))
    }),
    both("B18", "System V IPC of its own", |_| {
        Ok(does(libc::SYS_shmget, &[&0, &4096, &0o1600])
            .then(libc::SYS_shmat, &[&"$1", &0, &0])
            .then(super::scene::STORE, &[&"$2", &7])
            .then(libc::SYS_shmctl, &[&"$1", &0, &0])
            .then(libc::SYS_semget, &[&0, &1, &0o1600])
            .then(libc::SYS_semctl, &[&"$5", &0, &16, &7])
            .then(libc::SYS_semctl, &[&"$5", &0, &0, &0])
            .then(libc::SYS_msgget, &[&0, &0o1600])
            .then(libc::SYS_msgsnd, &[&"$8", &words64(&[1, 2]), &8, &0])
            .then(libc::SYS_msgctl, &[&"$8", &0, &0])
            .scene())
    })
    .twin(),
    both("B20", "flock", |s| {
        let path = s.file()?;
        Ok(does(libc::SYS_flock, &[&super::scene::file(0, path), &6]).scene())
    }),
    both("B20", "a lease", |s| {
        let path = s.file()?;
        let file = super::scene::file(0, path);
        Ok(does(libc::SYS_fcntl, &[&file, &1024, &libc::F_RDLCK]).scene())
    }),
    both("B20", "a lock on its own file", |s| {
        let path = format!("{}/own", s.directory()?);
        Ok(open(path, libc::O_CREAT | libc::O_RDWR)
            .then(libc::SYS_flock, &[&"$1", &6])
            .scene())
    })
    .twin(),
    root("B21", "fanotify that asks for permission", |s| {
        let path = s.file()?;
        Ok(does(libc::SYS_fanotify_init, &[&4, &0])
            .then(
                libc::SYS_fanotify_mark,
                &[&"$1", &1, &0x1_0000, &libc::AT_FDCWD, &string(path)],
            )
            .scene())
    }),
];
