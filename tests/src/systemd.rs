//! On a machine that systemd runs: sessions are scopes, the server is a service, and what systemd
//! runs for others is out of a session's reach.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use nix::libc::{SIGHUP, SIGKILL};

use crate::context::Context;
use crate::registry::{Test, systemd};
use crate::support::agent::{AGENT, Agent};
use crate::support::cases::until;
use crate::support::guard::{self, GUARD, PATIENCE, Ran, Server, ran};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    systemd("systemd::sessions_are_scopes", sessions_are_scopes),
    systemd("systemd::the_server_is_a_service", the_server_is_a_service),
    systemd(
        "systemd::services_are_out_of_reach",
        services_are_out_of_reach,
    ),
    systemd("systemd::presets_pass_check", presets_pass_check),
];

/// The unit that the documents have people install.
const UNIT: &str = include_str!("../../packaging/guard.service");

/// Where it goes.
const UNIT_FILE: &str = "/etc/systemd/system/guard.service";

/// Without a server: the first session starts one.
fn sessions_are_scopes(_: &mut Context) -> anyhow::Result<()> {
    let services = Services::find()?;
    let mut session = Agent::guarded("scoped", AGENT)?;
    let scope = "guard-scoped.scope";
    ensure!(state(scope)? == "active", "the session is in no scope");
    let server = guard::status()?["server"].as_i64().context("no server")?;
    for (pid, unit) in [
        (i64::from(session.pid), scope),
        (server, "guard-server.scope"),
    ] {
        let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
        ensure!(
            cgroup.contains(&format!("/guard.slice/{unit}")),
            "{pid} is in {cgroup}, not in {unit}"
        );
    }
    let tasks = property(scope, "TasksMax")?;
    ensure!(tasks == "4096", "TasksMax is {tasks}");
    for limit in ["MemoryMax", "CPUWeight"] {
        let value = property(scope, limit)?;
        ensure!(value.parse::<u64>().is_ok(), "{limit} is {value}");
    }
    session.refused("kill", &[&services.redis, &SIGKILL])?;
    // systemd looks at its units anew, and at the cgroups.
    systemctl(&["daemon-reload"])?;
    session.refused("kill", &[&services.redis, &SIGKILL])?;
    ensure!(session.dismiss()? == 0, "its status");
    // The same name again, at once: systemd may not have noticed the end of the one before.
    for _ in 0..3 {
        run_in_session("scoped", &[], "true")?.ensure_status(0)?;
    }
    let gone = until(PATIENCE, || {
        let left = [scope, "guard-server.scope"];
        !guard::is_pinned()
            && left
                .iter()
                .all(|unit| state(unit).is_ok_and(|state| state == "inactive"))
    });
    ensure!(gone, "scopes or programs are left");
    services.ensure_untouched()
}

/// The unit as it is installed: started, started anew, killed and stopped under a session.
fn the_server_is_a_service(_: &mut Context) -> anyhow::Result<()> {
    let services = Services::find()?;
    fs::write(UNIT_FILE, UNIT)?;
    let installed = Installed;
    // What the unit says, systemd understands.
    let verified = ran(Command::new("systemd-analyze").args(["verify", "--man=no", UNIT_FILE]))?;
    ensure!(
        verified.status == 0 && !verified.err.contains("guard.service"),
        "{verified:?}"
    );
    systemctl(&["daemon-reload"])?;
    systemctl(&["start", "guard"])?;
    ensure!(state("guard.service")? == "active", "it is not active");
    let mut session = Agent::guarded("served", AGENT)?;
    session.refused("kill", &[&services.redis, &SIGKILL])?;
    let mut server = served(&mut session, &services, 0)?;

    systemctl(&["restart", "guard"])?;
    server = served(&mut session, &services, server)?;
    // An accident: the unit is restarted, and finds the session.
    ensure!(server > 1, "no server");
    guard::kill(server)?;
    let back = until(PATIENCE, || {
        property("guard.service", "MainPID")
            .is_ok_and(|pid| pid.parse().is_ok_and(|pid: i32| pid != 0 && pid != server))
            && state("guard.service").is_ok_and(|state| state == "active")
    });
    ensure!(back, "the server is not started again");
    served(&mut session, &services, server)?;

    systemctl(&["stop", "guard"])?;
    session.refused("kill", &[&services.redis, &SIGKILL])?;
    systemctl(&["start", "guard"])?;
    served(&mut session, &services, 0)?;
    ensure!(session.dismiss()? == 0, "its status");
    // Nothing is left to guard.
    systemctl(&["stop", "guard"])?;
    ensure!(!guard::is_pinned(), "the programs stay");
    drop(installed);
    services.ensure_untouched()
}

/// Whether the unit's server, which must not be the one `before`, has the session. Returns its
/// process.
fn served(session: &mut Agent, services: &Services, before: i32) -> anyhow::Result<i32> {
    let status = guard::status()?;
    let server = status["server"].as_i64().context("no server")? as i32;
    ensure!(server != before, "it is the same server");
    let main = property("guard.service", "MainPID")?;
    ensure!(
        main == server.to_string(),
        "the unit's process is {main}, the server {server}"
    );
    guard::session("served")?;
    session.refused("kill", &[&services.redis, &SIGKILL])?;
    Ok(server)
}

/// What an administrator's shell does to services, as root. `$1` is where a file appears that
/// systemd makes for the session.
const HARM: &str = r#"
systemctl stop redis-server
systemctl kill --signal=KILL nginx
systemd-run --quiet --wait touch "$1"
systemctl mask --now --runtime nginx
busctl call org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager \
    KillUnit ssis nginx.service all 9
true
"#;

fn services_are_out_of_reach(_: &mut Context) -> anyhow::Result<()> {
    let services = Services::find()?;
    let _server = Server::start()?;
    let made = Path::new("/run/guard-tests/made-by-systemd");
    let script = HARM.replace("$1", &made.display().to_string());
    run_in_session("services", &[], &script)?.ensure_status(0)?;
    services.ensure_untouched()?;
    ensure!(!made.exists(), "systemd ran a command for the session");
    guard::wait_for_event("services", |event| {
        event["verdict"] == "deny" && event["operation"] == "connect"
    })?;

    // A policy names units of systemd's.
    let policy = guard::policy(
        "unit",
        "version: 1\ninclude: [default]\ngroups:\n  cache: [{ unit: redis-server.service }]\n\
         rules:\n  - name: reload\n    allow: [signal]\n    to: cache\n    because: it may\n",
    )?;
    let mut session = Agent::with("units", 0, &["--policy", &policy])?;
    session.succeed("kill", &[&services.redis, &SIGHUP])?;
    session.refused("kill", &[&services.nginx, &SIGHUP])?;
    ensure!(session.dismiss()? == 0, "its status");
    services.ensure_untouched()?;

    // Without guard all of it happens.
    ran(Command::new("sh")
        .args(["-c", &script])
        .stdin(Stdio::null()))?;
    let now = Services::find()?;
    ensure!(
        made.exists() && now.redis != services.redis && now.nginx != services.nginx,
        "without guard nothing happens: {services:?}, {now:?}"
    );
    fs::remove_file(made)?;
    systemctl(&["unmask", "--runtime", "nginx"])?;
    systemctl(&["start", "redis-server", "nginx"])
}

/// Presets are for machines as they are: none has a mistake on a Debian as it is installed.
fn presets_pass_check(_: &mut Context) -> anyhow::Result<()> {
    for preset in [
        "default",
        "strict",
        "audit",
        "vms",
        "databases",
        "containers",
        "kubernetes-node",
        "desktop",
        "dev-servers",
        "ci-runner",
    ] {
        let checked = guard::guard(&["check", "--tests", preset])?;
        checked
            .ensure_status(0)
            .with_context(|| format!("the preset {preset}"))?;
    }
    Ok(())
}

/// Runs a shell's command line in a session of root's.
fn run_in_session(name: &str, options: &[&str], line: &str) -> anyhow::Result<Ran> {
    let workspace = format!("/srv/work-{name}");
    fs::create_dir_all(&workspace)?;
    ran(Command::new(GUARD)
        .args(["run", "--name", name])
        .args(options)
        .args(["--", "sh", "-c", line])
        .current_dir(workspace)
        .stdin(Stdio::null()))
}

/// The main processes of services of Debian's.
#[derive(Debug, PartialEq, Eq)]
struct Services {
    redis: i32,
    nginx: i32,
}

impl Services {
    /// As they are now; 0 for one that does not run.
    fn find() -> anyhow::Result<Self> {
        let main = |unit| anyhow::Ok(property(unit, "MainPID")?.parse()?);
        Ok(Self {
            redis: main("redis-server.service")?,
            nginx: main("nginx.service")?,
        })
    }

    fn ensure_untouched(&self) -> anyhow::Result<()> {
        let now = Self::find()?;
        ensure!(
            now == *self && self.redis > 1 && self.nginx > 1,
            "services were {self:?} and are {now:?}"
        );
        Ok(())
    }
}

/// The unit is not left to other tests.
struct Installed;

impl Drop for Installed {
    fn drop(&mut self) {
        let _ = systemctl(&["stop", "guard"]);
        let _ = fs::remove_file(UNIT_FILE);
        let _ = systemctl(&["daemon-reload"]);
    }
}

fn systemctl(arguments: &[&str]) -> anyhow::Result<()> {
    ran(Command::new("systemctl").args(arguments))?
        .ensure_status(0)
        .with_context(|| format!("systemctl {}", arguments.join(" ")))?;
    Ok(())
}

/// Whether a unit is active, in systemd's words.
fn state(unit: &str) -> anyhow::Result<String> {
    property(unit, "ActiveState")
}

fn property(unit: &str, name: &str) -> anyhow::Result<String> {
    let shown = ran(Command::new("systemctl").args(["show", "--value", "-p", name, unit]))?;
    shown.ensure_status(0)?;
    Ok(shown.out.trim().to_owned())
}
