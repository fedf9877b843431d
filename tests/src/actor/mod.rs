//! The attacking program: `guard-tests agent` takes attacks line by line, `guard-tests attack`
//! does one. Every attack is made in a process of its own, so that what it does to itself is
//! gone with it.

mod delete;
mod hammer;
mod identity;
mod ring;
pub(crate) mod script;
mod signals;
mod trace;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use nix::errno::Errno;
use nix::libc;

use crate::support::agent::{self, Answer, Task};
use crate::support::raw;
use crate::support::victim;

/// The result of an attack's last system call.
type Attempt = Result<usize, Errno>;

/// The words that an attack is given.
struct Words<'task>(&'task [String]);

impl Words<'_> {
    fn text(&self, at: usize) -> anyhow::Result<&str> {
        self.0
            .get(at)
            .map(String::as_str)
            .with_context(|| format!("argument {at} is missing"))
    }

    fn number(&self, at: usize) -> anyhow::Result<i64> {
        let text = self.text(at)?;
        text.parse()
            .with_context(|| format!("{text} is not a number"))
    }

    /// A number as a system call takes it.
    fn word(&self, at: usize) -> anyhow::Result<usize> {
        Ok(self.number(at)? as usize)
    }
}

/// Serves attacks until nobody asks for one any more.
pub fn serve(uid: u32) -> anyhow::Result<()> {
    victim::become_user(uid)?;
    let _ = raw::call(libc::SYS_prctl, &[libc::PR_SET_DUMPABLE as usize, 1]);
    let mut out = std::io::stdout();
    writeln!(out, "{}", std::process::id())?;
    for line in std::io::stdin().lock().lines() {
        let task: Task = serde_json::from_str(&line?)?;
        let answer = match task.name.as_str() {
            // These concern the process itself.
            "spawn" => said(
                agent::start(task.arguments.first().map_or("", String::as_str))
                    .map(|pid| Ok(pid as usize)),
            ),
            "shell" => said(shell(&task).map(Ok)),
            "traceme" => said(Ok(raw::call(libc::SYS_ptrace, &[0, 0, 0, 0]))),
            "leave" => return Ok(()),
            _ => apart(&task),
        };
        writeln!(out, "{}", serde_json::to_string(&answer)?)?;
    }
    Ok(())
}

/// Does one attack in this process and writes the answer to a descriptor.
pub fn once(descriptor: i32, name: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let task = Task {
        name: name.to_owned(),
        arguments: arguments.iter().map(ToString::to_string).collect(),
        via: String::new(),
    };
    let answer = said(attempt(&task));
    // SAFETY: whoever starts us for this has left the descriptor open for us alone.
    let mut out = std::fs::File::from(unsafe { OwnedFd::from_raw_fd(descriptor) });
    writeln!(out, "{}", serde_json::to_string(&answer)?)?;
    Ok(())
}

/// Runs a shell's script; its output goes to a file that this process opens, if one is named.
/// Returns the exit status.
fn shell(task: &Task) -> anyhow::Result<usize> {
    let words = Words(&task.arguments);
    let mut command = Command::new("/bin/busybox");
    command.args(["sh", "-c", words.text(0)?]);
    command.stdin(Stdio::null()).stdout(match words.text(1) {
        Ok(path) => Stdio::from(std::fs::OpenOptions::new().write(true).open(path)?),
        Err(_) => Stdio::inherit(),
    });
    let status = command.status()?;
    Ok(status.code().unwrap_or(255) as usize)
}

/// Does an attack in a process of its own.
fn apart(task: &Task) -> Answer {
    let result = (|| {
        let (reader, writer) = std::io::pipe()?;
        let child = raw::fork(|| {
            let answer = said(identity::become_other(task, writer.as_raw_fd()));
            let text = serde_json::to_string(&answer).unwrap_or_default();
            let _ = (&writer).write_all(text.as_bytes());
            let _ = (&writer).write_all(b"\n");
            0
        })?;
        drop(writer);
        let mut line = String::new();
        // Not to the end: what the attack leaves behind may keep the pipe open.
        BufReader::new(reader.take(4096)).read_line(&mut line)?;
        let status = raw::wait(child)?;
        serde_json::from_str(&line).with_context(|| format!("it ended with {status}: {line:?}"))
    })();
    result.unwrap_or_else(|error: anyhow::Error| Answer::Broken(format!("{error:#}")))
}

fn said(result: anyhow::Result<Attempt>) -> Answer {
    match result {
        Ok(Ok(value)) => Answer::Value(value as i64),
        Ok(Err(errno)) => Answer::Errno(errno as i32),
        Err(error) => Answer::Broken(format!("{error:#}")),
    }
}

/// Makes the attempt itself. The outer error says that it could not be tried.
fn attempt(task: &Task) -> anyhow::Result<Attempt> {
    let words = Words(&task.arguments);
    let name = task.name.as_str();
    if name == "script" {
        return script::run(&words);
    }
    for family in [
        signals::attempt,
        trace::attempt,
        delete::attempt,
        hammer::attempt,
        identity::attempt,
    ] {
        if let Some(result) = family(name, &words)? {
            return Ok(result);
        }
    }
    bail!("there is no attack called {name}")
}
