//! The codec: bytes from the ring buffer become a checked [`Record`].
//!
//! The layouts are those of [`guard_ebpf::record`]; fields are read at their offsets, so
//! neither alignment nor the values of the bytes are trusted. Whatever doesn't fit is an
//! error that the pipeline counts, never a panic.

use super::event::How;
use super::record::{
    FileTarget, FsPath, MachineTarget, Record, RecordError, SocketPlace, SocketTarget, What,
};
use crate::system::families;
use guard_ebpf::abi::MAX_SIGNAL;
use guard_ebpf::operation::{Facility, Operation, Reason, Verdict};
use guard_ebpf::policy::MAX_RULES;
use guard_ebpf::record::{
    ExecutableKey, ExecutableRecord, FLAG_ABSTRACT, FLAG_DIRECTORY, FLAG_LINK, FLAG_RENAME,
    FLAG_TRUNCATED, FLAG_UNDER_RULE, FLAG_UNMOUNT, FileRecord, Header, Kind, MachineRecord,
    NO_NUMBER, PATH_BUFFER, ProcessRecord, SocketRecord, Task,
};
use std::mem::offset_of;
use std::net::Ipv6Addr;

impl Record {
    /// Decodes what the kernel wrote.
    ///
    /// Bytes after the record are ignored, and the unused end of a path's buffer may be
    /// missing.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let bytes = Bytes(bytes);
        bytes.needs(size_of::<Header>())?;
        let number = bytes.byte(offset_of!(Header, kind))?;
        let kind = [
            Kind::Process,
            Kind::File,
            Kind::Socket,
            Kind::Machine,
            Kind::Executable,
            Kind::Ended,
        ]
        .into_iter()
        .find(|kind| *kind as u8 == number)
        .ok_or(RecordError::Number {
            field: "kind",
            value: number.into(),
        })?;
        match kind {
            Kind::Process => process(bytes),
            Kind::File => file(bytes),
            Kind::Executable => executable(bytes),
            Kind::Socket => socket(bytes),
            Kind::Machine => machine(bytes),
            Kind::Ended => Ok(Self::Ended {
                session: bytes.u32(offset_of!(Header, session))?,
                time: bytes.u64(offset_of!(Header, time))?,
            }),
        }
    }
}

fn process(bytes: Bytes<'_>) -> Result<Record, RecordError> {
    bytes.needs(size_of::<ProcessRecord>())?;
    let what = what(bytes)?;
    if !what.operation.is_on_process() {
        return Err(RecordError::Mismatch(what.operation));
    }
    Ok(Record::Process {
        what,
        actor: task(bytes, offset_of!(ProcessRecord, actor))?,
        target: task(bytes, offset_of!(ProcessRecord, target))?,
    })
}

fn file(bytes: Bytes<'_>) -> Result<Record, RecordError> {
    bytes.needs(offset_of!(FileRecord, path))?;
    let what = what(bytes)?;
    if !what.operation.is_on_file() {
        return Err(RecordError::Mismatch(what.operation));
    }
    let flags = bytes.byte(offset_of!(Header, flags))?;
    let length = bytes.u32(offset_of!(FileRecord, length))?;
    Ok(Record::File {
        what,
        actor: task(bytes, offset_of!(FileRecord, actor))?,
        target: FileTarget {
            inode: bytes.u64(offset_of!(FileRecord, inode))?,
            device: bytes.u32(offset_of!(FileRecord, device))?,
            path: path(bytes, offset_of!(FileRecord, path), length, flags)?,
            directory: flags & FLAG_DIRECTORY != 0,
            how: how(what.operation, flags),
        },
    })
}

/// In which way something was done to a file, where the operation leaves that open.
const fn how(operation: Operation, flags: u8) -> Option<How> {
    match operation {
        _ if flags & FLAG_RENAME != 0 => Some(How::Rename),
        _ if flags & FLAG_LINK != 0 => Some(How::Link),
        Operation::Delete => Some(How::Unlink),
        Operation::Overwrite => Some(How::Write),
        Operation::Mount if flags & FLAG_UNMOUNT != 0 => Some(How::Unmount),
        Operation::Mount => Some(How::Mount),
        _ => None,
    }
}

fn socket(bytes: Bytes<'_>) -> Result<Record, RecordError> {
    bytes.needs(offset_of!(SocketRecord, path))?;
    let what = what(bytes)?;
    if what.operation != Operation::Connect {
        return Err(RecordError::Mismatch(what.operation));
    }
    let flags = bytes.byte(offset_of!(Header, flags))?;
    let family = bytes.u16(offset_of!(SocketRecord, family))?;
    let length = bytes.u32(offset_of!(SocketRecord, length))?;
    let device = bytes.u32(offset_of!(SocketRecord, device))?;
    let at = offset_of!(SocketRecord, path);
    let place = match family {
        families::INET | families::INET6 => {
            let address: [u8; 16] = bytes.array(offset_of!(SocketRecord, address))?;
            let port = bytes.u16(offset_of!(SocketRecord, port))?;
            SocketPlace::Internet(Ipv6Addr::from(address).to_canonical(), port)
        }
        _ if flags & FLAG_ABSTRACT != 0 => {
            let name = bytes.buffer(at, length)?;
            // What could not be read is zero.
            let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
            SocketPlace::Abstract(name.to_vec())
        }
        _ if length > 0 => SocketPlace::File(device, path(bytes, at, length, flags)?),
        _ => SocketPlace::Unknown,
    };
    Ok(Record::Socket {
        what,
        actor: task(bytes, offset_of!(SocketRecord, actor))?,
        target: SocketTarget {
            family,
            socktype: bytes.u16(offset_of!(SocketRecord, kind))?,
            place,
        },
    })
}

fn machine(bytes: Bytes<'_>) -> Result<Record, RecordError> {
    bytes.needs(size_of::<MachineRecord>())?;
    let what = what(bytes)?;
    let Some(facility) = what.facility else {
        return Err(RecordError::Mismatch(what.operation));
    };
    let some = |number| (number != NO_NUMBER).then_some(number);
    Ok(Record::Machine {
        what,
        actor: task(bytes, offset_of!(MachineRecord, actor))?,
        target: MachineTarget {
            facility,
            capability: some(bytes.u32(offset_of!(MachineRecord, capability))?),
            number: some(bytes.u32(offset_of!(MachineRecord, number))?),
        },
    })
}

fn executable(bytes: Bytes<'_>) -> Result<Record, RecordError> {
    bytes.needs(offset_of!(ExecutableRecord, path))?;
    let flags = bytes.byte(offset_of!(Header, flags))?;
    let length = bytes.u32(offset_of!(ExecutableRecord, length))?;
    Ok(Record::Executable {
        key: key(bytes, offset_of!(ExecutableRecord, executable))?,
        path: path(bytes, offset_of!(ExecutableRecord, path), length, flags)?,
    })
}

fn what(bytes: Bytes<'_>) -> Result<What, RecordError> {
    let wrong = |field, value: u8| RecordError::Number {
        field,
        value: value.into(),
    };
    let number = bytes.byte(offset_of!(Header, operation))?;
    let operation = Operation::from_number(number).ok_or(wrong("operation", number))?;
    let number = bytes.byte(offset_of!(Header, verdict))?;
    let verdict = Verdict::from_number(number).ok_or(wrong("verdict", number))?;
    let number = bytes.byte(offset_of!(Header, reason))?;
    let reason = Reason::from_number(number).ok_or(wrong("reason", number))?;
    let rule = bytes.byte(offset_of!(Header, rule))?;
    if usize::from(rule) >= MAX_RULES {
        return Err(wrong("rule", rule));
    }
    let detail = bytes.byte(offset_of!(Header, detail))?;
    let (mut signal, mut facility) = (0, None);
    match operation {
        Operation::Signal if u32::from(detail) > MAX_SIGNAL => return Err(wrong("signal", detail)),
        Operation::Signal => signal = detail,
        Operation::Machine => {
            let known = Facility::from_number(detail);
            facility = Some(known.ok_or(wrong("facility", detail))?);
        }
        _ => {}
    }
    Ok(What {
        operation,
        verdict,
        reason,
        rule,
        under_rule: bytes.byte(offset_of!(Header, flags))? & FLAG_UNDER_RULE != 0,
        signal,
        facility,
        session: bytes.u32(offset_of!(Header, session))?,
        policy: bytes.u32(offset_of!(Header, policy))?,
        time: bytes.u64(offset_of!(Header, time))?,
    })
}

fn task(bytes: Bytes<'_>, at: usize) -> Result<Task, RecordError> {
    Ok(Task {
        pid: bytes.u32(at + offset_of!(Task, pid))?,
        tid: bytes.u32(at + offset_of!(Task, tid))?,
        uid: bytes.u32(at + offset_of!(Task, uid))?,
        parent: bytes.u32(at + offset_of!(Task, parent))?,
        start: bytes.u64(at + offset_of!(Task, start))?,
        executable: key(bytes, at + offset_of!(Task, executable))?,
        cgroup: bytes.u64(at + offset_of!(Task, cgroup))?,
        comm: bytes.array(at + offset_of!(Task, comm))?,
    })
}

fn key(bytes: Bytes<'_>, at: usize) -> Result<ExecutableKey, RecordError> {
    Ok(ExecutableKey {
        inode: bytes.u64(at + offset_of!(ExecutableKey, inode))?,
        device: bytes.u32(at + offset_of!(ExecutableKey, device))?,
        reserved: 0,
    })
}

/// Turns a path from the leaf up (`file\0dir\0top\0`) round.
fn path(bytes: Bytes<'_>, at: usize, length: u32, flags: u8) -> Result<FsPath, RecordError> {
    let leaf_first = bytes.buffer(at, length)?;
    let names: Vec<&[u8]> = leaf_first
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty())
        .rev()
        .collect();
    Ok(FsPath {
        bytes: names.join(&b'/'),
        truncated: flags & FLAG_TRUNCATED != 0,
    })
}

/// Reads at offsets, in the machine's own byte order: the kernel that wrote runs on it.
#[derive(Clone, Copy)]
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    /// What is used of a path's buffer.
    fn buffer(self, at: usize, length: u32) -> Result<&'a [u8], RecordError> {
        // A name that could not be read counts for more than it is, and is empty.
        let length = (length as usize).min(PATH_BUFFER);
        self.needs(at + length)?;
        Ok(&self.0[at..at + length])
    }

    fn needs(self, needed: usize) -> Result<(), RecordError> {
        let length = self.0.len();
        if length < needed {
            return Err(RecordError::Short { length, needed });
        }
        Ok(())
    }

    fn array<const N: usize>(self, at: usize) -> Result<[u8; N], RecordError> {
        self.needs(at + N)?;
        let mut array = [0; N];
        array.copy_from_slice(&self.0[at..at + N]);
        Ok(array)
    }

    fn byte(self, at: usize) -> Result<u8, RecordError> {
        self.array::<1>(at).map(|[byte]| byte)
    }

    fn u16(self, at: usize) -> Result<u16, RecordError> {
        self.array(at).map(u16::from_ne_bytes)
    }

    fn u32(self, at: usize) -> Result<u32, RecordError> {
        self.array(at).map(u32::from_ne_bytes)
    }

    fn u64(self, at: usize) -> Result<u64, RecordError> {
        self.array(at).map(u64::from_ne_bytes)
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
