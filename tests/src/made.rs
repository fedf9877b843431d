//! What a session makes is its own, whichever way and on whichever file system it makes it; what
//! somebody else made the same way is not.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::chown;
use std::path::Path;

use anyhow::{Context as _, ensure};
use nix::errno::Errno;
use nix::libc;
use nix::mount::{MsFlags, mount};

use crate::actor::script::RING;
use crate::attacks::threats::scene::{Script, bytes, does, open, string};
use crate::attacks::threats::{DISKS, has_modules};
use crate::context::Context;
use crate::registry::{Test, enforcing};
use crate::support::agent::{AGENT, Agent};
use crate::support::cases::Cases;
use crate::support::guard::{self, Server};

/// All of them.
pub const TESTS: &[Test] = &[enforcing("made::in_every_way", in_every_way)];

/// A way to make something at a path.
struct Way {
    name: &'static str,
    make: fn(&str) -> Script,
    kind: Kind,
}

#[derive(PartialEq, Eq)]
enum Kind {
    Directory,
    Link,
    Other,
}

const fn way(name: &'static str, kind: Kind, make: fn(&str) -> Script) -> Way {
    Way { name, make, kind }
}

const AT: i32 = libc::AT_FDCWD;
const NEW: i32 = libc::O_CREAT | libc::O_EXCL | libc::O_RDWR;

/// Operations of an `io_uring` (`enum io_uring_op`): from 5.6, and 5.15.
const OPENAT: u8 = 18;
const MKDIRAT: u8 = 37;
const SYMLINKAT: u8 = 38;

/// A file without a name that gets one.
const NAMELESS: &str = "O_TMPFILE and a link";

const WAYS: &[Way] = &[
    way("open", Kind::Other, |path| open(path, NEW)),
    way(NAMELESS, Kind::Other, |path| {
        let directory = Path::new(path).parent().unwrap_or(Path::new("/"));
        open(directory.display(), libc::O_TMPFILE | libc::O_RDWR)
            .then(libc::SYS_dup3, &[&"$1", &99, &0])
            .then(
                libc::SYS_linkat,
                &[
                    &AT,
                    &string("/proc/self/fd/99"),
                    &AT,
                    &string(path),
                    &libc::AT_SYMLINK_FOLLOW,
                ],
            )
    }),
    way("mkdir", Kind::Directory, |path| {
        does(libc::SYS_mkdir, &[&string(path), &0o700])
    }),
    way("mknod of a file", Kind::Other, |path| {
        node(path, libc::S_IFREG)
    }),
    way("mknod of a fifo", Kind::Other, |path| {
        node(path, libc::S_IFIFO)
    }),
    way("mknod of a socket", Kind::Other, |path| {
        node(path, libc::S_IFSOCK)
    }),
    way("bind", Kind::Other, |path| {
        let family = (libc::AF_UNIX as u16).to_ne_bytes();
        let address = [&family[..], path.as_bytes(), &[0]].concat();
        does(libc::SYS_socket, &[&libc::AF_UNIX, &libc::SOCK_STREAM, &0])
            .then(libc::SYS_bind, &[&"$1", &bytes(&address), &address.len()])
    }),
    way("symlink", Kind::Link, |path| {
        does(libc::SYS_symlink, &[&string("/nowhere"), &string(path)])
    }),
    way("io_uring: openat", Kind::Other, |path| {
        does(RING, &[&OPENAT, &AT, &0, &string(path), &0o600, &NEW])
    }),
    way("io_uring: mkdirat", Kind::Directory, |path| {
        does(RING, &[&MKDIRAT, &AT, &0, &string(path), &0o700])
    }),
    way("io_uring: symlinkat", Kind::Link, |path| {
        does(RING, &[&SYMLINKAT, &AT, &string(path), &string("/nowhere")])
    }),
    way("a rename of what is its own", Kind::Other, |path| {
        let first = format!("{path}.first");
        open(&first, NEW).then(libc::SYS_rename, &[&string(&first), &string(path)])
    }),
    way("a link to what is its own", Kind::Other, |path| {
        let first = format!("{path}.first");
        open(&first, NEW).then(libc::SYS_link, &[&string(&first), &string(path)])
    }),
];

fn node(path: &str, kind: libc::mode_t) -> Script {
    does(libc::SYS_mknod, &[&string(path), &(kind | 0o600), &0])
}

/// Where the overlay is mounted, and where its layers lie.
const OVERLAY: &str = "/srv/overlay";
const LAYERS: &str = "/mnt/ext4/layers";

fn in_every_way(_: &mut Context) -> anyhow::Result<()> {
    let mut cases = Cases::default();
    let mut places = DISKS[..2].to_vec();
    if has_modules() {
        overlay()?;
        places.extend_from_slice(&DISKS[2..]);
        places.push(("overlay", OVERLAY));
    }
    let _server = Server::start()?;
    for (uid, who) in [(AGENT, "user"), (0, "root")] {
        let mut agent = Agent::guarded(who, uid)?;
        let mut free = Agent::free(uid)?;
        for &(kind, above) in &places {
            let place = format!("{above}/made-{who}");
            fs::create_dir(&place)?;
            chown(&place, Some(uid), Some(uid))?;
            for way in WAYS {
                cases.run(format_args!("{who}, {kind}: {}", way.name), || {
                    let path = format!("{place}/own");
                    // There it is not known any more when it has its name (docs/default.md).
                    if (kind, way.name) == ("overlay", NAMELESS) {
                        return Ok(());
                    }
                    succeed(&mut agent, (way.make)(&path))?;
                    for (what, harm) in harms(&path, &way.kind) {
                        succeed(&mut agent, harm).with_context(|| {
                            let last = guard::events(who).ok().and_then(|mut all| all.pop());
                            format!("its own: {what}: {}", last.unwrap_or_default())
                        })?;
                    }
                    ensure!(fs::symlink_metadata(&path).is_err(), "it is there");
                    remove_rest(&place)?;
                    // The same of somebody else's, whom the file system lets do it.
                    succeed(&mut free, (way.make)(&path))?;
                    for (what, harm) in harms(&path, &way.kind) {
                        let result = harm.scene().make(&mut agent)?;
                        ensure!(
                            result == Err(Errno::EPERM),
                            "somebody else's: {what}: {result:?}"
                        );
                    }
                    for (what, harm) in harms(&path, &way.kind) {
                        succeed(&mut free, harm).with_context(|| format!("control: {what}"))?;
                    }
                    ensure!(fs::symlink_metadata(&path).is_err(), "it is there still");
                    remove_rest(&place)
                });
            }
        }
    }
    cases.finish()
}

/// What is done to it, the last of which removes it.
fn harms(path: &str, kind: &Kind) -> Vec<(&'static str, Script)> {
    let moved = format!("{path}.moved");
    let there = string(path);
    let away = string(&moved);
    let mut all = Vec::new();
    if *kind != Kind::Link {
        all.push(("chmod", does(libc::SYS_chmod, &[&there, &0o755])));
    }
    let back = does(libc::SYS_rename, &[&there, &away]).then(libc::SYS_rename, &[&away, &there]);
    all.push(("rename", back));
    all.push(if *kind == Kind::Directory {
        ("rmdir", does(libc::SYS_rmdir, &[&there]))
    } else {
        ("unlink", does(libc::SYS_unlink, &[&there]))
    });
    all
}

fn succeed(agent: &mut Agent, script: Script) -> anyhow::Result<()> {
    script
        .scene()
        .make(agent)?
        .map(|_| ())
        .map_err(|errno| anyhow::anyhow!("it failed: {errno}"))
}

/// The other names of what had two.
fn remove_rest(place: &str) -> anyhow::Result<()> {
    for entry in fs::read_dir(place)? {
        let path = entry?.path();
        ensure!(
            path.as_os_str().as_bytes().ends_with(b".first"),
            "{} is left",
            path.display()
        );
        fs::remove_file(path)?;
    }
    Ok(())
}

/// Mounts an overlay for everybody.
fn overlay() -> anyhow::Result<()> {
    for directory in ["lower", "upper", "work"] {
        fs::create_dir_all(format!("{LAYERS}/{directory}"))?;
    }
    fs::create_dir_all(OVERLAY)?;
    let options = format!("lowerdir={LAYERS}/lower,upperdir={LAYERS}/upper,workdir={LAYERS}/work");
    mount(
        Some("overlay"),
        OVERLAY,
        Some("overlay"),
        MsFlags::empty(),
        Some(&*options),
    )
    .context("the overlay can't be mounted")
}
