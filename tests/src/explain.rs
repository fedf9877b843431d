//! `guard explain` against the kernel: what it says is what happens, for policies and operations that
//! are made at random, and whose a file is.

use std::fmt::{Display, Write as _};
use std::fs;
use std::os::unix::fs::chown;

use anyhow::{Context as _, ensure};
use nix::errno::Errno;
use nix::libc::{self, O_CREAT, O_RDWR, O_WRONLY};
use serde_json::Value;

use crate::context::Context;
use crate::registry::{Test, enforcing};
use crate::support::agent::{AGENT, Agent, SELF};
use crate::support::cases::{Cases, until};
use crate::support::guard::{self, Server, guard};
use crate::support::victim::{Kind, Victim};

/// All of them.
pub const TESTS: &[Test] = &[
    enforcing("explain::what_it_says_is_what_happens", what_it_says),
    enforcing("explain::whose_a_file_is", whose_a_file_is),
    enforcing("explain::what_may_be_done_to_processes", processes),
];

/// Policies, and operations under each. `GUARD_PAIRS=10000 cargo xtask test --vm explain::what` has more
/// of them tried.
const POLICIES: usize = 4;
const OPERATIONS: usize = 15;

/// Where the files are.
const PLACE: &str = "/srv/explain";

/// Numbers that look like chance, the same in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        // xorshift64 (Marsaglia, 2003).
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % limit
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// A rule at random.
fn rule(chance: &mut Chance) -> String {
    let verb = chance.one(&["allow", "deny", "audit"]);
    let mut text = if chance.below(4) == 0 {
        let to = chance.one(&[
            "testers",
            "roots",
            "agents",
            "nobody",
            "{ except: roots }",
            "[testers, { except: agents }]",
        ]);
        format!("  - {verb}: [signal]\n    to: {to}\n")
    } else {
        let operations = chance.one(&[
            "delete",
            "overwrite",
            "attributes",
            "create",
            "delete, overwrite",
            "overwrite, attributes, create",
        ]);
        let on = chance.one(&[
            "/srv/explain/**",
            "/srv/explain/a/**",
            "/srv/explain/*/1",
            "/srv/**/2",
            "\"**/b/**\"",
            "/srv/explain/[ab]/?",
            "/srv/explain/b",
            "[/srv/explain/**, { except: /srv/explain/a/** }]",
            "[/srv/**, { except: [\"**/2\", /srv/explain/b] }]",
            "{ except: \"/srv/explain/[ab]/1\" }",
        ]);
        format!("  - {verb}: [{operations}]\n    on: {on}\n")
    };
    match chance.below(6) {
        0 => text.push_str("    by: testers\n"),
        1 => text.push_str("    by: nobody\n"),
        2 => text.push_str("    by: { except: nobody }\n"),
        _ => {}
    }
    text
}

fn policy(chance: &mut Chance) -> String {
    let mut text = format!(
        "version: 1\ngroups:\n  testers: [{{ exe: {SELF} }}]\n  roots: [{{ user: root }}]\n  agents: \
         [{{ name: guard-tests, user: {AGENT} }}]\n  nobody: [{{ exe: /bin/nobody }}]\nrules:\n"
    );
    for _ in 0..=chance.below(5) {
        text.push_str(&rule(chance));
    }
    text
}

/// An operation at random: the words for `guard explain`, and the attack.
fn operation(chance: &mut Chance, victims: &[Victim]) -> (Vec<String>, Vec<String>) {
    if chance.below(4) == 0 {
        let victim = chance.one(victims).pid.to_string();
        let ask = vec![
            "signal".to_owned(),
            victim.clone(),
            "--signal=WINCH".to_owned(),
        ];
        let attack = vec!["kill".to_owned(), victim, libc::SIGWINCH.to_string()];
        return (ask, attack);
    }
    let path = format!(
        "{PLACE}/{}/{}",
        chance.one(&["a", "b", "c"]),
        chance.one(&[1, 2, 3])
    );
    let script = |words: &[&dyn Display]| {
        let mut all = vec!["script".to_owned()];
        all.extend(words.iter().map(ToString::to_string));
        all
    };
    let text = format!("t:{path}");
    let (name, path, attack) = match chance.below(4) {
        0 => ("delete", path, script(&[&libc::SYS_unlink, &text])),
        1 => (
            "overwrite",
            path,
            script(&[&libc::SYS_openat, &libc::AT_FDCWD, &text, &O_WRONLY, &0]),
        ),
        2 => (
            "attributes",
            path,
            script(&[&libc::SYS_chmod, &text, &0o640]),
        ),
        _ => {
            let new = format!("{path}.new");
            let flags = O_CREAT | O_RDWR;
            let text = format!("t:{new}");
            let words: [&dyn Display; 5] =
                [&libc::SYS_openat, &libc::AT_FDCWD, &text, &flags, &0o600];
            ("create", new, script(&words))
        }
    };
    (vec![name.to_owned(), path], attack)
}

/// The files as new.
fn fill() -> anyhow::Result<()> {
    let _ = fs::remove_dir_all(PLACE);
    for directory in ["a", "b", "c"] {
        let directory = format!("{PLACE}/{directory}");
        fs::create_dir_all(&directory)?;
        for name in 1..=3 {
            let file = format!("{directory}/{name}");
            fs::write(&file, "given")?;
            chown(&file, Some(AGENT), Some(AGENT))?;
        }
        chown(&directory, Some(AGENT), Some(AGENT))?;
    }
    Ok(())
}

/// What `guard explain` says.
fn explain(session: &str, words: &[String]) -> anyhow::Result<Value> {
    let mut all = vec!["explain", "--json", "--session", session, "--by", SELF];
    all.extend(words.iter().map(String::as_str));
    let ran = guard(&all)?;
    ensure!(ran.status < 2, "{words:?}: {}", ran.err);
    let answer: Value = serde_json::from_str(&ran.out)?;
    ensure!(
        (answer["verdict"] == "deny") == (ran.status == 1),
        "the status is {}: {answer}",
        ran.status
    );
    Ok(answer)
}

fn what_it_says(context: &mut Context) -> anyhow::Result<()> {
    let _server = Server::start()?;
    let mut cases = Cases::default();
    let factor: usize = match std::env::var("GUARD_PAIRS") {
        Ok(text) => text.parse::<usize>()?.div_ceil(POLICIES * OPERATIONS),
        Err(_) => 1,
    };
    let (major, minor) = context.boot.series;
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15 ^ u64::from(major << 8 | minor));
    let victims = [
        Victim::spawn(Kind::Plain, 0)?,
        Victim::spawn(Kind::Plain, AGENT)?,
    ];
    let file = guard::policy("explained", "version: 1\n")?;
    let mut agent = Agent::with("explained", 0, &["--policy", &file])?;
    let mut refused = 0;
    for _ in 0..POLICIES * factor {
        let text = policy(&mut chance);
        put_in_force(&file, &text)?;
        for _ in 0..OPERATIONS {
            fill()?;
            let (ask, attack) = operation(&mut chance, &victims);
            let said = explain("explained", &ask)?;
            let words: Vec<&dyn Display> = attack[1..]
                .iter()
                .map(|word| word as &dyn Display)
                .collect();
            let result = agent.attack(&attack[0], &words)?;
            let is_refused = result == Err(Errno::EPERM);
            ensure!(result.is_ok() || is_refused, "{attack:?}: {result:?}");
            refused += usize::from(is_refused);
            if (said["verdict"] == "deny") != is_refused {
                cases.run(format_args!("{ask:?}"), || {
                    anyhow::bail!("it says {said}, and {attack:?} ends with {result:?}; {text}")
                });
            }
        }
    }
    let all = POLICIES * OPERATIONS * factor;
    println!("    {all} pairs, {refused} of them refused");
    cases.run("some were refused, and some not", || {
        ensure!(
            refused > all / 5 && refused < all * 9 / 10,
            "{refused} of {all}"
        );
        Ok(())
    });
    cases.finish()
}

/// Edits the policy and waits for that.
fn put_in_force(file: &str, text: &str) -> anyhow::Result<()> {
    let before = guard::session("explained")?["policy"].clone();
    let mut edited = text.to_owned();
    // Also when it is the same as the one before.
    let _ = writeln!(edited, "# after {before}");
    fs::write(file, edited)?;
    let is_new = || guard::session("explained").is_ok_and(|now| now["policy"] != before);
    ensure!(until(guard::PATIENCE, is_new), "it is not in force: {text}");
    Ok(())
}

fn whose_a_file_is(_: &mut Context) -> anyhow::Result<()> {
    let _server = Server::start()?;
    let mut cases = Cases::default();
    let mut agent = Agent::guarded("whose", AGENT)?;
    let mut other = Agent::guarded("other", AGENT)?;
    fs::create_dir_all("/srv/whose")?;
    chown("/srv/whose", Some(AGENT), Some(AGENT))?;
    let make = |agent: &mut Agent, path: &str| {
        let flags = O_CREAT | O_RDWR;
        let text = format!("t:{path}");
        agent.succeed(
            "script",
            &[&libc::SYS_openat, &libc::AT_FDCWD, &text, &flags, &0o600],
        )
    };
    make(&mut agent, "/srv/whose/own")?;
    make(&mut other, "/srv/whose/others")?;
    fs::write("/srv/whose/given", "given")?;
    agent.succeed(
        "script",
        &[&libc::SYS_mkdir, &"t:/srv/whose/directory", &0o777],
    )?;
    fs::write("/srv/whose/directory/put", "put")?;
    for (path, verdict, part) in [
        ("own", "allow", "it made it (its inode is marked)"),
        ("others", "deny", "session other's"),
        ("given", "deny", "no session's"),
        (
            "directory/put",
            "allow",
            "in a directory that the session made",
        ),
        ("new", "deny", "nothing is there yet"),
    ] {
        cases.run(path, || {
            let words = ["delete".to_owned(), format!("/srv/whose/{path}")];
            let answer = explain("whose", &words)?;
            let whose = answer["whose"].as_str().context("no `whose`")?;
            ensure!(
                answer["verdict"] == verdict && whose.contains(part),
                "{answer}"
            );
            Ok(())
        });
    }
    cases.run(
        "of its own on a disk, when the kernel has dropped it",
        || {
            fs::create_dir_all("/mnt/ext4/whose")?;
            chown("/mnt/ext4/whose", Some(AGENT), Some(AGENT))?;
            let path = "/mnt/ext4/whose/own";
            make(&mut agent, path)?;
            let words = ["delete".to_owned(), path.to_owned()];
            // Whoever looks has it in memory again, without its mark.
            let forgotten = until(guard::PATIENCE, || {
                nix::unistd::sync();
                // Twice: what was looked at since the last time is only then dropped, unless there
                // is much else to drop (`drop_slab`).
                for _ in 0..2 {
                    let _ = fs::write("/proc/sys/vm/drop_caches", "3");
                }
                let answer = explain("whose", &words).unwrap_or_default();
                answer["whose"]
                    .as_str()
                    .is_some_and(|whose| whose.contains("remembered"))
            });
            let answer = explain("whose", &words)?;
            ensure!(forgotten && answer["verdict"] == "allow", "{answer}");
            Ok(())
        },
    );
    cases.run("processes, for people", || {
        let victim = Victim::spawn(Kind::Plain, 0)?;
        let pid = victim.pid.to_string();
        let ran = guard(&["explain", "--session", "whose", "signal", &pid])?;
        ran.ensure_status(1)?;
        for part in ["refused: process", "of no session", "instead"] {
            ensure!(ran.out.contains(part), "{}", ran.out);
        }
        let ran = guard(&[
            "explain",
            "--session",
            "whose",
            "trace",
            &agent.pid.to_string(),
        ])?;
        ensure!(
            ran.ensure_status(0)?.out.contains("the session's own"),
            "{}",
            ran.out
        );
        let server = guard(&["explain", "--session", "whose", "signal", "1"])?;
        server.ensure_status(1)?;
        Ok(())
    });
    cases.finish()
}

/// `guard ps`: whose each process is, and that what it says may be done to it may be done.
fn processes(_: &mut Context) -> anyhow::Result<()> {
    let server = Server::start()?;
    let mut cases = Cases::default();
    let policy = guard::policy(
        "reach",
        "version: 1\ngroups:\n  theirs: [{ user: agent }]\nrules:\n  - name: theirs\n    \
         allow: [signal]\n    signals: [WINCH]\n    to: theirs\n",
    )?;
    let mut agent = Agent::with("reach", 0, &["--policy", &policy])?;
    let other = Agent::guarded("other", 0)?;
    let roots = Victim::spawn(Kind::Plain, 0)?;
    let theirs = Victim::spawn(Kind::Plain, AGENT)?;
    let ran = guard(&["ps", "--session", "reach", "--json"])?;
    ran.ensure_status(0)?;
    let all: Vec<Value> = serde_json::from_str(&ran.out)?;
    let none = Value::Array(Vec::new());
    let everything = serde_json::json!(["trace", "inspect", "limit"]);
    for (what, pid, owner, signals, operations) in [
        (
            "its own",
            agent.pid,
            "own".into(),
            "all".into(),
            &everything,
        ),
        (
            "another session's",
            other.pid,
            serde_json::json!({ "session": "other" }),
            serde_json::json!({ "some": [] }),
            &none,
        ),
        (
            "the server",
            server.pid(),
            "guard".into(),
            serde_json::json!({ "some": [] }),
            &none,
        ),
        (
            "of no rule's",
            roots.pid,
            "nobody".into(),
            serde_json::json!({ "some": [] }),
            &none,
        ),
        (
            "a rule's",
            theirs.pid,
            "nobody".into(),
            serde_json::json!({ "some": ["WINCH"] }),
            &none,
        ),
    ] {
        cases.run(what, || {
            let process = all.iter().find(|process| process["pid"] == pid);
            let process = process.context("it is not listed")?;
            ensure!(
                process["owner"] == owner
                    && process["signals"] == signals
                    && process["operations"] == *operations,
                "{process}"
            );
            Ok(())
        });
    }
    cases.run("what it says is what happens", || {
        agent.succeed("kill", &[&theirs.pid, &libc::SIGWINCH])?;
        agent.refused("kill", &[&theirs.pid, &libc::SIGTERM])?;
        agent.refused("kill", &[&roots.pid, &libc::SIGWINCH])?;
        Ok(())
    });
    cases.run("what was granted", || {
        let pid = roots.pid.to_string();
        guard(&["allow", "reach", "signal", &pid, "--signal", "WINCH"])?.ensure_status(0)?;
        let ran = guard(&["ps", "--session", "reach", "--exposed"])?;
        ran.ensure_status(0)?;
        let of = |pid: i32| {
            let pid = format!("{pid} ");
            ran.out.lines().find(|line| line.starts_with(&pid))
        };
        let shown = of(roots.pid).context("it is not listed")?;
        ensure!(shown.contains("signal (WINCH)"), "{shown}");
        ensure!(
            of(agent.pid).is_none() && of(other.pid).is_none(),
            "{}",
            ran.out
        );
        Ok(())
    });
    cases.run("nobody in a session is told", || {
        let status = agent.succeed("run", &[&guard::GUARD, &"ps", &"--session", &"reach"])?;
        ensure!(status != 0, "it worked");
        Ok(())
    });
    cases.finish()
}
