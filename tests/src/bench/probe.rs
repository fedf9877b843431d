//! The least that a program on a hook can cost: one that does nothing, and one that only looks
//! for a label of the current task. Instruction by instruction, so that no compiler and no
//! library stands between them and the figures.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use anyhow::{Context as _, ensure};
use nix::libc;

/// What the programs do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Empty,
    /// Look for a label in task storage.
    Label,
}

/// The hooks of the measured calls on which guard has programs.
const HOOKS: &[&str] = &[
    "task_kill",
    "inode_unlink",
    "inode_free_security",
    "file_open",
    "file_permission",
    "mmap_file",
    "socket_connect",
    "unix_stream_connect",
    "task_alloc",
    "task_free",
    "bprm_creds_for_exec",
];

/// Commands of `bpf(2)`.
const MAP_CREATE: i32 = 0;
const PROG_LOAD: i32 = 5;
const RAW_TRACEPOINT_OPEN: i32 = 17;
const BTF_LOAD: i32 = 18;

const MAP_TYPE_TASK_STORAGE: u32 = 29;
const F_NO_PREALLOC: u32 = 1;
const PROG_TYPE_LSM: u32 = 29;
const ATTACH_LSM_MAC: u32 = 27;
/// Helper `bpf_task_storage_get`.
const TASK_STORAGE_GET: i32 = 156;
/// Helper `bpf_get_current_task_btf`.
const CURRENT_TASK: i32 = 158;

/// Programs on their hooks, until this goes.
pub struct Attached {
    _descriptors: Vec<OwnedFd>,
}

/// Puts programs on all hooks.
pub fn attach(kind: Kind) -> anyhow::Result<Attached> {
    let kernel = fs::read("/sys/kernel/btf/vmlinux")?;
    let mut descriptors = Vec::new();
    let storage = task_storage().context("task storage")?;
    for hook in HOOKS {
        let name = format!("bpf_lsm_{hook}");
        let function = function(&kernel, &name).with_context(|| format!("no {name}"))?;
        let program = load(&instructions(kind, storage.as_raw_fd()), function)
            .with_context(|| format!("a program on {hook}"))?;
        let mut link = Attribute::new();
        link.put(8, program.as_raw_fd() as u32);
        descriptors.push(link.call(RAW_TRACEPOINT_OPEN)?);
        descriptors.push(program);
    }
    descriptors.push(storage);
    Ok(Attached {
        _descriptors: descriptors,
    })
}

/// One instruction: operation, registers (source in the high half), offset, number.
fn instruction(operation: u8, registers: u8, offset: i16, number: i32) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[0] = operation;
    bytes[1] = registers;
    bytes[2..4].copy_from_slice(&offset.to_le_bytes());
    bytes[4..].copy_from_slice(&number.to_le_bytes());
    bytes
}

fn instructions(kind: Kind, map: i32) -> Vec<[u8; 8]> {
    const MOVE: u8 = 0xb7;
    const MOVE_REGISTER: u8 = 0xbf;
    const LOAD_MAP: u8 = 0x18;
    const LOAD_WORD: u8 = 0x61;
    const CALL: u8 = 0x85;
    const IF_ZERO: u8 = 0x15;
    const EXIT: u8 = 0x95;
    let end = [instruction(MOVE, 0x00, 0, 0), instruction(EXIT, 0, 0, 0)];
    let look_up = [
        instruction(CALL, 0, 0, CURRENT_TASK),
        instruction(MOVE_REGISTER, 0x02, 0, 0),
        // The source register says that the number is a map's descriptor.
        instruction(LOAD_MAP, 0x11, 0, map),
        instruction(0, 0, 0, 0),
        instruction(MOVE, 0x03, 0, 0),
        instruction(MOVE, 0x04, 0, 0),
        instruction(CALL, 0, 0, TASK_STORAGE_GET),
        instruction(IF_ZERO, 0x00, 1, 0),
        instruction(LOAD_WORD, 0x00, 0, 0),
    ];
    match kind {
        Kind::Empty => end.to_vec(),
        Kind::Label => look_up.into_iter().chain(end).collect(),
    }
}

/// The argument of `bpf(2)`: fields by offset, zero but for what is put.
struct Attribute([u64; 16]);

impl Attribute {
    fn new() -> Self {
        Self([0; 16])
    }

    fn put(&mut self, offset: usize, value: u32) {
        self.0[offset / 8] |= u64::from(value) << (offset % 8 * 8);
    }

    fn put_address<T>(&mut self, offset: usize, place: &[T]) {
        self.0[offset / 8] = place.as_ptr() as u64;
    }

    /// Calls. What addresses point to has to live until then.
    fn call(&self, command: i32) -> anyhow::Result<OwnedFd> {
        // SAFETY: the attribute is as long as said; the kernel only reads what it points to.
        let result = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                command,
                self.0.as_ptr(),
                size_of_val(&self.0),
            )
        };
        ensure!(
            result >= 0,
            "bpf({command}): {}",
            io::Error::last_os_error()
        );
        // SAFETY: a new descriptor that nobody else has.
        Ok(unsafe { OwnedFd::from_raw_fd(result as i32) })
    }
}

fn load(instructions: &[[u8; 8]], function: u32) -> anyhow::Result<OwnedFd> {
    let license = b"GPL\0";
    let mut program = Attribute::new();
    program.put(0, PROG_TYPE_LSM);
    program.put(4, u32::try_from(instructions.len())?);
    program.put_address(8, instructions);
    program.put_address(16, license);
    program.put(68, ATTACH_LSM_MAC);
    program.put(108, function);
    program.call(PROG_LOAD)
}

/// A map whose keys are tasks (BTF: a signed word) and whose values have eight bytes.
fn task_storage() -> anyhow::Result<OwnedFd> {
    const INTEGER: u32 = 1 << 24;
    const SIGNED: u32 = 1 << 24;
    let types = [1, INTEGER, 4, SIGNED | 32, 5, INTEGER, 8, 64];
    let strings = b"int\0u64\0";
    let types_length = size_of_val(&types) as u32;
    let header = [
        0x0001_eb9f,
        24,
        0,
        types_length,
        types_length,
        strings.len() as u32 + 1,
    ];
    let mut btf: Vec<u8> = header
        .iter()
        .chain(&types)
        .flat_map(|word: &u32| word.to_le_bytes())
        .collect();
    btf.push(0);
    btf.extend(strings);
    let mut load = Attribute::new();
    load.put_address(0, &btf);
    load.put(16, btf.len() as u32);
    let btf = load.call(BTF_LOAD).context("BTF")?;
    let mut map = Attribute::new();
    for (offset, value) in [
        (0, MAP_TYPE_TASK_STORAGE),
        (4, 4),
        (8, 8),
        (16, F_NO_PREALLOC),
        (48, btf.as_raw_fd() as u32),
        (52, 1),
        (56, 2),
    ] {
        map.put(offset, value);
    }
    map.call(MAP_CREATE)
}

/// The number of a function in BTF.
fn function(btf: &[u8], name: &str) -> Option<u32> {
    const FUNCTION: u32 = 12;
    let word = |at: usize| Some(u32::from_le_bytes(btf.get(at..at + 4)?.try_into().ok()?));
    let header = word(4)? as usize;
    let mut at = header + word(8)? as usize;
    let end = at + word(12)? as usize;
    let strings = header + word(16)? as usize;
    let mut number = 0;
    while at < end {
        number += 1;
        let (string, info) = (word(at)? as usize, word(at + 4)?);
        let (kind, count) = (info >> 24 & 31, (info & 0xffff) as usize);
        let text = btf.get(strings + string..)?;
        if kind == FUNCTION && text.starts_with(name.as_bytes()) && text[name.len()] == 0 {
            return Some(number);
        }
        at += 12
            + match kind {
                // Integer, variable, tag on a declaration.
                1 | 14 | 17 => 4,
                // Array.
                3 => 12,
                // Structure, union, section, enumeration of 64 bits.
                4 | 5 | 15 | 19 => count * 12,
                // Enumeration, prototype.
                6 | 13 => count * 8,
                _ => 0,
            };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernels_hooks_are_found_where_it_has_btf() {
        let Ok(kernel) = fs::read("/sys/kernel/btf/vmlinux") else {
            return;
        };
        assert!(function(&kernel, "vfs_read").is_some());
        assert_eq!(function(&kernel, "no such function"), None);
    }
}
