//! The workspace itself: what is committed stays, whatever is done to it, and there is an end to how
//! much goes at once (rows 31 and 35).

use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};

use crate::context::Context;
use crate::support::cases::Cases;
use crate::support::guard::Server;
use crate::support::rows;
use crate::support::scripts::{self, User};

/// Files beside the repository, more than the default lets go at once.
const MANY: usize = 6000;

/// What the default lets go (`policies/default.yaml`).
const AT_MOST: usize = 5000;

/// A workspace with a repository, three commits in it, and files that are in none.
const BEFORE: &str = "\
git init -q -b main . && echo ignored > .gitignore
for n in 1 2 3; do echo $n > committed && git add . && git commit -q -m $n; done
git gc -q && echo 4 > committed && git commit -q -a -m 4
mkdir ignored && chmod 755 ignored
";

/// What is left of it, as git sees it: the commits, and the committed file after it was asked for.
const AFTER: &str = "\
git fsck --connectivity-only > /dev/null 2>&1 && git log --format=%s | wc -l
git checkout -q -f && cat committed
";

/// Commands that take everything away, or only what is committed.
const COMMANDS: &[(&str, &str, usize)] = &[
    ("35, from above", "rm -rf \"$WORKSPACE\"", MANY),
    ("35, a shell", "rm -rf -- * .git", 0),
    (
        "35, python",
        "python3 -c 'import shutil; shutil.rmtree(\".git\")'",
        0,
    ),
    ("35, moved away", "mv .git /tmp/taken", 0),
    ("35, find", "find . -delete", 0),
    (
        "31, the branch",
        "rm -rf .git/refs && : > .git/HEAD && rm -f .git/packed-refs",
        0,
    ),
];

/// All commands, in sessions of both users, then without guard.
pub fn all(context: &mut Context) -> anyhow::Result<()> {
    let before = scripts::install("workspace-before", BEFORE)?;
    let after = scripts::install("workspace-after", AFTER)?;
    let mut cases = Cases::default();
    let server = Server::start()?;
    for user in [User::Agent, User::Root] {
        for (number, (name, command, files)) in COMMANDS.iter().enumerate() {
            let script = scripts::install("workspace", &lenient(command))?;
            let session = format!("workspace-{number}-{}", user.name());
            cases.run(format_args!("{name}, {}", user.name()), || {
                fill(user, &before, *files)?;
                scripts::guarded(user, &session, &script)?;
                let kept = scripts::free(user, &after)?;
                let left = many(user).unwrap_or(0);
                let enough = left >= files.saturating_sub(AT_MOST);
                rows::harmless(name, user, kept.text == "4\n4\n" && enough)?;
                ensure!(
                    kept.text == "4\n4\n",
                    "what was committed is gone: {}",
                    kept.text
                );
                ensure!(enough, "only {left} files are left");
                Ok(())
            });
        }
    }
    drop(server);
    if !context.boot.is_thorough() {
        return cases.finish();
    }
    let user = User::Agent;
    for (name, command, _) in COMMANDS {
        let script = scripts::install("workspace", &lenient(command))?;
        cases.run(format_args!("{name}, without guard"), || {
            fill(user, &before, 0)?;
            scripts::free(user, &script)?;
            fs::create_dir_all(user.workspace())?;
            let kept = scripts::free(user, &after)?;
            ensure!(kept.text != "4\n4\n", "it did no harm");
            rows::harm(name, "what is committed lost")
        });
    }
    cases.finish()
}

/// A command that may fail.
fn lenient(command: &str) -> String {
    format!("({command}) > /dev/null 2>&1 || true")
}

fn fill(user: User, before: &Path, files: usize) -> anyhow::Result<()> {
    user.begin()?;
    let ended = scripts::free(user, before)?;
    ensure!(ended.status == 0, "the scene failed: {}", ended.text);
    // Made by nobody's session. Root makes them in the user's directory, who may remove them.
    for number in 0..files {
        fs::write(user.workspace().join(format!("ignored/{number}")), "")?;
    }
    Ok(())
}

/// How many of the many files are left.
fn many(user: User) -> anyhow::Result<usize> {
    let directory = user.workspace().join("ignored");
    Ok(fs::read_dir(&directory)
        .with_context(|| directory.display().to_string())?
        .count())
}
