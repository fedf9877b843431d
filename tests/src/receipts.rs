//! What is told of a refusal: to whoever runs the host, and to the session itself.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::cli::sh;
use crate::context::Context;
use crate::registry::{Test, enforcing, few};
use crate::support::agent::AGENT;
use crate::support::cases::{Cases, until};
use crate::support::guard::{self, Ran, Server, ran};
use crate::support::victim::{Kind, Victim};

/// All of them.
pub const TESTS: &[Test] = &[
    few(
        "receipts::an_actor_is_told_with_what_it_comes_from",
        ancestry,
    ),
    enforcing("receipts::a_session_is_told_of_its_own_refusals_only", own),
    few("receipts::a_hook_tells_of_the_refusals_of_its_call", hook),
];

/// The pids of an actor's ancestors; none where they are not known.
fn ancestors(event: &Value) -> Option<Vec<i64>> {
    let ancestors = event["actor"]["ancestors"].as_array()?;
    ancestors.iter().map(|one| one["pid"].as_i64()).collect()
}

/// Runs a script in a session of this name, and gives what it printed, as numbers.
fn pids(session: &str, script: &str) -> anyhow::Result<Vec<i64>> {
    let ran = sh(&["--name", session, "--user", "agent"], script)?;
    ran.ensure_status(0)?;
    ran.out
        .split_whitespace()
        .map(|word| word.parse().with_context(|| ran.out.clone()))
        .collect()
}

fn ancestry(_: &mut Context) -> anyhow::Result<()> {
    let _server = Server::start()?;
    let mut cases = Cases::default();
    let victim = Victim::spawn(Kind::Plain, AGENT)?;
    let pid = victim.pid;
    // Whoever is refused stays for a while, so that it can be looked at.
    let refused = format!("kill -HUP {pid} 2>/dev/null; sleep 2");
    cases.run(
        "the session's first process comes from nothing in it",
        || {
            let printed = pids("first", &format!("echo $$; {refused}"))?;
            let event = guard::wait_for_event("first", |event| event["signal"] == "HUP")?;
            ensure!(event["actor"]["pid"] == printed[0], "{event}");
            ensure!(ancestors(&event) == Some(Vec::new()), "{event}");
            Ok(())
        },
    );
    cases.run("a nested shell", || {
        let innermost = format!("echo $$; {refused}");
        let script = format!("echo $$; sh -c 'echo $$; sh -c \"{innermost}\"; :'; :")
            .replace("\"echo $$", "\"echo \\$\\$");
        let printed = pids("nested", &script)?;
        let [first, second, third] = printed[..] else {
            anyhow::bail!("{printed:?}");
        };
        let event = guard::wait_for_event("nested", |event| event["signal"] == "HUP")?;
        ensure!(event["actor"]["pid"] == third, "{event}");
        ensure!(ancestors(&event) == Some(vec![second, first]), "{event}");
        let comm = &event["actor"]["ancestors"][0]["comm"];
        ensure!(comm == "sh", "{event}");
        Ok(())
    });
    cases.run("an orphan belongs to nobody in the session", || {
        let script = format!("(sh -c 'sleep 1; {refused}' &); sleep 3");
        pids("orphan", &script)?;
        let event = guard::wait_for_event("orphan", |event| event["signal"] == "HUP")?;
        ensure!(ancestors(&event) == Some(Vec::new()), "{event}");
        Ok(())
    });
    victim.ensure_whole()?;
    cases.finish()
}

/// Runs a script in a session of this name, as an ordinary user.
fn session(name: &str, script: &str) -> anyhow::Result<Ran> {
    sh(&["--name", name, "--user", "agent"], script)
}

/// The runtime directory of a session that lives.
fn runtime(session: &str) -> anyhow::Result<PathBuf> {
    let begins = format!("{session}.");
    fs::read_dir("/run/guard/runtime")?
        .flatten()
        .find(|entry| entry.file_name().to_string_lossy().starts_with(&begins))
        .map(|entry| entry.path())
        .with_context(|| format!("{session} has no runtime directory"))
}

/// Whoever is in no session, as a user of this number.
fn outside(uid: u32, words: &[&str]) -> anyhow::Result<Ran> {
    let mut command = Command::new(words[0]);
    ran(command.args(&words[1..]).uid(uid).gid(uid))
}

/// A user who is nobody's.
const STRANGER: u32 = 4321;

fn own(_: &mut Context) -> anyhow::Result<()> {
    let server = Server::start()?;
    let mut cases = Cases::default();
    let victim = Victim::spawn(Kind::Plain, AGENT)?;
    let refused = format!("kill -HUP {} 2>/dev/null", victim.pid);
    cases.run("who was refused is told what, why and what to do", || {
        let ran = session("told", &format!("{refused}; guard why; guard why --json"))?;
        ran.ensure_status(0)?;
        for part in [
            "refused: signal HUP",
            &format!("[{}]", victim.pid),
            "because the process was not started by this session",
            "instead signal the session's own processes",
            "retrying will not help",
            "session told",
        ] {
            ensure!(ran.out.contains(part), "{part}: {}", ran.out);
        }
        let json = ran.out.lines().last().context("nothing")?;
        let event: Value = serde_json::from_str(json).with_context(|| json.to_owned())?;
        ensure!(
            event["verdict"] == "deny" && event["session"] == "told",
            "{event}"
        );
        let by_id = guard::guard(&["why", event["id"].as_str().unwrap_or_default()])?;
        ensure!(by_id.out.contains("refused: signal HUP"), "{by_id:?}");
        Ok(())
    });
    cases.run("whoever was refused nothing is told so", || {
        // An ordinary refusal of the kernel's own.
        let ran = session("innocent", "cat /etc/shadow 2>/dev/null; guard why --last")?;
        ran.ensure_status(1)?
            .ensure_says(&["nothing was refused"])?;
        Ok(())
    });
    cases.run("the file has it too, and the environment says where", || {
        let script = format!(
            "{refused}; guard why >/dev/null; sleep 1; echo $GUARD_SESSION; cat $GUARD_RUNTIME/receipts"
        );
        let ran = session("filed", &script)?;
        ensure!(ran.out.starts_with("filed\n"), "{ran:?}");
        ensure!(ran.out.contains("refused: signal HUP"), "{ran:?}");
        Ok(())
    });
    cases.run("of a process, and of what came from it", || {
        let script = format!("sh -c '{refused}; sleep 1'; guard why --pid $$ && guard why --pid 1");
        let ran = session("parent", &script)?;
        ran.ensure_status(1)?;
        ensure!(ran.out.contains("refused: signal HUP"), "{ran:?}");
        Ok(())
    });
    cases.run("another session of the same user learns nothing", || {
        learns_nothing(&refused)
    });
    cases.run("the rest of the server stays out of reach", || {
        let script = "guard status; echo $?; guard stop filed; echo $?; \
                      rm -f $GUARD_RUNTIME/receipts $GUARD_RUNTIME/socket; echo $?; \
                      echo x > $GUARD_RUNTIME/more; echo $?";
        let ran = sh(&["--name", "root", "--user", "root"], script)?;
        ensure!(
            !ran.out.split_whitespace().any(|word| word == "0"),
            "{ran:?}"
        );
        let why = guard::guard(&["why", "--session", "root"])?;
        ensure!(why.out.contains("guard-state"), "{why:?}");
        Ok(())
    });
    cases.run("the server is still the same", || {
        ensure!(
            guard::status()?["server"] == server.pid(),
            "another one runs"
        );
        Ok(())
    });
    victim.ensure_whole()?;
    cases.finish()
}

/// Whether neither another session nor another user learns what a session was refused.
fn learns_nothing(refused: &str) -> anyhow::Result<()> {
    let mut refused_one = Command::new(guard::GUARD);
    let script = format!("{refused}; guard why >/dev/null; echo ready; sleep 60");
    let words = [
        "run", "--name", "one", "--user", "agent", "--", "sh", "-c", &script,
    ];
    let mut one = refused_one.args(words).current_dir("/srv/work").spawn()?;
    let is_told = until(guard::PATIENCE, || {
        let told = runtime("one").and_then(|it| Ok(fs::read_to_string(it.join("receipts"))?));
        told.is_ok_and(|text| text.contains("refused: signal HUP"))
    });
    let result = (|| {
        ensure!(is_told, "it is not told itself");
        let directory = runtime("one")?;
        let directory = directory.display();
        let ran = session(
            "two",
            &format!(
                "guard why; echo $?; ls /run/guard/runtime; echo $?; \
                 GUARD_RUNTIME={directory} guard why; echo $?"
            ),
        )?;
        ensure!(
            ran.out == "1\n1\n125\n" || ran.out == "1\n2\n125\n",
            "{ran:?}"
        );
        ran.ensure_says(&["Operation not permitted"])?;
        let receipts = format!("{directory}/receipts");
        let ran = outside(STRANGER, &["cat", &receipts])?;
        ensure!(ran.status != 0 && ran.out.is_empty(), "{ran:?}");
        let ran = outside(AGENT, &["cat", &receipts])?;
        ensure!(ran.out.contains("refused: signal HUP"), "{ran:?}");
        let env = format!("GUARD_RUNTIME={directory}");
        let ran = outside(AGENT, &["env", &env, "guard", "why"])?;
        ensure!(ran.status == 2, "{ran:?}");
        ran.ensure_says(&["for the session alone"])?;
        let ran = guard::guard(&["why", "--session", "one"])?;
        ensure!(ran.out.contains("refused: signal HUP"), "{ran:?}");
        Ok(())
    })();
    guard::guard(&["stop", "one", "--grace", "0"])?;
    one.wait()?;
    result
}

fn hook(_: &mut Context) -> anyhow::Result<()> {
    let _server = Server::start()?;
    let mut cases = Cases::default();
    let victim = Victim::spawn(Kind::Plain, AGENT)?;
    let refused = format!("kill -HUP {} 2>/dev/null", victim.pid);
    let say = |event: &str, call: &str| {
        let payload = format!(
            "{{\"session_id\":\"s\",\"hook_event_name\":\"{event}\",\"tool_name\":\"Bash\",\
             \"tool_use_id\":\"{call}\",\"tool_input\":{{}},\"tool_response\":\"\"}}"
        );
        format!("echo '{payload}' | guard hook claude-code")
    };
    cases.run(
        "a call is told what was refused during it, and no other",
        || {
            let script = [
                "kill -WINCH 1 2>/dev/null".to_owned(),
                say("PreToolUse", "call-1"),
                refused.clone(),
                say("PostToolUse", "call-1"),
                say("PreToolUse", "call-2"),
                // What the kernel refuses to everyone.
                "cat /etc/shadow 2>/dev/null".to_owned(),
                say("PostToolUseFailure", "call-2"),
            ]
            .join("; ");
            let ran = session("hooked", &script)?;
            ran.ensure_status(0)?;
            let lines: Vec<&str> = ran.out.lines().collect();
            ensure!(lines.len() == 1, "{ran:?}");
            let answer: Value = serde_json::from_str(lines[0])?;
            let specific = &answer["hookSpecificOutput"];
            ensure!(specific["hookEventName"] == "PostToolUse", "{answer}");
            let text = specific["additionalContext"].as_str().unwrap_or_default();
            ensure!(
                text.contains("refused: signal HUP") && !text.contains("WINCH"),
                "{text}"
            );
            ensure!(text.contains("refused one operation"), "{text}");
            Ok(())
        },
    );
    cases.run("calls at the same time", || {
        let script = [
            say("PreToolUse", "long"),
            say("PreToolUse", "short"),
            refused.clone(),
            say("PostToolUse", "short"),
            say("PreToolUse", "later"),
            say("PostToolUse", "later"),
            say("PostToolUse", "long"),
        ]
        .join("; ");
        let ran = session("parallel", &script)?;
        ensure!(ran.out.lines().count() == 2, "{ran:?}");
        Ok(())
    });
    cases.run("outside of sessions it is silent", || {
        let script = say("PostToolUse", "call-1");
        let ran = outside(AGENT, &["sh", "-c", &script])?;
        ran.ensure_status(0)?;
        ensure!(ran.out.is_empty() && ran.err.is_empty(), "{ran:?}");
        Ok(())
    });
    victim.ensure_whole()?;
    cases.finish()
}
