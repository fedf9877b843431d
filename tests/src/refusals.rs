//! What keeps a session from starting: mistakes, limits, machines that cannot enforce. Whatever
//! it is, it is said, and nothing is started or left half-started.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use nix::libc::{EOPNOTSUPP, SIGWINCH};

use crate::boot::Image;
use crate::cli::{ROOT, sh};
use crate::context::Context;
use crate::registry::{Kernels, Test, enforcing, few};
use crate::support::agent::Agent;
use crate::support::cases::{Cases, until};
use crate::support::guard::{self, GUARD, PINS, Server};
use crate::support::victim::{Kind, Victim};

/// All of them.
pub const TESTS: &[Test] = &[
    enforcing("refusals::mistakes_start_nothing", mistakes_start_nothing),
    few("refusals::what_cannot_be_made_is_said", what_cannot_be_made),
    Test {
        // Nothing of it depends on the kernel, and it takes long.
        kernels: Kernels::Only(6, 12),
        ..enforcing("refusals::too_many_sessions", too_many_sessions)
    },
    enforcing("refusals::doctor_is_content", doctor_is_content),
    Test {
        name: "refusals::guard_refuses_to_start_and_says_why",
        kernels: Kernels::Refusing,
        image: Image::Small,
        run: refuses_to_start,
    },
];

fn mistakes_start_nothing(_: &mut Context) -> anyhow::Result<()> {
    let mut cases = Cases::default();
    let bad = guard::policy("bad", "version: 1\nrules:\n  - deny: [singal]\n")?;
    cases.run("a policy with a mistake", || {
        let ran = sh(&["--user", "root", "--policy", &bad], "touch /srv/started")?;
        ran.ensure_status(2)?
            .ensure_says(&["bad.yaml:3:", "singal", "^^^", "signal"])?;
        Ok(())
    });
    cases.run("guard check", || {
        guard::guard(&["check", &bad])?
            .ensure_status(2)?
            .ensure_says(&["bad.yaml:3:"])?;
        let good = guard::policy("good", "version: 1\ninclude: [default]\n")?;
        guard::guard(&["check", &good, "vms", "databases", "audit"])?.ensure_status(0)?;
        Ok(())
    });
    cases.run("a policy that is not there", || {
        let ran = sh(
            &["--user", "root", "--policy", "/srv/none.yaml"],
            "touch /srv/started",
        )?;
        ran.ensure_status(2)?.ensure_says(&["/srv/none.yaml"])?;
        Ok(())
    });
    cases.run("too many rules", || {
        let rules = "  - { deny: [signal] }\n".repeat(70);
        let many = guard::policy("many", &format!("version: 1\nrules:\n{rules}"))?;
        let ran = sh(&["--user", "root", "--policy", &many], "touch /srv/started")?;
        ran.ensure_status(2)?
            .ensure_says(&["70 rules", "the limit is 60"])?;
        Ok(())
    });
    cases.run("a workspace that cannot be one", || {
        sh(
            &["--user", "root", "--workspace", "/"],
            "touch /srv/started",
        )?
        .ensure_status(2)?;
        Ok(())
    });
    cases.run("nothing was started", || {
        ensure!(!Path::new("/srv/started").exists(), "a command ran");
        let left = until(guard::PATIENCE, || !guard::is_pinned());
        ensure!(left, "the programs are pinned, with no session");
        Ok(())
    });
    cases.finish()
}

fn what_cannot_be_made(_: &mut Context) -> anyhow::Result<()> {
    let mut cases = Cases::default();
    cases.run("pins of another version", || {
        // What an earlier test left loaded is of this version.
        let _ = fs::remove_dir_all(PINS);
        fs::create_dir_all(format!("{PINS}/v999"))?;
        let ran = sh(ROOT, "touch /srv/started")?;
        ran.ensure_status(125)?.ensure_says(&["v999", "version"])?;
        ensure!(!Path::new("/srv/started").exists(), "a command ran");
        let found: Vec<_> = fs::read_dir(PINS)?
            .filter_map(Result::ok)
            .map(|entry| entry.file_name())
            .collect();
        ensure!(found == ["v999"], "something was pinned: {found:?}");
        let doctor = guard::guard(&["doctor"])?;
        ensure!(
            doctor.status == 1 && doctor.out.contains("v999"),
            "{doctor:?}"
        );
        fs::remove_dir(format!("{PINS}/v999"))?;
        Ok(())
    });
    let _server = Server::start()?;
    cases.run("a cgroup", || {
        // The first session brings the canary, whose cgroup stays.
        sh(ROOT, "exit 0")?.ensure_status(0)?;
        // Sessions' cgroups lie in one that nothing more can be made in now.
        fs::write("/sys/fs/cgroup/guard/cgroup.max.descendants", "1")?;
        let ran = sh(&["--user", "root", "--name", "half"], "touch /srv/started")?;
        fs::write("/sys/fs/cgroup/guard/cgroup.max.descendants", "max")?;
        ran.ensure_status(125)?
            .ensure_says(&["cgroup", "/sys/fs/cgroup/guard/half"])?;
        ensure!(!Path::new("/srv/started").exists(), "a command ran");
        ensure!(
            guard::session("half").is_err(),
            "a session was half-started"
        );
        // Nothing of it is in the way of the next one.
        sh(&["--user", "root", "--name", "half"], "exit 6")?.ensure_status(6)?;
        Ok(())
    });
    cases.run("the programs' switch", || {
        match fs::write("/proc/sys/kernel/ftrace_enabled", "0") {
            // 7.3 does not let it be switched off while programs are attached.
            Err(error) if error.raw_os_error() == Some(EOPNOTSUPP) => {
                let switch = fs::read_to_string("/proc/sys/kernel/ftrace_enabled")?;
                ensure!(switch.trim() == "1", "the switch is {switch}");
                return Ok(());
            }
            result => result?,
        }
        let ran = sh(ROOT, "touch /srv/started");
        fs::write("/proc/sys/kernel/ftrace_enabled", "1")?;
        ran?.ensure_status(125)?.ensure_says(&["ftrace"])?;
        ensure!(!Path::new("/srv/started").exists(), "a command ran");
        Ok(())
    });
    cases.finish()
}

fn too_many_sessions(_: &mut Context) -> anyhow::Result<()> {
    const LIMIT: usize = 63;
    let _server = Server::start()?;
    // So many sessions with the default policy have no room for their globs.
    let small = guard::policy("small", "version: 1\nrules: []\n")?;
    let mut agents = Vec::new();
    for number in 0..LIMIT {
        agents.push(
            Agent::with(&format!("many-{number}"), 0, &["--policy", &small])
                .with_context(|| format!("session {number}"))?,
        );
    }
    let ran = sh(
        &["--user", "root", "--name", "one-more"],
        "touch /srv/started",
    )?;
    ran.ensure_status(125)?.ensure_says(&["sessions", "63"])?;
    ensure!(!Path::new("/srv/started").exists(), "a command ran");
    ensure!(guard::session("one-more").is_err(), "it was half-started");
    let victim = Victim::spawn(Kind::Plain, 0)?;
    for agent in [0, LIMIT - 1] {
        agents[agent].refused("kill", &[&victim.pid, &SIGWINCH])?;
    }
    drop(agents.pop());
    let gone = until(guard::PATIENCE, || {
        guard::session(&format!("many-{}", LIMIT - 1)).is_err()
    });
    ensure!(gone, "the last one has not ended");
    sh(&["--user", "root", "--name", "one-more"], "exit 5")?.ensure_status(5)?;
    Ok(())
}

fn doctor_is_content(_: &mut Context) -> anyhow::Result<()> {
    let ran = guard::guard(&["doctor"])?;
    ran.ensure_status(0)?;
    ensure!(
        ran.out.contains("Guard can enforce on this machine") && !ran.out.contains("MISSING"),
        "{}",
        ran.out
    );
    let ran = guard::guard(&["doctor", "--json"])?;
    let report: serde_json::Value = serde_json::from_str(ran.ensure_status(0)?.out.trim())?;
    ensure!(report["well"] == true, "{report}");
    let left = until(guard::PATIENCE, || !guard::is_pinned());
    ensure!(left, "the programs stay after it");
    Ok(())
}

fn refuses_to_start(context: &mut Context) -> anyhow::Result<()> {
    let mut cases = Cases::default();
    let why = if context.boot.nobpf {
        ["bpf", "lsm="]
    } else {
        ["5.10", "6.1"]
    };
    cases.run("guard run", || {
        let ran = sh(ROOT, "touch /srv/started")?;
        ran.ensure_status(125)?.ensure_says(&why)?;
        ran.ensure_says(&["nothing was started", "guard doctor"])?;
        ensure!(!Path::new("/srv/started").exists(), "a command ran");
        Ok(())
    });
    cases.run("guard doctor", || {
        let ran = guard::guard(&["doctor"])?;
        ran.ensure_status(1)?;
        for part in why {
            ensure!(ran.out.contains(part), "no {part}: {}", ran.out);
        }
        ensure!(ran.out.contains("MISSING"), "{}", ran.out);
        let ran = guard::guard(&["doctor", "--json"])?;
        let report: serde_json::Value = serde_json::from_str(ran.ensure_status(1)?.out.trim())?;
        ensure!(report["well"] == false, "{report}");
        Ok(())
    });
    cases.run("guard server", || {
        let mut child = Command::new(GUARD)
            .args(["server", "--stay"])
            .stdin(Stdio::null())
            .spawn()?;
        let mut status = None;
        let ended = until(guard::PATIENCE, || {
            status = child.try_wait().ok().flatten();
            status.is_some()
        });
        let _ = child.kill();
        let _ = child.wait();
        ensure!(ended, "it goes on");
        ensure!(status.is_some_and(|status| !status.success()), "{status:?}");
        Ok(())
    });
    cases.run("nothing is left", || {
        ensure!(!guard::is_pinned(), "something is pinned");
        Ok(())
    });
    cases.run("what needs no kernel works", || {
        guard::guard(&["check", "default"])?.ensure_status(0)?;
        let status = guard::guard(&["status"])?;
        status.ensure_status(0)?;
        Ok(())
    });
    cases.finish()
}
