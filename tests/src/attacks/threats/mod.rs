//! The catalogue of threats, row by row.
//!
//! Each row is an attack on a target of the test's. All rows of a group run first without guard,
//! where each has to succeed (or it would prove nothing), and then from inside one session, where
//! each has to be refused and its target has to be whole as seen from outside. Among them are
//! twins: ordinary things like the attacks, done to what is the session's own, which have to work.

mod attributes;
mod cgroups;
mod devices;
mod engine;
mod files;
mod ipc;
mod machine;
mod mounts;
mod places;
mod ports;
mod pretences;
mod processes;
mod protocols;
pub mod scene;
mod sockets;
mod terminals;
mod volumes;

use std::path::Path;

use anyhow::{Context as _, ensure};
use nix::errno::Errno;

use crate::boot::Boot;
use crate::context::Context;
use crate::registry::{Test, enforcing};
use crate::support::agent::{AGENT, Agent};
use crate::support::cases::Cases;
use crate::support::guard::{self, Server};

use scene::{Scene, Stage};

/// What has to come of a row in a session.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// The caller is told that it may not.
    Refused,
    /// The calls may succeed, and nothing comes of them.
    Without,
    /// It works: it is done to what is the session's own.
    Works,
}

/// Whose sessions try it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Root,
    User,
    Both,
}

/// Where it is tried.
#[derive(Clone, Copy, PartialEq, Eq)]
enum On {
    /// Where the group is.
    Everywhere,
    /// Only on file systems of these kinds.
    Only(&'static [&'static str]),
}

/// One row.
struct Row {
    /// Its number in the catalogue.
    id: &'static str,
    name: &'static str,
    who: Who,
    on: On,
    outcome: Outcome,
    /// The kernels that can do it at all: from one series on, up to before another.
    from: (u32, u32),
    before: (u32, u32),
    /// Whether it takes a module of the kernel's: of a series that has a successor the archive
    /// does not keep them.
    modules: bool,
    scene: fn(&mut Stage<'_>) -> anyhow::Result<Scene>,
}

type MakeScene = fn(&mut Stage<'_>) -> anyhow::Result<Scene>;

const fn row(id: &'static str, name: &'static str, who: Who, scene: MakeScene) -> Row {
    Row {
        id,
        name,
        who,
        on: On::Everywhere,
        outcome: Outcome::Refused,
        from: (6, 1),
        before: (u32::MAX, 0),
        modules: false,
        scene,
    }
}

/// An attack that takes root.
const fn root(id: &'static str, name: &'static str, scene: MakeScene) -> Row {
    row(id, name, Who::Root, scene)
}

/// An attack that is another thing for root.
const fn user(id: &'static str, name: &'static str, scene: MakeScene) -> Row {
    row(id, name, Who::User, scene)
}

/// An attack that anybody can make on what belongs to the same user.
const fn both(id: &'static str, name: &'static str, scene: MakeScene) -> Row {
    row(id, name, Who::Both, scene)
}

impl Row {
    const fn from(self, major: u32, minor: u32) -> Self {
        Self {
            from: (major, minor),
            ..self
        }
    }

    const fn before(self, major: u32, minor: u32) -> Self {
        Self {
            before: (major, minor),
            ..self
        }
    }

    const fn with_modules(self) -> Self {
        Self {
            modules: true,
            ..self
        }
    }

    const fn on(self, kinds: &'static [&'static str]) -> Self {
        Self {
            on: On::Only(kinds),
            ..self
        }
    }

    const fn without_effect(self) -> Self {
        Self {
            outcome: Outcome::Without,
            ..self
        }
    }

    const fn twin(self) -> Self {
        Self {
            outcome: Outcome::Works,
            ..self
        }
    }

    fn is_for(&self, uid: u32, boot: Boot, kind: &str) -> bool {
        let who = match self.who {
            Who::Root => uid == 0,
            Who::User => uid != 0,
            Who::Both => true,
        };
        let on = match self.on {
            On::Everywhere => true,
            On::Only(kinds) => kinds.contains(&kind),
        };
        who && on
            && boot.series >= self.from
            && boot.series < self.before
            && (has_modules() || !(self.modules || OF_MODULES.contains(&kind)))
    }
}

/// Whether this machine has its kernel's modules: init loads overlayfs where it has.
pub fn has_modules() -> bool {
    std::fs::read_to_string("/proc/filesystems").is_ok_and(|text| text.contains("\toverlay"))
}

/// Rows that are tried together.
struct Group {
    /// The test that tries them.
    name: &'static str,
    rows: &'static [&'static [Row]],
    /// On which file systems: kind and directory.
    places: &'static [(&'static str, &'static str)],
}

/// Where most of the targets are.
const HERE: &[(&str, &str)] = &[("tmpfs", "/srv")];

/// Where files are: the root file system and disks.
pub const DISKS: &[(&str, &str)] = &[
    ("tmpfs", "/srv"),
    ("ext4", "/mnt/ext4"),
    ("btrfs", "/mnt/btrfs"),
    ("xfs", "/mnt/xfs"),
];

/// The kinds of file systems that are on disks, and have what disks' file systems have.
const ON_DISK: &[&str] = &["ext4", "btrfs", "xfs"];

/// Those of them that take a module of the kernel's.
const OF_MODULES: &[&str] = &["btrfs", "xfs"];

macro_rules! groups {
    ($($name:ident in $places:ident: $($file:ident)+;)*) => {
        const GROUPS: &[Group] = &[$(Group {
            name: concat!("threats::", stringify!($name)),
            rows: &[$($file::ROWS),+],
            places: $places,
        }),*];

        /// A test for each group: it starts guard once, which takes longer than all its rows.
        pub const TESTS: &[Test] = &[$(
            enforcing(concat!("threats::", stringify!($name)), |context| {
                run(concat!("threats::", stringify!($name)), context)
            }),
        )*];
    };
}

groups! {
    processes in HERE: processes cgroups ipc;
    machine in HERE: machine devices places;
    files in DISKS: files volumes attributes pretences;
    mounts in HERE: mounts;
    sockets in HERE: sockets ports protocols;
    terminals in HERE: terminals;
    engine in HERE: engine;
}

/// Every row's number in the catalogue, with the name of its test.
pub fn rows() -> impl Iterator<Item = (&'static str, &'static str)> {
    GROUPS.iter().flat_map(|group| {
        let rows = group.rows.iter().copied().flatten();
        rows.map(|row| (row.id, group.name))
    })
}

/// The attackers: user, name.
const ATTACKERS: [(u32, &str); 2] = [(0, "root"), (AGENT, "user")];

/// Runs a group's rows, first free, then in a session.
fn run(name: &str, context: &Context) -> anyhow::Result<()> {
    let mut cases = Cases::default();
    let group = GROUPS
        .iter()
        .find(|group| group.name == name)
        .context("there is no such group")?;
    std::fs::create_dir_all(HERE[0].1)?;
    for (uid, who) in ATTACKERS {
        let mut free = Agent::free(uid)?;
        for (row, kind, place) in group.tried_by(uid, context.boot) {
            cases.run(
                format_args!("without guard, {who}, {kind}: {} {}", row.id, row.name),
                || succeeds(row, &mut free, place),
            );
        }
    }
    let _server = Server::start()?;
    for (uid, who) in ATTACKERS {
        let mut guarded = Agent::guarded(who, uid)?;
        for (row, kind, place) in group.tried_by(uid, context.boot) {
            cases.run(
                format_args!("session of {who}, {kind}: {} {}", row.id, row.name),
                || match row.outcome {
                    Outcome::Works => succeeds(row, &mut guarded, place),
                    _ => fails(row, &mut guarded, place),
                },
            );
        }
        cases.run(format_args!("session of {who}: it goes on"), || {
            let session = guard::session(who)?;
            ensure!(session["errors"] == 0, "{session}");
            Ok(())
        });
    }
    cases.finish()
}

impl Group {
    /// The rows that a user tries on a kernel, with the kind of file system and where it is.
    fn tried_by(
        &self,
        uid: u32,
        boot: Boot,
    ) -> impl Iterator<Item = (&'static Row, &'static str, &'static str)> {
        self.places.iter().flat_map(move |&(kind, place)| {
            let rows = self.rows.iter().copied().flatten();
            rows.filter(move |row| row.is_for(uid, boot, kind))
                .map(move |row| (row, kind, place))
        })
    }
}

fn set(row: &Row, agent: &mut Agent, place: &'static str) -> anyhow::Result<Scene> {
    ensure!(Path::new(place).is_dir(), "{place} is not there");
    let uid = agent.uid;
    (row.scene)(&mut Stage { uid, agent, place })
}

fn succeeds(row: &Row, agent: &mut Agent, place: &'static str) -> anyhow::Result<()> {
    let mut scene = set(row, agent, place)?;
    let result = scene.make(agent)?;
    ensure!(result.is_ok(), "it failed: {result:?}");
    ensure!(scene.does_show(), "it does not show: {result:?}");
    Ok(())
}

fn fails(row: &Row, agent: &mut Agent, place: &'static str) -> anyhow::Result<()> {
    let mut scene = set(row, agent, place)?;
    let result = scene.make(agent)?;
    ensure!(
        !scene.is_harmed(),
        "IT GOT THROUGH: the target was harmed, {result:?}"
    );
    if row.outcome == Outcome::Refused {
        ensure!(result.is_err(), "IT GOT THROUGH: {result:?}");
        ensure!(
            matches!(
                result,
                Err(Errno::EPERM | Errno::EACCES | Errno::ECONNREFUSED)
            ),
            "it failed, but was not refused: {result:?}"
        );
    }
    Ok(())
}
