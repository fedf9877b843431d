//! systemd's transient scopes: where systemd manages the cgroups, a session is a unit like
//! any other (`systemctl status guard-NAME.scope`).

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use zbus::{Connection, Variant};

use super::limits::{CPU_PERIOD_MICROSECONDS, Numbers};
use super::name::Name;

/// The slice that all of guard's units are in.
pub const SLICE: &str = "guard.slice";

/// What the server's own scope is called where sessions have their names, so that no session can
/// have this one.
pub const SERVER: &str = "server";

/// How long a unit of the same name may take to be gone, whose processes have just ended.
const GONE_PATIENCE: Duration = Duration::from_secs(3);
/// How long systemd may take to start a scope.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether systemd manages the cgroups of this host (`sd_booted(3)`).
#[must_use]
pub fn is_host_managed() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// The unit of a session.
#[must_use]
pub fn unit(session: &Name) -> String {
    named(session.as_str())
}

/// The unit of the server, when a client has started it.
#[must_use]
pub fn unit_of_server() -> String {
    named(SERVER)
}

fn named(name: &str) -> String {
    format!("guard-{name}.scope")
}

/// Starts a scope with this process in it, whose cgroups below it are ours to make
/// (`Delegate=`), and returns its cgroup's path from the root of the hierarchy.
pub async fn start(unit: &str, description: &str, pid: u32) -> Result<PathBuf> {
    let connection = connect().await?;
    let deadline = Instant::now() + GONE_PATIENCE;
    loop {
        let started = connection
            .call_method(
                // On the private socket there is no bus, and nobody who reads this.
                Some("org.freedesktop.systemd1"),
                "/org/freedesktop/systemd1",
                Some("org.freedesktop.systemd1.Manager"),
                "StartTransientUnit",
                &body(unit, description, pid),
            )
            .await;
        match started {
            // The session before had the name, and systemd has not noticed its end yet.
            Err(error) if is_there(&error) && Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            started => {
                started.with_context(|| format!("systemd refused to start {unit}"))?;
                break;
            }
        }
    }
    // The answer is a job that is still to be done; it is done when the process is there.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let cgroup = cgroup_of(pid)?;
        if cgroup.ends_with(unit) {
            return Ok(cgroup);
        }
        if Instant::now() > deadline {
            bail!(
                "systemd did not start {unit} within {} seconds",
                PATIENCE.as_secs()
            );
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Whether systemd has refused a unit because there is one of that name.
fn is_there(error: &zbus::Error) -> bool {
    matches!(error, zbus::Error::MethodError(name, ..)
        if name.as_str() == "org.freedesktop.systemd1.UnitExists")
}

/// Gives a unit these limits, until it ends.
pub async fn limit(unit: &str, numbers: &Numbers) -> Result<()> {
    connect()
        .await?
        .call_method(
            Some("org.freedesktop.systemd1"),
            "/org/freedesktop/systemd1",
            Some("org.freedesktop.systemd1.Manager"),
            "SetUnitProperties",
            &(unit, true, limits(numbers)),
        )
        .await
        .with_context(|| format!("systemd refused to limit {unit}"))?;
    Ok(())
}

/// Limits as systemd.resource-control(5) names them. The highest number is its "infinity".
fn limits(numbers: &Numbers) -> Properties<'static> {
    let or_infinity = |number: Option<u64>| Variant::from(number.unwrap_or(u64::MAX));
    let periods = 1_000_000 / CPU_PERIOD_MICROSECONDS;
    let weight = u64::from(numbers.weight.unwrap_or(100));
    vec![
        ("MemoryMax", or_infinity(numbers.memory)),
        ("MemorySwapMax", or_infinity(numbers.swap)),
        ("TasksMax", or_infinity(numbers.processes)),
        (
            "CPUQuotaPerSecUSec",
            or_infinity(numbers.cpu.map(|quota| quota * periods)),
        ),
        ("CPUWeight", Variant::from(weight)),
        ("IOWeight", Variant::from(weight)),
    ]
}

/// Names and values of a unit.
type Properties<'a> = Vec<(&'a str, Variant<'a>)>;

/// The arguments of `StartTransientUnit`.
fn body<'a>(
    unit: &'a str,
    description: &'a str,
    pid: u32,
) -> (
    &'a str,
    &'a str,
    Properties<'a>,
    Vec<(&'a str, Properties<'a>)>,
) {
    let properties = vec![
        ("Description", Variant::from(description)),
        ("Slice", Variant::from(SLICE)),
        ("Delegate", Variant::from(true)),
        ("PIDs", Variant::from(vec![pid])),
        // A scope whose processes were killed shall not stay behind as failed.
        ("CollectMode", Variant::from("inactive-or-failed")),
    ];
    (unit, "fail", properties, Vec::new())
}

/// The system bus; where none is running, systemd's own socket, as `systemctl` does it.
async fn connect() -> Result<Connection> {
    let bus = match Connection::system().await {
        Ok(connection) => return Ok(connection),
        Err(error) => error,
    };
    zbus::connection::Builder::address("unix:path=/run/systemd/private")
        .p2p()
        .build()
        .await
        .with_context(|| format!("systemd can't be reached, over the system bus ({bus}) or"))
}

/// The cgroup (version 2) of a process, from the root of the hierarchy.
pub fn cgroup_of(pid: u32) -> Result<PathBuf> {
    let file = format!("/proc/{pid}/cgroup");
    let text = std::fs::read_to_string(&file).with_context(|| file.clone())?;
    parse(&text).with_context(|| format!("{file} names no cgroup of version 2"))
}

/// The line `0::PATH` of `/proc/PID/cgroup`.
fn parse(text: &str) -> Option<PathBuf> {
    text.lines()
        .find_map(|line| line.strip_prefix("0::"))
        .map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cgroup_of_version_2_is_found_beside_those_of_version_1() {
        let text = "5:cpu,cpuacct:/x\n1:name=systemd:/y\n0::/guard.slice/guard-a-1.scope\n";
        assert_eq!(parse(text), Some("/guard.slice/guard-a-1.scope".into()));
        assert_eq!(parse("1:name=systemd:/y\n"), None);
    }

    #[test]
    fn the_call_has_the_signature_that_systemd_asks_for() {
        use zbus::Message;
        let message = Message::method_call("/org/freedesktop/systemd1", "StartTransientUnit")
            .build(&body("guard-a-1.scope", "a", 7))
            .unwrap();
        let signature = message.body().signature().to_string();
        // As `busctl introspect` shows it, in parentheses since it is one structure here.
        assert_eq!(
            signature.trim_matches(['(', ')']),
            "ssa(sv)a(sa(sv))".trim_matches(')')
        );
    }

    #[test]
    fn limits_have_the_signature_that_systemd_asks_for() {
        use zbus::Message;
        let numbers = Numbers {
            cpu: Some(250_000),
            ..Numbers::default()
        };
        let properties = limits(&numbers);
        assert!(properties.contains(&("CPUQuotaPerSecUSec", Variant::from(2_500_000_u64))));
        assert!(properties.contains(&("MemoryMax", Variant::from(u64::MAX))));
        let message = Message::method_call("/org/freedesktop/systemd1", "SetUnitProperties")
            .build(&("guard-a-1.scope", true, properties))
            .unwrap();
        let signature = message.body().signature().to_string();
        assert_eq!(
            signature.trim_matches(['(', ')']),
            "sba(sv)".trim_matches(')')
        );
    }

    #[test]
    fn a_sessions_unit_is_named_after_it() {
        assert_eq!(unit(&Name::new("a-1").unwrap()), "guard-a-1.scope");
        assert_eq!(unit_of_server(), "guard-server.scope");
    }

    #[test]
    fn a_unit_that_is_there_is_told_from_other_mistakes() {
        use zbus::Message;
        let error = |name: &'static str| {
            let call = Message::method_call("/", "StartTransientUnit");
            let reply = call.build(&()).unwrap();
            let name = zbus::names::OwnedErrorName::try_from(name).unwrap();
            zbus::Error::MethodError(name, None, reply)
        };
        assert!(is_there(&error("org.freedesktop.systemd1.UnitExists")));
        assert!(!is_there(&error("org.freedesktop.systemd1.NoSuchUnit")));
    }
}
