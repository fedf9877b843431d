//! What guard promises in one sentence each, from end to end: with the programs that people
//! use, and a look from outside at what became of the victims. Each is shown first without
//! guard, where the harm is done.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::boot::Image;
use crate::context::Context;
use crate::registry::{Kernels, Test};

/// How long something that is promised within a second may take on an emulated machine
/// before the test gives up. Nothing is measured with it.
const PATIENCE: Duration = Duration::from_mins(1);

/// The tests of this file. They share a machine, and so its temporary directories.
pub const TESTS: &[Test] = &[
    Test {
        name: "promise::kill_all_spares_what_is_outside_and_is_one_line",
        kernels: Kernels::Enforcing,
        image: Image::Small,
        run: kill_all_spares_what_is_outside_and_is_one_line,
    },
    Test {
        name: "promise::a_killed_server_changes_nothing",
        kernels: Kernels::Enforcing,
        image: Image::Small,
        run: a_killed_server_changes_nothing,
    },
    Test {
        name: "promise::a_policy_edit_takes_effect_and_a_mistake_does_not",
        kernels: Kernels::Enforcing,
        image: Image::Small,
        run: a_policy_edit_takes_effect_and_a_mistake_does_not,
    },
    Test {
        name: "promise::files_outside_the_workspace_stay",
        kernels: Kernels::Enforcing,
        image: Image::Small,
        run: files_outside_the_workspace_stay,
    },
    Test {
        name: "promise::nothing_is_left_after_the_last_session",
        kernels: Kernels::Enforcing,
        image: Image::Small,
        run: nothing_is_left_after_the_last_session,
    },
    Test {
        name: "promise::a_wrong_policy_starts_nothing",
        kernels: Kernels::Enforcing,
        image: Image::Small,
        run: a_wrong_policy_starts_nothing,
    },
    Test {
        name: "promise::where_it_cannot_enforce_it_refuses_and_says_why",
        kernels: Kernels::Refusing,
        image: Image::Small,
        run: where_it_cannot_enforce_it_refuses_and_says_why,
    },
];

/// A process that belongs to nobody's session, and dies with the test.
struct Victim(Child);

impl Victim {
    fn start() -> anyhow::Result<Self> {
        let child = Command::new("sleep").arg("3600").spawn()?;
        Ok(Self(child))
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn is_alive(&mut self) -> anyhow::Result<bool> {
        Ok(self.0.try_wait()?.is_none())
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a shell line printed on both streams, and its status.
struct Outcome {
    text: String,
    status: Option<i32>,
}

fn sh(line: &str) -> anyhow::Result<Outcome> {
    let output = Command::new("sh")
        .args(["-c", line])
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("sh -c {line}"))?;
    let text = [output.stdout, output.stderr].concat();
    Ok(Outcome {
        text: String::from_utf8_lossy(&text).into_owned(),
        status: output.status.code(),
    })
}

/// Waits until a shell line succeeds.
fn until(line: &str) -> anyhow::Result<()> {
    let start = Instant::now();
    loop {
        let outcome = sh(line)?;
        if outcome.status == Some(0) {
            return Ok(());
        }
        ensure!(
            start.elapsed() < PATIENCE,
            "in vain waited for `{line}`:\n{}",
            outcome.text
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A session of root that runs a shell line, in the background.
struct Session(Child);

impl Session {
    fn start(options: &str, line: &str) -> anyhow::Result<Self> {
        let child = Command::new("sh")
            .arg("-c")
            .arg(format!(
                "exec guard run --user root {options} -- sh -c '{line}'"
            ))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()?;
        Ok(Self(child))
    }

    fn finish(mut self) -> anyhow::Result<String> {
        let mut text = String::new();
        if let Some(output) = self.0.stdout.as_mut() {
            output.read_to_string(&mut text)?;
        }
        self.0.wait()?;
        Ok(text)
    }
}

fn kill_all_spares_what_is_outside_and_is_one_line(_: &mut Context) -> anyhow::Result<()> {
    // Without guard: in a pid namespace of its own, so that the test itself survives it.
    let control = sh(
        "unshare -p -f sh -c 'sleep 3600 & V=$!; sh -c \"kill -9 -1\"; \
         sleep 1; kill -0 $V 2>/dev/null && echo alive'",
    )?;
    ensure!(
        !control.text.contains("alive"),
        "without guard, kill -9 -1 killed nothing: {}",
        control.text
    );
    let mut victim = Victim::start()?;
    let before = sh("ls -d /proc/[0-9]* | wc -l")?.text;
    let outcome = sh(
        "guard run --user root --name promised-all -- sh -c 'sleep 60 & kill -9 -1; \
         wait $!; echo own $?'",
    )?;
    ensure!(victim.is_alive()?, "the process outside died");
    ensure!(
        outcome.text.contains("own 137"),
        "the session's own process survived: {}",
        outcome.text
    );
    let lines =
        sh("guard tail --json --no-follow --session promised-all | grep '\"signal\":\"KILL\"'")?;
    let lines: Vec<&str> = lines.text.lines().collect();
    ensure!(
        lines.len() == 1,
        "not one line but {}: {lines:?}",
        lines.len()
    );
    let event: serde_json::Value = serde_json::from_str(lines[0])?;
    let count = event["count"].as_u64().context("the event has no count")?;
    let others = event["others"]
        .as_u64()
        .context("the event has no others")?;
    // A single kill(-1): as many refusals as targets. Kernel threads come and go, so the
    // number of processes is only known roughly; the exact one is what the session counted.
    ensure!(
        count == others + 1,
        "{count} refusals on {} targets",
        others + 1
    );
    let ended =
        sh("guard tail --json --no-follow --session promised-all | grep '\"change\":\"ended\"'")?;
    let ended: serde_json::Value = serde_json::from_str(ended.text.trim())?;
    ensure!(
        ended["refused"]["signal"].as_u64() == Some(count),
        "the session counted {} and the line says {count}",
        ended["refused"]
    );
    let before: u64 = before.trim().parse()?;
    ensure!(
        count + 20 > before && count < before + 20,
        "{count} refusals, with {before} processes there"
    );
    Ok(())
}

fn a_killed_server_changes_nothing(_: &mut Context) -> anyhow::Result<()> {
    let mut control = Victim::start()?;
    sh(&format!("kill -9 {}", control.pid()))?;
    until(&format!(
        "! kill -0 {} || grep -q Z /proc/{}/stat",
        control.pid(),
        control.pid()
    ))?;
    ensure!(!control.is_alive()?, "without guard, kill -9 did not kill");

    let mut victim = Victim::start()?;
    let pid = victim.pid();
    let session = Session::start(
        "--name promised-server",
        &format!(
            "touch /tmp/ready; while ! [ -e /tmp/go ]; do sleep 0.1; done; \
             kill -9 {pid}; echo first $?; touch /tmp/done; \
             while ! [ -e /tmp/end ]; do sleep 0.1; done; kill -9 {pid}; echo second $?"
        ),
    )?;
    until("[ -e /tmp/ready ]")?;
    let server = sh("guard status --json")?.text;
    let status: serde_json::Value = serde_json::from_str(&server)?;
    let server = status["server"]
        .as_u64()
        .context("status names no server")?;
    sh(&format!("kill -9 {server}"))?;
    until(&format!(
        "! [ -d /proc/{server} ] || grep -q ') Z' /proc/{server}/stat"
    ))?;
    sh("touch /tmp/go")?;
    until("[ -e /tmp/done ]")?;
    ensure!(
        victim.is_alive()?,
        "with its server killed, guard let a signal through"
    );
    // The next command finds the session again, with what happened meanwhile.
    let status = sh("guard status")?;
    ensure!(
        status.text.contains("promised-server"),
        "the session is lost: {}",
        status.text
    );
    until("guard tail --no-follow --session promised-server | grep -q 'deny signal KILL'")?;
    sh("touch /tmp/end")?;
    let text = session.finish()?;
    ensure!(
        victim.is_alive()?,
        "after the adoption a signal got through"
    );
    ensure!(
        text.contains("first 1") && text.contains("second 1"),
        "the signals were not refused: {text}"
    );
    Ok(())
}

fn a_policy_edit_takes_effect_and_a_mistake_does_not(_: &mut Context) -> anyhow::Result<()> {
    let victim = Victim::start()?;
    let pid = victim.pid();
    let policy = |verb: &str| {
        format!(
            "version: 1\ninclude: [default]\ngroups:\n  sleepers:\n    - {{ name: sleep }}\n\
             rules:\n  - name: sleepers\n    {verb}: [signal]\n    signals: [CONT]\n    to: sleepers\n"
        )
    };
    std::fs::create_dir_all("/root/policies")?;
    let path = "/root/policies/agent.yaml";
    std::fs::write(path, policy("deny"))?;
    // The session says what it is allowed, again and again.
    let session = Session::start(
        &format!("--name promised-edit --policy {path}"),
        &format!(
            "while ! [ -e /tmp/edit-end ]; do if kill -CONT {pid} 2>/dev/null; \
             then echo yes > /tmp/edit-may; else echo no > /tmp/edit-may; fi; sleep 0.05; done"
        ),
    )?;
    until("grep -q no /tmp/edit-may")?;
    // In place.
    std::fs::write(path, policy("allow"))?;
    until("grep -q yes /tmp/edit-may")?;
    // By rename, as editors do it.
    std::fs::write("/root/policies/.agent.yaml.new", policy("deny"))?;
    std::fs::rename("/root/policies/.agent.yaml.new", path)?;
    until("grep -q no /tmp/edit-may")?;
    std::fs::write(path, policy("allow"))?;
    until("grep -q yes /tmp/edit-may")?;
    // A mistake changes nothing, and is said with its place.
    std::fs::write(path, policy("dney"))?;
    until("guard status | grep -q agent.yaml:7")?;
    let said = sh("guard tail --no-follow --session promised-edit")?.text;
    ensure!(said.contains("dney"), "the mistake is not shown: {said}");
    sh("rm /tmp/edit-may")?;
    until("[ -e /tmp/edit-may ]")?;
    until("grep -q yes /tmp/edit-may")?;
    // Mended.
    std::fs::write(path, policy("deny"))?;
    until("grep -q no /tmp/edit-may")?;
    sh("touch /tmp/edit-end")?;
    session.finish()?;
    Ok(())
}

fn files_outside_the_workspace_stay(_: &mut Context) -> anyhow::Result<()> {
    let scene = "mkdir -p /home/agent/photos /home/agent/work/build /home/agent/work/src; \
         touch /home/agent/photos/a /home/agent/work/build/o; chown -R agent /home/agent";
    sh(scene)?;
    sh("rm -rf /home/agent/photos")?;
    ensure!(
        sh("[ -e /home/agent/photos/a ]")?.status != Some(0),
        "rm does not work here"
    );
    sh(scene)?;
    let attack = "rm -rf /home/agent/photos; mv /home/agent/photos /tmp/gone; \
         mv /home/agent/work /home/agent/elsewhere; rmdir /home/agent/work; \
         unlink /home/agent/photos/a; mv /home/agent/work/src /home/agent/photos/a; \
         rm -rf /home/agent/work/build && echo own build gone; \
         rm -rf \"$HOME\"; echo done";
    for user in ["root", "agent"] {
        sh(scene)?;
        let outcome = sh(&format!(
            "cd /home/agent/work && guard run --user {user} --workspace /home/agent/work -- sh -c '{attack}'"
        ))?;
        ensure!(
            outcome.text.contains("done"),
            "the session ended early: {}",
            outcome.text
        );
        ensure!(
            outcome.text.contains("own build gone"),
            "{user} could not delete in the workspace: {}",
            outcome.text
        );
        ensure!(
            sh("[ -e /home/agent/photos/a ] && [ -d /home/agent/work ]")?.status == Some(0),
            "{user} got through: {}",
            outcome.text
        );
    }
    Ok(())
}

fn nothing_is_left_after_the_last_session(_: &mut Context) -> anyhow::Result<()> {
    let outcome = sh("guard run --user root -- sh -c 'ls /sys/fs/bpf/guard/*; exit 7'")?;
    ensure!(
        outcome.status == Some(7),
        "the status is {:?}",
        outcome.status
    );
    ensure!(
        outcome.text.contains("task_kill"),
        "nothing was pinned: {}",
        outcome.text
    );
    until("! [ -e /sys/fs/bpf/guard ]")?;
    until("! pidof guard")?;
    // And again from the beginning; a command that isn't there is 127.
    let outcome = sh("guard run --user root -- /no/such/command")?;
    ensure!(
        outcome.status == Some(127),
        "the status is {:?}",
        outcome.status
    );
    Ok(())
}

fn a_wrong_policy_starts_nothing(_: &mut Context) -> anyhow::Result<()> {
    std::fs::write(
        "/root/wrong.yaml",
        "version: 1\nrules:\n  - deny: [signl]\n",
    )?;
    let outcome = sh("guard run --user root --policy /root/wrong.yaml -- touch /tmp/started")?;
    ensure!(
        outcome.status == Some(2),
        "the status is {:?}",
        outcome.status
    );
    ensure!(
        outcome.text.contains("wrong.yaml:3:") && outcome.text.contains("signal"),
        "no diagnostic: {}",
        outcome.text
    );
    ensure!(
        !std::path::Path::new("/tmp/started").exists(),
        "the command was started all the same"
    );
    Ok(())
}

fn where_it_cannot_enforce_it_refuses_and_says_why(context: &mut Context) -> anyhow::Result<()> {
    let outcome = sh("guard run --user root -- touch /tmp/started")?;
    ensure!(
        outcome.status == Some(125),
        "the status is {:?}",
        outcome.status
    );
    let reason = if context.boot.nobpf { "lsm=" } else { "6.1" };
    ensure!(
        outcome.text.contains(reason),
        "it does not say why and what to do: {}",
        outcome.text
    );
    ensure!(
        !std::path::Path::new("/tmp/started").exists(),
        "the command was started all the same"
    );
    let doctor = sh("guard doctor")?;
    ensure!(
        doctor.status == Some(1) && doctor.text.contains(reason),
        "doctor does not say so ({:?}): {}",
        doctor.status,
        doctor.text
    );
    Ok(())
}
