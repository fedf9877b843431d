//! `guard status`: the sessions, and whether all is well with them.

use std::fmt::Write;
use std::path::Path;

use super::exit::{Exit, Failure};
use super::output::{json, print, table};
use crate::events::text::escaped;
use crate::events::time::Time;
use crate::server::client::{self, Outcome, accepted, unexpected};
use crate::server::paths::Paths;
use crate::server::protocol::{Request, Response, SessionStatus, Status};

/// Where an engine is pinned when there is one, with a server or without.
const PINS: &str = "/sys/fs/bpf/guard";

/// Show the sessions: who, under which policy, what was refused
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Shows the status.
pub fn run(raw: &Arguments) -> Result<Exit, Failure> {
    super::require_root()?;
    let status = ask(&Paths::system(), Path::new(PINS))?;
    let text = match &status {
        status if raw.json => json(status),
        Some(status) => shown(status, Time::now()),
        None => "No session, and guard isn't loaded. Start one: sudo guard run -- COMMAND\n".into(),
    };
    print(&text)?;
    Ok(Exit::Success)
}

/// Asks the server. Without one and without an engine there is nothing to ask for; an engine
/// without a server gets one, which takes its sessions over.
fn ask(paths: &Paths, pins: &Path) -> Result<Option<Status>, Failure> {
    let is_pinned = pins.read_dir().is_ok_and(|mut pins| pins.next().is_some());
    if client::find(paths)?.is_none() && !is_pinned {
        return Ok(None);
    }
    let status = client::converse(paths, |mut connection| {
        connection.send(&Request::Status, None)?;
        match accepted(connection.receive()?)? {
            Response::Status(status) => Ok(*status),
            response => Err(Outcome::from(unexpected(&response))),
        }
    })?;
    Ok(Some(status))
}

/// The status for people.
fn shown(status: &Status, now: Time) -> String {
    let mut text = String::new();
    if let Some(alarm) = &status.alarm {
        let _ = write!(text, "ALARM: {}\n\n", plain(alarm));
    }
    if status.sessions.is_empty() {
        text += "No session. Start one: sudo guard run -- COMMAND\n";
    } else {
        let mut rows = vec![
            [
                "SESSION",
                "USER",
                "UP",
                "TASKS",
                "REFUSED",
                "POLICY",
                "WORKSPACE",
            ]
            .map(str::to_owned)
            .to_vec(),
        ];
        rows.extend(status.sessions.iter().map(|session| row(session, now)));
        text += &table(&rows);
        for session in &status.sessions {
            text += &troubles(session);
        }
    }
    if let Some(engine) = &status.engine {
        let _ = write!(
            text,
            "\nguard {} on Linux {}, server {}{}\n",
            status.version,
            plain(&engine.kernel),
            status.server,
            if status.stays { " (stays)" } else { "" }
        );
        if !status.proved.is_empty() {
            let _ = writeln!(
                text,
                "Seen to be refused just now: {}",
                plain(&status.proved.join(", "))
            );
        }
        for degradation in &engine.degradations {
            let _ = writeln!(text, "Not enforced here: {}", plain(degradation));
        }
        for degradation in &engine.degradations_of_root {
            let _ = writeln!(
                text,
                "Not enforced here on sessions of root: {}",
                plain(degradation)
            );
        }
    }
    text
}

fn row(session: &SessionStatus, now: Time) -> Vec<String> {
    let up = now.milliseconds() / 1000 - (session.started / 1000) as i64;
    let policy = if session.policies.is_empty() {
        "default".to_owned()
    } else {
        session
            .policies
            .iter()
            .map(|policy| plain(policy))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let mark = if session.mistake.is_some() {
        " (edited, with a mistake)"
    } else {
        ""
    };
    vec![
        session.name.to_string(),
        plain(&session.user),
        age(up.max(0)),
        session.tasks.to_string(),
        refused(session),
        policy + mark,
        session
            .workspace
            .as_ref()
            .map_or_else(|| "-".to_owned(), |path| plain(&path.to_string_lossy())),
    ]
}

fn refused(session: &SessionStatus) -> String {
    let denied: Vec<String> = session
        .counts
        .iter()
        .filter(|count| count.verdict == "deny")
        .map(|count| format!("{} {}", count.count, plain(&count.operation)))
        .collect();
    if denied.is_empty() {
        "-".to_owned()
    } else {
        denied.join(", ")
    }
}

/// What isn't as it should be with a session, a paragraph each.
fn troubles(session: &SessionStatus) -> String {
    let name = &session.name;
    let mut text = String::new();
    if let Some(mistake) = &session.mistake {
        let lines: Vec<_> = mistake
            .lines()
            .map(|line| format!("  {}\n", plain(line)))
            .collect();
        let _ = write!(
            text,
            "\n{name}: the policy was edited and has a mistake; the one before stays in force:\n{}",
            lines.concat()
        );
    }
    for (count, what) in [
        (
            session.lost,
            "events were lost because the ring buffer was full; the verdicts were in force all the same",
        ),
        (
            session.unlogged,
            "events could not be written to the log; the verdicts were in force all the same",
        ),
        (
            session.errors,
            "operations were refused because the engine could not decide on them",
        ),
        (
            session.unlabelled,
            "processes that were moved in could not be labelled and are not guarded",
        ),
        (
            session.forgotten,
            "files of its own are protected from it now: more could not be remembered",
        ),
    ] {
        if count > 0 {
            let _ = write!(text, "\n{name}: {count} {what}\n");
        }
    }
    for grant in &session.grants {
        let _ = write!(
            text,
            "\n{name}: granted ({}), used {}: {}; take it back with: guard revoke {name} {}\n",
            grant.number,
            grant.used,
            super::allow::shown(grant),
            grant.number
        );
    }
    if !session.exceeded.is_empty() {
        let _ = write!(
            text,
            "\n{name}: the limit of {} is exceeded, and the session is refused by that now; see what it \
             does (guard tail --session {name}), and type: guard resume {name}\n",
            plain(&session.exceeded.join(", "))
        );
    }
    text
}

/// Seconds in their two largest units.
fn age(seconds: i64) -> String {
    let (days, hours, minutes) = (seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => format!("{minutes}m"),
        (0, hours, minutes) => format!("{hours}h{minutes:02}m"),
        (days, hours, _) => format!("{days}d{hours}h"),
    }
}

fn plain(text: &str) -> String {
    escaped(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::enforcer::Features;
    use crate::server::protocol::Count;
    use crate::session::name::Name;

    fn status() -> Status {
        Status {
            server: 77,
            version: "0.1.0".into(),
            stays: false,
            engine: Some(Features {
                kernel: "6.12.1".into(),
                details: serde_json::Value::Null,
                degradations: vec!["x can't be refused".into()],
                degradations_of_root: Vec::new(),
            }),
            alarm: None,
            proved: vec!["signal".into(), "delete".into()],
            sessions: vec![SessionStatus {
                name: Name::new("claude-1").unwrap(),
                id: 1,
                started: 1_000_000,
                command: vec!["claude".into()],
                user: "ann".into(),
                uid: 1000,
                workspace: Some("/home/ann/w\u{1b}".into()),
                policies: vec!["/etc/guard/a.yaml".into()],
                policy: 2,
                mistake: Some("a.yaml:1:1: no\nx\n^".into()),
                tasks: 3,
                counts: vec![Count {
                    operation: "delete".into(),
                    verdict: "deny".into(),
                    count: 4,
                }],
                lost: 5,
                unlogged: 0,
                errors: 0,
                unlabelled: 0,
                forgotten: 0,
                exceeded: vec!["workspace".into()],
                grants: Vec::new(),
                cgroup: "/sys/fs/cgroup/guard/claude-1".into(),
                log: "/var/log/guard/x.jsonl".into(),
            }],
        }
    }

    #[test]
    fn people_see_sessions_and_what_is_wrong_with_them() {
        let now = Time::since_epoch(std::time::Duration::from_secs(1000 + 3700));
        let expected = "\
SESSION   USER  UP     TASKS  REFUSED   POLICY                                      WORKSPACE
claude-1  ann   1h01m  3      4 delete  /etc/guard/a.yaml (edited, with a mistake)  /home/ann/w\\u{1b}

claude-1: the policy was edited and has a mistake; the one before stays in force:
  a.yaml:1:1: no
  x
  ^

claude-1: 5 events were lost because the ring buffer was full; the verdicts were in force all the same

claude-1: the limit of workspace is exceeded, and the session is refused by that now; see what it does (guard tail --session claude-1), and type: guard resume claude-1

guard 0.1.0 on Linux 6.12.1, server 77
Seen to be refused just now: signal, delete
Not enforced here: x can't be refused
";
        assert_eq!(shown(&status(), now), expected);
    }

    #[test]
    fn without_server_and_engine_nothing_is_started() {
        let base = tempfile::tempdir().unwrap();
        let paths = Paths {
            run: base.path().join("run"),
            log: base.path().join("log"),
        };
        assert_eq!(ask(&paths, &base.path().join("pins")).unwrap(), None);
        assert!(!paths.run.exists());
    }

    #[test]
    fn ages_have_two_units() {
        for (seconds, text) in [(59, "59s"), (60, "1m"), (3660, "1h01m"), (90_000, "1d1h")] {
            assert_eq!(age(seconds), text);
        }
    }
}
