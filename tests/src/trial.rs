//! Trying policies: what `guard plan` says, a session with the policy in force does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::context::Context;
use crate::registry::{Test, enforcing};
use crate::support::agent::Agent;
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
    enforcing(
        "trial::what_is_learned_is_let_through",
        what_is_learned_is_let_through,
    ),
    enforcing("trial::what_is_tried_comes_true", what_is_tried_comes_true),
    enforcing("trial::recording_is_asked_for", recording_is_asked_for),
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

/// What a session was refused, but for what no policy lets through.
fn refusals(session: &str) -> anyhow::Result<Vec<Value>> {
    let events = guard::events(session)?.into_iter();
    Ok(events.filter(|event| event["verdict"] == "deny").collect())
}

/// What is learned from a plan has a run go through that is refused without.
fn what_is_learned_is_let_through(_: &mut Context) -> anyhow::Result<()> {
    let _server = Server::start()?;
    let mut cases = Cases::default();
    let file = guard::policy("learn-from", POLICY)?;
    let victim = Victim::spawn(Kind::Plain, 0)?;
    let script = format!(
        "rm -f /srv/kept/a /srv/kept/b; rm -f /srv/kept/old/c; rm -f /srv/loose; \
         echo x >> /srv/notes; chmod 600 /srv/notes; kill -WINCH {}; \
         cat /proc/sys/kernel/printk > /proc/sys/kernel/printk",
        victim.pid
    );
    fill()?;
    run("plan", &["--policy", &file, "--name", "teacher"], &script)?;
    let learned = guard::guard(&["learn", "teacher"])?;
    learned.ensure_status(0)?;
    let rules = guard::policy("learned", &learned.out)?;
    cases.run("the rules are good, and say what they are made of", || {
        guard::guard(&["check", &rules])?.ensure_status(0)?;
        for part in [
            "Checked: this lets through every target",
            &format!("lifts the rule kept ({file}:3): a test says so"),
            "\"/srv/kept/*\"",
            "no rule was about it",
            "facilities: [settings]",
            "signals: [WINCH]",
        ] {
            ensure!(learned.out.contains(part), "no {part:?}: {}", learned.out);
        }
        ensure!(!learned.out.contains("\"/srv/*"), "{}", learned.out);
        Ok(())
    });
    cases.run("without them it is refused", || {
        fill()?;
        run("run", &["--policy", &file, "--name", "unlearned"], &script)?;
        let refused = refusals("unlearned")?;
        ensure!(refused.len() >= 6, "too little is refused: {refused:?}");
        Ok(())
    });
    cases.run("with them it is not", || {
        fill()?;
        let options = ["--policy", &rules, "--policy", &file, "--name", "learner"];
        run("run", &options, &script)?;
        let refused = refusals("learner")?;
        ensure!(refused.is_empty(), "{}\n{refused:#?}", learned.out);
        for gone in ["/srv/kept/a", "/srv/kept/old/c", "/srv/loose"] {
            ensure!(!Path::new(gone).exists(), "{gone} is still there");
        }
        Ok(())
    });
    cases.run("and nothing else is let through", || {
        fill()?;
        let others = format!(
            "rm -f /srv/watched; echo x >> /srv/loose; chmod 600 /srv/kept/a; kill -CONT {}; \
             rm -f {rules}",
            victim.pid
        );
        let options = ["--policy", &rules, "--policy", &file, "--name", "stray"];
        run("run", &options, &others)?;
        let refused = refusals("stray")?;
        ensure!(refused.len() == 5, "{refused:#?}");
        Ok(())
    });
    cases.run("there is nothing to learn from nobody", || {
        guard::guard(&["learn", "nobody"])?
            .ensure_status(2)?
            .ensure_says(&["no log of a session \"nobody\""])?;
        Ok(())
    });
    cases.finish()
}

/// What is tried first, and then put in force.
const NEXT: &str = "\
version: 1
record: everything
rules:
  - name: free-again
    allow: [delete]
    on: [/srv/kept/*, /srv/watched]
  - name: not-free
    deny: [delete, create]
    on: /srv/free/**
    because: it has become somebody's
";

/// A difference: operation, what was, what is next, its rule, and how often.
type Told = (String, String, String, String, u64);

/// The differences of a report.
fn differences(report: &Value) -> anyhow::Result<BTreeSet<Told>> {
    let differences = report["differences"].as_array().context("no differences")?;
    Ok(differences
        .iter()
        .map(|it| {
            let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            (
                word(&it["operation"]),
                word(&it["was"]["verdict"]),
                word(&it["next"]["verdict"]),
                word(&it["next"]["rule"]),
                it["count"].as_u64().unwrap_or(0),
            )
        })
        .collect())
}

#[expect(clippy::too_many_lines, reason = "one session from case to case")]
fn what_is_tried_comes_true(_: &mut Context) -> anyhow::Result<()> {
    const OWN: &str = "echo x > /srv/free/own; rm -f /srv/free/own";
    let _server = Server::start()?;
    let mut cases = Cases::default();
    fill()?;
    let recording = POLICY.replace("version: 1", "version: 1\nrecord: everything");
    let file = guard::policy("tried", &recording)?;
    let next = guard::policy("next", NEXT)?;
    let mut agent = Agent::with("tried", 0, &["--policy", &file])?;
    let script = "rm -f /srv/free/d; rm -f /srv/kept/a /srv/kept/b; rm -f /srv/loose; exit 0";
    agent.shell(script, None)?;
    // Its own, which no policy takes from it.
    agent.shell(OWN, None)?;
    guard::wait_for_event("tried", |event| {
        event["verdict"] == "allow" && event["target"]["path"] == "/srv/free/own"
    })?;
    let tried = guard::guard(&["policy", "try", "tried", &next, "--json"])?;
    cases.run("each difference is told", || {
        tried.ensure_status(1)?;
        let report: Value = serde_json::from_str(&tried.out)?;
        let expected: BTreeSet<_> = [
            ("create", "allow", "deny", "not-free", 1),
            ("delete", "allow", "deny", "not-free", 1),
            ("delete", "deny", "allow", "free-again", 2),
        ]
        .map(|(operation, was, next, rule, count)| {
            (
                operation.into(),
                was.into(),
                next.into(),
                rule.into(),
                count,
            )
        })
        .into();
        let differences = differences(&report)?;
        ensure!(differences == expected, "{}", tried.out);
        let let_through = report["let_through"].as_u64();
        ensure!(let_through.is_some_and(|count| count > 1), "{}", tried.out);
        Ok(())
    });
    cases.run("for people", || {
        let ran = guard::guard(&["policy", "try", "tried", &next])?;
        ran.ensure_status(1)?;
        for part in [
            "2 operations would be refused anew, 2 come out milder",
            "delete: allow → deny",
            "was   rule free",
            &format!("next  rule not-free ({next}:7): it has become"),
        ] {
            ensure!(ran.out.contains(part), "no {part:?}: {}", ran.out);
        }
        let is_wide = |line: &&str| line.chars().count() > 80;
        ensure!(!ran.out.lines().any(|line| is_wide(&line)), "{}", ran.out);
        guard::guard(&["policy", "try", "tried", &file])?.ensure_status(0)?;
        guard::guard(&["policy", "try", "nobody", &next])?.ensure_status(2)?;
        Ok(())
    });
    cases.run("as it happens", || {
        fill()?;
        let mut child = Command::new(GUARD)
            .args(["policy", "try", "tried", &next, "--follow", "--json"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = child.stdout.take().context("no output")?;
        let mut lines = BufReader::new(out).lines();
        let past: Value = serde_json::from_str(&lines.next().context("no report")??)?;
        ensure!(differences(&past)?.len() == 3, "{past}");
        agent.shell("rm -f /srv/free/d", None)?;
        let told: Value = serde_json::from_str(&lines.next().context("no difference")??)?;
        let refused = told["next"]["rule"] == "not-free" && told["was"]["rule"] == "free";
        child.kill()?;
        child.wait()?;
        ensure!(refused, "{told}");
        let ran = guard::guard(&["policy", "try", "tried", &next, "--for", "1s", "--json"])?;
        ran.ensure_status(1)?;
        Ok(())
    });
    cases.run("and it comes true", || {
        fill()?;
        fs::write(&file, NEXT)?;
        guard::wait_for_event("tried", |event| event["change"] == "applied")?;
        agent.shell(script, None)?;
        agent.shell(OWN, None)?;
        let path = |path: &str| Path::new(path).exists();
        ensure!(path("/srv/free/d"), "it was let through");
        ensure!(
            !path("/srv/kept/a") && !path("/srv/kept/b"),
            "it was refused"
        );
        ensure!(path("/srv/loose"), "what does not differ does");
        let refused = guard::wait_for_event("tried", |event| {
            event["verdict"] == "deny" && event["rule"] == "not-free"
        })?;
        ensure!(refused["source"] == format!("{file}:7"), "{refused}");
        // Since the edit nothing differs from what is in force.
        let ran = guard::guard(&["policy", "try", "tried", &next, "--json"])?;
        ran.ensure_status(0)?;
        let report: Value = serde_json::from_str(&ran.out)?;
        ensure!(differences(&report)?.is_empty(), "{}", ran.out);
        Ok(())
    });
    cases.finish()
}

/// What is let through leaves an event only where that is asked for, and never what is its own.
fn recording_is_asked_for(_: &mut Context) -> anyhow::Result<()> {
    let _server = Server::start()?;
    fill()?;
    let script = "echo x > own; rm -f own; rm -f /srv/free/d; mkdir -p d && rmdir d";
    for (name, keys, is_recorded) in [
        ("silent", "", false),
        ("loud", "\nrecord: everything", true),
        ("softly", "\nmode: audit\nrecord: everything", true),
    ] {
        fill()?;
        let file = guard::policy(
            name,
            &POLICY.replace("version: 1", &format!("version: 1{keys}")),
        )?;
        run("run", &["--policy", &file, "--name", name], script)?.ensure_status(0)?;
        let events = guard::events(name)?.into_iter();
        let allowed: Vec<_> = events.filter(|event| event["verdict"] == "allow").collect();
        let deleted: BTreeSet<_> = allowed
            .iter()
            .filter(|event| event["operation"] == "delete")
            .map(|event| event["target"]["path"].to_string())
            .collect();
        let expected = is_recorded.then(|| "\"/srv/free/d\"".to_owned());
        ensure!(
            deleted == expected.into_iter().collect(),
            "{name}: {allowed:#?}"
        );
        let is_made = allowed.iter().any(|event| {
            event["operation"] == "create" && event["rule"].is_null() && event["because"].is_null()
        });
        ensure!(is_made == is_recorded, "{name}: {allowed:#?}");
    }
    Ok(())
}
