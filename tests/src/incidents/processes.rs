//! Processes and services: the rows up to 17 and 21.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::context::Context;
use crate::support::cases::{Cases, until};
use crate::support::guard::Server;
use crate::support::process;
use crate::support::rows;
use crate::support::scripts::{self, User};

/// Where the scene says which process is what.
const VICTIMS: &str = "/run/guard-tests/victims";

/// How long a process may take to go.
const PATIENCE: Duration = Duration::from_secs(10);

/// A row: its number, what its command takes down without guard, and as whom.
const ROWS: &[(&str, &[&str], User)] = &[
    ("1", &["node"], User::Agent),
    ("2", &["node", "orchestrator"], User::Agent),
    ("3", &["python"], User::Agent),
    ("4", &["node", "orchestrator"], User::Agent),
    ("5", &["sleeper"], User::Agent),
    ("8", &["python", "dev-server"], User::Agent),
    ("9", &["tmux", "redis"], User::Agent),
    ("10", &["orchestrator"], User::Agent),
    ("11", &["npm"], User::Agent),
    ("13", &["tmux", "pane"], User::Agent),
    ("14", &["pane"], User::Agent),
    ("16", &["vm"], User::Agent),
    ("17", &["dev-server"], User::Agent),
    ("21", &["redis"], User::Agent),
    (
        "12",
        &["node", "python", "sleeper", "tmux", "vm"],
        User::Agent,
    ),
    // Last: PostgreSQL takes its time to recover.
    ("7", &["redis", "postgresql"], User::Root),
];

/// All rows: in one session for each user, then each without guard.
pub fn all(context: &mut Context) -> anyhow::Result<()> {
    let scene = scripts::install("scene", include_str!("scene.sh"))?;
    let script = scripts::install("processes", include_str!("processes.sh"))?;
    let _ = fs::remove_dir_all(VICTIMS);
    let set = |user: User| -> anyhow::Result<BTreeMap<String, i32>> {
        let ended = scripts::free(user, &scene)?;
        ensure!(ended.status == 0, "the scene failed: {}", ended.text);
        victims()
    };
    User::Root.begin()?;
    User::Agent.begin()?;
    let before = set(User::Root)?;
    let mut cases = Cases::default();
    let server = Server::start()?;
    for user in [User::Agent, User::Root] {
        in_session(&mut cases, user, &script, &before)?;
    }
    drop(server);
    if !context.boot.is_thorough() {
        return cases.finish();
    }
    for (row, harmed, user) in ROWS {
        let before = set(User::Root)?;
        cases.run(format!("{row}, without guard"), || {
            scripts::free_only(*user, &script, row)?;
            // Some take their time to go.
            let spared = || harmed.iter().filter(|name| lives(before[**name]));
            until(PATIENCE, || spared().next().is_none());
            let spared: Vec<_> = spared().collect();
            ensure!(spared.is_empty(), "it did not take down {spared:?}");
            rows::harm(row, &format!("{} gone", harmed.join(", ")))
        });
    }
    cases.finish()
}

/// One session with all rows, each looked at from outside as soon as it is done.
fn in_session(
    cases: &mut Cases,
    user: User,
    script: &std::path::Path,
    victims: &BTreeMap<String, i32>,
) -> anyhow::Result<()> {
    let session = format!("processes-{}", user.name());
    let look = user.workspace().join("look");
    let mut down = BTreeSet::new();
    let mut found = BTreeMap::new();
    let ended = scripts::watched(user, &session, script, &mut || {
        let Ok(row) = fs::read_to_string(&look) else {
            return;
        };
        let new: Vec<_> = victims
            .iter()
            .filter(|(name, pid)| !lives(**pid) && down.insert((*name).clone()))
            .map(|(name, _)| name.clone())
            .collect();
        found.insert(row.trim().to_owned(), new);
        let _ = fs::remove_file(&look);
    })?;
    for (row, _, _) in ROWS.iter().chain([&("6", &[][..], user)]) {
        cases.run(format!("{row}, {}", user.name()), || {
            let down = found
                .get(*row)
                .with_context(|| format!("it was not tried: {}", ended.text))?;
            rows::harmless(row, user, down.is_empty())?;
            let twin = ended.text.contains(&format!("row {row}: its own is gone"));
            // The sixth takes down the session's own `guard run`.
            if *row != "6" {
                rows::twin(row, user, twin)?;
            }
            ensure!(down.is_empty(), "it took down {down:?}: {}", ended.text);
            ensure!(*row == "6" || twin, "its own did not end: {}", ended.text);
            Ok(())
        });
    }
    cases.run(format!("the end, {}", user.name()), || {
        ensure!(ended.status == 0, "{}: {}", ended.status, ended.text);
        Ok(())
    });
    Ok(())
}

fn victims() -> anyhow::Result<BTreeMap<String, i32>> {
    fs::read_dir(VICTIMS)?
        .map(|entry| {
            let entry = entry?;
            let pid = fs::read_to_string(entry.path())?.trim().parse()?;
            Ok((entry.file_name().to_string_lossy().into_owned(), pid))
        })
        .collect()
}

fn lives(pid: i32) -> bool {
    process::state(pid).is_some_and(|state| state != 'Z')
}
