//! Policies: what each kind of rule means to the kernel, and edits while a session runs.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use nix::errno::Errno;
use nix::libc::{SIGCHLD, SIGCONT, SIGHUP, SIGURG, SIGWINCH};

use crate::context::Context;
use crate::registry::{Test, enforcing, few};
use crate::support::agent::{AGENT, Agent};
use crate::support::cases::{Cases, until};
use crate::support::guard::{self, Server};
use crate::support::process;
use crate::support::victim::{Kind, Victim};

/// All of them.
pub const TESTS: &[Test] = &[
    few("policy::edits_take_effect", edits_take_effect),
    enforcing("policy::rules_of_every_kind", rules_of_every_kind),
    enforcing("policy::audit_lets_through", audit_lets_through),
];

/// How long an edit may take on an emulated machine. The times themselves are printed.
const DEADLINE: Duration = guard::PATIENCE;

/// A policy with one rule, about one signal.
fn one_rule(verb: &str) -> String {
    format!(
        "version: 1\nrules:\n  - name: winch\n    {verb}: [signal]\n    signals: [WINCH]\n    \
         because: a test says so\n"
    )
}

/// Waits until the session gets another answer.
fn becomes(agent: &mut Agent, pid: i32, allowed: bool) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let mut last = Ok(Ok(0));
    let is_so = until(DEADLINE, || {
        last = agent.attack("kill", &[&pid, &SIGWINCH]);
        matches!(
            (&last, allowed),
            (Ok(Ok(_)), true) | (Ok(Err(Errno::EPERM)), false)
        )
    });
    ensure!(is_so, "the verdict stays as it was: {last:?}");
    Ok(start.elapsed())
}

fn edits_take_effect(_: &mut Context) -> anyhow::Result<()> {
    let _server = Server::start()?;
    let mut cases = Cases::default();
    let file = guard::policy("edited", &one_rule("deny"))?;
    let included = guard::policy("included", &one_rule("deny"))?;
    let including = guard::policy("including", "version: 1\ninclude: [./included.yaml]\n")?;
    let mut agent = Agent::with("edits", 0, &["--policy", &file])?;
    let mut other = Agent::with("including", 0, &["--policy", &including])?;
    let victim = Victim::spawn(Kind::Plain, 0)?;
    becomes(&mut agent, victim.pid, false)?;
    let edit = |agent: &mut Agent, how: &str, verb: &str| -> anyhow::Result<()> {
        match how {
            "in place" => fs::write(&file, one_rule(verb))?,
            "by rename" => {
                fs::write("/etc/guard/policies/.new", one_rule(verb))?;
                fs::rename("/etc/guard/policies/.new", &file)?;
            }
            _ => {
                // As some editors do it: the old one away, a new one in its place.
                fs::rename(&file, format!("{file}~"))?;
                fs::write(&file, one_rule(verb))?;
            }
        }
        let took = becomes(agent, victim.pid, verb == "allow")?;
        println!("    {how}: {verb} after {} ms", took.as_millis());
        Ok(())
    };
    for how in ["in place", "by rename", "with a backup", "in place"] {
        for verb in ["allow", "deny"] {
            cases.run(format_args!("{how}: {verb}"), || {
                edit(&mut agent, how, verb)
            });
        }
    }
    cases.run("the event of an edit", || {
        let event = guard::wait_for_event("edits", |event| event["change"] == "applied")?;
        ensure!(event["files"][0] == file.as_str(), "{event}");
        Ok(())
    });
    cases.run("an edit with a mistake", || {
        let before = guard::session("edits")?["policy"].clone();
        fs::write(&file, "version: 1\nrules:\n  - alow: [signal]\n")?;
        let event = guard::wait_for_event("edits", |event| event["change"] == "rejected")?;
        let message = event["message"].as_str().unwrap_or_default();
        ensure!(
            message.contains("alow") && message.contains(":3:"),
            "{event}"
        );
        let session = guard::session("edits")?;
        ensure!(session["policy"] == before, "{session}");
        ensure!(
            session["mistake"]
                .as_str()
                .is_some_and(|text| text.contains("alow")),
            "{session}"
        );
        agent.refused("kill", &[&victim.pid, &SIGWINCH])?;
        // The rule before it still decides, not the default.
        let event = guard::wait_for_event("edits", |event| event["signal"] == "WINCH")?;
        ensure!(event["rule"] == "winch", "{event}");
        Ok(())
    });
    cases.run("a policy that is gone", || {
        fs::remove_file(&file)?;
        std::thread::sleep(Duration::from_millis(300));
        agent.refused("kill", &[&victim.pid, &SIGWINCH])?;
        Ok(())
    });
    cases.run("the mistake is mended", || {
        fs::write(&file, one_rule("allow"))?;
        becomes(&mut agent, victim.pid, true)?;
        let session = guard::session("edits")?;
        ensure!(session["mistake"].is_null(), "{session}");
        Ok(())
    });
    cases.run("an included file", || {
        other.refused("kill", &[&victim.pid, &SIGWINCH])?;
        fs::write(&included, one_rule("allow"))?;
        becomes(&mut other, victim.pid, true)?;
        Ok(())
    });
    cases.run("nobody was harmed", || victim.ensure_whole());
    cases.finish()
}

/// Another executable that waits, in a cgroup if one is named.
struct Program(Child);

impl Program {
    fn start(path: &str, name: &str, uid: u32, cgroup: Option<&str>) -> anyhow::Result<Self> {
        let child = Command::new(path)
            .arg0(name)
            .arg("1000")
            .uid(uid)
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| path.to_owned())?;
        if let Some(cgroup) = cgroup {
            fs::create_dir_all(cgroup)?;
            fs::write(format!("{cgroup}/cgroup.procs"), child.id().to_string())?;
        }
        Ok(Self(child))
    }

    fn pid(&self) -> i32 {
        self.0.id() as i32
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Groups by name, with the item of each.
const GROUPS: &[(&str, &str)] = &[
    ("by-path", "{ exe: /srv/bin/sleep-path }"),
    ("by-glob", "{ exe: \"/srv/bin/busybox-*\" }"),
    ("by-name", "{ name: \"named*\" }"),
    ("by-user", "{ user: other }"),
    ("by-cgroup", "{ cgroup: \"/machine.slice/**\" }"),
    ("by-unit", "{ unit: \"postgresql*.service\" }"),
    ("by-both", "{ exe: \"/srv/bin/both\", user: agent }"),
    (
        "by-except",
        "{ exe: \"/srv/bin/all-*\" }\n    - except: { user: agent }",
    ),
];

/// Four harmless signals, and what each group's rules say to them.
const ALLOWED: i32 = SIGWINCH;
const DENIED: i32 = SIGCONT;
const AUDITED: i32 = SIGURG;
const SECOND: i32 = SIGCHLD;

#[expect(
    clippy::too_many_lines,
    reason = "one scene, looked at from several sides"
)]
fn rules_of_every_kind(_: &mut Context) -> anyhow::Result<()> {
    let mut text = "version: 1\ngroups:\n".to_owned();
    for (group, item) in GROUPS {
        let _ = writeln!(text, "  {group}:\n    - {item}");
    }
    text += "rules:\n";
    for (group, _) in GROUPS {
        let _ = write!(
            text,
            "  - {{ name: {group}-allow, allow: [signal], signals: [WINCH], to: {group} }}\n  \
             - {{ name: {group}-deny, deny: [signal], signals: [CONT], to: {group}, because: \"{group} says no\" }}\n  \
             - {{ name: {group}-audit, audit: [signal], signals: [URG, CHLD], to: {group} }}\n"
        );
    }
    // Comes too late for everybody above.
    text += "  - { name: last, deny: [signal], signals: [CHLD] }\n";
    let policy = guard::policy("every", &text)?;
    fs::create_dir_all("/srv/bin")?;
    for name in ["sleep-path", "busybox-1", "both", "all-1", "plain"] {
        fs::copy("/bin/busybox", format!("/srv/bin/{name}"))?;
    }
    let _server = Server::start()?;
    let mut agent = Agent::with("every", 0, &["--policy", &policy])?;
    let start = |path: &str, uid, cgroup| Program::start(path, "sleep", uid, cgroup);
    let cgroup = |path: &str| format!("/sys/fs/cgroup/{path}");
    fs::copy("/bin/busybox", "/srv/bin/named-one")?;
    let plain = "/srv/bin/plain";
    let machine = cgroup("machine.slice/vm-1.scope");
    let unit = cgroup("system.slice/postgresql@15.service/worker");
    let elsewhere = cgroup("machines.slice/x");
    let other_unit = cgroup("system.slice/postgres.service");
    let targets = [
        ("by-path", start("/srv/bin/sleep-path", 0, None)?),
        ("by-glob", start("/srv/bin/busybox-1", 0, None)?),
        ("by-name", start("/srv/bin/named-one", 0, None)?),
        ("by-user", start(plain, 1001, None)?),
        ("by-cgroup", start(plain, 0, Some(&machine))?),
        ("by-unit", start(plain, 0, Some(&unit))?),
        ("by-both", start("/srv/bin/both", AGENT, None)?),
        ("by-except", start("/srv/bin/all-1", 0, None)?),
    ];
    let strangers = [
        ("another path", start(plain, 0, None)?),
        ("one of two keys", start("/srv/bin/both", 0, None)?),
        ("the other of two keys", start(plain, AGENT, None)?),
        ("a cgroup beside", start(plain, 0, Some(&elsewhere))?),
        ("a unit beside", start(plain, 0, Some(&other_unit))?),
        ("an exception", start("/srv/bin/all-1", AGENT, None)?),
    ];
    let mut cases = Cases::default();
    for (group, target) in &targets {
        let pid = target.pid();
        cases.run(format_args!("{group}: allow"), || {
            agent.succeed("kill", &[&pid, &ALLOWED])?;
            Ok(())
        });
        cases.run(format_args!("{group}: deny"), || {
            agent.refused("kill", &[&pid, &DENIED])
        });
        cases.run(format_args!("{group}: audit"), || {
            agent.succeed("kill", &[&pid, &AUDITED])?;
            Ok(())
        });
        cases.run(format_args!("{group}: the first that matches"), || {
            agent.succeed("kill", &[&pid, &SECOND])?;
            Ok(())
        });
        cases.run(format_args!("{group}: no rule is about it"), || {
            agent.refused("kill", &[&pid, &SIGHUP])
        });
    }
    for (what, stranger) in &strangers {
        cases.run(format_args!("a stranger: {what}"), || {
            agent.refused("kill", &[&stranger.pid(), &ALLOWED])?;
            agent.refused("kill", &[&stranger.pid(), &SECOND])
        });
    }
    // A process that executes something else is what it executes.
    cases.run("what a target executes counts at that moment", || {
        let turncoat = Command::new("/bin/busybox")
            .arg0("sh")
            .args(["-c", "read line; exec /srv/bin/busybox-1 sleep 1000"])
            .stdin(Stdio::piped())
            .spawn()?;
        let pid = turncoat.id() as i32;
        let mut program = Program(turncoat);
        agent.refused("kill", &[&pid, &ALLOWED])?;
        drop(program.0.stdin.take());
        let becomes = until(DEADLINE, || {
            matches!(agent.attack("kill", &[&pid, &ALLOWED]), Ok(Ok(_)))
        });
        ensure!(becomes, "the verdict stays as it was");
        let rests = until(DEADLINE, || process::state(pid) == Some('S'));
        ensure!(rests, "its state is {:?}", process::state(pid));
        Ok(())
    });
    let last = &strangers[4].1;
    guard::wait_for_event("every", |event| {
        event["target"]["pid"] == last.pid() && event["signal"] == "CHLD"
    })?;
    let events = guard::events("every")?;
    let told = |pid: i32, signal: &str| {
        events
            .iter()
            .find(|event| event["target"]["pid"] == pid && event["signal"] == signal)
    };
    for (group, target) in &targets {
        cases.run(format_args!("{group}: events"), || {
            let pid = target.pid();
            ensure!(
                told(pid, "WINCH").is_none(),
                "what is allowed made an event"
            );
            let denied = told(pid, "CONT").context("no event of the refusal")?;
            ensure!(
                denied["verdict"] == "deny"
                    && denied["rule"] == format!("{group}-deny")
                    && denied["because"] == format!("{group} says no"),
                "{denied}"
            );
            for signal in ["URG", "CHLD"] {
                let audited = told(pid, signal).context("no event of the audit")?;
                ensure!(
                    audited["verdict"] == "audit" && audited["rule"] == format!("{group}-audit"),
                    "{audited}"
                );
            }
            let default = told(pid, "HUP").context("no event of the default")?;
            ensure!(
                default["reason"] == "default" && default["rule"].is_null(),
                "{default}"
            );
            Ok(())
        });
    }
    cases.run("the last rule", || {
        let event = told(strangers[0].1.pid(), "CHLD").context("no event")?;
        ensure!(event["rule"] == "last", "{event}");
        Ok(())
    });
    cases.finish()
}

fn audit_lets_through(_: &mut Context) -> anyhow::Result<()> {
    let _server = Server::start()?;
    let mut agent = Agent::with("audit", 0, &["--policy", "audit"])?;
    let victim = Victim::spawn(Kind::Plain, 0)?;
    agent.succeed("kill", &[&victim.pid, &SIGWINCH])?;
    agent.succeed("attach", &[&victim.pid])?;
    fs::write("/srv/audited", "")?;
    agent.succeed("unlink", &[&"/srv/audited"])?;
    for (operation, pid) in [("signal", true), ("trace", true), ("delete", false)] {
        let event = guard::wait_for_event("audit", |event| {
            event["operation"] == operation
                && (!pid || event["target"]["pid"] == victim.pid)
                && event["verdict"] == "audit"
        })?;
        ensure!(event["reason"] == "default", "{event}");
    }
    // The guard itself stays protected.
    fs::create_dir_all("/etc/guard")?;
    fs::write("/etc/guard/kept", "")?;
    agent.refused("unlink", &[&"/etc/guard/kept"])?;
    let server = guard::status()?["server"].as_i64().context("no server")?;
    agent.refused("kill", &[&server, &SIGWINCH])?;
    ensure!(guard::count("audit", "signal", "audit")? == 1, "counted");
    Ok(())
}
