//! Deleting files and directories that are not the session's.

use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::Path;

use std::fmt::Display;

use anyhow::ensure;
use nix::errno::Errno;

use crate::context::Context;
use crate::support::agent::{AGENT, Agent};
use crate::support::cases::Cases;
use crate::support::guard::{self, Server};

/// Where: the root file system (tmpfs) and ext4.
const PLACES: &[(&str, &str)] = &[("tmpfs", "/srv/place"), ("ext4", "/mnt/ext4/place")];

struct Case {
    name: &'static str,
    attack: &'static str,
    /// What it is told; `{}` is the place.
    words: &'static [&'static str],
    /// Which path is gone or another afterwards.
    harmed: &'static str,
    /// Only root can do it.
    root: bool,
}

const fn case(
    name: &'static str,
    attack: &'static str,
    words: &'static [&'static str],
    harmed: &'static str,
) -> Case {
    Case {
        name,
        attack,
        words,
        harmed,
        root: false,
    }
}

/// A place has `file`, `other`, `empty/`, `deep/er/file` and beside it `NAME.link`.
const CASES: &[Case] = &[
    case("unlink", "unlink", &["{}/file"], "{}/file"),
    case("unlinkat", "unlinkat", &["{}/file"], "{}/file"),
    case("rmdir", "rmdir", &["{}/empty"], "{}/empty"),
    case(
        "unlinkat of a directory",
        "removeat",
        &["{}/empty"],
        "{}/empty",
    ),
    case("rename away", "rename", &["{}/file", "{}/gone"], "{}/file"),
    case("rename over", "rename", &["{}/new", "{}/file"], "{}/file"),
    case(
        "rename of a directory over another",
        "rename",
        &["{}/deep", "{}/empty"],
        "{}/deep/er/file",
    ),
    case("exchange", "exchange", &["{}/new", "{}/file"], "{}/file"),
    case(
        "exchange the other way",
        "exchange",
        &["{}/file", "{}/new"],
        "{}/file",
    ),
    case(
        "rename of an ancestor",
        "rename",
        &["{}/deep", "{}/moved"],
        "{}/deep/er/file",
    ),
    case(
        "rename of the place",
        "rename",
        &["{}", "{}.moved"],
        "{}/file",
    ),
    case(
        "through a symbolic link",
        "unlink",
        &["{}.link/file"],
        "{}/file",
    ),
    case("through ..", "unlink", &["{}/deep/../file"], "{}/file"),
    case(
        "through a bind mount in a private namespace",
        "bind",
        &["{}/file"],
        "{}/file",
    ),
    Case {
        root: true,
        ..case("below a changed root", "chroot", &["{}/file"], "{}/file")
    },
    Case {
        root: true,
        ..case(
            "in a directory reached by handle",
            "handle",
            &["{}/deep/er/file"],
            "{}/deep/er/file",
        )
    },
    case("io_uring", "uring", &["{}/file"], "{}/file"),
];

/// Makes the place anew.
fn make(place: &str, uid: u32) -> anyhow::Result<()> {
    for old in [place.to_owned(), format!("{place}.moved")] {
        if Path::new(&old).exists() {
            fs::remove_dir_all(&old)?;
        }
    }
    fs::create_dir_all(format!("{place}/deep/er"))?;
    fs::create_dir(format!("{place}/empty"))?;
    for file in ["file", "other", "deep/er/file"] {
        fs::write(format!("{place}/{file}"), "kept")?;
    }
    fs::write(format!("{place}/new"), "new")?;
    for path in [
        "",
        "/deep",
        "/deep/er",
        "/empty",
        "/file",
        "/other",
        "/new",
        "/deep/er/file",
    ] {
        chown(format!("{place}{path}"), Some(uid), Some(uid))?;
    }
    let above = Path::new(place).parent().unwrap_or(Path::new("/"));
    chown(above, Some(uid), Some(uid))?;
    let link = format!("{place}.link");
    if !Path::new(&link).exists() {
        symlink(place, &link)?;
    }
    Ok(())
}

/// Whether a path is as [`make`] made it.
fn is_whole(path: &str) -> bool {
    if path.ends_with("empty") {
        Path::new(path).is_dir()
    } else {
        fs::read(path).is_ok_and(|text| text == b"kept")
    }
}

fn attack(agent: &mut Agent, case: &Case, place: &str) -> anyhow::Result<Result<i64, Errno>> {
    let words: Vec<String> = case
        .words
        .iter()
        .map(|word| word.replace("{}", place))
        .collect();
    let words: Vec<&dyn Display> = words.iter().map(|word| word as &dyn Display).collect();
    agent.attack(case.attack, &words)
}

fn table(uid: u32) -> impl Iterator<Item = &'static Case> {
    CASES.iter().filter(move |case| uid == 0 || !case.root)
}

fn control(cases: &mut Cases, when: &str, users: &[u32]) -> anyhow::Result<()> {
    for &uid in users {
        let mut free = Agent::free(uid)?;
        for &(kind, place) in PLACES {
            for case in table(uid) {
                cases.run(
                    format_args!("{when}, user {uid}, {kind}: {}", case.name),
                    || {
                        make(place, uid)?;
                        let result = attack(&mut free, case, place)?;
                        ensure!(result.is_ok(), "it failed: {result:?}");
                        let harmed = case.harmed.replace("{}", place);
                        ensure!(!is_whole(&harmed), "{harmed} is whole");
                        Ok(())
                    },
                );
            }
        }
    }
    Ok(())
}

pub fn every_way(_: &mut Context) -> anyhow::Result<()> {
    let mut cases = Cases::default();
    control(&mut cases, "without guard", &[0, AGENT])?;
    let _server = Server::start()?;
    for (uid, who) in [(0, "root"), (AGENT, "user")] {
        let mut guarded = Agent::guarded(who, uid)?;
        for &(kind, place) in PLACES {
            for case in table(uid) {
                cases.run(
                    format_args!("session of {who}, {kind}: {}", case.name),
                    || {
                        make(place, uid)?;
                        let result = attack(&mut guarded, case, place)?;
                        let harmed = case.harmed.replace("{}", place);
                        ensure!(is_whole(&harmed), "{harmed} was harmed: {result:?}");
                        ensure!(result == Err(Errno::EPERM), "it was told {result:?}");
                        Ok(())
                    },
                );
            }
        }
        cases.run(format_args!("session of {who}: the event"), || {
            make("/srv/place", uid)?;
            guarded.refused("unlink", &[&"/srv/place/deep/er/file"])?;
            let event = guard::wait_for_event(who, |event| {
                event["target"]["path"] == "/srv/place/deep/er/file"
                    && event["target"]["how"] == "unlink"
            })?;
            ensure!(
                event["verdict"] == "deny"
                    && event["operation"] == "delete"
                    && event["target"]["directory"] == false,
                "{event}"
            );
            Ok(())
        });
    }
    control(&mut cases, "beside sessions", &[AGENT])?;
    cases.finish()
}

#[expect(
    clippy::too_many_lines,
    reason = "one scene, looked at from several sides"
)]
pub fn what_may_go(_: &mut Context) -> anyhow::Result<()> {
    let mut cases = Cases::default();
    let _server = Server::start()?;
    for (uid, who) in [(0, "root"), (AGENT, "user")] {
        let mut guarded = Agent::guarded(who, uid)?;
        let workspace = format!("/srv/work-{who}");
        let scratch = format!("/tmp/pytest-of-{who}");
        fs::create_dir_all(&scratch)?;
        for (directory, goes) in [
            (&*workspace, true),
            (&*scratch, true),
            ("/tmp", false),
            ("/var/tmp", false),
            ("/dev/shm", false),
        ] {
            cases.run(format_args!("session of {who}: in {directory}"), || {
                let place = format!("{directory}/place");
                make(&place, uid)?;
                // As it was: `make` gives it to the user.
                if !goes {
                    chown(directory, Some(0), Some(0))?;
                }
                let left = guarded.succeed("all-below", &[&place])?;
                let kept = if goes { 0 } else { 7 };
                ensure!(left == kept, "{left} things are left, and not {kept}");
                if goes {
                    guarded.succeed("rmdir", &[&place])?;
                } else {
                    guarded.refused("rename", &[&place, &format!("{directory}/gone")])?;
                }
                ensure!(
                    Path::new(&place).exists() != goes,
                    "{place} is there: {goes}"
                );
                fs::remove_file(format!("{place}.link"))?;
                let _ = fs::remove_dir_all(&place);
                Ok(())
            });
        }
        cases.run(
            format_args!("session of {who}: the workspace itself"),
            || {
                chown("/srv", Some(uid), Some(uid))?;
                guarded.refused("rmdir", &[&workspace])?;
                guarded.refused("rename", &[&workspace, &format!("{workspace}.moved")])?;
                ensure!(Path::new(&workspace).is_dir(), "it is gone");
                Ok(())
            },
        );
        cases.run(
            format_args!("session of {who}: out of the workspace and into it"),
            || {
                make("/srv/place", uid)?;
                guarded.refused(
                    "rename",
                    &[&"/srv/place/file", &format!("{workspace}/taken")],
                )?;
                fs::write(format!("{workspace}/mine"), "")?;
                chown(format!("{workspace}/mine"), Some(uid), Some(uid))?;
                guarded.refused(
                    "rename",
                    &[&format!("{workspace}/mine"), &"/srv/place/file"],
                )?;
                guarded.succeed(
                    "rename",
                    &[&format!("{workspace}/mine"), &"/srv/place/brought"],
                )?;
                ensure!(is_whole("/srv/place/file"), "it was replaced");
                Ok(())
            },
        );
        cases.run(format_args!("session of {who}: 500 levels"), || {
            let place = format!("/tmp/deep-{who}");
            fs::create_dir(&place)?;
            chown(&place, Some(uid), Some(uid))?;
            guarded.succeed("deep", &[&place, &500])?;
            Ok(())
        });
        cases.run(
            format_args!("session of {who}: more levels than are followed"),
            || {
                let place = format!("/tmp/deeper-{who}");
                fs::create_dir(&place)?;
                chown(&place, Some(uid), Some(uid))?;
                guarded.refused("deep", &[&place, &1100])?;
                let event = guard::wait_for_event(who, |event| event["reason"] == "too-deep")?;
                ensure!(event["verdict"] == "deny", "{event}");
                Ok(())
            },
        );
        cases.run(format_args!("control: more levels, {who}"), || {
            let place = format!("/tmp/deepest-{who}");
            fs::create_dir(&place)?;
            chown(&place, Some(uid), Some(uid))?;
            Agent::free(uid)?.succeed("deep", &[&place, &1100])?;
            Ok(())
        });
        cases.run(
            format_args!("session of {who}: rm -rf of what is not its own"),
            || {
                make("/srv/place", uid)?;
                let left = guarded.succeed("all-below", &[&"/srv/place"])?;
                ensure!(left == 7, "{left} of 7 things are left");
                ensure!(is_whole("/srv/place/deep/er/file"), "it is gone");
                Ok(())
            },
        );
    }
    cases.finish()
}

/// Where everything may go but one place, the directories on the way to it stay too.
pub fn the_way_to_what_is_kept(_: &mut Context) -> anyhow::Result<()> {
    const POLICY: &str = "\
version: 1
rules:
  - name: kept
    deny: [delete]
    on: [/srv/way/a/kept, /srv/way/a/kept/**]
  - name: rest
    allow: [delete]
    on: [/srv/**]
";
    let _server = Server::start()?;
    let policy = guard::policy("way", POLICY)?;
    for directory in ["a/kept/deep", "a/beside", "b"] {
        fs::create_dir_all(format!("/srv/way/{directory}"))?;
    }
    for file in ["a/kept/deep/file", "a/file", "b/file"] {
        fs::write(format!("/srv/way/{file}"), "kept")?;
    }
    let mut agent = Agent::with("way", 0, &["--policy", &policy])?;
    let mut cases = Cases::default();
    for (attack, words) in [
        ("unlink", &["/srv/way/a/kept/deep/file"][..]),
        ("rename", &["/srv/way/a/kept", "/srv/way/gone"]),
        ("rename", &["/srv/way/a", "/srv/way/gone"]),
        ("rename", &["/srv/way", "/srv/gone"]),
        ("exchange", &["/srv/way/a", "/srv/way/b"]),
        ("exchange", &["/srv/way/b", "/srv/way/a"]),
        ("rename", &["/srv", "/gone"]),
    ] {
        cases.run(format_args!("{attack} {words:?}"), || {
            let words: Vec<&dyn Display> = words.iter().map(|word| word as &dyn Display).collect();
            agent.refused(attack, &words)?;
            ensure!(is_whole("/srv/way/a/kept/deep/file"), "it is gone");
            Ok(())
        });
    }
    cases.run("what lies beside may go", || {
        agent.succeed("rename", &[&"/srv/way/b", &"/srv/way/a/c"])?;
        agent.succeed("rmdir", &[&"/srv/way/a/beside"])?;
        agent.succeed("unlink", &[&"/srv/way/a/file"])?;
        Ok(())
    });
    cases.run("control: without guard the way goes", || {
        Agent::free(0)?.succeed("rename", &[&"/srv/way/a", &"/srv/way/gone"])?;
        Ok(())
    });
    cases.finish()
}
