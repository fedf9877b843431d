//! Guard itself as the target, under a policy that allows everything.

use std::fs;
use std::path::Path;

use std::fmt::Display;

use anyhow::{Context as _, ensure};
use nix::errno::Errno;
use nix::libc::{SIGKILL, SIGSTOP, SIGTERM};

use crate::context::Context;
use crate::support::agent::{AGENT, Agent};
use crate::support::cases::Cases;
use crate::support::guard::{self, PINS, Server};
use crate::support::victim::{self, Effect, Kind, Victim};

/// A policy that opens everything that a policy can open.
const OPEN: &str = "\
version: 1
rules:
  - name: anything
    allow: [signal, trace, inspect]
  - name: any-file
    allow: [delete]
    on: [\"/**\"]
";

const CONTROL: &str = "/run/guard/control.sock";

#[expect(clippy::too_many_lines, reason = "a table of small cases")]
pub fn protects_itself(_: &mut Context) -> anyhow::Result<()> {
    let mut cases = Cases::default();
    let server = Server::start()?;
    let open = guard::policy("open", OPEN)?;
    let mut guarded = Agent::with("open", 0, &["--policy", &open])?;
    // The policy is as open as it should be: these tests would prove nothing otherwise.
    cases.run("the policy allows signals", || {
        let victim = Victim::spawn(Kind::Plain, AGENT)?;
        guarded.succeed("attach", &[&victim.pid])?;
        guarded.succeed("kill", &[&victim.pid, &SIGKILL])?;
        ensure!(victim::shows(victim.pid, Effect::Dies), "it lives");
        Ok(())
    });
    cases.run("the policy allows deletion", || {
        fs::write("/srv/anything", "")?;
        guarded.succeed("unlink", &[&"/srv/anything"])?;
        Ok(())
    });
    for (who, pid) in [
        ("the server", server.pid()),
        ("guard run", guarded.client()),
    ] {
        for signal in [SIGKILL, SIGTERM, SIGSTOP] {
            cases.run(format_args!("{who}: signal {signal}"), || {
                guarded.refused("kill", &[&pid, &signal])?;
                guarded.refused("pidfd", &[&pid, &signal, &0])?;
                guarded.refused("tgkill", &[&pid, &pid, &signal])
            });
        }
        cases.run(format_args!("{who}: an owner's signal"), || {
            guarded.succeed("owner", &[&"process", &pid, &SIGKILL])?;
            ensure!(
                crate::support::process::state(pid).is_some_and(|state| state != 'Z'),
                "it died"
            );
            Ok(())
        });
        cases.run(format_args!("{who}: trace"), || {
            guarded.refused("attach", &[&pid])?;
            guarded.refused("seize", &[&pid])?;
            guarded.refused("take-descriptor", &[&pid])?;
            let memory = guarded.attack("mem-file", &[&format!("/proc/{pid}/mem"), &4096])?;
            ensure!(
                matches!(memory, Err(Errno::EPERM | Errno::EACCES)),
                "{memory:?}"
            );
            Ok(())
        });
        cases.run(format_args!("{who}: the event"), || {
            let event = guard::wait_for_event("open", |event| event["target"]["pid"] == pid)?;
            ensure!(event["reason"] == "guard-process", "{event}");
            Ok(())
        });
    }
    cases.run("guard run: PTRACE_TRACEME", || {
        guarded.refused("traceme", &[])
    });
    let pins: Vec<String> = pins()?;
    cases.run("pins", || {
        for pin in &pins {
            guarded.refused("unlink", &[pin])?;
            guarded.refused("rename", &[pin, &format!("{pin}.moved")])?;
        }
        let directory = Path::new(&pins[0]).parent().context("no parent")?;
        guarded.refused("rename", &[&directory.display(), &"/sys/fs/bpf/elsewhere"])?;
        guarded.refused("rename", &[&PINS, &"/sys/fs/bpf/elsewhere"])?;
        Ok(())
    });
    fs::create_dir_all("/etc/guard/policies")?;
    fs::write("/etc/guard/policies/other.yaml", "version: 1\n")?;
    let own = fs::read_dir("/var/log/guard")?
        .filter_map(Result::ok)
        .map(|entry| entry.path().display().to_string())
        .find(|path| path.contains("open-"))
        .context("no log")?;
    for path in [
        &open,
        "/etc/guard/policies/other.yaml",
        "/usr/bin/guard",
        CONTROL,
        "/run/guard/server.lock",
        "/run/guard/sessions/open.json",
        &own,
    ] {
        cases.run(format_args!("the file {path}"), || {
            ensure!(Path::new(path).exists(), "it is not there");
            guarded.refused("unlink", &[&path])?;
            guarded.refused("rename", &[&path, &format!("{path}.moved")])?;
            let beside = if path.starts_with("/run") {
                "/run/instead"
            } else {
                "/srv/instead"
            };
            fs::write(beside, "")?;
            guarded.refused("rename", &[&beside, &path])?;
            ensure!(Path::new(path).exists(), "it is gone");
            Ok(())
        });
    }
    for path in [
        "/etc/guard",
        "/run/guard",
        "/var/log/guard",
        "/usr/bin",
        "/etc",
        "/var/log",
        "/run",
    ] {
        cases.run(format_args!("the directory {path}"), || {
            guarded.refused("rename", &[&path, &format!("{path}.moved")])?;
            ensure!(Path::new(path).is_dir(), "it is gone");
            Ok(())
        });
    }
    cases.run("the control socket", || {
        let result = guarded.attack("connect", &[&CONTROL])?;
        ensure!(result.is_err(), "it answered: {result:?}");
        Ok(())
    });
    for (verb, words) in [
        ("run", &["run", "--user", "root", "--", "/bin/true"][..]),
        ("status", &["status"]),
        ("stop", &["stop", "open"]),
        ("server", &["server"]),
    ] {
        cases.run(format_args!("guard {verb} in a session"), || {
            let words: Vec<&dyn Display> = std::iter::once(&guard::GUARD)
                .chain(words)
                .map(|word| word as &dyn Display)
                .collect();
            let status = guarded.succeed("run", &words)?;
            ensure!(status != 0, "it worked");
            Ok(())
        });
    }
    cases.run("the session goes on", || {
        guard::session("open")?;
        Ok(())
    });
    // The same without guard around it: all of it can be done.
    cases.run("control: a file of guard's", || {
        let mut free = Agent::free(0)?;
        free.succeed("unlink", &[&"/etc/guard/policies/other.yaml"])?;
        free.succeed("connect", &[&CONTROL])?;
        Ok(())
    });
    drop(guarded);
    cases.run("control: pins and the server", || {
        let mut free = Agent::free(0)?;
        free.succeed("unlink", &[&pins[0]])?;
        free.succeed("attach", &[&server.pid()])?;
        free.succeed("kill", &[&server.pid(), &SIGKILL])?;
        ensure!(victim::shows(server.pid(), Effect::Dies), "it lives");
        Ok(())
    });
    cases.finish()
}

/// The files below the pin directory.
fn pins() -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for version in fs::read_dir(PINS)? {
        for pin in fs::read_dir(version?.path())? {
            found.push(pin?.path().display().to_string());
        }
    }
    ensure!(!found.is_empty(), "nothing is pinned");
    Ok(found)
}
