//! Guard itself as the target, under a policy that allows everything.

use std::fs;
use std::path::Path;

use std::fmt::Display;

use anyhow::{Context as _, ensure};
use nix::errno::Errno;
use nix::libc::{self, O_CREAT, O_RDWR, O_WRONLY, SIGKILL, SIGSTOP, SIGTERM};
use nix::libc::{SYS_chmod, SYS_chown, SYS_ioprio_set, SYS_link, SYS_mkdir, SYS_mount};
use nix::libc::{SYS_prlimit64, SYS_sched_setscheduler, SYS_setpriority, SYS_setxattr};
use nix::libc::{SYS_symlink, SYS_truncate};

use super::threats::scene::{Script, does, open as opens, string, words32, words64, write};
use crate::context::Context;
use crate::support::agent::{AGENT, Agent};
use crate::support::cases::{Cases, until};
use crate::support::guard::{self, PINS, Server};
use crate::support::victim::{self, Effect, Kind, Victim};

/// A policy that opens everything that a policy can open.
const OPEN: &str = "\
version: 1
rules:
  - name: anything
    allow: [signal, trace, inspect, limit]
  - name: any-file
    allow: [delete, overwrite, attributes, create, mount]
    on: [\"/**\"]
  - name: any-service
    allow: [connect]
  - name: the-machine
    allow: [machine]
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
    cases.run("the policy allows limits and changes", || {
        let victim = Victim::spawn(Kind::Plain, AGENT)?;
        ensure!(
            limits(&mut guarded, victim.pid).is_err(),
            "it refuses limits"
        );
        fs::write("/srv/anything", "kept")?;
        let truncate = does(SYS_truncate, &[&string("/srv/anything"), &0]);
        ensure!(
            refused(&mut guarded, truncate).is_err(),
            "it refuses changes"
        );
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
        cases.run(format_args!("{who}: limits"), || limits(&mut guarded, pid));
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
            change(&mut guarded, path)
        });
    }
    for place in ["/etc/guard", "/var/log/guard", "/run/guard"] {
        cases.run(format_args!("something new in {place}"), || {
            let path = format!("{place}/new");
            for script in [
                opens(&path, O_CREAT | O_WRONLY),
                does(SYS_mkdir, &[&string(&path), &0o755]),
                does(SYS_symlink, &[&string("/tmp/x"), &string(&path)]),
            ] {
                refused(&mut guarded, script)?;
            }
            ensure!(fs::symlink_metadata(&path).is_err(), "it is there");
            Ok(())
        });
        cases.run(format_args!("a mount over {place}"), || {
            let none = string("");
            refused(
                &mut guarded,
                does(
                    SYS_mount,
                    &[&string("x"), &string(place), &string("tmpfs"), &0, &none],
                ),
            )
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
    // Its end is the server's to find out, which goes next.
    until(guard::PATIENCE, || guard::session("open").is_err());
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

/// A script that has to be refused.
fn refused(agent: &mut Agent, script: Script) -> anyhow::Result<()> {
    let result = script.scene().make(agent)?;
    ensure!(is_refusal(&result), "it was told {result:?}");
    Ok(())
}

/// Whether guard refused it, or the kernel for reasons of its own, which come first: a file that
/// is executed can't be written, and a link doesn't lead to another file system.
fn is_refusal(result: &Result<i64, Errno>) -> bool {
    matches!(
        result,
        Err(Errno::EPERM | Errno::EACCES | Errno::ETXTBSY | Errno::EXDEV)
    )
}

/// Every way to starve a process.
fn limits(agent: &mut Agent, pid: i32) -> anyhow::Result<()> {
    let process = format!("/proc/{pid}");
    for script in [
        does(
            SYS_prlimit64,
            &[&pid, &libc::RLIMIT_NOFILE, &words64(&[1, 1]), &0],
        ),
        does(SYS_setpriority, &[&0, &pid, &19]),
        does(
            SYS_sched_setscheduler,
            &[&pid, &libc::SCHED_IDLE, &words32(&[0])],
        ),
        does(SYS_ioprio_set, &[&1, &pid, &(3 << 13)]),
        write(format_args!("{process}/oom_score_adj"), "1000"),
        write(format_args!("{process}/coredump_filter"), "0"),
    ] {
        refused(agent, script)?;
    }
    Ok(())
}

/// Every way to change a file that stays where it is.
fn change(agent: &mut Agent, path: &str) -> anyhow::Result<()> {
    let before = look(path)?;
    let to = "/tmp/linked";
    for script in [
        does(SYS_truncate, &[&string(path), &0]),
        does(SYS_chmod, &[&string(path), &0o777]),
        does(SYS_chown, &[&string(path), &1000, &1000]),
        does(
            SYS_setxattr,
            &[&string(path), &string("trusted.x"), &string("x"), &1, &0],
        ),
        does(SYS_link, &[&string(path), &string(to)]),
        does(
            SYS_mount,
            &[
                &string("/etc/passwd"),
                &string(path),
                &string(""),
                &libc::MS_BIND,
                &string(""),
            ],
        ),
    ] {
        // A socket cannot be truncated, nor can it be opened.
        let is_socket = path == CONTROL;
        let result = script.scene().make(agent)?;
        ensure!(
            is_refusal(&result) || is_socket && result == Err(Errno::EINVAL),
            "it was told {result:?}"
        );
    }
    if path != CONTROL {
        for script in [opens(path, O_WRONLY), write(path, "x"), opens(path, O_RDWR)] {
            // What runs cannot be written by anybody.
            let result = script.scene().make(agent)?;
            ensure!(
                matches!(result, Err(Errno::EPERM | Errno::EACCES | Errno::ETXTBSY)),
                "it was told {result:?}"
            );
        }
    }
    let after = look(path)?;
    ensure!(before.0 == after.0, "its mode or owner are others");
    // The log grows by what is tried.
    let grows = path.starts_with("/var/log");
    ensure!(
        if grows {
            after.1 >= before.1
        } else {
            after.1 == before.1
        },
        "its length is another"
    );
    Ok(())
}

/// Mode and owner of a file, and its length.
fn look(path: &str) -> anyhow::Result<((u32, u32), u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = fs::metadata(path)?;
    Ok(((metadata.mode(), metadata.uid()), metadata.len()))
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
