//! What a session made stays its own, also when the kernel has dropped it from memory, and
//! nothing else becomes it.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::context::Context;
use crate::registry::{Test, few};
use crate::support::agent::{AGENT, Agent};
use crate::support::cases::until;
use crate::support::guard::{self, GUARD, PATIENCE, Server};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    // A hundred thousand files take an emulated machine a minute.
    few(
        "own::files_stay_own_when_the_kernel_drops_them",
        files_stay_own,
    ),
    few(
        "own::what_was_forgotten_is_said",
        what_was_forgotten_is_said,
    ),
];

/// On ext4: tmpfs never drops an inode. Everybody may write here, so that the file system's own
/// permissions keep nobody from anything.
const PLACE: &str = "/mnt/ext4/own";

/// Files of a session's in a directory of its own.
const FILES: usize = 500;

/// The session: makes files, waits, makes and removes a hundred thousand others, waits, removes
/// what it made and tries to remove what it did not.
const SCRIPT: &str = r#"
cd /mnt/ext4/own || exit 9
wait_for() { while ! [ -e "/tmp/own-$1" ]; do sleep 0.1; done; }
mkdir made made/deep && echo a > alone && echo b > replaced || exit 9
i=0; while [ $i -lt 500 ]; do echo $i > made/deep/$i || exit 9; i=$((i+1)); done
: > /tmp/own-made
wait_for dropped
round=0
while [ $round -lt 4 ]; do
    mkdir heap || exit 9
    i=0; while [ $i -lt 25000 ]; do : > heap/$i || exit 9; i=$((i+1)); done
    rm -r heap || exit 8
    round=$((round+1))
done
: > /tmp/own-churned
wait_for dropped-again
echo more >> alone; echo "overwritten $?"
chmod 600 made/deep/7; echo "attributes $?"
mv made/deep/8 made/deep/renamed; echo "renamed $?"
rm -r made; echo "tree $?"
rm alone; echo "file $?"
rm -f replaced foreign before/file
(: > before); (: >> before)
rmdir before; mv before away
echo done
"#;

fn files_stay_own(_: &mut Context) -> anyhow::Result<()> {
    lay_out()?;
    let _server = Server::start()?;
    let mut session = start()?;
    wait(&mut session, "made")?;
    drop_caches()?;
    signal("dropped")?;
    wait(&mut session, "churned")?;
    // While the kernel does not remember it, a file of the session's is replaced by somebody
    // else's; ext4 gives a new file the number that has just become free.
    let numbers = replace()?;
    drop_caches()?;
    signal("dropped-again")?;
    let output = session.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    for line in [
        "overwritten 0",
        "attributes 0",
        "renamed 0",
        "tree 0",
        "file 0",
        "done",
    ] {
        ensure!(
            text.lines().any(|said| said == line),
            "the session did not say {line:?}: {text}"
        );
    }
    for gone in ["made", "alone"] {
        ensure!(
            !Path::new(PLACE).join(gone).exists(),
            "{gone} is still there"
        );
    }
    for (file, number) in numbers {
        let kept = fs::metadata(Path::new(PLACE).join(&file));
        ensure!(
            kept.is_ok_and(|kept| kept.ino() == number),
            "{file} is not what somebody else put there"
        );
    }
    let kept = fs::read_to_string(format!("{PLACE}/before/file"))?;
    ensure!(kept == "kept", "what was there before is {kept:?}");
    guard::wait_for_event("own", |event| {
        event["verdict"] == "deny" && event["operation"] == "delete"
    })?;
    Ok(())
}

fn lay_out() -> anyhow::Result<()> {
    fs::create_dir_all(format!("{PLACE}/before"))?;
    fs::write(format!("{PLACE}/before/file"), "kept")?;
    for directory in [PLACE.to_owned(), format!("{PLACE}/before")] {
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o777))?;
    }
    fs::create_dir_all("/srv/work-own")?;
    chown("/srv/work-own", Some(AGENT), Some(AGENT))?;
    Ok(())
}

fn start() -> anyhow::Result<Child> {
    Command::new(GUARD)
        .args(["run", "--user", "agent", "--name", "own"])
        .args(["--", "sh", "-c", SCRIPT])
        .current_dir("/srv/work-own")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("guard run")
}

/// Puts files of somebody else's in place of one that the session made, until one of them has its
/// number. Returns the files that are to stay, with their numbers.
fn replace() -> anyhow::Result<Vec<(String, u64)>> {
    let path = Path::new(PLACE).join("replaced");
    let before = fs::metadata(&path)?.ino();
    drop_caches()?;
    fs::remove_file(&path)?;
    fs::write(&path, "somebody else's")?;
    let number = fs::metadata(&path)?.ino();
    ensure!(
        number == before,
        "ext4 does not use the number {before} again but {number}: this shows nothing"
    );
    let foreign = Path::new(PLACE).join("foreign");
    fs::write(&foreign, "somebody else's")?;
    Ok(vec![
        ("replaced".to_owned(), number),
        ("foreign".to_owned(), fs::metadata(&foreign)?.ino()),
    ])
}

/// Has the kernel drop what it can from memory, and makes sure that the session's files are among
/// it.
fn drop_caches() -> anyhow::Result<()> {
    let before = inodes()?;
    let enough = until(PATIENCE, || {
        // Only what is on disk can be dropped.
        nix::unistd::sync();
        fs::write("/proc/sys/vm/drop_caches", "3").is_ok()
            && Path::new(PLACE).exists()
            && inodes().is_ok_and(|now| now < before.max(FILES as u64) || before < FILES as u64)
    });
    ensure!(enough, "the kernel drops nothing: {before} inodes");
    Ok(())
}

/// How many inodes of ext4 the kernel holds.
fn inodes() -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/slabinfo")?;
    text.lines()
        .find_map(|line| line.strip_prefix("ext4_inode_cache"))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .context("no ext4_inode_cache in /proc/slabinfo")
}

/// Waits until the session has come so far.
fn wait(session: &mut Child, what: &str) -> anyhow::Result<()> {
    let mark = format!("/tmp/own-{what}");
    let mut ended = None;
    let come = until(PATIENCE, || {
        ended = session.try_wait().ok().flatten();
        ended.is_some() || Path::new(&mark).exists()
    });
    ensure!(come && ended.is_none(), "{what}: {ended:?}");
    Ok(())
}

/// Lets the session go on.
fn signal(what: &str) -> anyhow::Result<()> {
    fs::write(format!("/tmp/own-{what}"), "")?;
    Ok(())
}

/// On Btrfs guard can't tell a file again that the kernel has dropped: it is protected from the
/// session that made it, and that is what the session is told. Of others it says what it always says.
fn what_was_forgotten_is_said(_: &mut Context) -> anyhow::Result<()> {
    for place in ["/mnt/btrfs", "/mnt/ext4"] {
        fs::write(format!("{place}/foreign"), "")?;
        chown(format!("{place}/foreign"), Some(AGENT), Some(AGENT))?;
    }
    let _server = Server::start()?;
    let mut agent = Agent::guarded("forgotten", AGENT)?;
    let refused = |agent: &mut Agent, path: &str| -> anyhow::Result<Value> {
        agent.shell(&format!("rm -f {path} 2> /dev/null; test -e {path}"), None)?;
        guard::wait_for_event("forgotten", |event| {
            event["operation"] == "delete"
                && event["target"]["path"] == path
                && event["verdict"] == "deny"
        })
    };
    let before = refused(&mut agent, "/mnt/btrfs/foreign")?;
    ensure!(before["reason"] == "default", "{before}");
    agent.shell(
        "mkdir /mnt/btrfs/made && echo a > /mnt/btrfs/kept && echo b > /mnt/btrfs/dropped",
        None,
    )?;
    // Still in memory, it is the session's.
    let gone = agent.shell("rm /mnt/btrfs/kept", None)?;
    ensure!(gone == 0, "it can't delete what it made: {gone}");
    ensure!(
        until(PATIENCE, || {
            nix::unistd::sync();
            let _ = fs::write("/proc/sys/vm/drop_caches", "3");
            guard::session("forgotten").is_ok_and(|session| session["forgotten"] != 0)
        }),
        "the kernel drops nothing"
    );
    let forgotten = refused(&mut agent, "/mnt/btrfs/dropped")?;
    ensure!(
        forgotten["reason"] == "forgotten"
            && forgotten["because"]
                .as_str()
                .is_some_and(|because| because.contains("forgotten")),
        "{forgotten}"
    );
    // A file on a file system where all is remembered can't be one of those.
    let elsewhere = refused(&mut agent, "/mnt/ext4/foreign")?;
    ensure!(elsewhere["reason"] == "default", "{elsewhere}");
    guard::wait_for_event("forgotten", |event| {
        event["message"]
            .as_str()
            .is_some_and(|message| message.contains("can't tell them again"))
    })?;
    Ok(())
}
