//! Terminals of others (A19, A20), its own (A17), and descriptors that somebody outside hands in (H15, H16).

use std::fs::{self, File, OpenOptions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{OpenOptionsExt as _, chown};
use std::os::unix::net::UnixListener;

use nix::libc::{self, O_NOCTTY, O_RDONLY, O_RDWR};

use super::scene::{
    Helper, STORE, Scene, Stage, does, file, fresh, is_whole, open, ready, rest, string,
};
use super::{Row, both, root};
use crate::support::raw::{self, call};

/// `TIOCSPTLCK`, `TIOCGPTN`, `TIOCSIG`, `TIOCVHANGUP`.
const UNLOCK: usize = 0x4004_5431;
const NUMBER: usize = 0x8004_5430;
const HANG_UP: u64 = 0x5437;

/// Somebody's terminal, and a process that sits there.
struct Terminal {
    master: OwnedFd,
    path: String,
    process: Helper,
}

fn terminal(stage: &Stage<'_>) -> anyhow::Result<Terminal> {
    use std::os::fd::AsRawFd as _;
    let master = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(O_NOCTTY)
        .open("/dev/ptmx")?;
    let descriptor = master.as_raw_fd() as usize;
    let (zero, mut number) = (0_i32, 0_i32);
    call(
        libc::SYS_ioctl,
        &[descriptor, UNLOCK, (&raw const zero) as usize],
    )?;
    call(
        libc::SYS_ioctl,
        &[descriptor, NUMBER, (&raw mut number) as usize],
    )?;
    let path = format!("/dev/pts/{number}");
    chown(&path, Some(stage.uid), Some(stage.uid))?;
    let at = path.clone();
    let process = Helper::start(stage.uid, move || {
        let _ = call(libc::SYS_setsid, &[]);
        // The leader of a session takes the first terminal that it opens.
        let _ = raw::open(&at, O_RDWR);
        ready();
        rest()
    })?;
    Ok(Terminal {
        master: master.into(),
        path,
        process,
    })
}

fn is_gone(pid: i32) -> bool {
    matches!(crate::support::process::state(pid), None | Some('Z' | 'X'))
}

/// Whether something came out at the terminal's other end.
fn has_said(master: &OwnedFd) -> bool {
    use std::os::fd::AsRawFd as _;
    let mut bytes = 0_i32;
    let words = [
        master.as_raw_fd() as usize,
        libc::FIONREAD as usize,
        (&raw mut bytes) as usize,
    ];
    call(libc::SYS_ioctl, &words).is_ok() && bytes > 0
}

/// Something of the machine's that the attacker is handed.
fn handed(descriptor: impl Into<OwnedFd>, number: i64, words: &[&dyn std::fmt::Display]) -> Scene {
    let mut arguments: Vec<&dyn std::fmt::Display> = vec![&"received"];
    arguments.extend(words);
    does(number, &arguments).scene().send(descriptor.into())
}

fn open_file(stage: &Stage<'_>) -> anyhow::Result<(File, String)> {
    let path = stage.file()?;
    let file = OpenOptions::new().read(true).write(true).open(&path)?;
    Ok((file, path))
}

pub const ROWS: &[Row] = &[
    root("A20", "^C typed into a terminal (TIOCSTI)", |s| {
        let terminal = terminal(s)?;
        let pid = terminal.process.pid;
        Ok(does(
            libc::SYS_ioctl,
            &[
                &file(O_RDWR | O_NOCTTY, &terminal.path),
                &libc::TIOCSTI,
                &string("\u{3}"),
            ],
        )
        .scene()
        .shows(move || is_gone(pid))
        .keep(terminal.process)
        .keep(terminal.master))
    }),
    root("A19", "a terminal hung up", |s| {
        let terminal = terminal(s)?;
        let pid = terminal.process.pid;
        Ok(does(
            libc::SYS_ioctl,
            &[&file(O_RDWR | O_NOCTTY, &terminal.path), &HANG_UP, &0],
        )
        .scene()
        .shows(move || is_gone(pid))
        .keep(terminal.process)
        .keep(terminal.master))
    }),
    both("H11", "written to somebody's screen", |s| {
        let terminal = terminal(s)?;
        let master = terminal.master;
        Ok(does(
            libc::SYS_write,
            &[
                &file(O_RDWR | O_NOCTTY, &terminal.path),
                &string("\u{1b}[c"),
                &3,
            ],
        )
        .scene()
        .shows(move || has_said(&master))
        .keep(terminal.process))
    }),
    both("A19", "somebody's terminal opened", |s| {
        let terminal = terminal(s)?;
        Ok(open(&terminal.path, O_RDONLY | O_NOCTTY)
            .scene()
            .keep(terminal.process)
            .keep(terminal.master))
    }),
    both("A17", "a terminal of its own", |_| {
        Ok(open("/dev/ptmx", O_RDWR | O_NOCTTY)
            .then(
                libc::SYS_ioctl,
                &[&"$1", &UNLOCK, &super::scene::words32(&[0])],
            )
            // TIOCGPTPEER: the other end, opened.
            .then(libc::SYS_ioctl, &[&"$1", &0x5441, &(O_RDWR | O_NOCTTY)])
            .then(libc::SYS_write, &[&"$1", &string("x"), &1])
            .then(libc::SYS_write, &[&"$3", &string("y"), &1])
            .scene())
    })
    .twin(),
    both("H16", "a file handed in, written", |s| {
        let (file, path) = open_file(s)?;
        Ok(handed(file, libc::SYS_write, &[&string("harm"), &4]).shows(move || !is_whole(&path)))
    }),
    both("H16", "a file handed in, truncated", |s| {
        let (file, path) = open_file(s)?;
        Ok(handed(file, libc::SYS_ftruncate, &[&0]).shows(move || !is_whole(&path)))
    }),
    both("H16", "a file handed in, mapped", |s| {
        let (file, path) = open_file(s)?;
        Ok(does(
            libc::SYS_mmap,
            &[&0, &4096, &3, &libc::MAP_SHARED, &"received", &0],
        )
        .then(STORE, &[&"$1", &65])
        .scene()
        .send(file.into())
        .shows(move || !is_whole(&path)))
    }),
    both("H16", "a file handed in, punched", |s| {
        let (file, path) = open_file(s)?;
        Ok(handed(file, libc::SYS_fallocate, &[&3, &0, &4096]).shows(move || !is_whole(&path)))
    }),
    both("H16", "a disk handed in", |_| {
        let disk = File::open("/dev/nvme0n1")?;
        Ok(handed(
            disk,
            libc::SYS_read,
            &[&super::scene::bytes(&[0; 16]), &16],
        ))
    }),
    root("H16", "a setting handed in", |_| {
        let path = "/proc/sys/vm/swappiness";
        let before = fs::read_to_string(path)?;
        let seen = before.clone();
        let setting = OpenOptions::new().write(true).open(path)?;
        Ok(handed(setting, libc::SYS_write, &[&string("13"), &2])
            .shows(move || fs::read_to_string(path).is_ok_and(|text| text != seen))
            .undo(move || {
                let _ = fs::write(path, before.trim());
            }))
    }),
    both("H16", "a directory handed in, emptied", |s| {
        let path = s.file()?;
        let (parent, _) = path.rsplit_once('/').unwrap_or(("/", ""));
        let directory = File::open(parent)?;
        Ok(
            handed(directory, libc::SYS_unlinkat, &[&string("file"), &0])
                .shows(move || !is_whole(&path)),
        )
    }),
    both("H16", "a pipe handed in", |_| {
        let (reader, writer) = std::io::pipe()?;
        Ok(handed(writer, libc::SYS_write, &[&string("x"), &1]).keep(reader))
    })
    .twin(),
    both("H16", "a file to read handed in", |s| {
        let path = s.file()?;
        let file = File::open(path)?;
        Ok(handed(
            file,
            libc::SYS_read,
            &[&super::scene::bytes(&[0; 16]), &16],
        ))
    })
    .twin(),
    both("H15", "a listener of somebody's handed in", |_| {
        // Whoever hands a listener over means it to be served.
        let path = format!("/tmp/handed-{}", fresh());
        let _ = fs::remove_file(&path);
        let listener = UnixListener::bind(&path)?;
        Ok(handed(listener, libc::SYS_fcntl, &[&libc::F_GETFD, &0]))
    })
    .twin(),
];
