//! `guard run` as people and scripts meet it: statuses, terminals, users, mistakes, limits.

use std::fs;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use nix::libc::{self, SIGTERM};

use crate::context::Context;
use crate::registry::{Test, few};
use crate::support::agent::AGENT;
use crate::support::cases::{Cases, until};
use crate::support::guard::{self, GUARD, Ran, Server, ran};
use crate::support::process;
use crate::support::raw;
use crate::support::victim::{Kind, Victim};

/// All of them.
pub const TESTS: &[Test] = &[
    few(
        "cli::a_command_runs_as_if_guard_were_not_there",
        as_if_not_there,
    ),
    few("cli::what_remains_of_a_session", what_remains),
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
pub fn sh(options: &[&str], script: &str) -> anyhow::Result<Ran> {
    run(options, &["sh", "-c", script])
}

/// The command runs as root, and that is asked for.
pub const ROOT: &[&str] = &["--user", "root"];

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
        // As somebody whom everything holds for: what does not is said to root on some kernels.
        let ran = sh(&["--user", "agent"], "echo out; echo err >&2")?;
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
        let gone = until(guard::PATIENCE, || guard::session("killed").is_err());
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
