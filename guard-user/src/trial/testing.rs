//! Events and policies for the tests, on a host that exists in memory only.

use std::io;
use std::path::Path;

use super::width::Width;
use crate::events::event::{Body, Event, File, Judged, Process, Socket, Target};
use crate::events::samples;
use crate::events::text::Raw;
use crate::policy::compiled::Compiled;
use crate::policy::environment::{Environment, Host, Protected};
use crate::policy::load::{Loader, Source};
use crate::system::links::Resolved;
use crate::system::mounts::Mounts;
use guard_ebpf::operation::{Operation, Reason};

/// A second file system below `/srv/disk`.
const TABLE: &str = "\
20 1 8:1 / / rw - ext4 /dev/sda1 rw
21 20 8:2 / /srv/disk rw - ext4 /dev/sda2 rw
";

pub(super) fn mounts() -> Mounts {
    Mounts::parse(TABLE).expect("a table")
}

pub(super) fn width() -> Width {
    Width {
        home: "/home/ann".into(),
        homes: vec!["/root".into(), "/home/ann".into()],
    }
}

/// A host with one file: the policy.
struct OneFile(String);

impl Host for OneFile {
    fn read(&self, _: &Path) -> io::Result<Vec<u8>> {
        Ok(self.0.clone().into_bytes())
    }

    fn uid(&self, _: &str) -> Option<u32> {
        None
    }

    fn user_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn resolve(&self, path: &Path, _: u32) -> Resolved {
        Resolved::unchanged(path)
    }

    fn is_changeable(&self, _: &Path, _: u32) -> bool {
        false
    }
}

pub(super) fn compiled(text: &str) -> Compiled {
    let environment = Environment {
        user: "ann".into(),
        uid: 1000,
        home: "/home/ann".into(),
        workspace: None,
        repository: None,
        mounts_at_start: mounts(),
        mounts_now: mounts(),
        protected: Protected::default(),
    };
    let loaded =
        Loader::new(&environment, &OneFile(text.to_owned())).load(&[Source::File("p.yaml".into())]);
    loaded
        .unwrap_or_else(|mistakes| panic!("{text}\n{mistakes}"))
        .compiled
}

pub(super) fn verdict(event: &Event) -> &Judged {
    match &event.body {
        Body::Verdict(judged) => judged,
        other => panic!("{other:?}"),
    }
}

/// An event of something that was refused.
pub(super) fn refused(
    operation: Operation,
    target: Target,
    change: impl FnOnce(&mut Judged),
) -> Event {
    let mut event = samples::named("delete");
    if let Body::Verdict(judged) = &mut event.body {
        judged.operation = operation;
        judged.target = target;
        judged.rule = None;
        judged.source = None;
        judged.reason = Reason::Default;
        change(judged);
    }
    event
}

pub(super) fn file(path: &str) -> Target {
    let place = mounts().locate(Path::new(path)).expect("a place");
    Target::File(File {
        path: path.to_owned(),
        directory: false,
        how: None,
        device: format!("{}:{}", place.device >> 20, place.device & 0xf_ffff),
        inode: Some(1),
        raw: Raw::new(),
    })
}

pub(super) fn process(exe: Option<&str>, comm: &str, uid: u32, cgroup: &str) -> Target {
    Target::Process(Process {
        ancestors: None,
        pid: 7,
        tid: 7,
        comm: comm.to_owned(),
        exe: exe.map(str::to_owned),
        uid,
        user: None,
        cgroup: Some(cgroup.to_owned()),
        raw: Raw::new(),
    })
}

pub(super) fn internet(address: &str, port: u16) -> Target {
    Target::Socket(Socket {
        family: "inet".to_owned(),
        socktype: "stream".to_owned(),
        address: Some(address.to_owned()),
        port: Some(port),
        path: None,
        r#abstract: None,
        raw: Raw::new(),
    })
}

pub(super) fn deletion(path: &str) -> Event {
    refused(Operation::Delete, file(path), |_| {})
}
