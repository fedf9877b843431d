//! What rules ask for of a target, from what an event tells of it, and what a policy says of that: by
//! the decision that the kernel makes.

use std::ffi::OsStr;
use std::net::IpAddr;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use guard_ebpf::decision::Decision;
use guard_ebpf::operation::{Operation, Reason};

use crate::events::event::{File, Judged, Process, Socket, Target};
use crate::events::text::{Raw, bytes};
use crate::policy::compiled::Compiled;
use crate::policy::evaluate::{FileFacts, Further, ProcessFacts, SocketFacts};
use crate::system::mounts::Mounts;
use crate::system::{families, signals};

/// Whether an address is this host's.
pub type IsLocal<'host> = &'host dyn Fn(IpAddr) -> bool;

/// What a policy says of one of an event's targets, as if it were done now. `None` where the event
/// does not tell enough: the file is not connected to its root, or lies on a file system of which
/// nothing is known any more; or rules ask what is not told of processes.
///
/// What a session made is not known from events: the decision is that on what is not its own.
#[must_use]
pub fn decide(
    policy: &Compiled,
    judged: &Judged,
    target: &Target,
    mounts: &Mounts,
    is_local: IsLocal<'_>,
) -> Option<Decision> {
    let actor = executable(&judged.actor, mounts);
    let by = policy.by(actor
        .as_ref()
        .map(|(device, path)| (*device, path.as_slice())));
    let operation = judged.operation;
    Some(match target {
        // What a process was executed with, comes from, listens at and belongs to is not told.
        Target::Process(_) if policy.asks_further(operation) => return None,
        Target::Process(process) => {
            let signal = judged.signal.as_deref();
            let signal = signal.map_or(Some(0), signals::number)?;
            by.on_process(operation, signal, &of_process(process, mounts))
        }
        Target::File(file) => {
            let facts = of_file(file, mounts)?;
            match judged.facility {
                Some(facility) if operation == Operation::Machine => {
                    by.on_machine(facility, Some(&facts))
                }
                _ => by.on_file(operation, &facts),
            }
        }
        Target::Socket(socket) => by.on_socket(&of_socket(socket, mounts, is_local)?),
        Target::Machine(machine) => by.on_machine(machine.facility, None),
    })
}

/// Whether it is the same under every policy, or as long as a person's grant lasts.
pub const fn is_fixed(reason: Reason) -> bool {
    match reason {
        Reason::Rule | Reason::Default | Reason::Forgotten | Reason::Limit => false,
        Reason::Own
        | Reason::GuardProcess
        | Reason::GuardPin
        | Reason::Disconnected
        | Reason::TooDeep
        | Reason::Error
        | Reason::Grant => true,
    }
}

fn of_process(process: &Process, mounts: &Mounts) -> ProcessFacts {
    ProcessFacts {
        executable: executable(process, mounts),
        name: bytes("comm", &process.comm, &process.raw),
        uid: process.uid,
        cgroup: process
            .cgroup
            .as_ref()
            .map_or_else(Vec::new, |cgroup| bytes("cgroup", cgroup, &process.raw)),
        further: Further::default(),
    }
}

fn executable(process: &Process, mounts: &Mounts) -> Option<(u32, Vec<u8>)> {
    let path = bytes("exe", process.exe.as_ref()?, &process.raw);
    locate(&path, mounts)
}

fn of_file(file: &File, mounts: &Mounts) -> Option<FileFacts> {
    let path = bytes("path", &file.path, &file.raw);
    let device = device(&file.device)?;
    // Below the root of a file system that can't be seen.
    let unseen = path.strip_prefix(format!("<dev {}>", file.device).as_bytes());
    let (device, path) = match unseen {
        Some(path) => (device, path.to_vec()),
        None => locate(&path, mounts).filter(|(there, _)| *there == device)?,
    };
    Some(FileFacts {
        device,
        path,
        is_directory: file.directory,
        is_own: false,
    })
}

fn of_socket(socket: &Socket, mounts: &Mounts, is_local: IsLocal<'_>) -> Option<SocketFacts> {
    let exact = |field, text: &str, raw: &Raw| bytes(field, text, raw);
    if let Some(path) = &socket.path {
        let (device, path) = locate(&exact("path", path, &socket.raw), mounts)?;
        return Some(SocketFacts::File(FileFacts {
            device,
            path,
            is_directory: false,
            is_own: false,
        }));
    }
    if let Some(name) = &socket.r#abstract {
        return Some(SocketFacts::Abstract(exact("abstract", name, &socket.raw)));
    }
    if let (Some(address), Some(port)) = (&socket.address, socket.port) {
        let address: IpAddr = address.parse().ok()?;
        return Some(SocketFacts::Internet {
            address,
            port,
            is_free: socket.socktype == "dgram" || !is_local(address),
        });
    }
    let family = families::number(&socket.family).or_else(|| socket.family.parse().ok())?;
    u8::try_from(family).ok().map(SocketFacts::Other)
}

/// Where a path lies: the file system's device number, and the path from its root.
fn locate(path: &[u8], mounts: &Mounts) -> Option<(u32, Vec<u8>)> {
    let place = mounts.locate(Path::new(OsStr::from_bytes(path)))?;
    Some((place.device, place.path.into_os_string().into_vec()))
}

/// The number of a device that an event writes as `major:minor`.
pub fn device(text: &str) -> Option<u32> {
    let (major, minor) = text.split_once(':')?;
    let (major, minor): (u32, u32) = (major.parse().ok()?, minor.parse().ok()?);
    (major < 1 << 12 && minor < 1 << 20).then_some(major << 20 | minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_as_they_are_written() {
        assert_eq!(device("8:1"), Some(8 << 20 | 1));
        assert_eq!(device("0:22"), Some(22));
        for wrong in ["8", "8:", "a:1", "4096:0", "0:1048576"] {
            assert_eq!(device(wrong), None, "{wrong}");
        }
    }
}
