//! Files: the rows from 22 on, and a home directory with ten thousand files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::context::Context;
use crate::support::cases::Cases;
use crate::support::guard::Server;
use crate::support::rows;
use crate::support::scripts::{self, User};
use crate::support::tree::{self, Tree};

/// Rows with a command that has to do harm without guard.
const ROWS: &[&str] = &[
    "22", "23", "24", "25", "26", "27", "28", "29", "30", "31", "32", "33", "34", "36", "37",
    "381", "382", "383", "384", "385", "386",
];

/// Rows with something that has to work.
const TWINS: &[&str] = &["22", "25", "27", "28", "29", "30", "31", "34", "36", "38"];

/// The row with the large home, as the report has it.
const TEN_THOUSAND: &str = "23, a home of 10,000";

/// Files of the large home.
const MANY: usize = 10_000;

/// All rows: in one session for each user, then each without guard.
pub fn all(context: &mut Context) -> anyhow::Result<()> {
    let home = scripts::install("home", include_str!("home.sh"))?;
    let script = scripts::install("files", include_str!("files.sh"))?;
    let mut cases = Cases::default();
    let server = Server::start()?;
    for user in [User::Agent, User::Root] {
        in_session(&mut cases, user, &home, &script)?;
    }
    drop(server);
    if !context.boot.is_thorough() {
        return cases.finish();
    }
    for row in ROWS {
        let before = scene(User::Agent, &home)?;
        cases.run(format!("{row}, without guard"), || {
            scripts::free_only(User::Agent, &script, row)?;
            // The home may be gone as a whole.
            let after = tree::read(User::Agent.home(), &[]).unwrap_or_default();
            let lost = lost(&before, &after).len();
            ensure!(lost > 0, "it did no harm");
            rows::harm(row, &format!("{lost} of {} files lost", before.len()))
        });
    }
    cases.finish()
}

/// `rm -rf ~`, and the workspace is in it.
pub fn ten_thousand(context: &mut Context) -> anyhow::Result<()> {
    let script = scripts::install(
        "ten-thousand",
        "cd && rm -rf ~ 2> /dev/null || true\n\
         mkdir -p \"$WORKSPACE\" && cd \"$WORKSPACE\" && echo on > goes && rm goes && echo it goes on",
    )?;
    let user = User::Agent;
    let home = scripts::install("home", include_str!("home.sh"))?;
    let fill = || -> anyhow::Result<Tree> {
        scene(user, &home)?;
        for n in 0..MANY {
            let directory = user.home().join(format!("many/{}", n / 100));
            if n % 100 == 0 {
                fs::create_dir_all(&directory)?;
            }
            fs::write(directory.join(n.to_string()), n.to_string())?;
        }
        scripts::free(
            User::Root,
            &scripts::install("chown", "chown -R agent: /home/agent/many")?,
        )?;
        outside(user)
    };
    let before = fill()?;
    ensure!(before.len() > MANY, "{} files", before.len());
    let _server = Server::start()?;
    let ended = scripts::guarded(user, "ten-thousand", &script)?;
    ensure!(
        ended.status == 0 && ended.text.contains("it goes on"),
        "the session did not go on: {}",
        ended.text
    );
    let lost = lost(&before, &outside(user)?);
    rows::harmless(TEN_THOUSAND, user, lost.is_empty())?;
    rows::twin(TEN_THOUSAND, user, true)?;
    ensure!(
        lost.is_empty(),
        "{} of {} are lost or changed: {}",
        lost.len(),
        before.len(),
        lost.join(", ")
    );
    if !context.boot.is_thorough() {
        return Ok(());
    }
    scripts::free(user, &script)?;
    let left = outside(user)?.len();
    ensure!(left < 3, "without guard {left} were left");
    let gone = before.len() - left;
    rows::harm(
        TEN_THOUSAND,
        &format!("{gone} of {} files lost", before.len()),
    )
}

/// One session with all rows, each looked at from outside as soon as it is done.
fn in_session(cases: &mut Cases, user: User, home: &Path, script: &Path) -> anyhow::Result<()> {
    let session = format!("files-{}", user.name());
    let first = scene(user, home)?;
    let mut before = first.clone();
    let look = user.workspace().join("look");
    let mut found = BTreeMap::new();
    let ended = scripts::watched(user, &session, script, &mut || {
        let Ok(row) = fs::read_to_string(&look) else {
            return;
        };
        let after = outside(user).unwrap_or_default();
        found.insert(row.trim().to_owned(), lost(&before, &after));
        // What the session made meanwhile is its own to lose.
        before = after;
        before.retain(|path, _| first.contains_key(path));
        let _ = fs::remove_file(&look);
    })?;
    for row in ROWS {
        cases.run(format!("{row}, {}", user.name()), || {
            let lost = found
                .get(*row)
                .with_context(|| format!("it was not tried: {}", ended.text))?;
            rows::harmless(row, user, lost.is_empty())?;
            ensure!(lost.is_empty(), "{}", lost.join(", "));
            Ok(())
        });
    }
    for row in TWINS {
        cases.run(format!("{row}, its twin, {}", user.name()), || {
            let works = ended.text.contains(&format!("row {row}: its own is gone"));
            rows::twin(row, user, works)?;
            ensure!(works, "it did not work: {}", ended.text);
            Ok(())
        });
    }
    cases.run(format!("the end, {}", user.name()), || {
        ensure!(ended.status == 0, "{}: {}", ended.status, ended.text);
        Ok(())
    });
    Ok(())
}

/// A home as it is before the session.
fn scene(user: User, home: &Path) -> anyhow::Result<Tree> {
    let first = Path::new(scripts::PLACE).join(user.name());
    user.begin()?;
    let copy = |from: &Path, to: &Path| -> anyhow::Result<()> {
        let status = Command::new("cp").arg("-aT").arg(from).arg(to).status()?;
        ensure!(status.success(), "cp ended with {status}");
        Ok(())
    };
    if first.exists() {
        copy(&first, user.home())?;
    } else {
        let ended = scripts::free(user, home)?;
        ensure!(ended.status == 0, "the scene failed: {}", ended.text);
        copy(user.home(), &first)?;
    }
    outside(user)
}

/// What is in the home beside the workspace.
fn outside(user: User) -> anyhow::Result<Tree> {
    let mut tree = if user.home().exists() {
        tree::read(user.home(), &[])?
    } else {
        Tree::new()
    };
    tree.retain(|path, _| path != "work" && !path.starts_with("work/"));
    Ok(tree)
}

/// What was there before and is not, or is something else.
fn lost(before: &Tree, after: &Tree) -> Vec<String> {
    before
        .iter()
        .filter(|(path, what)| after.get(*path) != Some(what))
        .map(|(path, what)| format!("{path} was {what} and is {:?}", after.get(path)))
        .collect()
}
