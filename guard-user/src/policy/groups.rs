//! Groups of processes: what an item of a group can ask.

use guard_ebpf::abi::COMM_LEN;

use super::diagnostics::did_you_mean;
use super::document::{Definition, Item, Selection, SessionName, SocketText};
use super::glob::{Part, Token, least_length, parse_path};
use super::reader::{Entry, Reader};
use super::tree::{Node, Value};
use super::variables;
use crate::session::name::Name;

/// The keys of an item.
pub(super) const ITEM: [&str; 10] = [
    "exe",
    "name",
    "user",
    "cgroup",
    "unit",
    "container",
    "command",
    "ancestor",
    "listens",
    "session",
];

/// The endings of the names of systemd's units that have processes.
const UNITS: [&str; 6] = [".service", ".scope", ".slice", ".socket", ".mount", ".swap"];

/// The cgroup of a container, wherever it lies: what stands around its id, or its name where the engine
/// tells containers by their names. That of its monitor may be called so too.
///
/// From the engines' sources: runc and crun (`SLICE:PREFIX:ID` becomes `PREFIX-ID.scope`; the prefix is
/// `docker`, `nerdctl`, `cri-containerd`, `crio`), podman (`libpod-ID.scope`; without systemd
/// `libpod_parent/libpod-ID`), LXC and Incus (`lxc.cgroup.pattern`: `lxc.payload.NAME`), systemd
/// (`systemd-nspawn@.service`); Docker without systemd: `docker/ID`.
pub(super) const CONTAINERS: [(&str, &str); 9] = [
    ("docker-", ".scope"),
    ("docker/", ""),
    ("libpod-", ".scope"),
    ("libpod-", ""),
    ("nerdctl-", ".scope"),
    ("cri-containerd-", ".scope"),
    ("crio-", ".scope"),
    ("lxc.payload.", ""),
    ("systemd-nspawn@", ".service"),
];

impl Reader<'_> {
    /// The groups of a document.
    pub fn groups(&mut self, node: &Node) -> Vec<Definition<Selection<Item>>> {
        let entries = self.entries(node, "`groups` maps names to lists of items");
        let mut groups = Vec::new();
        for entry in entries {
            let name = self.definition_name(&entry, "group");
            let meaning = self
                .selection(entry.value, "a group lists items")
                .filter_map(|item| self.item(item));
            groups.push(Definition { name, meaning });
        }
        groups
    }

    /// An item. `None` after a mistake, and when it is about a workspace and there is none.
    fn item(&mut self, node: &Node) -> Option<Item> {
        let what = "an item of a group is a mapping such as `{ exe: /usr/bin/node }`";
        let fields = self.fields(node, what, &ITEM);
        if fields.is_empty() {
            if matches!(&node.value, Value::Map(map) if map.is_empty())
                || matches!(node.value, Value::Null)
            {
                self.mistake(node.span, format!("{what}, and there is nothing"));
            }
            return None;
        }
        let mut item = Item::default();
        let mut complete = true;
        let mut cgroup_key = "";
        for Entry {
            key,
            key_span,
            value,
        } in fields
        {
            if !item.written.is_empty() {
                item.written.push_str(", ");
            }
            if key == "listens" {
                item.listens = self.listens(value);
                let written = item.listens.as_ref().map(|socket| socket.written.as_str());
                item.written
                    .extend(["listens ", written.unwrap_or_default()]);
                complete &= item.listens.is_some();
                continue;
            }
            let Some(text) = self.word(value, &format!("`{key}` is a word")) else {
                complete = false;
                continue;
            };
            item.written.extend([key, " ", text]);
            let done = match key {
                "exe" => {
                    item.exe = self.path_glob(value, text).ok();
                    item.exe.is_some()
                }
                "name" => {
                    item.name = self.command_name(value, text);
                    item.name.is_some()
                }
                "user" => {
                    item.user = self.user(value, text);
                    item.user.is_some()
                }
                "command" => {
                    item.command = self.word_glob(value, text);
                    item.command.is_some()
                }
                "ancestor" => {
                    item.ancestor = self.path_glob(value, text).ok();
                    item.ancestor.is_some()
                }
                "session" => {
                    item.session = self.session(value, text);
                    item.session.is_some()
                }
                _ => {
                    if !cgroup_key.is_empty() {
                        self.mistake(
                            key_span,
                            format!("`{key}` and `{cgroup_key}` both say in which cgroup; use one"),
                        );
                    }
                    cgroup_key = key;
                    item.cgroup = match key {
                        "unit" => self.unit(value, text),
                        "container" => self.container(value, text),
                        _ => self.cgroup(value, text).map(|glob| vec![glob]),
                    };
                    item.cgroup.is_some()
                }
            };
            complete &= done;
        }
        complete.then_some(item)
    }

    fn command_name(&mut self, node: &Node, text: &str) -> Option<Vec<Token>> {
        let tokens = self.word_glob(node, text)?;
        let longest = COMM_LEN - 1;
        if least_length(&tokens) > longest {
            let cut: String = text.chars().take(longest).collect();
            self.mistake(
                node.span,
                format!(
                    "the kernel keeps {longest} bytes of a command name, so this never matches; \
                     write `{cut}`, or name the executable with `exe`"
                ),
            );
            return None;
        }
        Some(tokens)
    }

    /// Where a process listens: a port, a range of them, or a mapping as in `via`.
    fn listens(&mut self, node: &Node) -> Option<SocketText> {
        match &node.value {
            Value::Map(map) if map.is_empty() => {
                self.mistake(
                    node.span,
                    "`listens` is a port such as `3000`, a range, or a mapping such as \
                     `{ address: 127.0.0.1, port: 3000 }`",
                );
                None
            }
            Value::Map(_) => self.internet_socket(node),
            _ => self.port_of_any_address(node),
        }
    }

    /// A session, by its whole name: which of them there are is known when it happens only.
    fn session(&mut self, node: &Node, text: &str) -> Option<SessionName> {
        if text == "*" {
            return Some(SessionName::Any);
        }
        match Name::new(text) {
            Ok(name) => Some(SessionName::Called(name.to_string())),
            Err(error) => {
                self.mistake(
                    node.span,
                    format!("{error} `\"*\"` stands for every session."),
                );
                None
            }
        }
    }

    fn user(&mut self, node: &Node, text: &str) -> Option<u32> {
        let letters = self.expanded(node, text).ok()?;
        let name = variables::text(&letters)?;
        if let Ok(uid) = name.parse() {
            return Some(uid);
        }
        if name == self.environment.user {
            return Some(self.environment.uid);
        }
        let uid = self.host.uid(&name);
        if uid.is_none() {
            let users = self.host.user_names();
            let near = did_you_mean(&name, users.iter().map(String::as_str));
            self.mistake(
                node.span,
                format!("there is no user `{name}` on this host{near}"),
            );
        }
        uid
    }

    fn cgroup(&mut self, node: &Node, text: &str) -> Option<Vec<Part>> {
        let letters = self.expanded(node, text).ok()?;
        match parse_path(&letters) {
            Ok(parts) => Some(parts),
            Err(error) => {
                self.mistake_in(node, error);
                None
            }
        }
    }

    /// A unit is any cgroup of that name, and everything below it.
    fn unit(&mut self, node: &Node, text: &str) -> Option<Vec<Vec<Part>>> {
        if text.contains('/') {
            self.mistake(
                node.span,
                "the name of a unit has no `/`; name a path with `cgroup`",
            );
            return None;
        }
        if !UNITS.iter().any(|ending| text.ends_with(ending)) && !text.ends_with('*') {
            self.mistake(
                node.span,
                format!("a unit has an ending, such as `{text}.service`"),
            );
            return None;
        }
        let tokens = self.word_glob(node, text)?;
        Some(anywhere(vec![Part::Name(tokens)]).into())
    }

    /// A container is any cgroup that engines give one of that id or name, and everything below it.
    fn container(&mut self, node: &Node, text: &str) -> Option<Vec<Vec<Part>>> {
        if text.contains('/') {
            self.mistake(
                node.span,
                "the id or name of a container has no `/`; name a path with `cgroup`",
            );
            return None;
        }
        let tokens = self.word_glob(node, text)?;
        let around = |before: &str, after: &str| {
            let bytes = |text: &str| text.bytes().map(Token::Byte).collect::<Vec<_>>();
            Part::Name([bytes(before), tokens.clone(), bytes(after)].concat())
        };
        let globs = CONTAINERS.into_iter().flat_map(|(before, after)| {
            anywhere(match before.strip_suffix('/') {
                Some(parent) => vec![Part::literal(parent.as_bytes()), around("", after)],
                None => vec![around(before, after)],
            })
        });
        Some(globs.collect())
    }
}

/// A cgroup of these names, wherever it is, and everything below it.
fn anywhere(names: Vec<Part>) -> [Vec<Part>; 2] {
    let itself = [vec![Part::AnyDepth], names].concat();
    let below = vec![Part::AnyDepth, Part::Name(vec![Token::AnyRun])];
    [itself.clone(), [itself, below].concat()]
}
