//! A server with an engine that only pretends: everything around the kernel, for real.

use std::cell::RefCell;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::Pid;

use super::client::{Outcome, accepted};
use super::compiler::Compiler;
use super::core::Parts;
use super::daemon::{self, Lock};
use super::paths::Paths;
use super::policies::Policies;
use super::pretended::{Directories, Engine, Pretended};
use super::protocol::{Remaining, Request, Response, Start, Status};
use super::wire::Connection;
use crate::session::launch::{Held, Plan};
use crate::session::name::Name;

mod edits;
mod health;
mod inside;
mod lives;

/// A host with a server's directories and an engine.
struct Host {
    base: tempfile::TempDir,
    engine: Engine,
    canary: Option<std::path::PathBuf>,
    compiler: Option<Arc<dyn Compiler>>,
}

impl Host {
    fn new() -> Self {
        let base = tempfile::tempdir().unwrap();
        let engine = Pretended {
            directory: base.path().join("cgroup/guard"),
            ..Pretended::default()
        };
        fs::create_dir(base.path().join("cgroup")).unwrap();
        Self {
            base,
            engine: Engine(Rc::new(RefCell::new(engine))),
            canary: None,
            compiler: None,
        }
    }

    fn paths(&self) -> Paths {
        Paths {
            run: self.base.path().join("run"),
            log: self.base.path().join("log"),
        }
    }

    fn parts(&self) -> Parts {
        Parts {
            paths: self.paths(),
            engines: Box::new(self.engine.clone()),
            compiler: self
                .compiler
                .clone()
                .unwrap_or_else(|| Arc::new(Policies::default())),
            cgroups: Box::new(Directories(self.base.path().join("cgroup"))),
            canary: self.canary.clone(),
            stay: false,
            background: false,
        }
    }

    /// Runs a server, and a client on a thread of its own. The server is done away with as
    /// soon as the client is done, as a SIGKILL would, unless it leaves by itself before.
    fn with_server<T: Send + 'static>(
        &self,
        client: impl FnOnce(Paths) -> T + Send + 'static,
    ) -> T {
        let paths = self.paths();
        paths.make().unwrap();
        let lock = Lock::take(&paths).unwrap().expect("nobody has it");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let local = tokio::task::LocalSet::new();
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        local.block_on(&runtime, async {
            let server = daemon::run(self.parts(), lock, move || {
                ready.send(()).unwrap();
                Ok(())
            });
            let client = async move {
                is_ready.await.unwrap();
                tokio::task::spawn_blocking(move || client(paths)).await
            };
            tokio::pin!(server, client);
            let client = tokio::select! {
                result = &mut client => result,
                left = &mut server => {
                    left.unwrap();
                    client.await
                }
            };
            client.unwrap()
        })
    }

    /// Runs a server until it leaves by itself.
    fn with_leaving_server(&self, client: impl FnOnce(Paths) + Send + 'static) {
        let paths = self.paths();
        self.with_server(move |paths| {
            client(paths.clone());
            for _ in 0..1000 {
                if !paths.control().exists() {
                    // The rest of its leaving.
                    std::thread::sleep(Duration::from_millis(200));
                    return;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            panic!("the server has not left");
        });
        assert!(!paths.control().exists());
    }
}

fn connect(paths: &Paths) -> Connection {
    Connection::connect(&paths.control()).unwrap()
}

fn ask(paths: &Paths, request: &Request) -> Response {
    let mut connection = connect(paths);
    connection.send(request, None).unwrap();
    connection.receive().unwrap()
}

fn status(paths: &Paths) -> Status {
    match ask(paths, &Request::Status) {
        Response::Status(status) => *status,
        response => panic!("{response:?}"),
    }
}

fn held(script: &str) -> Held {
    let arguments = ["sh", "-c", script].map(Into::into).to_vec();
    let environment = vec![("PATH".into(), "/usr/bin:/bin".into())];
    let plan = Plan::new("/bin/sh".into(), arguments, environment, None).unwrap();
    plan.fork().unwrap()
}

fn request(name: Option<&str>, policies: &[&Path]) -> Request {
    Request::Start(Start {
        name: name.map(|name| Name::new(name).unwrap()),
        stem: "sh".to_owned(),
        command: vec!["sh".to_owned()],
        user: "root".to_owned(),
        uid: 0,
        home: "/root".into(),
        workspace: None,
        policies: policies
            .iter()
            .map(|path| path.display().to_string())
            .collect(),
        audit: false,
    })
}

/// A session that was started, its connection and its child.
struct Session {
    name: Name,
    id: u32,
    connection: Connection,
    held: Held,
}

fn start(paths: &Paths, script: &str, name: Option<&str>, policies: &[&Path]) -> Session {
    let held = held(script);
    let mut connection = connect(paths);
    connection
        .send(&request(name, policies), Some(held.pidfd()))
        .unwrap();
    match connection.receive().unwrap() {
        Response::Started { session, id, .. } => Session {
            name: session,
            id,
            connection,
            held,
        },
        response => panic!("{response:?}"),
    }
}

fn refusal(paths: &Paths, name: Option<&str>, policies: &[&Path]) -> String {
    let held = held("exit 0");
    let mut connection = connect(paths);
    connection
        .send(&request(name, policies), Some(held.pidfd()))
        .unwrap();
    let response = connection.receive().unwrap();
    held.abandon();
    match accepted(response).unwrap_err() {
        Outcome::Failed(failure) => failure.message,
        Outcome::Again => panic!("it is leaving"),
    }
}

fn wait(pid: Pid) {
    nix::sys::wait::waitpid(pid, None).unwrap();
}

fn eventually(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..300 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{what}: not within three seconds");
}

fn events(paths: &Paths, name: &Name) -> Vec<serde_json::Value> {
    fs::read_dir(&paths.log)
        .unwrap()
        .flatten()
        .filter(|entry| {
            let file = entry.file_name();
            file.to_string_lossy().starts_with(&format!("{name}-2"))
        })
        .flat_map(|entry| {
            let text = fs::read_to_string(entry.path()).unwrap();
            let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
            lines.collect::<Vec<_>>()
        })
        .collect()
}

fn changes(paths: &Paths, name: &Name) -> Vec<String> {
    events(paths, name)
        .iter()
        .map(|event| format!("{} {}", event["event"], event["change"]).replace('"', ""))
        .collect()
}
