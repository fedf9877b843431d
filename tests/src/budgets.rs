//! Rules about one program alone (`by`), and rules that let something through so many times
//! (`at-most`).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, ensure};
use nix::libc;

use crate::context::Context;
use crate::registry::{Test, enforcing};
use crate::support::agent::{Agent, SELF};
use crate::support::cases::{Cases, until};
use crate::support::guard::{self, Server, guard};
use crate::support::victim::{Kind, Victim};

/// All of them.
pub const TESTS: &[Test] = &[
    enforcing("budgets::so_many_and_no_more", so_many_and_no_more),
    enforcing("budgets::one_program_alone", one_program_alone),
];

/// Where the files are: nobody's workspace.
const PLACE: &str = "/srv/budget";

/// How many the rule lets go.
const COUNT: usize = 20;

fn limited() -> String {
    format!(
        "version: 1\nrules:\n  - name: some\n    allow: [delete]\n    on: {PLACE}/**\n    \
         at-most: {{ count: {COUNT}, per: 1h }}\n    because: a test says so\n"
    )
}

/// Files that no session made.
fn fill(count: usize) -> anyhow::Result<()> {
    let _ = fs::remove_dir_all(PLACE);
    fs::create_dir_all(PLACE)?;
    fs::set_permissions(PLACE, fs::Permissions::from_mode(0o777))?;
    for number in 0..count {
        fs::write(format!("{PLACE}/{number}"), "given")?;
    }
    Ok(())
}

fn left() -> anyhow::Result<usize> {
    Ok(fs::read_dir(PLACE)?.count())
}

/// Has the session remove everything there, by several processes at once.
fn remove_all(agent: &mut Agent) -> anyhow::Result<()> {
    let script =
        format!("cd {PLACE} && for f in *; do rm -f \"$f\" 2>/dev/null & done; wait; exit 0");
    let ended = agent.shell(&script, None)?;
    ensure!(ended == 0, "the shell ended with {ended}");
    Ok(())
}

fn so_many_and_no_more(_: &mut Context) -> anyhow::Result<()> {
    let _server = Server::start()?;
    let mut cases = Cases::default();
    let file = guard::policy("limited", &limited())?;
    let mut agent = Agent::with("limited", 0, &["--policy", &file])?;
    let mut other = Agent::with("other", 0, &["--policy", &file])?;
    fill(3 * COUNT)?;
    cases.run("its own files are not counted", || {
        for _ in 0..2 * COUNT {
            let path = format!("{PLACE}/own");
            agent.succeed(
                "script",
                &[
                    &libc::SYS_openat,
                    &libc::AT_FDCWD,
                    &format_args!("t:{path}"),
                    &(libc::O_CREAT | libc::O_RDWR),
                    &0o600,
                    &";",
                    &libc::SYS_unlink,
                    &format_args!("t:{path}"),
                ],
            )?;
        }
        ensure!(left()? == 3 * COUNT, "others went");
        Ok(())
    });
    cases.run("many at once: as many as it says, exactly", || {
        remove_all(&mut agent)?;
        let left = left()?;
        ensure!(left == 2 * COUNT, "{left} of {} are left", 3 * COUNT);
        Ok(())
    });
    cases.run("it is told why, and what lifts it", || {
        let event = guard::wait_for_event("limited", |event| event["reason"] == "limit")?;
        ensure!(
            event["verdict"] == "deny" && event["rule"] == "some",
            "{event}"
        );
        ensure!(
            event["instead"]
                .as_str()
                .is_some_and(|text| text.contains("guard resume")),
            "{event}"
        );
        let session = guard::session("limited")?;
        ensure!(session["exceeded"][0] == "some", "{session}");
        let text = guard(&["status"])?.ensure_status(0)?.out.clone();
        ensure!(text.contains("guard resume limited"), "{text}");
        Ok(())
    });
    cases.run("another session has its own", || {
        other.succeed("unlink", &[&first()?])?;
        Ok(())
    });
    cases.run("an edit about something else lifts nothing", || {
        let before = guard::session("limited")?["policy"].clone();
        fs::write(&file, format!("{}# edited\n", limited()))?;
        let edited = || guard::session("limited").is_ok_and(|now| now["policy"] != before);
        ensure!(until(guard::PATIENCE, edited), "the edit is not in force");
        agent.refused("unlink", &[&first()?])?;
        Ok(())
    });
    cases.run("a session cannot lift it", || {
        let ended = agent.shell("/usr/bin/guard resume limited >/dev/null 2>&1", None)?;
        ensure!(ended != 0, "it was not refused");
        agent.refused("unlink", &[&first()?])?;
        Ok(())
    });
    cases.run("somebody lifts it", || {
        let ran = guard(&["resume", "limited"])?;
        ran.ensure_status(0)?;
        ensure!(ran.out.contains("counted anew: some"), "{}", ran.out);
        let before = left()?;
        remove_all(&mut agent)?;
        let left = left()?;
        ensure!(before - left == COUNT, "{left} of {before} are left");
        Ok(())
    });
    cases.run("there is nothing to lift", || {
        let ran = guard(&["resume", "other"])?;
        ensure!(
            ran.ensure_status(0)?.out.contains("no limit"),
            "{}",
            ran.out
        );
        guard(&["resume", "nobody"])?.ensure_status(2)?;
        Ok(())
    });
    cases.finish()
}

/// One of the files that are there.
fn first() -> anyhow::Result<String> {
    let entry = fs::read_dir(PLACE)?.next().context("no file is left")??;
    Ok(entry.path().display().to_string())
}

fn one_program_alone(_: &mut Context) -> anyhow::Result<()> {
    let _server = Server::start()?;
    let mut cases = Cases::default();
    let policy = format!(
        "version: 1\ngroups:\n  tester: [{{ exe: {SELF} }}]\nrules:\n  - name: tester\n    \
         allow: [delete, overwrite, signal, connect]\n    by: tester\n    because: a test says so\n"
    );
    let file = guard::policy("by", &policy)?;
    let mut agent = Agent::with("by", 0, &["--policy", &file])?;
    fill(4)?;
    let shell = |agent: &mut Agent, script: &str| agent.shell(script, None);
    cases.run("another program is refused", || {
        let ended = shell(
            &mut agent,
            &format!("/bin/busybox rm {PLACE}/0 2>/dev/null"),
        )?;
        ensure!(ended != 0 && Path::new(PLACE).join("0").exists(), "it went");
        let ended = shell(&mut agent, &format!("(echo harm > {PLACE}/1) 2>/dev/null"))?;
        ensure!(ended != 0, "it was written");
        Ok(())
    });
    cases.run("the program is let", || {
        agent.succeed("unlink", &[&format!("{PLACE}/0")])?;
        agent.succeed(
            "script",
            &[&libc::SYS_truncate, &format_args!("t:{PLACE}/1"), &1],
        )?;
        Ok(())
    });
    cases.run(
        "what it may write, another that gets the descriptor may not",
        || {
            // The shell opens nothing: its output is what this program has opened.
            let path = format!("{PLACE}/2");
            let ended = agent.shell("/bin/busybox echo harm 2>/dev/null", Some(&path))?;
            let text = fs::read_to_string(&path)?;
            ensure!(ended != 0 && text == "given", "{ended}: {text}");
            Ok(())
        },
    );
    cases.run("a copy of it is another program", || {
        let script = format!(
            "cp {SELF} /srv/work-by/copy && /srv/work-by/copy attack 1 unlink {PLACE}/3 > /dev/null"
        );
        let _ = shell(&mut agent, &script)?;
        ensure!(Path::new(PLACE).join("3").exists(), "it went");
        Ok(())
    });
    cases.run("processes", || {
        let victim = Victim::spawn(Kind::Plain, 0)?;
        agent.succeed("kill", &[&victim.pid, &libc::SIGCONT])?;
        let script = format!("kill -CONT {} 2>/dev/null", victim.pid);
        let ended = shell(&mut agent, &script)?;
        ensure!(ended != 0, "the shell's signal went through");
        Ok(())
    });
    cases.finish()
}
