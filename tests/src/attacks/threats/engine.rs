//! What keeps guard's engine in force (I). The tests of `guard::` attack guard's own processes and
//! files; here is what a session would undo the kernel's side with, on targets of the test's.

use std::fs;

use anyhow::ensure;
use nix::libc;

use super::scene::{NAMESPACES, Scene, Stage, does, fresh, setting, string, words32, words64};
use super::{Row, both, root};
use crate::support::cases::until;
use crate::support::guard::PINS;
use crate::support::raw::{self, call};

/// Commands of `bpf(2)`.
const MAP_CREATE: usize = 0;
const MAP_UPDATE: usize = 2;
const MAP_LOOKUP: usize = 1;
const PROG_LOAD: usize = 5;
const OBJ_PIN: usize = 6;
const OBJ_GET: usize = 7;
const MAP_BY_ID: usize = 14;
const INFO: usize = 15;
const MAP_FREEZE: usize = 22;
const BPFFS: &str = "/sys/fs/bpf";

/// `union bpf_attr` is longer; the kernel takes the rest for zero.
const SIZE: usize = 72;

fn bpf(command: usize, attributes: &mut [u64; 9]) -> Result<usize, nix::errno::Errno> {
    let address = attributes.as_mut_ptr() as usize;
    call(libc::SYS_bpf, &[command, address, SIZE])
}

/// A map of the machine's with one value.
struct Map {
    descriptor: usize,
    id: u32,
}

impl Map {
    fn make() -> anyhow::Result<Self> {
        // An array of one element of eight bytes.
        let mut attributes = [2 | 4 << 32, 8 | 1 << 32, 0, 0, 0, 0, 0, 0, 0];
        let descriptor = bpf(MAP_CREATE, &mut attributes)?;
        let mut information = [0_u32; 32];
        let mut attributes = [0; 9];
        attributes[0] = descriptor as u64 | (size_of_val(&information) as u64) << 32;
        attributes[1] = information.as_mut_ptr() as u64;
        bpf(INFO, &mut attributes)?;
        Ok(Self {
            descriptor,
            id: information[1],
        })
    }

    fn value(&self) -> u64 {
        let (key, mut value) = (0_u32, 0_u64);
        let mut attributes = [0; 9];
        attributes[0] = self.descriptor as u64;
        attributes[1] = (&raw const key) as u64;
        attributes[2] = (&raw mut value) as u64;
        let _ = bpf(MAP_LOOKUP, &mut attributes);
        value
    }

    fn set(&self, value: u64) -> bool {
        let key = 0_u32;
        let mut attributes = [0; 9];
        attributes[0] = self.descriptor as u64;
        attributes[1] = (&raw const key) as u64;
        attributes[2] = (&raw const value) as u64;
        bpf(MAP_UPDATE, &mut attributes).is_ok()
    }

    /// Gives it a name in bpffs.
    fn pin(&self, path: &str) -> anyhow::Result<()> {
        let name = raw::c_string(path);
        let mut attributes = [0; 9];
        attributes[0] = name.as_ptr() as u64;
        attributes[1] = self.descriptor as u64;
        bpf(OBJ_PIN, &mut attributes)?;
        Ok(())
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        let _ = call(libc::SYS_close, &[self.descriptor]);
    }
}

/// Attributes of which the first words are these.
fn attributes(words: &[u64]) -> String {
    let mut all = [0; 9];
    all[..words.len()].copy_from_slice(words);
    words64(&all)
}

/// An update of the map that the script's first call has a descriptor of.
const UPDATE: &str = "v:$1,x:00000000,x:0700000000000000,0,0,0,0,0,0";

/// A map with a pin, both gone in the end.
fn pinned() -> anyhow::Result<(Map, String)> {
    let map = Map::make()?;
    let path = format!("{BPFFS}/other-{}", fresh());
    map.pin(&path)?;
    Ok((map, path))
}

fn is_mounted() -> bool {
    fs::read_to_string("/proc/self/mounts").is_ok_and(|text| {
        text.lines()
            .any(|line| line.starts_with("bpf /sys/fs/bpf "))
    })
}

fn mount_again() {
    if !is_mounted() {
        let words = [
            c"bpf".as_ptr() as usize,
            c"/sys/fs/bpf".as_ptr() as usize,
            c"bpf".as_ptr() as usize,
            0,
            c"mode=700".as_ptr() as usize,
        ];
        let _ = call(libc::SYS_mount, &words);
    }
}

fn on_pin(script: impl FnOnce(&str) -> super::scene::Script) -> anyhow::Result<Scene> {
    let (map, path) = pinned()?;
    let (seen, undone) = (path.clone(), path.clone());
    Ok(script(&path)
        .scene()
        .shows(move || !fs::exists(&seen).unwrap_or(true))
        .undo(move || {
            let _ = fs::remove_file(undone);
        })
        .keep(map))
}

/// A second bpffs in a namespace of its own, and a map that is pinned there.
fn second(stage: &Stage<'_>) -> anyhow::Result<Scene> {
    let place = stage.directory()?;
    Ok(does(NAMESPACES, &[&libc::CLONE_NEWNS])
        .then(
            libc::SYS_bpf,
            &[&MAP_CREATE, &attributes(&[2 | 4 << 32, 8 | 1 << 32]), &SIZE],
        )
        .then(
            libc::SYS_mount,
            &[
                &string("bpf"),
                &string(&place),
                &string("bpf"),
                &0,
                &string(""),
            ],
        )
        .scene())
}

pub const ROWS: &[Row] = &[
    // From 7.3 on the kernel itself refuses it while programs are attached.
    root("I1", "the kernel's function tracing switched off", |_| {
        // What is attached must not be detached meanwhile: the kernel stumbles.
        let attached = || {
            fs::read_to_string("/sys/kernel/tracing/enabled_functions")
                .is_ok_and(|text| !text.is_empty())
        };
        if !fs::exists("/run/guard/control.sock")? {
            let _ = fs::remove_dir_all(PINS);
            let patience = crate::support::guard::PATIENCE;
            ensure!(
                until(patience, || !attached()),
                "programs of an earlier test are still there"
            );
        }
        setting("/proc/sys/kernel/ftrace_enabled", "0")
    })
    .before(7, 3),
    root("I5", "a map made", |_| {
        Ok(does(
            libc::SYS_bpf,
            &[&MAP_CREATE, &attributes(&[2 | 4 << 32, 8 | 1 << 32]), &SIZE],
        )
        .scene())
    }),
    root("A26", "a program loaded", |_| {
        // r0 = 0; exit: a socket filter of two instructions.
        let load = "v:8589934593,x:b7000000000000009500000000000000,t:GPL,0,0,0,0,0,0";
        Ok(does(libc::SYS_bpf, &[&PROG_LOAD, &load, &SIZE]).scene())
    }),
    root("I5", "a map of somebody's changed", |_| {
        let map = Map::make()?;
        let id = map.id;
        Ok(does(
            libc::SYS_bpf,
            &[&MAP_BY_ID, &attributes(&[u64::from(id)]), &SIZE],
        )
        .then(libc::SYS_bpf, &[&MAP_UPDATE, &UPDATE, &SIZE])
        .scene()
        .shows(move || map.value() == 7))
    }),
    root("I5", "a map of somebody's frozen", |_| {
        let map = Map::make()?;
        let id = map.id;
        Ok(does(
            libc::SYS_bpf,
            &[&MAP_BY_ID, &attributes(&[u64::from(id)]), &SIZE],
        )
        .then(
            libc::SYS_bpf,
            &[&MAP_FREEZE, &"v:$1,0,0,0,0,0,0,0,0", &SIZE],
        )
        .scene()
        .shows(move || !map.set(0)))
    }),
    root("I5", "a pinned map changed", |_| {
        let (map, path) = pinned()?;
        let undone = path.clone();
        let get = format!("v:t:{path},0,0,0,0,0,0,0,0");
        Ok(does(libc::SYS_bpf, &[&OBJ_GET, &get, &SIZE])
            .then(libc::SYS_bpf, &[&MAP_UPDATE, &UPDATE, &SIZE])
            .scene()
            .shows(move || map.value() == 7)
            .undo(move || {
                let _ = fs::remove_file(undone);
            }))
    }),
    root("I4", "programs and links looked up", |_| {
        // BPF_BTF_GET_FD_BY_ID of the kernel itself: what is by id is not the session's.
        Ok(does(libc::SYS_bpf, &[&19, &words32(&[1, 0, 0, 0]), &16]).scene())
    }),
    root("I2", "a pin removed", |_| {
        on_pin(|path| does(libc::SYS_unlink, &[&string(path)]))
    }),
    root("I2", "a pin renamed", |_| {
        on_pin(|path| {
            let to = string(format_args!("{path}-moved"));
            does(libc::SYS_rename, &[&string(path), &to])
        })
    }),
    root("I2", "a pin that nobody may read", |_| {
        let (map, path) = pinned()?;
        let (seen, undone) = (path.clone(), path.clone());
        Ok(does(libc::SYS_chmod, &[&string(path), &0])
            .scene()
            .shows(move || {
                use std::os::unix::fs::PermissionsExt as _;
                fs::metadata(&seen).is_ok_and(|m| m.permissions().mode() & 0o400 == 0)
            })
            .undo(move || {
                let _ = fs::remove_file(undone);
            })
            .keep(map))
    }),
    root("I22", "a second bpffs", |s| second(s)),
    both("I5", "no look at bpf is needed", |_| {
        Ok(does(
            libc::SYS_statfs,
            &[&string("/sys/fs"), &super::scene::bytes(&[0; 120])],
        )
        .scene())
    })
    .twin(),
    // Last: what was pinned is gone with the mount.
    root("I3", "a mount over bpffs", |_| {
        ensure!(is_mounted(), "bpffs is not mounted");
        Ok(does(
            libc::SYS_mount,
            &[
                &string("none"),
                &string(BPFFS),
                &string("tmpfs"),
                &0,
                &string(""),
            ],
        )
        .scene()
        .shows(|| {
            fs::read_to_string("/proc/self/mounts")
                .is_ok_and(|text| text.contains(" /sys/fs/bpf tmpfs "))
        })
        .undo(|| {
            while fs::read_to_string("/proc/self/mounts")
                .is_ok_and(|text| text.contains(" /sys/fs/bpf tmpfs "))
            {
                let _ = call(libc::SYS_umount2, &[c"/sys/fs/bpf".as_ptr() as usize, 0]);
            }
        }))
    }),
    root("I3", "bpffs unmounted", |_| {
        ensure!(is_mounted(), "bpffs is not mounted");
        Ok(
            does(libc::SYS_umount2, &[&string(BPFFS), &libc::MNT_DETACH])
                .scene()
                .shows(|| !is_mounted())
                .undo(mount_again),
        )
    }),
];
