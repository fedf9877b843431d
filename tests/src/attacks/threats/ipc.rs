//! What processes share: objects of System V IPC, locks (B16, B18, B20, B21, D12).

use nix::libc;

use super::scene::{STORE, Scene, Script, Stage, does, file, open, string, words32, words64};
use super::{Row, both, root};
use crate::support::raw::call;

/// An object of System V IPC that belongs to the attacker's user. It is removed in the end.
struct Ipc {
    id: usize,
    control: i64,
}

impl Ipc {
    fn make(stage: &Stage<'_>, get: i64, control: i64, words: &[usize]) -> anyhow::Result<Self> {
        let id = call(get, words)?;
        // struct ipc64_perm: key, uid, gid, cuid, cgid, mode, …
        let mut object = [0_u32; 64];
        (object[1], object[2], object[5]) = (stage.uid, stage.uid, 0o600);
        // Of a queue: how many bytes it may hold.
        object[22] = 4096;
        let (set, address) = (libc::IPC_SET as usize, object.as_mut_ptr() as usize);
        let words = if control == libc::SYS_semctl {
            [id, 0, set, address]
        } else {
            [id, set, address, 0]
        };
        call(control, &words)?;
        Ok(Self { id, control })
    }

    fn status(id: usize, control: i64) -> Option<[u32; 64]> {
        let mut object = [0_u32; 64];
        let (stat, address) = (libc::IPC_STAT as usize, object.as_mut_ptr() as usize);
        let words = if control == libc::SYS_semctl {
            [id, 0, stat, address]
        } else {
            [id, stat, address, 0]
        };
        call(control, &words).ok()?;
        Some(object)
    }
}

impl Drop for Ipc {
    fn drop(&mut self) {
        let words = if self.control == libc::SYS_semctl {
            [self.id, 0, libc::IPC_RMID as usize, 0]
        } else {
            [self.id, libc::IPC_RMID as usize, 0, 0]
        };
        let _ = call(self.control, &words);
    }
}

fn memory(stage: &Stage<'_>) -> anyhow::Result<Ipc> {
    let words = [libc::IPC_PRIVATE as usize, 4096, 0o1600];
    Ipc::make(stage, libc::SYS_shmget, libc::SYS_shmctl, &words)
}

fn semaphores(stage: &Stage<'_>) -> anyhow::Result<Ipc> {
    let words = [libc::IPC_PRIVATE as usize, 1, 0o1600];
    Ipc::make(stage, libc::SYS_semget, libc::SYS_semctl, &words)
}

fn queue(stage: &Stage<'_>) -> anyhow::Result<Ipc> {
    let words = [libc::IPC_PRIVATE as usize, 0o1600];
    let queue = Ipc::make(stage, libc::SYS_msgget, libc::SYS_msgctl, &words)?;
    let message = [1_u64, 2];
    call(
        libc::SYS_msgsnd,
        &[queue.id, message.as_ptr() as usize, 8, 0],
    )?;
    Ok(queue)
}

/// Anything of an object's state but the times is another.
fn on_ipc(ipc: Ipc, script: Script) -> Scene {
    let (id, control) = (ipc.id, ipc.control);
    let look = move || Ipc::status(id, control).map(|object| (object[1], object[5]));
    let before = look();
    script.scene().shows(move || look() != before).keep(ipc)
}

fn value_of_semaphore(id: usize) -> Option<usize> {
    const GETVAL: usize = 12;
    call(libc::SYS_semctl, &[id, 0, GETVAL, 0]).ok()
}

fn on_semaphore(ipc: Ipc, script: Script) -> Scene {
    let id = ipc.id;
    let before = value_of_semaphore(id);
    script
        .scene()
        .shows(move || value_of_semaphore(id) != before)
        .keep(ipc)
}

fn messages(id: usize) -> Option<u32> {
    // msqid64_ds: perm (48), three times (24), bytes (8), messages.
    Ipc::status(id, libc::SYS_msgctl).map(|object| object[20])
}

pub const ROWS: &[Row] = &[
    both("B18", "shmctl: removal", |s| {
        let ipc = memory(s)?;
        let id = ipc.id;
        Ok(on_ipc(ipc, does(libc::SYS_shmctl, &[&id, &0, &0])))
    }),
    both("B18", "shmctl: owner and mode", |s| {
        let ipc = memory(s)?;
        let id = ipc.id;
        let mut object = [0_u32; 28];
        (object[1], object[2], object[5]) = (s.uid, s.uid, 0);
        let set = does(libc::SYS_shmctl, &[&id, &1, &words32(&object)]);
        Ok(on_ipc(ipc, set))
    }),
    both("D12", "shmat and a write", |s| {
        let ipc = memory(s)?;
        let id = ipc.id;
        let address = call(libc::SYS_shmat, &[id, 0, 0])?;
        Ok(does(libc::SYS_shmat, &[&id, &0, &0])
            .then(STORE, &[&"$1", &7])
            .scene()
            // SAFETY: the segment is attached here until the scene is over.
            .shows(move || unsafe { (address as *const u8).read_volatile() } == 7)
            .undo(move || {
                let _ = call(libc::SYS_shmdt, &[address]);
            })
            .keep(ipc))
    }),
    both("B18", "semctl: removal", |s| {
        let ipc = semaphores(s)?;
        let id = ipc.id;
        Ok(on_ipc(ipc, does(libc::SYS_semctl, &[&id, &0, &0, &0])))
    }),
    both("B18", "semctl: SETVAL", |s| {
        let ipc = semaphores(s)?;
        let id = ipc.id;
        Ok(on_semaphore(
            ipc,
            does(libc::SYS_semctl, &[&id, &0, &16, &7]),
        ))
    }),
    both("B18", "semctl: SETALL", |s| {
        let ipc = semaphores(s)?;
        let id = ipc.id;
        let set = does(libc::SYS_semctl, &[&id, &0, &17, &words32(&[7])]);
        Ok(on_semaphore(ipc, set))
    }),
    both("B16", "semop", |s| {
        let ipc = semaphores(s)?;
        let id = ipc.id;
        // struct sembuf { number, operation, flags }, of 16 bits.
        let up = words32(&[0x0001_0000, 0]);
        Ok(on_semaphore(ipc, does(libc::SYS_semop, &[&id, &up, &1])))
    }),
    both("B18", "msgctl: removal", |s| {
        let ipc = queue(s)?;
        let id = ipc.id;
        Ok(on_ipc(ipc, does(libc::SYS_msgctl, &[&id, &0, &0])))
    }),
    both("B18", "a message that is taken away", |s| {
        let ipc = queue(s)?;
        let id = ipc.id;
        let buffer = words64(&[0, 0]);
        // The kernel passes over a message whose taking is refused, and would wait for another.
        Ok(
            does(libc::SYS_msgrcv, &[&id, &buffer, &8, &0, &libc::IPC_NOWAIT])
                .scene()
                .shows(move || messages(id) == Some(0))
                .keep(ipc),
        )
    })
    .without_effect(),
    both("B18", "a message that is put in", |s| {
        let ipc = queue(s)?;
        let id = ipc.id;
        Ok(does(libc::SYS_msgsnd, &[&id, &words64(&[1, 2]), &8, &0])
            .scene()
            .shows(move || messages(id) == Some(2))
            .keep(ipc))
    }),
    both("B18", "System V IPC of its own", |_| {
        Ok(does(libc::SYS_shmget, &[&0, &4096, &0o1600])
            .then(libc::SYS_shmat, &[&"$1", &0, &0])
            .then(STORE, &[&"$2", &7])
            .then(libc::SYS_shmctl, &[&"$1", &0, &0])
            .then(libc::SYS_semget, &[&0, &1, &0o1600])
            .then(libc::SYS_semctl, &[&"$5", &0, &16, &7])
            .then(libc::SYS_semctl, &[&"$5", &0, &0, &0])
            .then(libc::SYS_msgget, &[&0, &0o1600])
            .then(libc::SYS_msgsnd, &[&"$8", &words64(&[1, 2]), &8, &0])
            .then(libc::SYS_msgctl, &[&"$8", &0, &0])
            .scene())
    })
    .twin(),
    both("B20", "flock", |s| {
        let path = s.file()?;
        Ok(does(libc::SYS_flock, &[&file(0, path), &6]).scene())
    }),
    both("B20", "a lease", |s| {
        let path = s.file()?;
        let file = file(0, path);
        Ok(does(libc::SYS_fcntl, &[&file, &1024, &libc::F_RDLCK]).scene())
    }),
    both("B20", "a lock on its own file", |s| {
        let path = format!("{}/own", s.directory()?);
        Ok(open(path, libc::O_CREAT | libc::O_RDWR)
            .then(libc::SYS_flock, &[&"$1", &6])
            .scene())
    })
    .twin(),
    root("B21", "fanotify that asks for permission", |s| {
        let path = s.file()?;
        Ok(does(libc::SYS_fanotify_init, &[&4, &0])
            .then(
                libc::SYS_fanotify_mark,
                &[&"$1", &1, &0x1_0000, &libc::AT_FDCWD, &string(path)],
            )
            .scene())
    }),
];
