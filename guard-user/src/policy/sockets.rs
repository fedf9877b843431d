//! Sockets: what an item of `via` can say.

use super::diagnostics::did_you_mean_or;
use super::document::{Selection, SocketKind, SocketText, Via};
use super::endpoints::{Digits, Prefix, endpoints, of_family, ports_between, prefix};
use super::parse::is_glob;
use super::reader::{Entry, Reader};
use super::tree::{Node, Value};
use crate::system::families;

/// The keys of a socket without a name.
pub(super) const SOCKET: [&str; 3] = ["address", "port", "family"];

/// What an item of `via` looks like.
const WHAT: &str = "a socket is a path such as `/run/docker.sock`, a name such as `\"@name\"`, or a \
                    mapping such as `{ address: 127.0.0.1, port: 5432 }`";

impl Reader<'_> {
    /// The sockets of a rule. What is about the workspace drops out where there is none.
    pub fn via(&mut self, node: &Node) -> Selection<Via> {
        self.selection(node, "`via` lists sockets")
            .filter_map(|node| match &node.value {
                Value::Map(_) => self.without_file(node).map(Via::Text),
                Value::Scalar(text) => self.named_socket(node, text),
                _ => {
                    let kind = node.kind();
                    self.mistake(node.span, format!("{WHAT}, not {kind}"));
                    None
                }
            })
    }

    /// A Unix socket.
    fn named_socket(&mut self, node: &Node, text: &str) -> Option<Via> {
        if is_glob(text) {
            return self.path_glob(node, text).ok().map(Via::Path);
        }
        let Some(name) = text.strip_prefix('@') else {
            let shown = if text.trim().is_empty() {
                "and there is nothing".to_owned()
            } else {
                format!("not `{text}`")
            };
            self.mistake(node.span, format!("{WHAT}, {shown}"));
            return None;
        };
        if name.is_empty() {
            self.mistake(
                node.span,
                "a name follows the `@`; write `\"@*\"` for every abstract socket",
            );
            return None;
        }
        // With the `@`, so that a mistake is shown where it is.
        let tokens = self.word_glob(node, text)?;
        Some(Via::Text(SocketText {
            kind: SocketKind::Abstract,
            patterns: vec![tokens],
            written: text.to_owned(),
        }))
    }

    /// An Internet socket, by address and port. None after a mistake.
    pub(super) fn internet_socket(&mut self, node: &Node) -> Option<SocketText> {
        let text = self.without_file(node)?;
        if matches!(text.kind, SocketKind::Families(_)) {
            self.mistake(
                node.span,
                "what a process listens at is told by `address` and `port`, for TCP",
            );
            return None;
        }
        Some(text)
    }

    /// Internet sockets with some ports, whatever their address. None after a mistake.
    pub(super) fn port_of_any_address(&mut self, node: &Node) -> Option<SocketText> {
        let before = self.mistakes.len();
        let ports: Vec<String> = words(node).into_iter().map(str::to_owned).collect();
        let digits = self.ports(node);
        (self.mistakes.len() == before).then(|| SocketText {
            written: format!("port {}", ports.join(", ")),
            kind: SocketKind::Internet {
                addresses: Vec::new(),
                ports,
            },
            patterns: endpoints(None, Some(&digits)),
        })
    }

    /// An Internet socket, or one of another family. None after a mistake.
    fn without_file(&mut self, node: &Node) -> Option<SocketText> {
        let before = self.mistakes.len();
        let fields = self.fields(node, WHAT, &SOCKET);
        let mut addresses: Option<(Vec<String>, Vec<Prefix>)> = None;
        let mut ports: Option<(Vec<String>, Vec<Vec<Digits>>)> = None;
        let mut family = None;
        let mut written = Vec::new();
        for Entry {
            key,
            key_span,
            value,
        } in fields
        {
            let words = words(value);
            written.push(format!("{key} {}", words.join(", ")));
            let words = words.into_iter().map(str::to_owned).collect();
            match key {
                "address" => addresses = Some(self.addresses(value)),
                "port" => ports = Some((words, self.ports(value))),
                _ => family = Some((key_span, words, self.families(value))),
            }
        }
        if written.is_empty() && self.mistakes.len() == before {
            self.mistake(node.span, format!("{WHAT}, and there is nothing"));
        }
        if let Some((span, ..)) = &family
            && (addresses.is_some() || ports.is_some())
        {
            self.mistake(
                *span,
                "`family` is for sockets without Internet addresses: it stands alone",
            );
        }
        if self.mistakes.len() > before {
            return None;
        }
        let (kind, patterns) = if let Some((_, names, families)) = family {
            let patterns = families.into_iter().map(of_family).collect();
            (SocketKind::Families(names), patterns)
        } else {
            let (addresses, prefixes) = addresses.unzip();
            let (ports, digits) = ports.unzip();
            let kind = SocketKind::Internet {
                addresses: addresses.unwrap_or_default(),
                ports: ports.unwrap_or_default(),
            };
            (kind, endpoints(prefixes.as_deref(), digits.as_deref()))
        };
        Some(SocketText {
            kind,
            patterns,
            written: written.join(", "),
        })
    }

    fn addresses(&mut self, node: &Node) -> (Vec<String>, Vec<Prefix>) {
        let what = "an address is one such as `127.0.0.1`, `10.0.0.0/8`, `\"::1\"` or `any`";
        let mut all = (Vec::new(), Vec::new());
        for node in self.one_or_more(node, what) {
            let Some(text) = self.word(node, what) else {
                continue;
            };
            let Ok(letters) = self.expanded(node, text) else {
                continue;
            };
            let text = super::variables::text(&letters).unwrap_or_default();
            match prefix(&text) {
                Ok(prefix) => {
                    all.0.push(text);
                    all.1.push(prefix);
                }
                Err(message) => self.mistake(node.span, message),
            }
        }
        all
    }

    fn ports(&mut self, node: &Node) -> Vec<Vec<Digits>> {
        let what = "a port is a number such as `5432`, or a range such as `\"8000-8010\"`";
        let mut patterns = Vec::new();
        for node in self.one_or_more(node, what) {
            let Some(text) = self.word(node, what) else {
                continue;
            };
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            match (port(first), port(last)) {
                (Some(first), Some(last)) if first > last => self.mistake(
                    node.span,
                    format!("the range `{text}` is empty; its ends are the wrong way round"),
                ),
                (Some(first), Some(last)) => {
                    patterns.extend(ports_between(first, last));
                }
                _ => self.mistake(
                    node.span,
                    format!(
                        "`{text}` is no port; ports go from 1 to 65535, and a range is `8000-8010`"
                    ),
                ),
            }
        }
        patterns
    }

    fn families(&mut self, node: &Node) -> Vec<u16> {
        let what = "a family is a word such as `vsock`";
        let mut numbers = Vec::new();
        for node in self.one_or_more(node, what) {
            let Some(word) = self.word(node, what) else {
                continue;
            };
            match families::number(word) {
                Some(families::UNIX) => self.mistake(
                    node.span,
                    "a Unix socket is named by its path, or by `\"@name\"`",
                ),
                Some(families::INET | families::INET6) => self.mistake(
                    node.span,
                    "an Internet socket is named by `address` and `port`",
                ),
                Some(number) => numbers.push(number),
                None => {
                    let valid: Vec<_> = families::others().collect();
                    let near = did_you_mean_or(word, &valid, "the families are");
                    self.mistake(node.span, format!("unknown family `{word}`{near}"));
                }
            }
        }
        numbers
    }
}

/// The words of a value, for people. Whoever reads it notes what is wrong with it.
fn words(node: &Node) -> Vec<&str> {
    match &node.value {
        Value::Scalar(text) => vec![text],
        Value::List(items) => items.iter().flat_map(words).collect(),
        Value::Map(_) | Value::Null => Vec::new(),
    }
}

fn port(text: &str) -> Option<u16> {
    text.trim().parse().ok().filter(|port| *port > 0)
}
