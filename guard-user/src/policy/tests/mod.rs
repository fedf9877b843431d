//! Policies end to end, on a host that exists in memory only: YAML in, verdict or diagnostic
//! out.

mod actors;
mod cases;
mod default;
mod except;
mod loading;
mod mistakes;
mod mounts;
mod operations;
mod presets;
mod reference;
mod resolved;
mod schema;
mod unmatched;
mod unreached;
mod verdicts;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use guard_ebpf::decision::Decision;
use guard_ebpf::operation::{Facility, Operation, Reason, Verdict};

use super::diagnostics::Diagnostics;
use super::environment::{Environment, Host, Protected};
use super::evaluate::{FileFacts, Further, ProcessFacts, SocketFacts};
use super::load::{Loaded, Loader, Source};
use crate::system::links::Resolved;
use crate::system::mounts::Mounts;

/// The root on one file system, the homes on another, a third for temporary files, a btrfs
/// subvolume, a disk below a directory, and a container's root.
const TABLE: &str = "\
20 1 8:1 / / rw - ext4 /dev/sda1 rw
21 20 8:2 / /home rw - ext4 /dev/sda2 rw
22 20 0:30 / /tmp rw - tmpfs tmpfs rw
23 20 0:31 / /dev/shm rw - tmpfs tmpfs rw
24 20 0:40 /@data /srv/data rw - btrfs /dev/sdb rw
25 20 8:3 / /srv/db/big disk rw - xfs /dev/sdc rw
26 20 0:50 / /var/lib/docker/overlay2/abc/merged rw - overlay overlay rw
27 20 0:5 / /proc rw - proc proc rw
";

/// Device numbers of the table.
const ROOT: u32 = 8 << 20 | 1;
const HOME: u32 = 8 << 20 | 2;
const TMP: u32 = 30;
const BTRFS: u32 = 40;
const BIG: u32 = 8 << 20 | 3;
const CONTAINER: u32 = 50;
const UNKNOWN: u32 = 99;

/// A host in memory.
struct FakeHost {
    files: BTreeMap<PathBuf, Vec<u8>>,
    users: BTreeMap<&'static str, u32>,
    /// Links to where they lead, and whether the session's user could have made them.
    links: BTreeMap<PathBuf, (PathBuf, bool)>,
}

impl FakeHost {
    fn new() -> Self {
        Self {
            files: BTreeMap::new(),
            users: BTreeMap::from([("root", 0), ("postgres", 70), ("alice", 1000)]),
            links: BTreeMap::new(),
        }
    }

    fn file(mut self, path: &str, text: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path.into(), text.into());
        self
    }

    fn link(mut self, from: &str, to: &str, doubtful: bool) -> Self {
        self.links.insert(from.into(), (to.into(), doubtful));
        self
    }
}

impl Host for FakeHost {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let missing = || io::Error::from_raw_os_error(2);
        self.files.get(path).cloned().ok_or_else(missing)
    }

    fn uid(&self, name: &str) -> Option<u32> {
        self.users.get(name).copied()
    }

    fn user_names(&self) -> Vec<String> {
        self.users.keys().map(ToString::to_string).collect()
    }

    fn resolve(&self, path: &Path, _: u32) -> Resolved {
        for (link, (target, doubtful)) in &self.links {
            if let Ok(rest) = path.strip_prefix(link) {
                let rest = rest.iter();
                return Resolved {
                    path: target.iter().chain(rest).collect(),
                    links: vec![link.clone()],
                    doubtful: doubtful.then(|| link.clone()),
                };
            }
        }
        Resolved::unchanged(path)
    }

    fn is_changeable(&self, path: &Path, _: u32) -> bool {
        path.starts_with("/home/alice")
    }
}

fn environment() -> Environment {
    let mounts = Mounts::parse(TABLE.replace("big disk", "big\\040disk")).expect("a good table");
    Environment {
        user: "alice".into(),
        uid: 1000,
        home: "/home/alice".into(),
        workspace: Some("/home/alice/work".into()),
        repository: None,
        mounts_at_start: mounts.clone(),
        mounts_now: mounts,
        protected: Protected {
            paths: vec!["/usr/local/bin/guard".into()],
        },
    }
}

/// Loads one policy from a file `p.yaml`.
fn try_load(text: &str) -> Result<Loaded, Diagnostics> {
    let host = FakeHost::new().file("p.yaml", text);
    Loader::new(&environment(), &host).load(&[Source::File("p.yaml".into())])
}

/// Loads rules: the version and `rules:` are put in front.
fn rules(text: &str) -> Loaded {
    load(&format!("version: 1\nrules:\n{text}"))
}

fn load(text: &str) -> Loaded {
    try_load(text).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

/// A file at a path from the root of a file system.
fn file(device: u32, path: &str) -> FileFacts {
    FileFacts {
        device,
        path: path.into(),
        is_directory: false,
        is_own: false,
    }
}

fn directory(device: u32, path: &str) -> FileFacts {
    FileFacts {
        is_directory: true,
        ..file(device, path)
    }
}

/// A process of `alice`'s outside the session.
fn process() -> ProcessFacts {
    ProcessFacts {
        executable: Some((ROOT, "/usr/bin/sleep".into())),
        name: "sleep".into(),
        uid: 1000,
        cgroup: "/user.slice/user-1000.slice/session-1.scope".into(),
        further: Further {
            command: Some("sleep 1000".into()),
            ancestors: Some(Vec::new()),
            listens: Some(Vec::new()),
            session: None,
        },
    }
}

impl Loaded {
    fn delete(&self, facts: &FileFacts) -> &str {
        self.told(self.compiled.by(None).on_file(Operation::Delete, facts))
    }

    /// The verdict on an operation on a file.
    fn file(&self, operation: Operation, facts: &FileFacts) -> &str {
        self.told(self.compiled.by(None).on_file(operation, facts))
    }

    /// The verdict on a connection to a Unix socket at a path of the root's file system, to
    /// `@name`, or to `address port`: to a stream, which is free where the address is no loopback one.
    fn connect(&self, to: &str) -> &str {
        let facts = if to.starts_with('/') {
            SocketFacts::File(file(ROOT, to))
        } else if let Some(name) = to.strip_prefix('@') {
            SocketFacts::Abstract(name.into())
        } else {
            let (address, port) = to.split_once(' ').expect("an address and a port");
            let address: IpAddr = address.parse().expect("an address");
            SocketFacts::Internet {
                address,
                port: port.parse().expect("a port"),
                is_free: !address.is_loopback(),
            }
        };
        self.told(self.compiled.by(None).on_socket(&facts))
    }

    /// The verdict on the use of a facility, without a file or through one.
    fn machine(&self, facility: Facility, file: Option<&FileFacts>) -> &str {
        self.told(self.compiled.by(None).on_machine(facility, file))
    }

    fn signal(&self, signal: u32, facts: &ProcessFacts) -> &str {
        self.told(
            self.compiled
                .by(None)
                .on_process(Operation::Signal, signal, facts),
        )
    }

    /// The verdict and the rule, as `deny vms`, or `deny` alone for the default.
    fn told(&self, decision: Decision) -> &str {
        let rule = match decision.reason {
            Reason::Rule => self.compiled.rules[usize::from(decision.rule)]
                .name
                .as_str(),
            _ => "",
        };
        let told = match decision.verdict {
            Verdict::Allow => format!("allow {rule}"),
            Verdict::Deny => format!("deny {rule}"),
            Verdict::Audit => format!("audit {rule}"),
        };
        // Tests compare with literals; a leak of some bytes each keeps them readable.
        String::leak(told.trim_end().to_owned())
    }
}
