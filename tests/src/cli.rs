//! `guard run` as people and scripts meet it: statuses, terminals, users, mistakes, limits.

use std::fs;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nix::libc::{self, SIGTERM, SIGWINCH};

use crate::boot::Image;
use crate::context::Context;
use crate::registry::{Kernels, Test, enforcing};
use crate::support::agent::{AGENT, Agent};
use crate::support::cases::{Cases, until};
use crate::support::guard::{self, GUARD, PINS, Ran, Server, ran};
use crate::support::process;
use crate::support::raw;
use crate::support::victim::{Kind, Victim};

/// All of them.
pub const TESTS: &[Test] = &[
    enforcing(
        "cli::a_command_runs_as_if_guard_were_not_there",
        as_if_not_there,
    ),
    enforcing("cli::what_remains_of_a_session", what_remains),
    enforcing("cli::mistakes_start_nothing", mistakes_start_nothing),
    enforcing("cli::what_cannot_be_made_is_said", what_cannot_be_made),
    Test {
        // Nothing of it depends on the kernel, and it takes long.
        kernels: Kernels::Only(6, 12),
        ..enforcing("cli::too_many_sessions", too_many_sessions)
    },
    enforcing("cli::doctor_is_content", doctor_is_content),
    Test {
        name: "cli::guard_refuses_to_start_and_says_why",
        kernels: Kernels::Refusing,
        image: Image::Small,
        run: refuses_to_start,
    },
];

/// `guard run` with these options in a directory that is fit for a workspace.
fn command(options: &[&str], words: &[&str]) -> Command {
    let _ = fs::create_dir_all("/srv/work");
    let mut command = Command::new(GUARD);
    command
        .arg("run")
        .args(options)
        .arg("--")
        .args(words)
        .current_dir("/srv/work")
        .stdin(Stdio::null());
    command
}

fn run(options: &[&str], words: &[&str]) -> anyhow::Result<Ran> {
    ran(&mut command(options, words))
}

/// `guard run` of a shell.
fn sh(options: &[&str], script: &str) -> anyhow::Result<Ran> {
    run(options, &["sh", "-c", script])
}

const ROOT: &[&str] = &["--user", "root"];

#[expect(clippy::too_many_lines, reason = "a table of small cases")]
fn as_if_not_there(_: &mut Context) -> anyhow::Result<()> {
    let _server = Server::start()?;
    let mut cases = Cases::default();
    cases.run("statuses", || {
        for status in [0, 1, 7, 125, 255] {
            sh(ROOT, &format!("exit {status}"))?.ensure_status(status)?;
        }
        Ok(())
    });
    cases.run("nothing is added to what it writes", || {
        let ran = sh(ROOT, "echo out; echo err >&2")?;
        ensure!(ran.out == "out\n" && ran.err == "err\n", "{ran:?}");
        Ok(())
    });
    cases.run("death by a signal", || {
        for (name, number) in [("KILL", 9), ("TERM", 15), ("SEGV", 11)] {
            sh(ROOT, &format!("kill -{name} $$"))?.ensure_status(128 + number)?;
        }
        Ok(())
    });
    cases.run("a command that is not there", || {
        for command in ["no-such-command", "/srv/no/such", "./none"] {
            let ran = run(ROOT, &[command])?;
            ran.ensure_status(127)?
                .ensure_says(&["guard: ", "command"])?;
        }
        Ok(())
    });
    cases.run("a command that cannot be executed", || {
        fs::write("/srv/work/plain", "")?;
        run(ROOT, &["./plain"])?
            .ensure_status(126)?
            .ensure_says(&["plain", "chmod"])?;
        run(ROOT, &["/etc"])?.ensure_status(126)?;
        Ok(())
    });
    cases.run("arguments, directory, environment, input", || {
        let mut command = command(
            ROOT,
            &[
                "sh",
                "-c",
                "printf '%s|' \"$@\"; pwd; echo $MARK; cat; umask",
                "sh",
                "a b",
                "",
                "*",
            ],
        );
        let mut child = command
            .env("MARK", "kept as it is")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        std::io::Write::write_all(&mut child.stdin.take().context("no input")?, b"input\n")?;
        let output = child.wait_with_output()?;
        let out = String::from_utf8_lossy(&output.stdout);
        ensure!(
            out == "a b||*|/srv/work\nkept as it is\ninput\n0022\n",
            "{out:?}"
        );
        Ok(())
    });
    cases.run("another user", || {
        let script = "id -u; id -g; id -G; echo $HOME $USER $SHELL; touch made; stat -c %u made";
        fs::create_dir_all("/srv/work")?;
        std::os::unix::fs::chown("/srv/work", Some(AGENT), Some(AGENT))?;
        let expected = "1000\n1000\n1000\n/home/agent agent /bin/sh\n1000\n";
        for mut command in [
            command(&["--user", "agent"], &["sh", "-c", script]),
            command(&["--user", "1000"], &["sh", "-c", script]),
            {
                let mut command = command(&[], &["sh", "-c", script]);
                command.env("SUDO_UID", "1000");
                command
            },
        ] {
            let ran = ran(&mut command)?;
            ensure!(ran.out == expected && ran.status == 0, "{ran:?}");
        }
        let capabilities = run(
            &["--user", "agent"],
            &["grep", "CapEff", "/proc/self/status"],
        )?;
        ensure!(
            capabilities.out.contains("0000000000000000"),
            "{capabilities:?}"
        );
        run(&["--user", "no-such-user"], &["true"])?.ensure_status(2)?;
        Ok(())
    });
    cases.run("descriptors do not leak in", || {
        let ran = run(ROOT, &["ls", "/proc/self/fd"])?;
        // Input, output, error, and the directory that is listed.
        ensure!(ran.out.lines().count() == 4, "{ran:?}");
        Ok(())
    });
    cases.run("the session's name", || {
        let options = &["--user", "root", "--name", "called"];
        ensure!(sh(options, "echo $GUARD_SESSION")?.out == "called\n");
        Ok(())
    });
    cases.run("a terminal", terminal);
    cases.run("signals to guard reach the command", || {
        let mut child = command(
            ROOT,
            &[
                "sh",
                "-c",
                "trap 'exit 42' TERM; echo ready; while :; do sleep 0.05; done",
            ],
        )
        .stdout(Stdio::piped())
        .spawn()?;
        let mut ready = [0; 6];
        std::io::Read::read_exact(&mut child.stdout.take().context("no output")?, &mut ready)?;
        raw::call(libc::SYS_kill, &[child.id() as usize, SIGTERM as usize])?;
        let status = child.wait()?;
        ensure!(status.code() == Some(42), "{status:?}");
        Ok(())
    });
    cases.run("the summary", || {
        let victim = Victim::spawn(Kind::Plain, 0)?;
        let script = format!(
            "kill -WINCH {0}; kill -WINCH {0}; rm -f /etc/passwd; exit 3",
            victim.pid
        );
        let ran = sh(ROOT, &script)?;
        ran.ensure_status(3)?
            .ensure_says(&["2 signals", "1 deletion"])?;
        Ok(())
    });
    cases.run("no workspace", || {
        for directory in ["/", "/root", "/etc"] {
            let ran = ran(command(ROOT, &["true"]).current_dir(directory))?;
            ran.ensure_status(0)?.ensure_says(&["workspace"])?;
        }
        fs::create_dir_all("/home/agent/src")?;
        let quiet = ran(command(&["--user", "agent"], &["true"]).current_dir("/home/agent/src"))?;
        ensure!(quiet.err.is_empty(), "{quiet:?}");
        Ok(())
    });
    cases.run("whoever is not root", || {
        let tail = ran(Command::new(GUARD)
            .args(["tail", "--no-follow"])
            .uid(AGENT)
            .gid(AGENT))?;
        tail.ensure_status(2)?.ensure_says(&["sudo"])?;
        let run = ran(command(&[], &["true"]).uid(AGENT).gid(AGENT))?;
        run.ensure_status(2)?.ensure_says(&["sudo"])?;
        Ok(())
    });
    cases.finish()
}

/// Unlocks a terminal, and tells its number (asm-generic/ioctls.h).
const TIOCSPTLCK: usize = 0x4004_5431;
const TIOCGPTN: usize = 0x8004_5430;

/// A terminal is handed on: the command has it as its controlling terminal, in the foreground.
fn terminal() -> anyhow::Result<()> {
    let master = raw::open("/dev/ptmx", libc::O_RDWR | libc::O_NOCTTY)?;
    let unlock = 0_i32;
    let number = 0_u32;
    raw::call(
        libc::SYS_ioctl,
        &[master, TIOCSPTLCK, (&raw const unlock) as usize],
    )?;
    raw::call(
        libc::SYS_ioctl,
        &[master, TIOCGPTN, (&raw const number) as usize],
    )?;
    // SAFETY: just opened, and nobody else's.
    let master = unsafe { OwnedFd::from_raw_fd(master as i32) };
    // The kernel has written it behind the compiler's back.
    // SAFETY: a valid reference.
    let number = unsafe { std::ptr::read_volatile(&raw const number) };
    let slave = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags_noctty()
        .open(format!("/dev/pts/{number}"))?;
    let script = "test -t 0 && test -t 1 && test -t 2 && echo on > /dev/tty && stty size < /dev/tty \
                  && test \"$(cut -d' ' -f8 /proc/self/stat)\" = \"$(cut -d' ' -f5 /proc/$$/stat)\" && echo front";
    let mut command = command(ROOT, &["sh", "-c", script]);
    command
        .stdin(slave.try_clone()?)
        .stdout(slave.try_clone()?)
        .stderr(slave);
    // SAFETY: makes system calls only.
    unsafe {
        command.pre_exec(|| {
            raw::call(libc::SYS_setsid, &[])?;
            raw::call(libc::SYS_ioctl, &[0, libc::TIOCSCTTY as usize, 0])?;
            Ok(())
        });
    }
    let mut child = command.spawn()?;
    drop(command);
    let reader = fs::File::from(master.try_clone()?);
    let text = std::thread::spawn(move || {
        let mut text = Vec::new();
        // It ends with an error when the last terminal is closed.
        let _ = std::io::Read::read_to_end(&mut &reader, &mut text);
        String::from_utf8_lossy(&text).into_owned()
    });
    let status = child.wait()?;
    let text = text.join().map_err(|_| anyhow::anyhow!("a panic"))?;
    ensure!(master.as_raw_fd() > 2, "the terminal is one of ours");
    ensure!(
        status.success() && text.contains("on\r\n") && text.contains("front"),
        "{status:?}: {text:?}"
    );
    Ok(())
}

/// `O_NOCTTY`: the terminal must not become this process's.
trait NoControllingTerminal {
    fn custom_flags_noctty(&mut self) -> &mut Self;
}

impl NoControllingTerminal for fs::OpenOptions {
    fn custom_flags_noctty(&mut self) -> &mut Self {
        std::os::unix::fs::OpenOptionsExt::custom_flags(self, libc::O_NOCTTY)
    }
}

fn what_remains(_: &mut Context) -> anyhow::Result<()> {
    let _server = Server::start()?;
    let mut cases = Cases::default();
    let options = |name: &'static str, what: &'static str| {
        ["--user", "root", "--name", name, "--remaining", what]
    };
    let background = "sleep 1000 >/dev/null 2>&1 & echo $!";
    cases.run("leave", || {
        let ran = sh(&options("left", "leave"), background)?;
        ran.ensure_status(0)?
            .ensure_says(&["another process still runs", "guard stop left"])?;
        let pid: i32 = ran.out.trim().parse()?;
        ensure!(process::state(pid).is_some(), "it is gone");
        ensure!(
            guard::session("left")?["tasks"] == 1,
            "{}",
            guard::session("left")?
        );
        let again = sh(&["--user", "root", "--name", "left"], "true")?;
        again.ensure_status(2)?.ensure_says(&["left", "--name"])?;
        guard::guard(&["stop", "left"])?.ensure_status(0)?;
        ensure!(process::state(pid).is_none(), "it lives after guard stop");
        ensure!(
            guard::session("left").is_err(),
            "the session is still there"
        );
        guard::guard(&["stop", "left"])?
            .ensure_status(2)?
            .ensure_says(&["left"])?;
        Ok(())
    });
    cases.run("kill", || {
        let ran = sh(
            &options("killed", "kill"),
            "setsid sleep 1000 >/dev/null 2>&1 & echo $!; sleep 0.2",
        )?;
        ran.ensure_status(0)?;
        let gone = until(Duration::from_secs(8), || guard::session("killed").is_err());
        ensure!(gone, "{}", guard::session("killed")?);
        Ok(())
    });
    cases.run("wait", || {
        let ran = sh(
            &options("waited", "wait"),
            "(sleep 1; touch /srv/work/waited) >/dev/null 2>&1 & exit 4",
        )?;
        ran.ensure_status(4)?;
        ensure!(Path::new("/srv/work/waited").exists(), "it did not wait");
        Ok(())
    });
    cases.run("a process that has left the cgroup is stopped too", || {
        fs::create_dir_all("/sys/fs/cgroup/elsewhere")?;
        let script = "sh -c 'echo 0 > /sys/fs/cgroup/elsewhere/cgroup.procs; trap \"\" TERM; \
                      echo $$; exec >/dev/null 2>&1; while :; do sleep 1; done' & sleep 0.5";
        let ran = sh(&options("gone", "leave"), script)?;
        let pid: i32 = ran.out.trim().parse().with_context(|| ran.err.clone())?;
        guard::guard(&["stop", "gone", "--grace", "1"])?.ensure_status(0)?;
        ensure!(process::state(pid).is_none(), "it lives");
        Ok(())
    });
    cases.finish()
}

fn mistakes_start_nothing(_: &mut Context) -> anyhow::Result<()> {
    let mut cases = Cases::default();
    let bad = guard::policy("bad", "version: 1\nrules:\n  - deny: [singal]\n")?;
    cases.run("a policy with a mistake", || {
        let ran = sh(&["--user", "root", "--policy", &bad], "touch /srv/started")?;
        ran.ensure_status(2)?
            .ensure_says(&["bad.yaml:3:", "singal", "^^^", "signal"])?;
        Ok(())
    });
    cases.run("guard check", || {
        guard::guard(&["check", &bad])?
            .ensure_status(2)?
            .ensure_says(&["bad.yaml:3:"])?;
        let good = guard::policy("good", "version: 1\ninclude: [default]\n")?;
        guard::guard(&["check", &good, "vms", "databases", "audit"])?.ensure_status(0)?;
        Ok(())
    });
    cases.run("a policy that is not there", || {
        let ran = sh(
            &["--user", "root", "--policy", "/srv/none.yaml"],
            "touch /srv/started",
        )?;
        ran.ensure_status(2)?.ensure_says(&["/srv/none.yaml"])?;
        Ok(())
    });
    cases.run("too many rules", || {
        let rules = "  - { deny: [signal] }\n".repeat(70);
        let many = guard::policy("many", &format!("version: 1\nrules:\n{rules}"))?;
        let ran = sh(&["--user", "root", "--policy", &many], "touch /srv/started")?;
        ran.ensure_status(2)?
            .ensure_says(&["70 rules", "the limit is 60"])?;
        Ok(())
    });
    cases.run("a workspace that cannot be one", || {
        sh(
            &["--user", "root", "--workspace", "/"],
            "touch /srv/started",
        )?
        .ensure_status(2)?;
        Ok(())
    });
    cases.run("nothing was started", || {
        ensure!(!Path::new("/srv/started").exists(), "a command ran");
        let left = until(Duration::from_secs(20), || !guard::is_pinned());
        ensure!(left, "the programs are pinned, with no session");
        Ok(())
    });
    cases.finish()
}

fn what_cannot_be_made(_: &mut Context) -> anyhow::Result<()> {
    let mut cases = Cases::default();
    cases.run("pins of another version", || {
        fs::create_dir_all(format!("{PINS}/v999"))?;
        let ran = sh(ROOT, "touch /srv/started")?;
        ran.ensure_status(125)?.ensure_says(&["v999", "version"])?;
        ensure!(!Path::new("/srv/started").exists(), "a command ran");
        let found: Vec<_> = fs::read_dir(PINS)?
            .filter_map(Result::ok)
            .map(|entry| entry.file_name())
            .collect();
        ensure!(found == ["v999"], "something was pinned: {found:?}");
        let doctor = guard::guard(&["doctor"])?;
        ensure!(
            doctor.status == 1 && doctor.out.contains("v999"),
            "{doctor:?}"
        );
        fs::remove_dir(format!("{PINS}/v999"))?;
        Ok(())
    });
    let _server = Server::start()?;
    cases.run("a cgroup", || {
        // Sessions' cgroups lie in one that nothing can be made in now.
        fs::create_dir_all("/sys/fs/cgroup/guard")?;
        fs::write("/sys/fs/cgroup/guard/cgroup.max.descendants", "0")?;
        let ran = sh(&["--user", "root", "--name", "half"], "touch /srv/started")?;
        fs::write("/sys/fs/cgroup/guard/cgroup.max.descendants", "max")?;
        ran.ensure_status(125)?
            .ensure_says(&["cgroup", "/sys/fs/cgroup/guard/half"])?;
        ensure!(!Path::new("/srv/started").exists(), "a command ran");
        ensure!(
            guard::session("half").is_err(),
            "a session was half-started"
        );
        // Nothing of it is in the way of the next one.
        sh(&["--user", "root", "--name", "half"], "exit 6")?.ensure_status(6)?;
        Ok(())
    });
    cases.run("the programs' switch", || {
        fs::write("/proc/sys/kernel/ftrace_enabled", "0")?;
        let ran = sh(ROOT, "touch /srv/started");
        fs::write("/proc/sys/kernel/ftrace_enabled", "1")?;
        ran?.ensure_status(125)?.ensure_says(&["ftrace"])?;
        ensure!(!Path::new("/srv/started").exists(), "a command ran");
        Ok(())
    });
    cases.finish()
}

fn too_many_sessions(_: &mut Context) -> anyhow::Result<()> {
    const LIMIT: usize = 64;
    let _server = Server::start()?;
    let mut agents = Vec::new();
    for number in 0..LIMIT {
        agents.push(
            Agent::guarded(&format!("many-{number}"), 0)
                .with_context(|| format!("session {number}"))?,
        );
    }
    let ran = sh(
        &["--user", "root", "--name", "one-more"],
        "touch /srv/started",
    )?;
    ran.ensure_status(125)?.ensure_says(&["sessions", "64"])?;
    ensure!(!Path::new("/srv/started").exists(), "a command ran");
    ensure!(guard::session("one-more").is_err(), "it was half-started");
    let victim = Victim::spawn(Kind::Plain, 0)?;
    for agent in [0, LIMIT - 1] {
        agents[agent].refused("kill", &[&victim.pid, &SIGWINCH])?;
    }
    drop(agents.pop());
    let gone = until(Duration::from_secs(8), || {
        guard::session(&format!("many-{}", LIMIT - 1)).is_err()
    });
    ensure!(gone, "the last one has not ended");
    sh(&["--user", "root", "--name", "one-more"], "exit 5")?.ensure_status(5)?;
    Ok(())
}

fn doctor_is_content(_: &mut Context) -> anyhow::Result<()> {
    let ran = guard::guard(&["doctor"])?;
    ran.ensure_status(0)?;
    ensure!(
        ran.out.contains("Guard can enforce on this machine") && !ran.out.contains("MISSING"),
        "{}",
        ran.out
    );
    let ran = guard::guard(&["doctor", "--json"])?;
    let report: serde_json::Value = serde_json::from_str(ran.ensure_status(0)?.out.trim())?;
    ensure!(report["well"] == true, "{report}");
    let left = until(Duration::from_secs(20), || !guard::is_pinned());
    ensure!(left, "the programs stay after it");
    Ok(())
}

fn refuses_to_start(context: &mut Context) -> anyhow::Result<()> {
    let mut cases = Cases::default();
    let why = if context.boot.nobpf {
        ["bpf", "lsm="]
    } else {
        ["5.10", "6.1"]
    };
    cases.run("guard run", || {
        let ran = sh(ROOT, "touch /srv/started")?;
        ran.ensure_status(125)?.ensure_says(&why)?;
        ran.ensure_says(&["nothing was started", "guard doctor"])?;
        ensure!(!Path::new("/srv/started").exists(), "a command ran");
        Ok(())
    });
    cases.run("guard doctor", || {
        let ran = guard::guard(&["doctor"])?;
        ran.ensure_status(1)?;
        for part in why {
            ensure!(ran.out.contains(part), "no {part}: {}", ran.out);
        }
        ensure!(ran.out.contains("MISSING"), "{}", ran.out);
        let ran = guard::guard(&["doctor", "--json"])?;
        let report: serde_json::Value = serde_json::from_str(ran.ensure_status(1)?.out.trim())?;
        ensure!(report["well"] == false, "{report}");
        Ok(())
    });
    cases.run("guard server", || {
        let mut child = Command::new(GUARD)
            .args(["server", "--stay"])
            .stdin(Stdio::null())
            .spawn()?;
        let mut status = None;
        let ended = until(Duration::from_secs(20), || {
            status = child.try_wait().ok().flatten();
            status.is_some()
        });
        let _ = child.kill();
        let _ = child.wait();
        ensure!(ended, "it goes on");
        ensure!(status.is_some_and(|status| !status.success()), "{status:?}");
        Ok(())
    });
    cases.run("nothing is left", || {
        ensure!(!guard::is_pinned(), "something is pinned");
        Ok(())
    });
    cases.run("what needs no kernel works", || {
        guard::guard(&["check", "default"])?.ensure_status(0)?;
        let status = guard::guard(&["status"])?;
        status.ensure_status(0)?;
        Ok(())
    });
    cases.finish()
}
