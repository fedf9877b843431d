//! Attackers: this program in another part (`guard-tests agent`), inside a session or, for the
//! control run, outside of any. It is told what to do line by line.

use std::fmt::Display;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context as _, ensure};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::guard::{self, GUARD};
use super::victim::{self, Kind};

/// This program.
pub const SELF: &str = "/usr/bin/guard-tests";

/// An ordinary user of the guest.
pub const AGENT: u32 = 1000;

/// What an attacker is asked to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Task {
    /// The attack.
    pub name: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// How it tries to become somebody else first.
    pub via: String,
}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The last system call succeeded with this value.
    Value(i64),
    /// It failed with this number.
    Errno(i32),
    /// The attack could not be tried.
    Broken(String),
}

/// An attacker.
#[derive(Debug)]
pub struct Agent {
    child: Child,
    /// A socket, so that descriptors can be sent.
    to: Option<UnixStream>,
    from: BufReader<ChildStdout>,
    /// Its process; that of `guard run` is the child.
    pub pid: i32,
    /// The session's name, for one that has a session.
    pub session: String,
    /// Its user.
    pub uid: u32,
}

impl Agent {
    /// One without guard, as this user.
    pub fn free(uid: u32) -> anyhow::Result<Self> {
        let mut command = Command::new(SELF);
        command.args(["agent", &uid.to_string()]);
        Self::spawn(&mut command, "", uid)
    }

    /// One in a session under the default policy.
    pub fn guarded(session: &str, uid: u32) -> anyhow::Result<Self> {
        Self::with(session, uid, &[])
    }

    /// One in a session, with more options of `guard run`.
    pub fn with(session: &str, uid: u32, options: &[&str]) -> anyhow::Result<Self> {
        let user = if uid == 0 { "root" } else { "agent" };
        let workspace = format!("/srv/work-{session}");
        fs::create_dir_all(&workspace)?;
        std::os::unix::fs::chown(&workspace, Some(uid), Some(uid))?;
        let mut command = Command::new(GUARD);
        command
            .args(["run", "--user", user, "--name", session])
            .args(options)
            .args(["--", SELF, "agent", &uid.to_string()])
            .current_dir(&workspace);
        Self::spawn(&mut command, session, uid)
    }

    /// One that existed before it was moved into a session: its parent is this process.
    pub fn moved(session: &str) -> anyhow::Result<Self> {
        let mut agent = Self::free(0)?;
        let status = guard::session(session)?;
        let cgroup = status["cgroup"].as_str().context("no cgroup")?;
        fs::write(format!("{cgroup}/cgroup.procs"), agent.pid.to_string())?;
        session.clone_into(&mut agent.session);
        Ok(agent)
    }

    fn spawn(command: &mut Command, session: &str, uid: u32) -> anyhow::Result<Self> {
        let (to, input) = UnixStream::pair()?;
        let child = command
            .stdin(Stdio::from(OwnedFd::from(input)))
            .stdout(Stdio::piped())
            .spawn();
        // The command keeps the other end, and the attacker would see no end of its tasks.
        command.stdin(Stdio::null());
        let mut child = child.with_context(|| format!("{command:?}"))?;
        let mut from = BufReader::new(child.stdout.take().context("no output")?);
        let mut line = String::new();
        from.read_line(&mut line)?;
        let pid = line
            .trim()
            .parse()
            .with_context(|| format!("the attacker did not come up: {line:?}, {command:?}"))?;
        Ok(Self {
            child,
            to: Some(to),
            from,
            pid,
            session: session.to_owned(),
            uid,
        })
    }

    /// The process of `guard run`.
    pub fn client(&self) -> i32 {
        self.child.id() as i32
    }

    /// Has it attack. An error is one of the test's; the attack's own is inside.
    pub fn attack(
        &mut self,
        name: &str,
        arguments: &[&dyn Display],
    ) -> anyhow::Result<Result<i64, Errno>> {
        self.attack_via("", name, arguments)
    }

    /// Has it attack after an attempt to become somebody else.
    pub fn attack_via(
        &mut self,
        via: &str,
        name: &str,
        arguments: &[&dyn Display],
    ) -> anyhow::Result<Result<i64, Errno>> {
        let task = Task {
            name: name.to_owned(),
            arguments: arguments.iter().map(|word| format!("{word}")).collect(),
            via: via.to_owned(),
        };
        self.ask(&task, None)
    }

    /// Has it run a script ([`crate::actor::script`]), with a descriptor for it to receive.
    pub fn script(
        &mut self,
        words: &[String],
        descriptor: Option<BorrowedFd<'_>>,
    ) -> anyhow::Result<Result<i64, Errno>> {
        let task = Task {
            name: "script".to_owned(),
            arguments: words.to_vec(),
            via: String::new(),
        };
        self.ask(&task, descriptor)
    }

    fn ask(
        &mut self,
        task: &Task,
        descriptor: Option<BorrowedFd<'_>>,
    ) -> anyhow::Result<Result<i64, Errno>> {
        let to = self.to.as_mut().context("it has been dismissed")?;
        writeln!(to, "{}", serde_json::to_string(task)?)?;
        if let Some(descriptor) = descriptor {
            send(to, descriptor)?;
        }
        let name = &task.name;
        let mut line = String::new();
        self.from.read_line(&mut line)?;
        let answer: Answer = serde_json::from_str(&line)
            .with_context(|| format!("the attacker answered {line:?} to {task:?}"))?;
        match answer {
            Answer::Value(value) => Ok(Ok(value)),
            Answer::Errno(errno) => Ok(Err(Errno::from_raw(errno))),
            Answer::Broken(why) => anyhow::bail!("{name} could not be tried: {why}"),
        }
    }

    /// Has it attack, which must succeed.
    pub fn succeed(&mut self, name: &str, arguments: &[&dyn Display]) -> anyhow::Result<i64> {
        self.attack(name, arguments)?
            .map_err(|errno| anyhow::anyhow!("{name} failed: {errno}"))
    }

    /// Has it run a shell's script; its output goes to a file that the attacker itself opens, if
    /// one is named. Returns the exit status.
    pub fn shell(&mut self, script: &str, output: Option<&str>) -> anyhow::Result<i64> {
        let mut words: Vec<&dyn Display> = vec![&script];
        words.extend(output.iter().map(|path| path as &dyn Display));
        self.succeed("shell", &words)
    }

    /// Has it attack, which must be refused.
    pub fn refused(&mut self, name: &str, arguments: &[&dyn Display]) -> anyhow::Result<()> {
        let result = self.attack(name, arguments)?;
        ensure!(
            result == Err(Errno::EPERM),
            "{name} was not refused: {result:?}"
        );
        Ok(())
    }

    /// Has it start a process of its own.
    pub fn own(&mut self, kind: Kind) -> anyhow::Result<i32> {
        let kind = match kind {
            Kind::Plain => "plain",
            Kind::Threads => "threads",
            Kind::Urgent => "urgent",
            Kind::Stopped => "stopped",
            Kind::NamespaceInit => "init",
        };
        Ok(self.succeed("spawn", &[&kind])? as i32)
    }

    /// Lets it end, and says with what status.
    pub fn dismiss(mut self) -> anyhow::Result<i32> {
        drop(self.to.take());
        let status = self.child.wait()?;
        Ok(status
            .code()
            .or_else(|| Some(128 + status.signal()?))
            .unwrap_or(-1))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.to.take());
        let _ = self.child.wait();
    }
}

/// Sends a descriptor once all that was written before has been read: a reader that does not ask
/// for it would lose it.
fn send(to: &UnixStream, descriptor: BorrowedFd<'_>) -> anyhow::Result<()> {
    use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
    let unread = || {
        let mut bytes = 0_i32;
        let words = [
            to.as_raw_fd() as usize,
            nix::libc::TIOCOUTQ as usize,
            (&raw mut bytes) as usize,
        ];
        super::raw::call(nix::libc::SYS_ioctl, &words).is_ok() && bytes > 0
    };
    ensure!(
        super::cases::until(guard::PATIENCE, || !unread()),
        "the attacker does not read"
    );
    let descriptors = [descriptor.as_raw_fd()];
    sendmsg::<()>(
        to.as_raw_fd(),
        &[std::io::IoSlice::new(b"x")],
        &[ControlMessage::ScmRights(&descriptors)],
        MsgFlags::empty(),
        None,
    )?;
    Ok(())
}

/// The kind of victim that a word means.
pub fn kind(word: &str) -> anyhow::Result<Kind> {
    Ok(match word {
        "plain" => Kind::Plain,
        "threads" => Kind::Threads,
        "urgent" => Kind::Urgent,
        "stopped" => Kind::Stopped,
        "init" => Kind::NamespaceInit,
        _ => anyhow::bail!("there is no kind of process called {word}"),
    })
}

/// Starts a process of the caller's own for [`Agent::own`].
pub fn start(word: &str) -> anyhow::Result<i64> {
    let uid = nix::unistd::getuid().as_raw();
    Ok(i64::from(victim::start(kind(word)?, uid)?))
}
