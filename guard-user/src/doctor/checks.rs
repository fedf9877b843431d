//! The checks that only read files.

use super::distribution::boot_with;
use super::{Check, Machine, State};
use crate::session::control::CONTROLLERS;
use crate::system::mounts::Mounts;

/// The lowest kernel (major, minor).
const LOWEST: (u32, u32) = (6, 1);
/// Where BTF is.
const BTF: &str = "/sys/kernel/btf/vmlinux";
/// Where the engine is pinned.
const BPFFS: &str = "/sys/fs/bpf";
/// The capabilities that the server needs: their numbers and names (capability.h).
const CAPABILITIES: [(u32, &str); 7] = [
    (1, "DAC_OVERRIDE"),
    (5, "KILL"),
    (6, "SETGID"),
    (7, "SETUID"),
    (21, "SYS_ADMIN"),
    (38, "PERFMON"),
    (39, "BPF"),
];

/// All of them, those first that others rest on.
pub fn all(machine: &Machine) -> Vec<Check> {
    vec![
        version(machine),
        compiled_in(machine),
        active(machine),
        btf(machine),
        jit(machine),
        ftrace(machine),
        lockdown(machine),
        cgroup2(machine),
        controllers(machine),
        bpffs(machine),
        capabilities(machine),
    ]
}

fn met(id: &'static str, what: &'static str, found: impl Into<String>) -> Check {
    Check {
        id,
        what,
        state: State::Met,
        found: found.into(),
        remedy: None,
    }
}

impl Check {
    fn missing(mut self, remedy: impl Into<String>) -> Self {
        self.state = State::Missing;
        self.remedy = Some(remedy.into());
        self
    }

    fn unknown(mut self, remedy: Option<&str>) -> Self {
        self.state = State::Unknown;
        self.remedy = remedy.map(str::to_owned);
        self
    }
}

fn version(machine: &Machine) -> Check {
    let release = machine.release().unwrap_or_default();
    let check = met("kernel", "Linux 6.1 or newer", release.as_str());
    match parse(&release) {
        Some(version) if version >= LOWEST => check,
        Some(_) => check.missing(
            "Install a kernel of series 6.1 or newer from your distribution, and boot it.",
        ),
        None => check.unknown(None),
    }
}

/// The two first numbers of a release.
fn parse(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn compiled_in(machine: &Machine) -> Check {
    let check = |found: &str| met("bpf-lsm", "BPF LSM in the kernel", found);
    // Each hook that a program can attach to is a function of the kernel, and has its name
    // in BTF.
    let hook = b"\0bpf_lsm_task_kill\0";
    let in_btf = machine
        .bytes(BTF)
        .map(|btf| btf.windows(hook.len()).any(|window| window == hook));
    let configured = machine
        .kernel_option("CONFIG_BPF_LSM")
        .map(|value| value == "y");
    match in_btf.or(configured) {
        Some(true) => check("CONFIG_BPF_LSM=y"),
        Some(false) => check("CONFIG_BPF_LSM is off").missing(
            "Boot a kernel that is built with CONFIG_BPF_LSM=y; those of Debian, Ubuntu, Fedora \
             and Arch are.",
        ),
        None => check("neither BTF nor the kernel's configuration can be read").unknown(None),
    }
}

fn active(machine: &Machine) -> Check {
    let check = |found: &str| met("lsm-list", "\"bpf\" among the active LSMs", found);
    let Some(list) = machine.text("/sys/kernel/security/lsm") else {
        let found = "securityfs isn't mounted, or may not be read";
        let remedy = "sudo mount -t securityfs securityfs /sys/kernel/security";
        return check(found).unknown(Some(remedy));
    };
    if list.split(',').any(|name| name == "bpf") {
        return check(&list);
    }
    let remedy = boot_with(machine, &format!("{list},bpf"));
    let command_line = machine.text("/proc/cmdline").unwrap_or_default();
    let set = command_line
        .split_whitespace()
        .rfind(|word| word.starts_with("lsm="));
    let remedy = match set {
        Some(word) => format!("{remedy}\nIt takes the place of {word}, which is there now."),
        None => remedy,
    };
    check(&list).missing(remedy)
}

fn btf(machine: &Machine) -> Check {
    let check = |found: &str| met("btf", "BTF of the kernel", found);
    if machine.has(BTF) {
        check(BTF)
    } else {
        check("there is none").missing(
            "Boot a kernel that is built with CONFIG_DEBUG_INFO_BTF=y; those of Debian, Ubuntu, \
             Fedora and Arch are.",
        )
    }
}

fn jit(machine: &Machine) -> Check {
    let file = "/proc/sys/net/core/bpf_jit_enable";
    let check = |found: &str| met("jit", "BPF compiled to machine code", found);
    match machine.text(file).as_deref() {
        Some("0") => check("off").missing("sudo sysctl -w net.core.bpf_jit_enable=1"),
        Some(_) => check("on"),
        None => check("can't be read").unknown(None),
    }
}

fn ftrace(machine: &Machine) -> Check {
    let check = |found: &str| met("ftrace", "tracing of kernel functions on", found);
    match machine.text("/proc/sys/kernel/ftrace_enabled").as_deref() {
        Some("0") => check("off: the kernel runs no BPF LSM program")
            .missing("sudo sysctl -w kernel.ftrace_enabled=1"),
        Some(_) => check("on"),
        // Kernels without the switch have nothing to switch off.
        None => check("it can't be switched off here"),
    }
}

fn lockdown(machine: &Machine) -> Check {
    let check = |found: &str| met("lockdown", "lockdown lets BPF programs read", found);
    let Some(modes) = machine.text("/sys/kernel/security/lockdown") else {
        return check("the kernel has no lockdown, or it can't be read");
    };
    let mode = modes
        .split_whitespace()
        .find_map(|mode| mode.strip_prefix('[')?.strip_suffix(']'));
    match mode {
        Some("confidentiality") => check("confidentiality").missing(
            "Boot with lockdown=integrity or without a lockdown= parameter: in this mode the \
             kernel lets no BPF program look at a process.",
        ),
        Some(mode) => check(mode),
        None => check(&modes).unknown(None),
    }
}

fn mounts(machine: &Machine) -> Option<Mounts> {
    Mounts::parse(machine.bytes("/proc/self/mountinfo")?).ok()
}

fn cgroup2(machine: &Machine) -> Check {
    let check = |found: &str| met("cgroup2", "cgroups of version 2", found);
    let Some(mounts) = mounts(machine) else {
        return check("the mount table can't be read").unknown(None);
    };
    match mounts.iter().find(|mount| mount.kind == "cgroup2") {
        Some(mount) => check(&mount.point.to_string_lossy()),
        None => check("not mounted").missing("sudo mount -t cgroup2 cgroup2 /sys/fs/cgroup"),
    }
}

fn controllers(machine: &Machine) -> Check {
    let check = |found: &str| met("controllers", "cgroup controllers for limits", found);
    let mounts = mounts(machine).unwrap_or_default();
    let Some(mount) = mounts.iter().find(|mount| mount.kind == "cgroup2") else {
        // The check before says what to do.
        return check("not looked for");
    };
    let file = mount.point.join("cgroup.controllers");
    let Some(there) = machine.text(&file.to_string_lossy()) else {
        return check("can't be read").unknown(None);
    };
    let missing: Vec<_> = CONTROLLERS
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !there.split_whitespace().any(|word| word == *name))
        .collect();
    if missing.is_empty() {
        return check(&there);
    }
    check(&format!("missing: {}", missing.join(", "))).unknown(Some(
        "Guard works without them, and sessions are not limited in what these stand for. They \
         may be in use by version 1 (boot with cgroup_no_v1=all; on systemd with \
         systemd.unified_cgroup_hierarchy=1), or switched off (cgroup_disable= on the kernel's \
         command line).",
    ))
}

fn bpffs(machine: &Machine) -> Check {
    let check = |found: &str| met("bpffs", "a BPF file system", found);
    let is_mounted = mounts(machine).is_some_and(|mounts| {
        mounts
            .iter()
            .any(|mount| mount.kind == "bpf" && mount.point == std::path::Path::new(BPFFS))
    });
    let is_known = machine
        .text("/proc/filesystems")
        .is_some_and(|text| text.lines().any(|line| line.ends_with("\tbpf")));
    if is_mounted {
        check(BPFFS)
    } else if is_known && machine.has(BPFFS) {
        check("not mounted; guard mounts it")
    } else {
        check("there is none").missing(format!("sudo mount -t bpf bpf {BPFFS}"))
    }
}

fn capabilities(machine: &Machine) -> Check {
    let check = |found: String| met("capabilities", "capabilities of root", found);
    let status = machine.text("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().to_owned())
    };
    let effective = field("CapEff:").and_then(|set| u64::from_str_radix(&set, 16).ok());
    let Some(effective) = effective else {
        return check("can't be read".to_owned()).unknown(None);
    };
    let missing: Vec<_> = CAPABILITIES
        .iter()
        .filter(|(number, _)| effective >> number & 1 == 0)
        .map(|(_, name)| *name)
        .collect();
    let is_root = field("Uid:").is_some_and(|ids| ids.split_whitespace().nth(1) == Some("0"));
    if missing.is_empty() {
        check("all that are needed".to_owned())
    } else if is_root {
        check(format!("missing: {}", missing.join(", "))).missing(
            "Root lacks them here, as in most containers. Run guard on the host, or give the \
             container these capabilities and the host's pid namespace.",
        )
    } else {
        check("you are not root".to_owned()).unknown(Some("sudo guard doctor"))
    }
}
