//! Trying policies: what `guard plan` says, a session with the policy in force does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::context::Context;
use crate::registry::{Test, enforcing};
use crate::support::cases::{Cases, until};
use crate::support::guard::{self, GUARD, Ran, Server, ran};
use crate::support::victim::{Kind, Victim};

/// All of them.
pub const TESTS: &[Test] = &[
    enforcing(
        "trial::a_plan_is_what_a_run_refuses",
        a_plan_is_what_a_run_refuses,
    ),
    enforcing(
        "trial::a_plan_refuses_nothing_whatever_happens",
        a_plan_refuses_nothing,
    ),
];

const POLICY: &str = "\
version: 1
rules:
  - name: kept
    deny: [delete, overwrite]
    on: /srv/kept/**
    because: a test says so
  - name: watched
    audit: [overwrite]
    on: /srv/watched
  - name: free
    allow: [delete]
    on: /srv/free/**
";

/// What no session made, as it is before each run.
fn fill() -> anyhow::Result<()> {
    for directory in ["/srv/work", "/srv/kept/old", "/srv/free"] {
        fs::create_dir_all(directory)?;
    }
    for file in [
        "/srv/kept/a",
        "/srv/kept/b",
        "/srv/kept/old/c",
        "/srv/free/d",
        "/srv/loose",
        "/srv/watched",
        "/srv/notes",
    ] {
        fs::write(file, "given")?;
    }
    Ok(())
}

/// A verb that runs a command, in a directory that is fit for a workspace.
fn start(verb: &str, options: &[&str], script: &str) -> Command {
    let mut command = Command::new(GUARD);
    command
        .arg(verb)
        .args(["--user", "root"])
        .args(options)
        .args(["--", "sh", "-c", script])
        .current_dir("/srv/work")
        .stdin(Stdio::null());
    command
}

fn run(verb: &str, options: &[&str], script: &str) -> anyhow::Result<Ran> {
    ran(&mut start(verb, options, script))
}

/// What tells a refusal from others: operation, facility, rule, reason and where the rule stands.
type Refusal = [String; 5];

fn refusal(value: &Value) -> Refusal {
    ["operation", "facility", "rule", "reason", "source"].map(|key| value[key].to_string())
}

/// The findings of a plan with a verdict, and how often each was.
fn findings(plan: &Value, verdict: &str) -> anyhow::Result<BTreeSet<(Refusal, u64)>> {
    let findings = plan["findings"].as_array().context("no findings")?;
    let alike = findings.iter().filter(|it| it["verdict"] == verdict);
    Ok(alike
        .map(|it| (refusal(it), it["count"].as_u64().unwrap_or(0)))
        .collect())
}

fn a_plan_is_what_a_run_refuses(_: &mut Context) -> anyhow::Result<()> {
    let _server = Server::start()?;
    let mut cases = Cases::default();
    let file = guard::policy("trial", POLICY)?;
    let victim = Victim::spawn(Kind::Plain, 0)?;
    let script = format!(
        "echo x >> /srv/work/own; rm -f /srv/work/own /srv/free/d; \
         rm -f /srv/kept/a /srv/kept/b; rm -f /srv/kept/old/c; rm -f /srv/loose; \
         echo x >> /srv/watched; echo x >> /srv/notes; chmod 600 /srv/notes; \
         kill -WINCH {0}; kill -CONT {0}; rm -f {file}; exit 3",
        victim.pid
    );
    fill()?;
    let output = "/srv/plan.json";
    let options = [
        "--policy", &file, "--name", "plan", "--json", "--output", output,
    ];
    run("plan", &options, &script)?.ensure_status(3)?;
    let text = fs::read_to_string(output)?;
    ensure!(text.lines().count() == 1, "{text}");
    let plan: Value = serde_json::from_str(&text)?;
    cases.run("nothing was refused but what no policy lifts", || {
        for gone in [
            "/srv/kept/a",
            "/srv/kept/b",
            "/srv/kept/old/c",
            "/srv/loose",
        ] {
            ensure!(!Path::new(gone).exists(), "{gone} is still there");
        }
        ensure!(fs::read_to_string("/srv/notes")? == "givenx\n");
        ensure!(Path::new(&file).exists(), "guard's own policy was removed");
        ensure!(plan["refused"] == 1 && plan["missing"] == 0, "{plan}");
        Ok(())
    });
    fill()?;
    run("run", &["--policy", &file, "--name", "real"], &script)?.ensure_status(3)?;
    let mut refused: BTreeMap<Refusal, u64> = BTreeMap::new();
    for event in guard::events("real")? {
        if event["event"] == "verdict" && event["verdict"] == "deny" {
            *refused.entry(refusal(&event)).or_default() += event["count"].as_u64().unwrap_or(0);
        }
    }
    let refused: BTreeSet<_> = refused.into_iter().collect();
    cases.run("the plan is what a run refuses", || {
        ensure!(
            refused.len() >= 5,
            "the script does too little: {refused:?}"
        );
        let mut planned = findings(&plan, "audit")?;
        ensure!(planned.len() == refused.len() - 1, "{plan}");
        planned.extend(findings(&plan, "deny")?);
        ensure!(
            planned == refused,
            "planned {planned:#?}, refused {refused:#?}"
        );
        let kept = fs::read_to_string("/srv/kept/a")?;
        ensure!(kept == "given", "a run refuses what is planned: {kept}");
        Ok(())
    });
    cases.run("for people", || {
        fill()?;
        let ran = run("plan", &["--policy", &file], &script)?;
        ran.ensure_status(3)?.ensure_says(&[
            "8 operations would have been refused",
            "They went through",
            "/srv/kept/*",
            &format!("rule kept ({file}:3): a test says so"),
            "(was refused)",
        ])?;
        ensure!(!ran.err.contains("watched"), "{}", ran.err);
        let lines = ran
            .err
            .lines()
            .skip_while(|line| !line.starts_with("guard:    "));
        for line in lines.clone() {
            ensure!(line.chars().count() <= 80, "{line:?}");
        }
        ensure!(lines.count() > 10, "{}", ran.err);
        Ok(())
    });
    cases.run("nothing to refuse, and the command's own end", || {
        run("plan", &["--policy", &file], "kill -TERM $$")?
            .ensure_status(128 + 15)?
            .ensure_says(&["nothing would have been refused"])?;
        run(
            "plan",
            &["--policy", "/srv/none.yaml"],
            "touch /srv/started",
        )?
        .ensure_status(2)?;
        run("plan", &["--output", "/srv/no/such"], "touch /srv/started")?.ensure_status(2)?;
        ensure!(!Path::new("/srv/started").exists(), "it was started");
        Ok(())
    });
    cases.finish()
}

/// A plan goes on as one when the policy is edited and when another server takes over.
fn a_plan_refuses_nothing(_: &mut Context) -> anyhow::Result<()> {
    let mut server = Server::start()?;
    let file = guard::policy("trial-edit", POLICY)?;
    fill()?;
    let _ = fs::remove_file("/srv/go");
    let script = "while ! [ -e /srv/go ]; do sleep 0.05; done; rm -f /srv/kept/a /srv/loose";
    let options = [
        "--policy",
        &file,
        "--name",
        "edited",
        "--json",
        "--output",
        "/srv/plan.json",
    ];
    let mut child = start("plan", &options, script).spawn()?;
    let lives = until(guard::PATIENCE, || guard::session("edited").is_ok());
    ensure!(lives, "the session does not start");
    server.kill()?;
    // The next command starts another in the background.
    guard::session("edited")?;
    fs::write(&file, POLICY.replace("name: kept", "name: renamed"))?;
    guard::wait_for_event("edited", |event| event["change"] == "applied")?;
    fs::write("/srv/go", "")?;
    let status = child.wait()?;
    ensure!(status.success(), "{status}");
    ensure!(!Path::new("/srv/kept/a").exists(), "it was refused");
    let plan: Value = serde_json::from_str(&fs::read_to_string("/srv/plan.json")?)?;
    let rules: BTreeSet<_> = findings(&plan, "audit")?
        .into_iter()
        .map(|(refusal, _)| refusal[2].clone())
        .collect();
    ensure!(
        rules == ["\"renamed\"", "null"].map(String::from).into(),
        "{plan}"
    );
    Ok(())
}
