//! Ordinary work: each piece is a script of real programs' that runs as an ordinary user and as
//! root, without guard and in a session under the default policy. It has to end alike and leave the
//! same files, and guard must have refused nothing. Scripts end at the first command that fails, so
//! their status tells of each.

use std::ops::Range;

use anyhow::ensure;
use serde_json::Value;

use crate::context::Context;
use crate::registry::{Test, full};
use crate::support::cases::Cases;
use crate::support::guard::Server;
use crate::support::rows;
use crate::support::scripts::{self, User};
use crate::support::tree;

/// The tests of this folder.
pub const TESTS: &[Test] = &[
    full("workloads::git", |context| all(context, &[GIT, GIVEN])),
    full("workloads::builds", |context| all(context, &[C, CMAKE])),
    full("workloads::python", |context| all(context, &[PYTHON])),
    full("workloads::pip", |context| all(context, &[VENV])),
    full("workloads::rust", |context| all(context, &[RUST])),
    full("workloads::npm", |context| all(context, &[NPM])),
    full("workloads::guests", |context| {
        all(context, &[GUEST, CONTAINER])
    }),
    full("workloads::conformance", |context| {
        all(context, &[CONFORMANCE])
    }),
    full("workloads::servers", |context| {
        all(context, &[SERVERS, NODE])
    }),
    full("workloads::databases", |context| {
        all(context, &[DATABASES, POSTGRESQL])
    }),
    full("workloads::terminals", |context| all(context, &[TERMINALS])),
    full("workloads::files", |context| {
        all(context, &[EDITORS, ARCHIVES, TEMPORARY, PROJECT])
    }),
    full("workloads::shell", |context| {
        all(context, &[SHELL])?;
        output_to_a_file()
    }),
    full("workloads::namespaces", |context| {
        all(context, &[NAMESPACES])
    }),
    full("workloads::stress", |context| all(context, &[STRESS])),
];

/// One piece of work.
struct Workload {
    name: &'static str,
    /// Run by the user before the session, outside of it.
    before: &'static str,
    /// The work.
    script: &'static str,
    users: &'static [User],
    /// It takes an emulated machine long: root's run is compared to none, and each kernel has that of
    /// one user unless [`ALL`] are asked for.
    heavy: bool,
    /// Parts of names of files whose content differs from run to run.
    unlike: &'static [&'static str],
    /// What programs are rightly refused, and go on without: the operation, the program, and how,
    /// where that is told.
    right: &'static [(&'static str, &'static str, Option<&'static str>)],
}

/// What root's programs look for in every process that there is. Where a look is refused, kernels
/// from 6.14 on ask for capabilities that would allow it all the same.
const LOOKS: &[(&str, &str, Option<&str>)] = &[
    ("inspect", "ps", None),
    ("machine", "ps", None),
    ("inspect", "lsof", None),
    ("machine", "lsof", None),
    ("inspect", "fuser", None),
    ("machine", "fuser", None),
];

const BOTH: &[User] = &[User::Agent, User::Root];

const fn workload(name: &'static str, script: &'static str) -> Workload {
    Workload {
        name,
        before: "",
        script,
        users: BOTH,
        heavy: false,
        unlike: &[],
        right: &[],
    }
}

const GIT: Workload = Workload {
    before: "git init -q --bare -b main ~/upstream.git && git clone -q ~/upstream.git first 2> /dev/null && cd first
        echo hello > README && git add . && git commit -q -m first && git push -q origin main && cd .. && rm -rf first",
    heavy: true,
    // It holds the files' times.
    unlike: &[".git/index"],
    // A clone of a repository on the same disk tries to link its files first, and copies them when
    // that is refused, as it is: they could be written by the link.
    right: &[("overwrite", "git", Some("link"))],
    ..workload("git", include_str!("git.sh"))
};
/// A repository of the user's in the workspace: what is committed is kept, and git goes on.
const GIVEN: Workload = Workload {
    before: include_str!("given-before.sh"),
    heavy: true,
    unlike: &[".git/index"],
    ..workload("given", include_str!("given.sh"))
};
const C: Workload = workload("c", include_str!("c.sh"));
const CMAKE: Workload = Workload {
    heavy: true,
    ..workload("cmake", include_str!("cmake.sh"))
};
const PYTHON: Workload = Workload {
    // Compiled files hold the sources' times.
    unlike: &[".pyc"],
    ..workload("python", include_str!("python.sh"))
};
const VENV: Workload = Workload {
    heavy: true,
    ..workload("venv", include_str!("venv.sh"))
};
const RUST: Workload = Workload {
    heavy: true,
    ..workload("rust", include_str!("rust.sh"))
};
const NPM: Workload = Workload {
    heavy: true,
    ..workload("npm", include_str!("npm.sh"))
};
const GUEST: Workload = workload("guest", include_str!("guest.sh"));
const CONTAINER: Workload = Workload {
    // Whoever is root in the container is to have its standard input, which is /dev/null, and that
    // is the machine's root's.
    right: &[("attributes", "crun", None)],
    // Root's are mounted for the whole machine.
    users: &[User::Agent],
    ..workload("container", include_str!("container.sh"))
};
const CONFORMANCE: Workload = Workload {
    heavy: true,
    // Root's ask for a capability over the machine in passing, and pass without it.
    right: &[("machine", "python3", None)],
    ..workload("conformance", include_str!("conformance.sh"))
};
const SERVERS: Workload = Workload {
    heavy: true,
    right: LOOKS,
    ..workload("servers", include_str!("servers.sh"))
};
const NODE: Workload = Workload {
    heavy: true,
    ..workload("node", include_str!("node.sh"))
};
const DATABASES: Workload = Workload {
    // It counts its writes.
    unlike: &["copy.db"],
    ..workload("databases", include_str!("databases.sh"))
};
const POSTGRESQL: Workload = Workload {
    // A dump has a random word in it.
    unlike: &["dump.sql"],
    // PostgreSQL does not run as root.
    users: &[User::Agent],
    ..workload("postgresql", include_str!("postgresql.sh"))
};
const TERMINALS: Workload = Workload {
    unlike: &["typed"],
    ..workload("terminals", include_str!("terminals.sh"))
};
const EDITORS: Workload = workload("editors", include_str!("editors.sh"));
const ARCHIVES: Workload = workload("archives", include_str!("archives.sh"));
const TEMPORARY: Workload = workload("temporary", include_str!("temporary.sh"));
const PROJECT: Workload = workload("project", include_str!("project.sh"));
const SHELL: Workload = Workload {
    right: LOOKS,
    ..workload("shell", include_str!("shell.sh"))
};
const NAMESPACES: Workload = workload("namespaces", include_str!("namespaces.sh"));
const STRESS: Workload = Workload {
    // Root's sets the kernel up for it, and that is the machine's.
    users: &[User::Agent],
    ..workload("stress", include_str!("stress.sh"))
};

/// With this in the environment what takes long is run by both users on every kernel
/// (`GUARD_ALL=1 cargo xtask test --vm workloads::`), and not by one on each.
const ALL: &str = "GUARD_ALL";

fn all(context: &Context, workloads: &[Workload]) -> anyhow::Result<()> {
    let _server = Server::start()?;
    let mut cases = Cases::default();
    for workload in workloads {
        for user in workload.users {
            let heavy = workload.heavy && *user == User::Root;
            let is_elsewhere =
                workload.heavy && (*user == User::Root) != context.boot.is_for_root();
            if is_elsewhere && std::env::var_os(ALL).is_none() {
                continue;
            }
            cases.run(format!("{}, {}", workload.name, user.name()), || {
                one(workload, *user, context.boot.is_thorough() && !heavy)
            });
        }
    }
    cases.finish()
}

fn one(workload: &Workload, user: User, compare: bool) -> anyhow::Result<()> {
    let session = format!("{}-{}", workload.name, user.name());
    let before = scripts::install(&format!("{}-before", workload.name), workload.before)?;
    let script = scripts::install(workload.name, workload.script)?;
    let begin = || -> anyhow::Result<()> {
        user.begin()?;
        let ended = scripts::free(user, &before)?;
        ensure!(
            ended.status == 0,
            "what comes before failed: {}",
            ended.text
        );
        Ok(())
    };
    let mut expected = None;
    let mut without = None;
    if compare {
        begin()?;
        let free = scripts::free(user, &script)?;
        ensure!(
            free.status == 0,
            "without guard it ended with {}: {}",
            free.status,
            free.text
        );
        println!(
            "  {session}: {:.1} s without guard",
            free.took.as_secs_f32()
        );
        without = Some(free.took);
        expected = Some(tree::read(user.home(), workload.unlike)?);
    }
    begin()?;
    let guarded = scripts::guarded(user, &session, &script)?;
    let left = tree::read(user.home(), workload.unlike)?;
    println!(
        "  {session}: {:.1} s in a session",
        guarded.took.as_secs_f32()
    );
    let (right, refused): (Vec<_>, Vec<_>) = scripts::refusals(&session)?
        .into_iter()
        .partition(|event| is_right(workload, event));
    rows::workload(
        workload.name,
        user,
        without,
        guarded.took,
        refused.len(),
        right.len(),
    )?;
    let refused: Vec<String> = refused.iter().map(told).collect();
    ensure!(
        refused.is_empty() && guarded.status == 0,
        "it ended with {}, {} refusals:\n    {}\n{}",
        guarded.status,
        refused.len(),
        refused.join("\n    "),
        guarded.text
    );
    let differences =
        expected.map_or_else(Vec::new, |expected| tree::differences(&expected, &left));
    ensure!(
        differences.is_empty(),
        "it left other files: {}",
        differences.join(", ")
    );
    Ok(())
}

/// `guard run -- COMMAND > FILE`: the file is not the session's, and was opened for it.
fn output_to_a_file() -> anyhow::Result<()> {
    let _server = Server::start()?;
    User::Agent.begin()?;
    let script = scripts::install(
        "output",
        "cd /home/agent/work && guard run --user agent --name output --workspace . -- \\
         sh -c 'echo one; echo two >&2; cat there; seq 3' > /home/agent/log 2> /home/agent/errors || true
         cat /home/agent/log /home/agent/errors",
    )?;
    let ended = scripts::free(User::Root, &script)?;
    let refused = scripts::refusals("output")?;
    ensure!(
        refused.is_empty() && ended.text == "one\nbefore\n1\n2\n3\ntwo\n",
        "{refused:?} {}",
        ended.text
    );
    Ok(())
}

/// Ports of the scripts' servers.
const PORTS: Range<u64> = 8100..8200;

/// Whether a refusal is as it should be, or is one in name only: nothing failed by it that would have
/// worked without guard.
fn is_right(workload: &Workload, event: &Value) -> bool {
    let target = &event["target"];
    // A connection to a port of this host where nobody listens yet.
    let waits = event["operation"] == "connect"
        && target["port"]
            .as_u64()
            .is_some_and(|port| PORTS.contains(&port));
    waits
        || workload.right.iter().any(|(operation, comm, how)| {
            event["operation"] == *operation
                && event["actor"]["comm"] == *comm
                && target["how"].as_str() == *how
                && match *operation {
                    "overwrite" => true,
                    "attributes" => target["path"] == "/dev/null",
                    _ => event["actor"]["uid"] == 0,
                }
        })
}

/// A refusal on one line.
fn told(event: &Value) -> String {
    format!(
        "{} {} of {} by {}, rule {}: {}",
        event["operation"],
        event["facility"],
        event["target"],
        event["actor"]["comm"],
        event["rule"],
        event["because"]
    )
}
