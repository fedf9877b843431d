//! The cgroups of others, which hold, stop and end what is in them (A13, B1, B8, B9, C1, H1).

use std::fs;
use std::os::unix::fs::chown;

use nix::libc;

use super::scene::{Scene, Stage, does, fresh, open, string, write};
use super::{Row, both, root};
use crate::support::raw::call;
use crate::support::victim::{self, Kind};

/// Two cgroups below one that belongs to the attacker's user, as a service manager hands them
/// over. The first has a process in it.
struct Cgroups {
    place: String,
    pid: i32,
}

impl Cgroups {
    fn make(stage: &Stage<'_>) -> anyhow::Result<(Self, victim::Victim)> {
        // Without it there would be no limits to set. The root may have processes all the same.
        let _ = fs::write(
            "/sys/fs/cgroup/cgroup.subtree_control",
            "+memory +pids +cpu",
        );
        let place = format!("/sys/fs/cgroup/others-{}", fresh());
        fs::create_dir_all(format!("{place}/first"))?;
        fs::create_dir_all(format!("{place}/second"))?;
        let _ = fs::write(
            format!("{place}/cgroup.subtree_control"),
            "+memory +pids +cpu",
        );
        for directory in [
            place.clone(),
            format!("{place}/first"),
            format!("{place}/second"),
        ] {
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

pub const ROWS: &[Row] = &[
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
        Ok(
            write(format_args!("{}/second/cgroup.procs", cgroups.place), "0")
                .scene()
                .keep(cgroups)
                .keep(victim),
        )
    }),
    both("A13", "cgroup.kill", |s| {
        let (cgroups, victim) = Cgroups::make(s)?;
        let pid = cgroups.pid;
        Ok(
            write(format_args!("{}/first/cgroup.kill", cgroups.place), "1")
                .scene()
                .shows(move || {
                    matches!(crate::support::process::state(pid), None | Some('Z' | 'X'))
                })
                .keep(cgroups)
                .keep(victim),
        )
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
];
