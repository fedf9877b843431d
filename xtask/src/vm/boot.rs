//! From a kernel's name and a job to a machine that can be run.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::slice;
use std::str::FromStr;
use std::time::Duration;

use anyhow::bail;
use serde_json::{Value, json};

use crate::build::Guest;
use crate::paths;
use crate::setup::kernels::{self, Kernel};
use crate::setup::{Mirror, busybox, scratch};

use super::initramfs::Initramfs;
use super::machine::{Bus, Disk, Machine, Processor, Terminal};
use super::modules;

/// The LSM list of a boot that lacks `bpf`, as distributions have it that leave it out.
const NOBPF: &str = "lsm=landlock,lockdown,yama,integrity,apparmor";

/// A boot of the matrix as it is named on the command line: `6.12`, `6.12-nobpf`, `newest`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The kernel's series, or `newest`.
    pub series: String,
    /// Without `bpf` in the LSM list.
    pub nobpf: bool,
}

impl FromStr for Name {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (series, nobpf) = match text.strip_suffix("-nobpf") {
            Some(series) => (series, true),
            None => (text, false),
        };
        let numbers: Vec<_> = series.split('.').collect();
        let is_series = numbers.len() == 2 && numbers.iter().all(|n| n.parse::<u32>().is_ok());
        if series != kernels::NEWEST && !is_series {
            bail!("`{text}` is not a kernel series; write 6.12, 6.12-nobpf or newest");
        }
        Ok(Self {
            series: series.to_owned(),
            nobpf,
        })
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suffix = if self.nobpf { "-nobpf" } else { "" };
        // Padded as a whole, for tables.
        f.pad(&format!("{}{suffix}", self.series))
    }
}

impl Name {
    /// Its kernel, and its name with a number where it was `newest`.
    pub fn resolve(&self, mirror: &Mirror) -> anyhow::Result<(Self, Kernel)> {
        let kernel = kernels::fetch(slice::from_ref(&self.series), mirror)?.remove(0);
        let name = Self {
            series: kernel.series.clone(),
            nobpf: self.nobpf,
        };
        Ok((name, kernel))
    }
}

/// What a boot is for.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What `init` is to do, as its job file has it under `mode`.
    pub mode: Value,
    /// Seconds for each test or for the command.
    pub deadline: u64,
    /// Seconds for the machine.
    pub machine_deadline: u64,
    /// Files from here to there.
    pub add: Vec<(PathBuf, String)>,
    /// Environment of what is run.
    pub environment: BTreeMap<String, String>,
    /// The full image, when it is to be the root.
    pub root: Option<PathBuf>,
    /// Whether systemd is the first process of the full image.
    pub systemd: bool,
    /// How the processor is made.
    pub processor: Processor,
    /// Where the third serial port goes.
    pub terminal: Terminal,
    /// MiB.
    pub memory: u32,
    /// What the machine's files are called, after the boot's name.
    pub label: &'static str,
}

impl Plan {
    /// A small machine for `mode`, emulated, with nothing added.
    pub fn new(mode: Value) -> Self {
        Self {
            mode,
            deadline: 120,
            machine_deadline: 180,
            add: Vec::new(),
            environment: BTreeMap::new(),
            root: None,
            systemd: false,
            processor: Processor::Emulated,
            terminal: Terminal::None,
            memory: 1024,
            label: "",
        }
    }
}

/// Puts the machine together. `boot` is a boot of `kernel`.
pub fn prepare(
    boot: &Name,
    kernel: &Kernel,
    plan: &Plan,
    guest: &Guest,
) -> anyhow::Result<Machine> {
    let dir = paths::vm();
    fs::create_dir_all(&dir)?;

    let mut archive = Initramfs::with_base(&busybox::program())?;
    archive.add(&guest.tests, "usr/bin/guard-tests")?;
    archive.link("init", "/usr/bin/guard-tests")?;
    // The full image gets its files from the initramfs when its init has mounted it.
    let prefix = if plan.root.is_some() {
        "guard/overlay/"
    } else {
        ""
    };
    if plan.root.is_some() {
        archive.add(&guest.tests, "guard/overlay/usr/bin/guard-tests")?;
    }
    archive.add(&guest.guard, &format!("{prefix}usr/bin/guard"))?;
    for (from, to) in &plan.add {
        archive.add(from, &format!("{prefix}{}", to.trim_start_matches('/')))?;
    }
    let mut loaded = Vec::new();
    for (module, bytes) in modules::closure(kernel, modules::WANTED)? {
        let path = format!("guard/modules/{module}.ko");
        archive.file(&path, 0o644, &bytes)?;
        loaded.push(format!("/{path}"));
    }
    let job = json!({
        "boot": boot.to_string(),
        "image": match (&plan.root, plan.systemd) {
            (None, _) => "small",
            (Some(_), false) => "full",
            (Some(_), true) => "systemd",
        },
        "modules": loaded,
        "deadline": plan.deadline,
        "environment": plan.environment,
        "mode": plan.mode,
    });
    let job = job.to_string();
    archive.file("guard/job.json", 0o644, job.as_bytes())?;
    if plan.systemd {
        // For the service that goes on with it.
        archive.file(&format!("{prefix}guard/job.json"), 0o644, job.as_bytes())?;
    }

    let file = format!("{boot}{}", plan.label);
    let initrd = dir.join(format!("{file}.initrd"));
    archive.write(&initrd)?;

    let mut disks: Vec<_> = scratch::ensure()?
        .into_iter()
        .map(|(serial, file)| Disk {
            // What every test has, and what takes modules anyway.
            bus: if serial == "ext4" {
                Bus::Nvme
            } else {
                Bus::Virtio
            },
            serial,
            file,
        })
        .collect();
    disks.extend(plan.root.clone().map(|file| Disk {
        bus: Bus::Nvme,
        serial: "root",
        file,
    }));
    let mut append = Vec::new();
    if boot.nobpf {
        append.push(NOBPF);
    }
    if plan.processor == Processor::Counting {
        append.push("tsc=reliable mitigations=off");
    }
    Ok(Machine {
        name: file,
        kernel: kernel.image(),
        initrd,
        append: append.join(" "),
        disks,
        memory: plan.memory,
        processor: plan.processor,
        terminal: plan.terminal,
        deadline: Duration::from_secs(plan.machine_deadline),
        dir,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boots_are_named_by_series() {
        for text in ["6.12", "6.12-nobpf", "newest"] {
            assert_eq!(text.parse::<Name>().unwrap().to_string(), text);
        }
        for text in ["6", "6.12.1", "old", "6.12-odd"] {
            assert!(text.parse::<Name>().is_err(), "{text}");
        }
    }
}
