//! Rules that are proposed, and how they are written: as a policy to be reviewed.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use guard_ebpf::operation::{Facility, Operation};
use guard_ebpf::policy::Effect;

use super::facts;
use super::places::Extent;
use crate::events::event::{File, Judged, Process, Socket, Target};
use crate::events::text::bytes;
use crate::policy::compiled::RuleInfo;
use crate::policy::document::{Item, PathGlob, Selection, SocketKind, SocketText, Via};
use crate::policy::glob::{Part, Token};
use crate::policy::ruleset::RulesetRule;
use crate::system::{families, signals};

/// What decided: a rule of the policy, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cause {
    /// Where the rule stands; none for the default.
    pub source: Option<String>,
    /// Its name.
    pub rule: Option<String>,
    /// Why, in its words; none for the default.
    pub because: Option<String>,
}

impl Cause {
    /// What decided in an event.
    #[must_use]
    pub fn of(judged: &Judged) -> Self {
        if judged.source.is_none() {
            return Self::default();
        }
        Self {
            source: judged.source.clone(),
            rule: judged.rule.clone(),
            because: judged.because.clone(),
        }
    }
}

/// What processes are told by: all of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// The executable.
    pub exe: Option<Vec<u8>>,
    /// The command name, where the executable isn't known.
    pub name: Option<Vec<u8>>,
    /// The effective user.
    pub uid: u32,
    /// The systemd service, if any.
    pub service: Option<Vec<u8>>,
}

impl Group {
    /// What a process is told by: its executable, or its command name where that isn't known, its user,
    /// and the service that it belongs to.
    #[must_use]
    pub fn of(process: &Process) -> Option<Self> {
        let exe = process.exe.as_ref();
        let exe = exe.map(|exe| bytes("exe", exe, &process.raw));
        let name = match exe {
            Some(_) => None,
            None => Some(bytes("comm", &process.comm, &process.raw)),
        };
        let cgroup = process.cgroup.as_ref();
        let cgroup = cgroup.map(|cgroup| bytes("cgroup", cgroup, &process.raw));
        let service = cgroup.and_then(|cgroup| {
            let mut names = cgroup.split(|&byte| byte == b'/').rev();
            names
                .find(|name| name.ends_with(b".service"))
                .map(<[u8]>::to_vec)
        });
        let is_text = |bytes: &Option<Vec<u8>>| {
            let text = bytes.as_ref().map(|bytes| std::str::from_utf8(bytes));
            text.is_none_or(|text| text.is_ok())
        };
        let is_named = exe
            .as_ref()
            .or(name.as_ref())
            .is_some_and(|it| !it.is_empty());
        let is_nameable = is_named && is_text(&exe) && is_text(&name) && is_text(&service);
        is_nameable.then_some(Self {
            exe,
            name,
            uid: process.uid,
            service,
        })
    }
}

/// Sockets by what they are told by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sockets {
    /// Unix sockets with files.
    pub paths: BTreeSet<String>,
    /// Those of the abstract name space, without the `@`.
    pub names: BTreeSet<String>,
    /// Internet sockets: ports by address.
    pub addresses: BTreeMap<IpAddr, BTreeSet<u16>>,
    /// Others, by family.
    pub families: BTreeSet<String>,
}

impl Sockets {
    /// These and another one. `None` when no rule can name it.
    #[must_use]
    pub fn add(&self, socket: &Socket) -> Option<Self> {
        let mut all = self.clone();
        let exact = |field, text: &str| String::from_utf8(bytes(field, text, &socket.raw)).ok();
        if let Some(path) = &socket.path {
            let path = exact("path", path).filter(|path| path.starts_with('/'))?;
            all.paths.insert(path);
        } else if let Some(name) = &socket.r#abstract {
            let name = exact("abstract", name).filter(|name| !name.is_empty())?;
            all.names.insert(name);
        } else if let (Some(address), Some(port)) = (&socket.address, socket.port) {
            // No rule can name port 0.
            let port = Some(port).filter(|port| *port > 0)?;
            let address = address.parse().ok()?;
            all.addresses.entry(address).or_default().insert(port);
        } else {
            let family = families::number(&socket.family)?;
            let is_named_so = [families::UNIX, families::INET, families::INET6].contains(&family);
            (!is_named_so).then(|| all.families.insert(socket.family.clone()))?;
        }
        Some(all)
    }
}

/// A file where rules can name it: the device of its file system, and its path.
pub(super) fn seen(file: &File) -> Option<(u32, PathBuf)> {
    let path = bytes("path", &file.path, &file.raw);
    let path = Path::new(OsStr::from_bytes(
        std::str::from_utf8(&path).ok()?.as_bytes(),
    ));
    let device = facts::device(&file.device)?;
    path.is_absolute().then(|| (device, path.to_owned()))
}

/// A rule that lets something through.
#[derive(Clone, Debug, Default)]
pub struct Proposal {
    /// What it lifts.
    pub cause: Cause,
    /// What it lets through.
    pub operations: BTreeSet<Operation>,
    /// Which signals.
    pub signals: BTreeSet<u32>,
    /// Which facilities.
    pub facilities: BTreeSet<Facility>,
    /// On which files.
    pub files: Vec<(PathBuf, Extent)>,
    /// To which processes.
    pub processes: Vec<Group>,
    /// Via which sockets.
    pub sockets: Sockets,
}

impl Proposal {
    pub(super) fn of(cause: &Cause) -> Self {
        Self {
            cause: cause.clone(),
            ..Self::default()
        }
    }

    /// Whether it is made of a target of an event, among others.
    #[must_use]
    pub fn is_of(&self, judged: &Judged, target: &Target) -> bool {
        let is_alike =
            self.cause == Cause::of(judged) && self.operations.contains(&judged.operation);
        let is_on = || match target {
            Target::Process(process) => {
                let signal = judged.signal.as_deref().and_then(signals::number);
                let is_sent = signal.is_none_or(|signal| self.signals.contains(&signal));
                let is_of_group =
                    || Group::of(process).is_some_and(|it| self.processes.contains(&it));
                is_sent && is_of_group()
            }
            Target::File(file) => {
                let facility = judged.facility;
                let is_used = facility.is_none_or(|it| self.facilities.contains(&it));
                let holds = |path: &Path| {
                    self.files
                        .iter()
                        .any(|(place, extent)| extent.holds(place, path))
                };
                is_used && seen(file).is_some_and(|(_, path)| holds(&path))
            }
            Target::Socket(socket) => self
                .sockets
                .add(socket)
                .is_some_and(|it| it == self.sockets),
            Target::Machine(machine) => {
                self.files.is_empty() && self.facilities.contains(&machine.facility)
            }
        };
        is_alike && is_on()
    }

    /// The rule, as a policy has it.
    pub(super) fn rule(&self, because: &str) -> RulesetRule {
        let operations: Vec<_> = self.operations.iter().copied().collect();
        let names: Vec<_> = operations.iter().map(|one| one.name()).collect();
        RulesetRule {
            info: RuleInfo {
                name: format!("learned-{}", names.join("-")),
                because: Some(because.to_owned()),
                ..RuleInfo::default()
            },
            effect: Effect::Allow,
            operations,
            signals: some(self.signals.iter().copied()),
            facilities: some(self.facilities.iter().copied()),
            to: some(self.processes.iter().map(item)).map(selection),
            on: some(self.files.iter().map(|(path, extent)| glob(path, *extent))).map(selection),
            via: some(via(&self.sockets)).map(selection),
            by: None,
            at_most: None,
        }
    }
}

/// What there is, where there is something.
fn some<T>(all: impl IntoIterator<Item = T>) -> Option<Vec<T>> {
    let all: Vec<T> = all.into_iter().collect();
    (!all.is_empty()).then_some(all)
}

fn selection<T>(all: Vec<T>) -> Vec<Selection<T>> {
    vec![all.into()]
}

/// A name that means itself.
fn tokens(name: &[u8]) -> Vec<Token> {
    name.iter().map(|&byte| Token::Byte(byte)).collect()
}

fn glob(path: &Path, extent: Extent) -> PathGlob {
    let any = Part::Name(vec![Token::AnyRun]);
    let names = path.iter().skip(1);
    let mut parts: Vec<_> = names.map(|name| Part::literal(name.as_bytes())).collect();
    match extent {
        Extent::Itself => {}
        Extent::Inside => parts.push(any),
        Extent::Below => parts.extend([Part::AnyDepth, any]),
    }
    PathGlob {
        parts,
        floating: false,
        written: String::new(),
    }
}

fn itself(path: &[u8]) -> PathGlob {
    glob(Path::new(OsStr::from_bytes(path)), Extent::Itself)
}

fn item(group: &Group) -> Item {
    Item {
        exe: group.exe.as_deref().map(itself),
        name: group.name.as_deref().map(tokens),
        user: Some(group.uid),
        // As a policy's `unit` is read: a cgroup of that name, and what lies below.
        cgroup: group.service.as_deref().map(|service| {
            let unit = vec![Part::AnyDepth, Part::literal(service)];
            let below = [Part::AnyDepth, Part::Name(vec![Token::AnyRun])];
            vec![unit.clone(), [unit, below.to_vec()].concat()]
        }),
        ..Item::default()
    }
}

fn via(sockets: &Sockets) -> Vec<Via> {
    let text = |kind, patterns| {
        Via::Text(SocketText {
            kind,
            patterns,
            written: String::new(),
        })
    };
    let paths = sockets
        .paths
        .iter()
        .map(|path| Via::Path(itself(path.as_bytes())));
    let names = sockets.names.iter().map(|name| {
        let name = [b"@", name.as_bytes()].concat();
        text(SocketKind::Abstract, vec![tokens(&name)])
    });
    let addresses = sockets.addresses.iter().map(|(address, ports)| {
        let kind = SocketKind::Internet {
            addresses: vec![address.to_string()],
            ports: ports.iter().map(ToString::to_string).collect(),
        };
        text(kind, Vec::new())
    });
    let families = some(sockets.families.iter().cloned());
    let families = families.map(|names| text(SocketKind::Families(names), Vec::new()));
    paths
        .chain(names)
        .chain(addresses)
        .chain(families)
        .collect()
}
