//! What a test names, as the kernel would find it: paths by file system, users by number.

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use guard_ebpf::abi::COMM_LEN;
use guard_ebpf::decision::Decision;
use guard_ebpf::operation::Operation;

use super::cases::{Case, Fields, Target, field};
use super::compiled::Compiled;
use super::diagnostics::{Span, did_you_mean, did_you_mean_or};
use super::document::Named;
use super::environment::{Environment, Host};
use super::evaluate::{FileFacts, Further, ProcessFacts, SocketFacts};
use super::variables::{self, Unexpanded, expand};
use crate::system::families;

/// What is wrong with a test's word.
#[derive(Debug)]
pub(crate) struct Wrong {
    /// Where it stands.
    pub span: Span,
    /// What is wrong and what to do.
    pub message: String,
}

impl Wrong {
    fn at(word: &Named, message: impl Into<String>) -> Self {
        Self {
            span: word.span,
            message: message.into(),
        }
    }
}

/// Finds out what tests name, for a session on a host.
#[derive(Clone, Copy)]
pub(crate) struct Facts<'load> {
    environment: &'load Environment,
    host: &'load dyn Host,
}

impl<'load> Facts<'load> {
    pub fn new(environment: &'load Environment, host: &'load dyn Host) -> Self {
        Self { environment, host }
    }

    /// What a policy says of a test's operation.
    pub fn decide(self, case: &Case, policy: &Compiled) -> Result<Decision, Wrong> {
        let by = match &case.by {
            Some(word) => Some(self.place(word, true)?),
            None => None,
        };
        let by = by.as_ref();
        let decider = policy.by(by.map(|(device, path)| (*device, path.as_slice())));
        Ok(match (&case.target, case.facility) {
            (Target::Process(fields), _) => {
                decider.on_process(case.operation, case.signal, &self.process(fields)?)
            }
            (Target::NamedSocket(word), _) => decider.on_socket(&self.named_socket(word)?),
            (Target::Socket(fields), _) => decider.on_socket(&self.socket(fields, case.span)?),
            (Target::File { .. }, Some(facility)) => {
                decider.on_machine(facility, Some(&self.file(case)?))
            }
            (Target::Machine, Some(facility)) => decider.on_machine(facility, None),
            (Target::File { .. } | Target::Machine, None) => {
                decider.on_file(case.operation, &self.file(case)?)
            }
        })
    }

    /// A word with its variables filled in.
    fn text(self, word: &Named) -> Result<String, Wrong> {
        let letters = expand(&word.text, self.environment).map_err(|error| match error {
            Unexpanded::Wrong(error) => Wrong::at(word, error.message),
            Unexpanded::NoWorkspace => Wrong::at(
                word,
                "this session has no workspace; give the test one: `given: { workspace: ~/project }`",
            ),
            Unexpanded::NoRepository => {
                Wrong::at(word, "this session has no repository outside of its workspace")
            }
        })?;
        variables::text(&letters).ok_or_else(|| Wrong::at(word, "this is not UTF-8 as filled in"))
    }

    /// An absolute path.
    pub fn path(self, word: &Named) -> Result<PathBuf, Wrong> {
        let text = self.text(word)?;
        if !text.starts_with('/') {
            let message = "a path of a test begins with `/`, `~/` or a variable, and is no glob";
            return Err(Wrong::at(word, message));
        }
        Ok(text.into())
    }

    /// Where a path lies: the file system, and the path there. `follows` says whether a link at its
    /// end is followed.
    fn place(self, word: &Named, follows: bool) -> Result<(u32, Vec<u8>), Wrong> {
        let path = self.path(word)?;
        let found = match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) if !follows => self.host.resolve(parent, 0).path.join(name),
            _ => self.host.resolve(&path, 0).path,
        };
        let place = self.environment.mounts_now.locate(&found);
        let place =
            place.ok_or_else(|| Wrong::at(word, "this lies on no file system that can be seen"))?;
        Ok((place.device, place.path.as_os_str().as_bytes().to_vec()))
    }

    fn file(self, case: &Case) -> Result<FileFacts, Wrong> {
        let Target::File {
            path,
            is_directory,
            is_own,
        } = &case.target
        else {
            // The reader has seen to it that there is one.
            return Ok(FileFacts::default());
        };
        // A link is removed and made itself; what it leads to is written.
        let follows = !matches!(case.operation, Operation::Delete | Operation::Create);
        let (device, path) = self.place(path, follows)?;
        Ok(FileFacts {
            device,
            path,
            is_directory: *is_directory,
            is_own: *is_own,
        })
    }

    /// A process: called after its executable, and of the session's user, where nothing else is said.
    fn process(self, fields: &Fields) -> Result<ProcessFacts, Wrong> {
        let executable = match field(fields, "exe") {
            Some(word) => Some(self.place(word, true)?),
            None => None,
        };
        let mut name = match field(fields, "name") {
            Some(word) => self.text(word)?.into_bytes(),
            None => executable.as_ref().map_or_else(Vec::new, |(_, path)| {
                let name = Path::new(OsStr::from_bytes(path)).file_name();
                name.map_or_else(Vec::new, |name| name.as_bytes().to_vec())
            }),
        };
        name.truncate(COMM_LEN - 1);
        Ok(ProcessFacts {
            executable,
            name,
            uid: match field(fields, "user") {
                Some(word) => self.user(word)?,
                None => self.environment.uid,
            },
            cgroup: match (field(fields, "cgroup"), field(fields, "unit")) {
                (Some(word), Some(_)) => {
                    return Err(Wrong::at(
                        word,
                        "`cgroup` and `unit` say the same; leave one of them out",
                    ));
                }
                (Some(word), None) => self.path(word)?.into_os_string().as_bytes().to_vec(),
                (None, Some(word)) => [b"/system.slice/", self.text(word)?.as_bytes()].concat(),
                (None, None) => b"/".to_vec(),
            },
            further: self.further(fields)?,
        })
    }

    /// What only some policies ask for: a process has none of it where a test does not say.
    fn further(self, fields: &Fields) -> Result<Further, Wrong> {
        let text = |key| field(fields, key).map(|word| self.text(word)).transpose();
        let ancestor = field(fields, "ancestor").map(|word| self.place(word, true));
        let listens = field(fields, "listens").map(|word| {
            let text = self.text(word)?;
            let socket = text
                .parse()
                .map(|port: u16| (Ipv4Addr::UNSPECIFIED.into(), port));
            let socket = socket.or_else(|_| {
                let socket: Result<SocketAddr, _> = text.parse();
                socket.map(|socket| (socket.ip(), socket.port()))
            });
            socket.map_err(|_| {
                let message = "this is a port, or an address with one, such as `127.0.0.1:5432`";
                Wrong::at(word, message)
            })
        });
        Ok(Further {
            command: Some(text("command")?.unwrap_or_default().into_bytes()),
            ancestors: Some(ancestor.transpose()?.into_iter().collect()),
            listens: Some(listens.transpose()?.into_iter().collect()),
            session: text("session")?,
        })
    }

    /// The number of a user.
    pub fn user(self, word: &Named) -> Result<u32, Wrong> {
        let name = self.text(word)?;
        if name == self.environment.user {
            return Ok(self.environment.uid);
        }
        let uid = name.parse().ok().or_else(|| self.host.uid(&name));
        uid.ok_or_else(|| {
            let users = self.host.user_names();
            let near = did_you_mean(&name, users.iter().map(String::as_str));
            Wrong::at(
                word,
                format!("there is no user `{name}` on this host{near}"),
            )
        })
    }

    fn named_socket(self, word: &Named) -> Result<SocketFacts, Wrong> {
        if let Some(name) = self.text(word)?.strip_prefix('@') {
            return Ok(SocketFacts::Abstract(name.into()));
        }
        let (device, path) = self.place(word, true)?;
        Ok(SocketFacts::File(FileFacts {
            device,
            path,
            is_directory: false,
            is_own: false,
        }))
    }

    /// A socket by address and port, or by its family.
    fn socket(self, fields: &Fields, span: Span) -> Result<SocketFacts, Wrong> {
        if let Some(word) = field(fields, "family") {
            let names: Vec<&str> = families::others().collect();
            let known = names.contains(&word.text.as_str());
            let number = families::number(&word.text).filter(|_| known);
            let number = number.and_then(|number| u8::try_from(number).ok());
            return number.map(SocketFacts::Other).ok_or_else(|| {
                let near = did_you_mean_or(&word.text, &names, "the families are");
                Wrong::at(word, format!("unknown family `{}`{near}", word.text))
            });
        }
        let (Some(address), Some(port)) = (field(fields, "address"), field(fields, "port")) else {
            return Err(Wrong {
                span,
                message: "a socket of a test has an `address` and a `port`".to_owned(),
            });
        };
        let text = self.text(address)?;
        let ip: IpAddr = text.parse().map_err(|_| {
            let message = format!("`{text}` is no address; write one such as `127.0.0.1`");
            Wrong::at(address, message)
        })?;
        let number = port.text.parse().ok().filter(|port| *port > 0);
        let port = number
            .ok_or_else(|| Wrong::at(port, "a port of a test is a number from 1 to 65535"))?;
        let here = ip.to_canonical();
        Ok(SocketFacts::Internet {
            address: ip,
            port,
            // Which other addresses are this host's, a policy does not know.
            is_free: !here.is_loopback() && !here.is_unspecified(),
        })
    }
}
