//! Grants: one thing that a rule refuses, let through so often and so long, and nothing else.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, chown};

use anyhow::{Context as _, ensure};
use nix::errno::Errno;
use nix::libc::{SIGTERM, SIGWINCH};
use serde_json::Value;

use crate::context::Context;
use crate::registry::{Test, few};
use crate::support::agent::{AGENT, Agent};
use crate::support::cases::{Cases, until};
use crate::support::guard::{self, Ran, Server, guard};
use crate::support::victim::{Kind, Victim};

/// All of them.
pub const TESTS: &[Test] = &[few("grants::one_thing_and_nothing_else", one_thing)];

/// A policy with a rule by which one directory is protected, and one with a limit.
const POLICY: &str = "version: 1
include: [default]
rules:
  - { name: archive, deny: [delete, overwrite], on: /mnt/ext4/grants/archive/**, because: it is the only copy }
  - { name: few, allow: [delete], on: /mnt/ext4/grants/few/**, at-most: { count: 1, per: 1h } }
";

fn allow(words: &[&str]) -> anyhow::Result<Ran> {
    guard(&[&["allow", "granted"], words].concat())
}

fn explain(words: &[&str]) -> anyhow::Result<Ran> {
    guard(&[&["explain", "--session", "granted"], words].concat())
}

fn grants() -> anyhow::Result<Vec<Value>> {
    let session = guard::session("granted")?;
    Ok(session["grants"].as_array().cloned().unwrap_or_default())
}

fn file(name: &str) -> anyhow::Result<String> {
    let path = format!("/mnt/ext4/grants/{name}");
    fs::write(&path, "kept")?;
    chown(&path, Some(AGENT), Some(AGENT))?;
    Ok(path)
}

#[expect(
    clippy::too_many_lines,
    reason = "one scene, looked at from several sides"
)]
fn one_thing(_: &mut Context) -> anyhow::Result<()> {
    for directory in ["", "/archive", "/few"] {
        let path = format!("/mnt/ext4/grants{directory}");
        fs::create_dir_all(&path)?;
        chown(&path, Some(AGENT), Some(AGENT))?;
    }
    let policy = guard::policy("granting", POLICY)?;
    let mut server = Server::start()?;
    let mut agent = Agent::with("granted", AGENT, &["--policy", &policy])?;
    let mut other = Agent::with("other", AGENT, &[])?;
    let victim = Victim::spawn(Kind::Plain, AGENT)?;
    let bystander = Victim::spawn(Kind::Plain, AGENT)?;
    let pid = victim.pid.to_string();
    let winch = ["signal", &pid, "--signal", "WINCH"];
    let mut cases = Cases::default();
    cases.run("a signal, twice", || {
        agent.refused("kill", &[&victim.pid, &SIGWINCH])?;
        allow(&[&winch[..], &["--times", "2"]].concat())?.ensure_status(0)?;
        let explained = explain(&winch)?;
        ensure!(
            explained.ensure_status(0)?.out.contains("guard allow"),
            "{explained:?}"
        );
        for _ in 0..2 {
            agent.succeed("kill", &[&victim.pid, &SIGWINCH])?;
        }
        // Used up.
        agent.refused("kill", &[&victim.pid, &SIGWINCH])?;
        let explained = explain(&winch)?;
        explained.ensure_status(1)?;
        let grants = grants()?;
        ensure!(grants.len() == 1 && grants[0]["used"] == 2, "{grants:?}");
        let event = guard::wait_for_event("granted", |event| event["reason"] == "grant")?;
        ensure!(
            event["verdict"] == "allow"
                && event["rule"].is_null()
                && event["target"]["pid"] == victim.pid,
            "{event}"
        );
        Ok(())
    });
    cases.run("nothing beside it", || {
        allow(&winch)?.ensure_status(0)?;
        // Another signal, another operation, another process, another session.
        agent.refused("kill", &[&victim.pid, &SIGTERM])?;
        agent.refused("attach", &[&victim.pid])?;
        agent.refused("kill", &[&bystander.pid, &SIGWINCH])?;
        other.refused("kill", &[&victim.pid, &SIGWINCH])?;
        agent.succeed("kill", &[&victim.pid, &SIGWINCH])?;
        guard(&["revoke", "granted", "--all"])?.ensure_status(0)?;
        agent.refused("kill", &[&victim.pid, &SIGWINCH])?;
        ensure!(grants()?.is_empty(), "{:?}", grants());
        Ok(())
    });
    cases.run("what makes no event uses nothing up", || {
        let read = |file: &str| format!("cat /proc/{pid}/{file} > /dev/null");
        ensure!(
            agent.shell(&read("environ"), None)? != 0,
            "it was read without a grant"
        );
        allow(&["inspect", &pid, "--once"])?.ensure_status(0)?;
        // As `ps` does it: what may not be seen is shown as zeroes, and nobody is told.
        ensure!(agent.shell(&read("stat"), None)? == 0, "ps");
        let grants = grants()?;
        ensure!(grants.len() == 1 && grants[0]["used"] == 0, "{grants:?}");
        ensure!(agent.shell(&read("environ"), None)? == 0, "it was refused");
        ensure!(
            agent.shell(&read("environ"), None)? != 0,
            "it was read twice"
        );
        guard(&["revoke", "granted", "--all"])?.ensure_status(0)?;
        Ok(())
    });
    cases.run("a file, by the rule that refuses it", || {
        let path = file("archive/old")?;
        let neighbour = file("archive/other")?;
        agent.refused("unlink", &[&path])?;
        allow(&["delete", &path, "--rule", "default"])?
            .ensure_status(2)?
            .ensure_says(&["the rule archive"])?;
        allow(&["delete", &path, "--rule", "archive", "--once"])?.ensure_status(0)?;
        agent.refused("unlink", &[&neighbour])?;
        other.refused("unlink", &[&path])?;
        agent.succeed("unlink", &[&path])?;
        let event = guard::wait_for_event("granted", |event| {
            event["reason"] == "grant" && event["operation"] == "delete"
        })?;
        ensure!(
            event["rule"] == "archive" && event["verdict"] == "allow",
            "{event}"
        );
        // Another file at its place is another file.
        file("archive/old")?;
        agent.refused("unlink", &[&path])
    });
    cases.run(
        "another file with the number of the one that is gone",
        || {
            let path = file("archive/number")?;
            allow(&["delete", &path])?.ensure_status(0)?;
            let number = fs::metadata(&path)?.ino();
            fs::remove_file(&path)?;
            file("archive/number")?;
            ensure!(
                fs::metadata(&path)?.ino() == number,
                "ext4 does not use the number again: this shows nothing"
            );
            agent.refused("unlink", &[&path])
        },
    );
    cases.run("writing, with all that it takes, is one use", || {
        let path = file("archive/text")?;
        let write = format!("echo more > {path}");
        ensure!(
            agent.shell(&write, None)? != 0,
            "it was written without a grant"
        );
        ensure!(fs::read_to_string(&path)? == "kept", "it was emptied");
        allow(&["overwrite", &path, "--once"])?.ensure_status(0)?;
        ensure!(agent.shell(&write, None)? == 0, "it was not written");
        ensure!(
            fs::read_to_string(&path)? == "more\n",
            "{:?}",
            fs::read_to_string(&path)
        );
        ensure!(agent.shell(&write, None)? != 0, "it was written twice");
        ensure!(fs::read_to_string(&path)? == "more\n", "it was emptied");
        Ok(())
    });
    cases.run("what is beyond a limit", || {
        let (first, second) = (file("few/1")?, file("few/2")?);
        agent.succeed("unlink", &[&first])?;
        agent.refused("unlink", &[&second])?;
        allow(&["delete", &second, "--once"])?.ensure_status(0)?;
        agent.succeed("unlink", &[&second])?;
        Ok(())
    });
    cases.run("an address", || {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        let port = listener.local_addr()?.port();
        // Whoever connects is hung up on.
        std::thread::spawn(move || listener.incoming().for_each(drop));
        let connect = format!("nc 127.0.0.1 {port} < /dev/null");
        ensure!(
            agent.shell(&connect, None)? != 0,
            "it was let through without a grant"
        );
        allow(&["connect", &address])?.ensure_status(0)?;
        ensure!(agent.shell(&connect, None)? == 0, "it was refused");
        Ok(())
    });
    cases.run("it ends by itself", || {
        let path = file("archive/soon")?;
        allow(&["delete", &path, "--for", "2s"])?.ensure_status(0)?;
        let over = until(guard::PATIENCE, || {
            grants().is_ok_and(|all| {
                all.iter().all(|grant| {
                    !grant["what"]
                        .as_str()
                        .is_some_and(|what| what.contains("archive/soon"))
                })
            })
        });
        ensure!(over, "{:?}", grants());
        agent.refused("unlink", &[&path])
    });
    cases.run("an edit of the policy", || {
        let path = file("archive/edited")?;
        allow(&["delete", &path])?.ensure_status(0)?;
        // The same rule in another policy still yields; another rule does not.
        let before = guard::session("granted")?["policy"].clone();
        guard::policy(
            "granting",
            &POLICY.replace("name: archive", "name: stricter"),
        )?;
        let edited = until(guard::PATIENCE, || {
            guard::session("granted").is_ok_and(|session| session["policy"] != before)
        });
        ensure!(edited, "the edit is not in force");
        agent.refused("unlink", &[&path])?;
        guard::policy(
            "granting",
            &format!("{POLICY}  - {{ deny: [delete], on: /srv/none }}\n"),
        )?;
        let allowed = until(guard::PATIENCE, || {
            matches!(agent.attack("unlink", &[&path]), Ok(Ok(_)))
        });
        ensure!(allowed, "the grant is gone with the edit");
        Ok(())
    });
    cases.run("the server's death", || {
        let path = file("archive/adopted")?;
        allow(&["delete", &path])?.ensure_status(0)?;
        server.kill()?;
        let shown = grants()?;
        ensure!(
            shown.iter().any(|grant| grant["what"]
                .as_str()
                .is_some_and(|what| what.contains("adopted"))),
            "{shown:?}"
        );
        agent.succeed("unlink", &[&path])?;
        Ok(())
    });
    cases.run("what nobody can grant", || {
        let server = guard::status()?["server"].to_string();
        allow(&["signal", &server])?
            .ensure_status(2)?
            .ensure_says(&["one of guard's own"])?;
        allow(&["delete", "/etc/guard/policies/granting.yaml"])?
            .ensure_status(2)?
            .ensure_says(&["guard itself"])?;
        fs::create_dir_all("/etc/cron.d")?;
        allow(&["create", "/etc/cron.d/x"])?
            .ensure_status(2)?
            .ensure_says(&["a rule"])?;
        allow(&["delete", "/srv/work-granted/none"])?.ensure_status(2)?;
        allow(&["signal", &agent.pid.to_string()])?
            .ensure_status(2)?
            .ensure_says(&["may do this already"])?;
        Ok(())
    });
    cases.run("a session grants itself nothing", || {
        let path = file("archive/kept")?;
        let asked = format!("guard allow granted delete {path}");
        ensure!(agent.shell(&asked, None)? != 0, "it was granted");
        let mut root = Agent::with("rooted", 0, &[])?;
        ensure!(
            root.shell(&format!("guard allow rooted delete {path}"), None)? != 0,
            "granted"
        );
        ensure!(
            root.attack("unlink", &[&path])? == Err(Errno::EPERM),
            "it was deleted"
        );
        Ok(())
    });
    cases.run("nobody was harmed", || {
        victim.ensure_whole()?;
        bystander.ensure_whole()
    });
    guard::session("granted").context("the session goes on")?;
    cases.finish()
}
