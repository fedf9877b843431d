//! What policies ask for of processes that takes more than a look at them: command lines, ancestors,
//! what they listen at, sessions by name. What the kernel does, and what `guard explain` says.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::libc;
use nix::sys::socket::{getsockopt, sockopt};

use crate::context::Context;
use crate::registry::{Test, few};
use crate::support::agent::Agent;
use crate::support::cases::{Cases, until};
use crate::support::guard::{self, Server, guard};
use crate::support::raw;

/// All of them.
pub const TESTS: &[Test] = &[
    few("selectors::command_lines", command_lines),
    few("selectors::ancestors", ancestors),
    few("selectors::listening", listening),
    few("selectors::handed_on", handed_on),
    few("selectors::sessions", sessions),
];

/// A process that waits for its input.
struct Waiting(Child);

impl Waiting {
    /// `sh -c SCRIPT WORDS`: the words are there for their own sake.
    fn run(shell: &str, script: &str, words: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(shell);
        if shell != SHELL {
            command.arg("sh");
        }
        command.args(["-c", script]).args(words);
        Ok(Self(command.stdin(Stdio::piped()).spawn()?))
    }

    fn pid(&self) -> i32 {
        self.0.id() as i32
    }

    /// Its child, when it has one.
    fn child(&self) -> anyhow::Result<i32> {
        let pid = self.pid();
        let file = format!("/proc/{pid}/task/{pid}/children");
        let mut child = None;
        until(guard::PATIENCE, || {
            let text = fs::read_to_string(&file).unwrap_or_default();
            child = text
                .split_whitespace()
                .next()
                .and_then(|pid| pid.parse().ok());
            child.is_some()
        });
        child.context("it has no child")
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // Whatever reads the same input ends with that.
        drop(self.0.stdin.take());
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const SHELL: &str = "/bin/sh";

/// A session of root's whose policy is one rule about one group.
struct Asked {
    agent: Agent,
    file: String,
}

impl Asked {
    fn new(session: &str) -> anyhow::Result<Self> {
        let file = guard::policy(session, "version: 1\n")?;
        let agent = Agent::with(session, 0, &["--policy", &file])?;
        Ok(Self { agent, file })
    }

    /// Puts a policy in force: `rules` are about the group `some`, which has these items.
    fn edit(&self, items: &str, rules: &str) -> anyhow::Result<()> {
        let session = &self.agent.session;
        let before = guard::session(session)?["policy"].clone();
        let text =
            format!("version: 1\ngroups:\n  some: [{items}]\nrules:\n{rules}# after {before}\n");
        fs::write(&self.file, &text)?;
        let is_new = || guard::session(session).is_ok_and(|now| now["policy"] != before);
        ensure!(until(guard::PATIENCE, is_new), "it is not in force: {text}");
        Ok(())
    }

    /// That just these of some processes can be signalled, and that `guard explain` says the same.
    fn ensure_reach(&mut self, processes: &[(&str, i32, bool)]) -> anyhow::Result<()> {
        for &(what, pid, expected) in processes {
            let result = self.agent.attack("kill", &[&pid, &libc::SIGWINCH])?;
            ensure!(
                result.is_ok() || result == Err(Errno::EPERM),
                "{what}: {result:?}"
            );
            ensure!(result.is_ok() == expected, "{what}: {result:?}");
            let pid = pid.to_string();
            let session = self.agent.session.clone();
            let said = guard(&[
                "explain",
                "--session",
                &session,
                "signal",
                &pid,
                "--signal=WINCH",
            ])?;
            ensure!(
                said.status == i32::from(!expected),
                "{what}: explain says {}{}",
                said.out,
                said.err
            );
        }
        Ok(())
    }
}

const ALLOW: &str = "  - allow: [signal]\n    to: some\n";
const ALLOW_OTHERS: &str = "  - allow: [signal]\n    to: { except: some }\n";
const DENY: &str = "  - deny: [signal]\n    to: some\n  - allow: [signal]\n";
const DENY_OTHERS: &str = "  - deny: [signal]\n    to: { except: some }\n  - allow: [signal]\n";

fn command_lines(_: &mut Context) -> anyhow::Result<()> {
    let mut cases = Cases::default();
    // Those run before anybody asks for command lines; their children come of a fork alone.
    let earlier = Waiting::run(SHELL, "(read line); :", &["earlier"])?;
    let earlier_child = earlier.child()?;
    let changing = Waiting::run(SHELL, "read line; exec sleep 1000", &["changing"])?;
    let _server = Server::start()?;
    let mut asked = Asked::new("commands")?;
    asked.edit("{ command: \"*earlier\" }", ALLOW)?;
    let later = Waiting::run(SHELL, "(read line); :", &["two words", "", "later"])?;
    let later_child = later.child()?;
    // Of a process of before that makes one now.
    let long = "x".repeat(2100);
    let long = Waiting::run(SHELL, "(read line); :", &["long", &long])?;
    let long_child = long.child()?;
    let all = |expected: [bool; 6]| {
        let [e, ec, l, lc, g, gc] = expected;
        [
            ("one of before", earlier.pid(), e),
            ("its child", earlier_child, ec),
            ("one of later", later.pid(), l),
            ("its child", later_child, lc),
            ("one that is too long", long.pid(), g),
            ("its child", long_child, gc),
        ]
    };
    for (items, rules, expected) in [
        (
            "{ command: \"*earlier\" }",
            ALLOW,
            [true, true, false, false, false, false],
        ),
        (
            "{ command: \"/bin/sh -c (read line); : two words later\" }",
            ALLOW,
            [false, false, true, true, false, false],
        ),
        (
            "{ command: \"*l[!o]*er\" }, { command: \"* long *\" }",
            ALLOW,
            [true, true, true, true, false, false],
        ),
        (
            "{ command: \"*earlier\" }",
            ALLOW_OTHERS,
            [false, false, true, true, false, false],
        ),
        (
            "{ command: \"*earlier\" }",
            DENY,
            [false, false, true, true, false, false],
        ),
        (
            "{ command: \"*earlier\" }",
            DENY_OTHERS,
            [true, true, false, false, false, false],
        ),
        (
            "{ command: \"*earlier\", exe: /nothing }",
            ALLOW,
            [false; 6],
        ),
    ] {
        cases.run(format_args!("{items} {rules}"), || {
            asked.edit(items, rules)?;
            asked.ensure_reach(&all(expected))
        });
    }
    cases.run("what executes something else is that from then on", || {
        let pid = changing.pid();
        asked.edit("{ command: \"*changing\" }", ALLOW)?;
        asked.ensure_reach(&[("before", pid, true)])?;
        let input = changing.0.stdin.as_ref().context("no input")?;
        (&mut &*input).write_all(b"\n")?;
        let line = format!("/proc/{pid}/cmdline");
        let is_new = || fs::read(&line).is_ok_and(|line| line.starts_with(b"sleep"));
        ensure!(until(guard::PATIENCE, is_new), "it did not execute it");
        asked.ensure_reach(&[("after", pid, false)])?;
        asked.edit("{ command: sleep 1000 }", ALLOW)?;
        asked.ensure_reach(&[("by its new one", pid, true)])
    });
    cases.run("a session's own are its own, whatever they are", || {
        asked.edit("{ command: \"*\" }", "  - deny: [signal]\n    to: some\n")?;
        let pid = asked.agent.pid;
        asked.ensure_reach(&[("itself", pid, true)])
    });
    cases.finish()
}

fn ancestors(_: &mut Context) -> anyhow::Result<()> {
    let mut cases = Cases::default();
    let _server = Server::start()?;
    let mut asked = Asked::new("ancestors")?;
    fs::create_dir_all("/srv/ancestors")?;
    let shell = "/srv/ancestors/busybox";
    fs::copy("/bin/busybox", shell)?;
    let above = Waiting::run(shell, "/bin/sh -c '(read line); :'; :", &[])?;
    let child = above.child()?;
    let grandchild = {
        let file = format!("/proc/{child}/task/{child}/children");
        let mut found = None;
        until(guard::PATIENCE, || {
            let text = fs::read_to_string(&file).unwrap_or_default();
            found = text
                .split_whitespace()
                .next()
                .and_then(|pid| pid.parse().ok());
            found.is_some()
        });
        found.context("it has no grandchild")?
    };
    let stranger = Waiting::run(SHELL, "read line", &[])?;
    for (items, rules, expected) in [
        (
            "{ ancestor: /srv/ancestors/busybox }",
            ALLOW,
            [false, true, true, false],
        ),
        (
            "{ ancestor: \"/srv/*/busybox\" }",
            ALLOW,
            [false, true, true, false],
        ),
        (
            "{ ancestor: /srv/ancestors/busybox }",
            ALLOW_OTHERS,
            [true, false, false, true],
        ),
        (
            "{ ancestor: /srv/ancestors/busybox }",
            DENY,
            [true, false, false, true],
        ),
        (
            "{ ancestor: /srv/ancestors/busybox }",
            DENY_OTHERS,
            [false, true, true, false],
        ),
        ("{ ancestor: /usr/bin/guard-tests }", ALLOW, [true; 4]),
        (
            "{ ancestor: /usr/bin/guard-tests }, { except: { ancestor: \"/srv/**\" } }",
            ALLOW,
            [true, false, false, true],
        ),
        ("{ ancestor: /nothing }", ALLOW, [false; 4]),
    ] {
        cases.run(format_args!("{items} {rules}"), || {
            asked.edit(items, rules)?;
            let [a, c, g, s] = expected;
            asked.ensure_reach(&[
                ("what is above", above.pid(), a),
                ("its child", child, c),
                ("its grandchild", grandchild, g),
                ("a stranger", stranger.pid(), s),
            ])
        });
    }
    cases.run("who is left alone comes from whoever takes it over", || {
        asked.edit("{ ancestor: /srv/ancestors/busybox }", ALLOW)?;
        let mut above = above;
        // Who waits for it would close its input, which the others read.
        let _input = above.0.stdin.take();
        above.0.kill()?;
        above.0.wait()?;
        asked.ensure_reach(&[
            ("its child", child, false),
            ("its grandchild", grandchild, false),
        ])
    });
    cases.finish()
}

/// Groups, rules about them, and which of those that listen at an address of IPv4, at every address, at
/// one of IPv6, nowhere, and at all of them can be signalled then.
const LISTENING: [(&str, &str, [bool; 5]); 11] = [
    (
        "{ listens: 7001 }",
        ALLOW,
        [true, false, false, false, true],
    ),
    (
        "{ listens: \"7002-7010\" }",
        ALLOW,
        [false, true, true, false, true],
    ),
    (
        "{ listens: [7001, 7003] }",
        ALLOW,
        [true, false, true, false, true],
    ),
    (
        "{ listens: { address: 127.0.0.1 } }",
        ALLOW,
        [true, false, false, false, true],
    ),
    (
        "{ listens: { address: \"::1\", port: 7003 } }",
        ALLOW,
        [false, false, true, false, true],
    ),
    (
        "{ listens: { address: \"::1\", port: 7001 } }",
        ALLOW,
        [false; 5],
    ),
    (
        "{ listens: { address: 0.0.0.0, port: 7002 } }",
        ALLOW,
        [false, true, false, false, true],
    ),
    (
        "{ listens: 7001 }",
        ALLOW_OTHERS,
        [false, true, true, true, false],
    ),
    ("{ listens: 7001 }", DENY, [false, true, true, true, false]),
    (
        "{ listens: 7001 }",
        DENY_OTHERS,
        [true, false, false, false, true],
    ),
    (
        "{ listens: \"7001-7003\" }, { except: { listens: 7003 } }",
        ALLOW,
        [true, true, false, false, false],
    ),
];

fn listening(_: &mut Context) -> anyhow::Result<()> {
    let mut cases = Cases::default();
    let _server = Server::start()?;
    let mut asked = Asked::new("listening")?;
    let four = TcpListener::bind("127.0.0.1:7001")?;
    let any = TcpListener::bind("0.0.0.0:7002")?;
    let six = TcpListener::bind("[::1]:7003")?;
    // Who inherits it listens too.
    let listener = |listener: &TcpListener| {
        fcntl(listener, FcntlArg::F_SETFD(FdFlag::empty()))?;
        let process = Waiting::run(SHELL, "read line", &[]);
        fcntl(listener, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        process
    };
    let with_four = listener(&four)?;
    let with_any = listener(&any)?;
    let with_six = listener(&six)?;
    let nowhere = Waiting::run(SHELL, "read line", &[])?;
    let own = std::process::id() as i32;
    for (items, rules, expected) in LISTENING {
        cases.run(format_args!("{items} {rules}"), || {
            asked.edit(items, rules)?;
            let [four, any, six, none, all] = expected;
            asked.ensure_reach(&[
                ("at an address of IPv4", with_four.pid(), four),
                ("at every address", with_any.pid(), any),
                ("at an address of IPv6", with_six.pid(), six),
                ("nowhere", nowhere.pid(), none),
                ("at all of them", own, all),
            ])
        });
    }
    cases.run("who does not listen any more does not", || {
        asked.edit("{ listens: 7001 }", ALLOW)?;
        drop(four);
        asked.ensure_reach(&[
            ("the test", own, false),
            ("the other", with_four.pid(), true),
        ])
    });
    cases.run("a connection does not listen", || {
        let connected = std::net::TcpStream::connect("127.0.0.1:7002")?;
        let (accepted, _) = any.accept()?;
        drop(any);
        asked.edit("{ listens: 7002 }", ALLOW)?;
        asked.ensure_reach(&[
            ("the test", own, false),
            ("the other", with_any.pid(), true),
        ])?;
        drop((connected, accepted));
        Ok(())
    });
    cases.finish()
}

fn handed_on(_: &mut Context) -> anyhow::Result<()> {
    let mut cases = Cases::default();
    let _server = Server::start()?;
    let mut asked = Asked::new("handing")?;
    cases.run(
        "who was handed a session's listener does not listen with it",
        || {
            let own = std::process::id() as i32;
            let mut other = Agent::guarded("other", 0)?;
            let _first = handed(&mut asked.agent, 7005)?;
            let _second = handed(&mut other, 7006)?;
            asked.edit("{ listens: [7005, 7006] }", ALLOW)?;
            asked.ensure_reach(&[("the test", own, false)])?;
            // Whoever made it does.
            let pid = pid_of("nc\0-l\0-p\x007006\0")?;
            asked.ensure_reach(&[("the other session's", pid, true)])
        },
    );
    cases.finish()
}

/// A copy of the socket that a process of a session listens at a port with.
fn handed(agent: &mut Agent, port: u16) -> anyhow::Result<TcpListener> {
    let line = format!("nc -l -p {port} </dev/null >/dev/null 2>&1 &");
    agent.succeed("run", &[&SHELL, &"-c", &line])?;
    let mut found = None;
    until(guard::PATIENCE, || {
        found = listener(port).ok();
        found.is_some()
    });
    found.with_context(|| format!("nobody listens at {port}"))
}

/// A copy of the socket that some `nc` listens at a port with.
fn listener(port: u16) -> anyhow::Result<TcpListener> {
    let pid = pid_of(&format!("nc\0-l\0-p\0{port}\0"))? as usize;
    let process = raw::call(libc::SYS_pidfd_open, &[pid, 0])? as usize;
    let copies = (0..16).filter_map(|number| {
        let copy = raw::call(libc::SYS_pidfd_getfd, &[process, number, 0]).ok()?;
        // SAFETY: the kernel has just made it for this process.
        Some(unsafe { OwnedFd::from_raw_fd(copy as i32) })
    });
    let mut copies =
        copies.filter(|copy| getsockopt(copy, sockopt::AcceptConn).is_ok_and(|listens| listens));
    let copy = copies.next();
    raw::call(libc::SYS_close, &[process])?;
    Ok(TcpListener::from(copy.context("it does not listen yet")?))
}

/// The process that was executed with just this.
fn pid_of(line: &str) -> anyhow::Result<i32> {
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        if fs::read(path.join("cmdline")).is_ok_and(|found| found == line.as_bytes()) {
            let name = path.file_name().and_then(|name| name.to_str());
            return Ok(name.context("no pid")?.parse()?);
        }
    }
    anyhow::bail!("there is no such process")
}

fn sessions(_: &mut Context) -> anyhow::Result<()> {
    let mut cases = Cases::default();
    let _server = Server::start()?;
    let mut asked = Asked::new("asking")?;
    let first = Agent::guarded("first", 0)?;
    let nobody = Waiting::run(SHELL, "read line", &[])?;
    // One that comes when the policy is in force.
    asked.edit("{ session: second }", ALLOW)?;
    let second = Agent::guarded("second", 0)?;
    for (items, rules, expected) in [
        ("{ session: second }", ALLOW, [false, true, false]),
        ("{ session: first }", ALLOW, [true, false, false]),
        ("{ session: \"*\" }", ALLOW, [true, true, false]),
        ("{ session: third }", ALLOW, [false; 3]),
        ("{ session: first }", ALLOW_OTHERS, [false, true, true]),
        ("{ session: \"*\" }", ALLOW_OTHERS, [false, false, true]),
        ("{ session: first }", DENY, [false, true, true]),
        ("{ session: first }", DENY_OTHERS, [true, false, false]),
        (
            "{ session: \"*\" }, { except: { session: first } }",
            ALLOW,
            [false, true, false],
        ),
    ] {
        cases.run(format_args!("{items} {rules}"), || {
            asked.edit(items, rules)?;
            let [f, s, n] = expected;
            asked.ensure_reach(&[
                ("the first", first.pid, f),
                ("the second", second.pid, s),
                ("of none", nobody.pid(), n),
            ])
        });
    }
    cases.finish()
}
