//! What the whole machine shares: its settings, devices, modules, clock, network (B, D, F, G).

use std::fs;

use anyhow::{Context as _, ensure};
use nix::libc::{self, O_RDONLY, O_WRONLY};

use super::scene::{Helper, NAMESPACES, Scene, bytes, does, file, fresh, hex, open, opening};
use super::scene::{ready, setting, string, switch, words32, words64, write};
use super::{Row, both, root};
use crate::support::raw::{self, call};

/// The overlay module's file, as the host has put it into the guest.
fn module() -> anyhow::Result<String> {
    fs::read_dir("/guard/modules")?
        .filter_map(|entry| Some(entry.ok()?.path().display().to_string()))
        .find(|path| path.contains("overlay"))
        .context("the guest has no overlay module")
}

fn is_loaded() -> bool {
    fs::read_to_string("/proc/modules").is_ok_and(|text| text.contains("overlay "))
}

fn load() {
    if let Some(path) = module().ok().filter(|_| !is_loaded())
        && let Ok(descriptor) = raw::open(&path, O_RDONLY)
    {
        let _ = call(
            libc::SYS_finit_module,
            &[descriptor, c"".as_ptr() as usize, 0],
        );
        let _ = call(libc::SYS_close, &[descriptor]);
    }
}

fn unload() {
    let _ = call(libc::SYS_delete_module, &[c"overlay".as_ptr() as usize, 0]);
}

/// Whether the loopback interface is up.
fn is_up() -> bool {
    let flags = fs::read_to_string("/sys/class/net/lo/flags").unwrap_or_default();
    flags
        .trim()
        .ends_with(['1', '3', '5', '7', '9', 'b', 'd', 'f'])
}

/// `struct ifreq` for `lo` with these flags.
fn interface(flags: u16) -> [u8; 40] {
    let mut request = [0; 40];
    request[..2].copy_from_slice(b"lo");
    request[16..18].copy_from_slice(&flags.to_le_bytes());
    request
}

fn set_up() {
    const SIOCSIFFLAGS: usize = 0x8914;
    let request = interface(libc::IFF_UP as u16);
    if let Ok(socket) = call(libc::SYS_socket, &[2, 2, 0]) {
        let _ = call(
            libc::SYS_ioctl,
            &[socket, SIOCSIFFLAGS, request.as_ptr() as usize],
        );
        let _ = call(libc::SYS_close, &[socket]);
    }
}

/// `RTM_NEWLINK` that takes `lo` down.
fn link_down() -> Vec<u8> {
    let mut message = vec![0_u8; 32];
    message[0..4].copy_from_slice(&32_u32.to_le_bytes());
    message[4..6].copy_from_slice(&16_u16.to_le_bytes());
    message[6..8].copy_from_slice(&5_u16.to_le_bytes());
    message[20..24].copy_from_slice(&1_u32.to_le_bytes());
    message[28..32].copy_from_slice(&1_u32.to_le_bytes());
    message
}

/// `perf_event_attr` of a software event with a flag word.
fn event(config: u64, period: u64, flags: u64) -> String {
    let mut attributes = [0_u64; 17];
    attributes[0] = 1 | 136 << 32;
    attributes[1] = config;
    attributes[2] = period;
    attributes[5] = flags;
    words64(&attributes)
}

/// A process that is busy until it is killed.
fn busy(uid: u32) -> anyhow::Result<Helper> {
    Helper::start(uid, || {
        ready();
        loop {
            std::hint::spin_loop();
        }
    })
}

fn is_gone(pid: i32) -> bool {
    matches!(crate::support::process::state(pid), None | Some('Z' | 'X'))
}

/// A file in memory that a page of which can be taken away.
fn poison() -> anyhow::Result<Scene> {
    const HWPOISON: i32 = 100;
    // Not among the temporary files: those may go.
    let path = format!("/srv/shared-{}", fresh());
    fs::write(&path, [b'w'; 4096])?;
    let seen = path.clone();
    Ok(does(
        libc::SYS_mmap,
        &[
            &0,
            &4096,
            &libc::PROT_READ,
            &libc::MAP_SHARED,
            &file(O_RDONLY, &path),
            &0,
        ],
    )
    .then(libc::SYS_madvise, &[&"$1", &4096, &HWPOISON])
    .scene()
    .shows(move || fs::read(&seen).map_or(true, |bytes| bytes != [b'w'; 4096]))
    .undo(move || {
        let _ = fs::remove_file(path);
    }))
}

/// A name of the machine's that a system call sets.
fn name(number: i64, path: &'static str) -> anyhow::Result<Scene> {
    let before = fs::read_to_string(path)?;
    let seen = before.clone();
    Ok(does(number, &[&string("taken"), &5])
        .scene()
        .shows(move || fs::read_to_string(path).is_ok_and(|text| text != seen))
        .undo(move || {
            let _ = fs::write(path, before.trim());
        }))
}

/// The time as it is, so that setting it changes nothing.
fn now() -> anyhow::Result<[u64; 2]> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok([now.as_secs(), 0])
}

/// A dynamic probe in the text of a program of everybody's.
fn probe(path: &'static str, line: &'static str) -> anyhow::Result<Scene> {
    ensure!(fs::exists(path)?, "{path} is not there");
    Ok(write(path, line)
        .scene()
        .shows(move || fs::read_to_string(path).is_ok_and(|text| !text.is_empty()))
        .undo(move || {
            let _ = fs::write(path, "");
        }))
}

pub const ROWS: &[Row] = &[
    root("A23", "sysrq", |_| {
        // `h` writes a help text.
        Ok(write("/proc/sysrq-trigger", "h").scene())
    }),
    root("A23", "kernel.sysrq", |_| {
        setting("/proc/sys/kernel/sysrq", "1")
    }),
    root(
        "A24",
        "an event that traps the process it counts in",
        |_| {
            // Task clock; exclude_kernel, remove_on_exec, sigtrap.
            let helper = busy(0)?;
            let pid = helper.pid;
            let attributes = event(1, 100_000, 1 << 5 | 1 << 36 | 1 << 37);
            Ok(does(
                libc::SYS_perf_event_open,
                &[&attributes, &pid, &-1, &-1, &0],
            )
            .then(super::scene::PAUSE, &[&200])
            .scene()
            .shows(move || is_gone(pid))
            .keep(helper))
        },
    ),
    root("D10", "an event of the whole machine", |_| {
        Ok(does(
            libc::SYS_perf_event_open,
            &[&event(0, 0, 0), &-1, &0, &-1, &0],
        )
        .scene())
    }),
    root("A25", "memory that is declared broken", |_| poison()).from(6, 12),
    root("B13", "vm.overcommit_memory", |_| {
        switch("/proc/sys/vm/overcommit_memory")
    }),
    root("B13", "vm.max_map_count", |_| {
        setting("/proc/sys/vm/max_map_count", "70000")
    }),
    root("B13", "vm.drop_caches", |_| {
        Ok(write("/proc/sys/vm/drop_caches", "1").scene())
    }),
    root("B13", "fs.nr_open", |_| {
        setting("/proc/sys/fs/nr_open", "500000")
    }),
    root("B13", "kernel.threads-max", |_| {
        setting("/proc/sys/kernel/threads-max", "3000")
    }),
    root("B13", "net.ipv4.ip_forward", |_| {
        switch("/proc/sys/net/ipv4/ip_forward")
    }),
    root("I21", "net.core.bpf_jit_harden", |_| {
        setting("/proc/sys/net/core/bpf_jit_harden", "2")
    }),
    root("D15", "yama's ptrace_scope", |_| {
        setting("/proc/sys/kernel/yama/ptrace_scope", "1")
    }),
    root("D15", "kernel.kptr_restrict", |_| {
        setting("/proc/sys/kernel/kptr_restrict", "2")
    }),
    root("G6", "core_pattern", |_| {
        setting("/proc/sys/kernel/core_pattern", "|/bin/false")
    }),
    root("G7", "the kernel's modprobe", |_| {
        setting("/proc/sys/kernel/modprobe", "/bin/false")
    }),
    root("G8", "the kernel's poweroff_cmd", |_| {
        setting("/proc/sys/kernel/poweroff_cmd", "/bin/false")
    }),
    root("G8", "the helpers' capabilities", |_| {
        let path = "/proc/sys/kernel/usermodehelper/bset";
        opening(path, O_WRONLY)
    }),
    root("G14", "kernel.panic", |_| {
        setting("/proc/sys/kernel/panic", "10")
    }),
    root("G14", "kernel.panic_on_oops", |_| {
        switch("/proc/sys/kernel/panic_on_oops")
    }),
    root("G14", "kernel.panic_on_warn", |_| {
        switch("/proc/sys/kernel/panic_on_warn")
    }),
    root("G14", "vm.panic_on_oom", |_| {
        switch("/proc/sys/vm/panic_on_oom")
    }),
    root("G14", "kernel.printk", |_| {
        opening("/proc/sys/kernel/printk", O_WRONLY)
    }),
    root("I22", "a setting through a second procfs", |s| {
        let path = s.directory()?;
        let seen = fs::read_to_string("/proc/sys/vm/swappiness")?;
        let before = seen.clone();
        Ok(does(NAMESPACES, &[&libc::CLONE_NEWNS])
            .then(
                libc::SYS_mount,
                &[
                    &string("none"),
                    &string("/"),
                    &0,
                    &(libc::MS_REC | libc::MS_PRIVATE),
                    &0,
                ],
            )
            .then(
                libc::SYS_mount,
                &[&string("proc"), &string(&path), &string("proc"), &0, &0],
            )
            .then(
                libc::SYS_write,
                &[
                    &file(O_WRONLY, format_args!("{path}/sys/vm/swappiness")),
                    &string("11"),
                    &2,
                ],
            )
            .scene()
            .shows(move || {
                fs::read_to_string("/proc/sys/vm/swappiness").is_ok_and(|text| text != seen)
            })
            .undo(move || {
                let _ = fs::write("/proc/sys/vm/swappiness", before.trim());
            }))
    }),
    both("B13", "reading settings", |_| {
        Ok(open("/proc/sys/vm/swappiness", O_RDONLY)
            .then(
                libc::SYS_openat,
                &[
                    &-100,
                    &string("/sys/kernel/mm/transparent_hugepage/enabled"),
                    &0,
                    &0,
                ],
            )
            .scene())
    })
    .twin(),
    root("B12", "an interface taken down by ioctl", |_| {
        Ok(does(libc::SYS_socket, &[&2, &2, &0])
            .then(libc::SYS_ioctl, &[&"$1", &0x8914, &bytes(&interface(0))])
            .scene()
            .shows(|| !is_up())
            .undo(set_up))
    }),
    root("B12", "an interface taken down by netlink", |_| {
        let to = words32(&[16, 0, 0]);
        Ok(does(libc::SYS_socket, &[&16, &3, &0])
            .then(
                libc::SYS_sendto,
                &[&"$1", &bytes(&link_down()), &32, &0, &to, &12],
            )
            .scene()
            .shows(|| !is_up())
            .undo(set_up))
    })
    .without_effect(),
    both("B12", "a network of its own", |_| {
        let up = format!("x:{}", hex(&interface(libc::IFF_UP as u16)));
        Ok(
            does(NAMESPACES, &[&(libc::CLONE_NEWNET | libc::CLONE_NEWUSER)])
                .then(libc::SYS_socket, &[&2, &2, &0])
                .then(libc::SYS_ioctl, &[&"$2", &0x8914, &up])
                .scene(),
        )
    })
    .twin(),
    root("F13", "a disk's queue in sysfs", |_| {
        setting("/sys/block/nvme0n1/queue/read_ahead_kb", "64")
    }),
    root("B15", "the removal of a device in sysfs", |_| {
        opening("/sys/class/nvme/nvme0/device/remove", O_WRONLY)
    }),
    root("B15", "the reset of a device in sysfs", |_| {
        opening("/sys/class/nvme/nvme0/reset_controller", O_WRONLY)
    }),
    root("B15", "drivers and their devices", |_| {
        opening("/sys/bus/pci/drivers/nvme/unbind", O_WRONLY)
    }),
    root("G11", "the machine's sleep", |_| {
        opening("/sys/power/wakeup_count", O_WRONLY)
    }),
    root("G12", "processors and memory in sysfs", |_| {
        opening(
            "/sys/devices/system/clocksource/clocksource0/current_clocksource",
            O_WRONLY,
        )
    }),
    root("E21", "a file system's knobs in sysfs", |_| {
        opening("/sys/fs/ext4/nvme0n1/trigger_fs_error", O_WRONLY)
    }),
    root("G13", "debugfs", |_| {
        opening("/sys/kernel/debug/clear_warn_once", O_WRONLY)
    }),
    root("G13", "tracing switched off", |_| {
        setting("/sys/kernel/tracing/tracing_on", "0")
    }),
    root("D10", "a probe in a program", |_| {
        probe(
            "/sys/kernel/tracing/uprobe_events",
            "p:guard_test /usr/bin/guard-tests:0x2000\n",
        )
    }),
    root("D10", "a probe in the kernel", |_| {
        probe(
            "/sys/kernel/tracing/kprobe_events",
            "p:guard_test ksys_read\n",
        )
    }),
    root("G1", "reboot(2)", |_| {
        // RB_DISABLE_CAD: what Ctrl-Alt-Del does, which nobody presses.
        Ok(does(libc::SYS_reboot, &[&0xfee1_dead_u32, &0x2812_1969, &0, &0]).scene())
    }),
    root("G2", "kexec_load", |_| {
        // Nothing to load: what was loaded before is forgotten.
        Ok(does(libc::SYS_kexec_load, &[&0, &0, &0, &0]).scene())
    }),
    root("G3", "a module loaded", |_| {
        let path = module()?;
        unload();
        ensure!(!is_loaded(), "the module cannot be taken out");
        Ok(does(
            libc::SYS_finit_module,
            &[&file(O_RDONLY, path), &string(""), &0],
        )
        .scene()
        .shows(is_loaded)
        .undo(load))
    })
    .with_modules(),
    root("G3", "a module loaded from memory", |_| {
        let image = fs::read(module()?)?;
        unload();
        ensure!(!is_loaded(), "the module cannot be taken out");
        let path = module()?;
        let length = image.len();
        Ok(does(
            libc::SYS_mmap,
            &[
                &0,
                &length,
                &libc::PROT_READ,
                &libc::MAP_PRIVATE,
                &file(O_RDONLY, path),
                &0,
            ],
        )
        .then(libc::SYS_init_module, &[&"$1", &length, &string("")])
        .scene()
        .shows(is_loaded)
        .undo(load))
    })
    .with_modules(),
    root("G4", "a module removed", |_| {
        load();
        ensure!(is_loaded(), "the module is not there");
        Ok(does(libc::SYS_delete_module, &[&string("overlay"), &0])
            .scene()
            .shows(|| !is_loaded())
            .undo(load))
    })
    .with_modules(),
    root("G5", "iopl", |_| Ok(does(libc::SYS_iopl, &[&3]).scene())),
    root("G5", "ioperm", |_| {
        Ok(does(libc::SYS_ioperm, &[&0x80, &1, &1]).scene())
    }),
    root("G9", "clock_settime", |_| {
        Ok(does(libc::SYS_clock_settime, &[&0, &words64(&now()?)]).scene())
    }),
    root("G9", "settimeofday", |_| {
        Ok(does(libc::SYS_settimeofday, &[&words64(&now()?), &0]).scene())
    }),
    root("G9", "adjtimex", |_| {
        // ADJ_MAXERROR, with a value that stands there anyway.
        let mut clock = [0_u64; 26];
        (clock[0], clock[3]) = (4, 16_000_000);
        Ok(does(libc::SYS_adjtimex, &[&words64(&clock)]).scene())
    }),
    root("G9", "clock_adjtime", |_| {
        let mut clock = [0_u64; 26];
        (clock[0], clock[3]) = (4, 16_000_000);
        Ok(does(libc::SYS_clock_adjtime, &[&0, &words64(&clock)]).scene())
    }),
    both("G9", "reading the clock", |_| {
        Ok(does(libc::SYS_adjtimex, &[&words64(&[0; 26])]).scene())
    })
    .twin(),
    root("G10", "sethostname", |_| {
        name(libc::SYS_sethostname, "/proc/sys/kernel/hostname")
    }),
    root("G10", "setdomainname", |_| {
        name(libc::SYS_setdomainname, "/proc/sys/kernel/domainname")
    }),
    both("G10", "a name in a namespace of its own", |_| {
        Ok(
            does(NAMESPACES, &[&(libc::CLONE_NEWUTS | libc::CLONE_NEWUSER)])
                .then(libc::SYS_sethostname, &[&string("mine"), &4])
                .scene(),
        )
    })
    .twin(),
    both("G18", "a user namespace of its own", |_| {
        Ok(does(NAMESPACES, &[&libc::CLONE_NEWUSER]).scene())
    })
    .twin(),
    root("A22", "vhangup", |_| {
        Ok(does(libc::SYS_vhangup, &[]).scene())
    }),
    root("I13", "the kernel's log emptied", |_| {
        // SYSLOG_ACTION_CLEAR.
        Ok(does(libc::SYS_syslog, &[&5, &0, &0]).scene())
    }),
    root("I13", "process accounting switched off", |_| {
        Ok(does(libc::SYS_acct, &[&0]).scene())
    }),
    root("I13", "the kernel's log written", |_| {
        opening("/dev/kmsg", O_WRONLY)
    }),
];
