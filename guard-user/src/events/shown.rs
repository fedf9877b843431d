//! Who did something, and to what, in a line: names for people, escaped.

use super::event::{Ancestor, File, How, Judged, Machine, Process, Socket, Target};
use super::fold::MAX_TOLD_APART;
use super::lines::Look;
use super::text::{bytes, escaped, shortened, shortened_path, width};
use guard_ebpf::operation::Facility;
use std::fmt::Write;

/// The room for command names, which are kept short so that the target has its own.
const COMM_ROOM: usize = 16;

/// The least room for a target; with less it gets a line of its own.
pub const TARGET_ROOM: usize = 20;

/// In which way something was done, where that is not what the operation's name says.
pub const fn manner(target: &Target) -> &'static str {
    match target {
        Target::File(File { how: Some(how), .. }) => match how {
            How::Rename => " (rename)",
            How::Link => " (link)",
            How::Unmount => " (unmount)",
            How::Unlink | How::Write | How::Mount => "",
        },
        _ => "",
    }
}

/// `comm[pid]`
pub fn process(process: &Process) -> String {
    format!("{}[{}]", comm(process), process.pid)
}

/// By way of which processes of the session an actor came, from the first one on, in so many columns;
/// those in the middle are left out where it would be more. None where it is not known, or there are
/// none.
pub fn origin(actor: &Process, look: Look, room: usize) -> Option<String> {
    const STEP: &str = " › ";
    let name = |it: &Ancestor| {
        let comm = escaped(&bytes("comm", &it.comm, &it.raw));
        shortened(&comm, COMM_ROOM)
    };
    let names: Vec<String> = actor.ancestors.iter().flatten().rev().map(name).collect();
    // The first one says which program it all comes from; the last ones, which of its doings.
    let (first, rest) = names.split_first()?;
    (0..rest.len().max(1))
        .map(|left_out| match left_out {
            0 => names.join(STEP),
            _ => format!("{first}{STEP}…{STEP}{}", rest[left_out..].join(STEP)),
        })
        .find(|shown| look.whole || width(shown) <= room)
}

/// The command name.
pub fn comm(process: &Process) -> String {
    let comm = escaped(&bytes("comm", &process.comm, &process.raw));
    shortened(&comm, COMM_ROOM)
}

/// The target in so many columns, or as few as it makes sense in.
pub fn target(judged: &Judged, room: usize, whole: bool) -> String {
    let within = |name: &str| {
        if whole {
            name.to_owned()
        } else {
            shortened_path(name, room.max(TARGET_ROOM))
        }
    };
    match &judged.target {
        Target::Process(it) => {
            let shown = process(it);
            // Whose it is, where that is somebody else and there is room to say so.
            let user = it.user.clone().unwrap_or_else(|| it.uid.to_string());
            let owned = format!("{shown} of {}", escaped(user.as_bytes()));
            let fits = width(&owned) <= room;
            if it.uid != judged.actor.uid && fits {
                owned
            } else {
                shown
            }
        }
        Target::File(file) => {
            let mut path = escaped(&bytes("path", &file.path, &file.raw));
            if file.directory && !path.ends_with('/') {
                path.push('/');
            }
            within(&path)
        }
        Target::Socket(it) => within(&socket(it)),
        Target::Machine(it) => machine(it),
    }
}

/// A socket: a path, `@name`, `127.0.0.1:80`, `[::1]:80`, or its family; escaped.
pub fn socket(socket: &Socket) -> String {
    let exact = |field, text: &str| escaped(&bytes(field, text, &socket.raw));
    if let Some(path) = &socket.path {
        exact("path", path)
    } else if let Some(name) = &socket.r#abstract {
        format!("@{}", exact("abstract", name))
    } else if let (Some(address), Some(port)) = (&socket.address, socket.port) {
        let address = escaped(address.as_bytes());
        if address.contains(':') {
            format!("[{address}]:{port}")
        } else {
            format!("{address}:{port}")
        }
    } else {
        format!("a socket of family {}", escaped(socket.family.as_bytes()))
    }
}

/// What there is to say of the use of a facility; often nothing.
pub fn machine(machine: &Machine) -> String {
    if let Some(capability) = &machine.capability {
        return format!("CAP_{}", escaped(capability.as_bytes()));
    }
    let Some(number) = machine.number else {
        return String::new();
    };
    match machine.facility {
        Facility::Disks | Facility::Devices => {
            format!("device {}:{}", number >> 20, number & ((1 << 20) - 1))
        }
        Facility::Terminals | Facility::FileSystems => format!("ioctl {number:#x}"),
        Facility::Ipc => format!("object {number}"),
        _ => format!("command {number}"),
    }
}

/// How much there is beside the first target.
pub fn more(judged: &Judged) -> String {
    let mut more = String::new();
    if judged.others > 0 {
        let at_least = if judged.others + 1 >= MAX_TOLD_APART as u64 {
            "+"
        } else {
            ""
        };
        let noun = if judged.others == 1 {
            "other"
        } else {
            "others"
        };
        let _ = write!(more, " and {}{at_least} {noun}", judged.others);
    }
    // Where each target was met once, the others tell the count.
    if judged.count > judged.others + 1 {
        let _ = write!(more, " ×{}", judged.count);
    }
    more
}
