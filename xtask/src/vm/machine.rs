//! One run of a virtual machine: qemu, its serial ports, its deadline.
//!
//! The first serial port is the guest's console and goes to a file. The second carries the
//! guest's results, one JSON object a line, and is read while the machine runs. The third is the
//! terminal of what the guest was asked to run.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::Value;

use crate::shell;

/// A disk that does not answer for thirty seconds has failed, the kernel takes it, and takes it away;
/// this one is a file on a machine that may be busy writing. An hour, in seconds.
const PATIENT: &str = "nvme_core.io_timeout=3600 nvme_core.admin_timeout=3600";

/// How the guest's processor is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Processor {
    /// Emulated. One thread: with more, stock kernels have been seen to panic while they patch
    /// their own text.
    Emulated,
    /// Emulated, with a clock that counts the guest's instructions.
    Counting,
    /// The host's own.
    Kvm,
}

/// Where the third serial port goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Terminal {
    /// Nowhere.
    None,
    /// To this program's standard output, input from nowhere.
    Output,
    /// To this program's terminal.
    Interactive,
}

/// What a disk is attached to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bus {
    /// Built into the kernels, and taken before anything runs. One disk each: the kernel numbers
    /// controllers, and what they have, in the order in which they happen to answer.
    Nvme,
    /// Takes modules.
    Virtio,
}

/// A disk of the machine; what the guest writes is forgotten.
#[derive(Debug, Clone)]
pub struct Disk {
    /// What it is attached to.
    pub bus: Bus,
    /// The name by which the guest finds it.
    pub serial: &'static str,
    /// The image.
    pub file: PathBuf,
}

/// Everything that makes a machine.
#[derive(Debug, Clone)]
pub struct Machine {
    /// For files: `NAME.console`, `NAME.results`, and `NAME.qemu` for what the emulator says.
    pub name: String,
    /// The kernel's image.
    pub kernel: PathBuf,
    /// The initramfs.
    pub initrd: PathBuf,
    /// More of the kernel's command line.
    pub append: String,
    /// Disks, in no order.
    pub disks: Vec<Disk>,
    /// Memory in MiB.
    pub memory: u32,
    /// How the processor is made.
    pub processor: Processor,
    /// Where the third serial port goes.
    pub terminal: Terminal,
    /// When it is ended whatever it does.
    pub deadline: Duration,
    /// The directory for its files.
    pub dir: PathBuf,
}

/// How a machine ended.
#[derive(Debug)]
pub enum End {
    /// It powered off, or panicked: the console says.
    Off,
    /// It was still running at its deadline.
    Deadline,
    /// The emulator failed, and this is what it said.
    Failed(ExitStatus, String),
}

impl Machine {
    /// The file that has the guest's console.
    pub fn console(&self) -> PathBuf {
        self.dir.join(format!("{}.console", self.name))
    }

    fn errors(&self) -> PathBuf {
        self.dir.join(format!("{}.qemu", self.name))
    }

    fn results(&self) -> PathBuf {
        self.dir.join(format!("{}.results", self.name))
    }

    /// Runs it to its end. `each` gets every result as it comes in.
    pub fn run(&self, mut each: impl FnMut(Value)) -> anyhow::Result<End> {
        fs::create_dir_all(&self.dir)?;
        for file in [self.console(), self.results()] {
            File::create(&file).with_context(|| format!("failed to make {}", file.display()))?;
        }
        let mut lines = Lines::open(&self.results())?;
        let mut command = self.command();
        command.stderr(File::create(self.errors())?);
        let child = command
            .spawn()
            .with_context(|| format!("failed to start {}", shell::shown(&command)))?;
        let mut child = Ended(child);
        let start = Instant::now();
        loop {
            let status = child.0.try_wait()?;
            for line in lines.read()? {
                // A line that is no JSON is a guest that broke off; the count will tell.
                if let Ok(value) = serde_json::from_str(&line) {
                    each(value);
                }
            }
            match status {
                Some(status) if status.success() => return Ok(End::Off),
                Some(status) => return Ok(End::Failed(status, read(&self.errors()))),
                None if start.elapsed() > self.deadline => return Ok(End::Deadline),
                None => sleep(Duration::from_millis(20)),
            }
        }
    }

    fn command(&self) -> Command {
        let mut command = shell::command("qemu-system-x86_64");
        let (processor, clock) = match self.processor {
            Processor::Emulated => ("tcg,thread=single", None),
            Processor::Counting => ("tcg,thread=single", Some("shift=0,sleep=off")),
            Processor::Kvm => ("kvm", None),
        };
        command
            .args(["-nodefaults", "-no-user-config", "-no-reboot"])
            .args(["-display", "none", "-accel", processor, "-smp", "1"])
            .args(["-m", &self.memory.to_string()]);
        if self.processor == Processor::Kvm {
            command.args(["-cpu", "host"]);
        }
        if let Some(clock) = clock {
            command.args(["-icount", clock]);
        }
        command.arg("-kernel").arg(&self.kernel);
        command.arg("-initrd").arg(&self.initrd);
        command.args([
            "-append",
            format!(
                "console=ttyS0 panic=-1 oops=panic {PATIENT} {}",
                self.append
            )
            .trim(),
        ]);
        for (number, file) in [self.console(), self.results()].iter().enumerate() {
            command.arg("-chardev").arg(format!(
                "file,id=s{number},path={}",
                file.display().to_string().replace(',', ",,")
            ));
        }
        let terminal = match self.terminal {
            Terminal::None => "null,id=s2",
            Terminal::Output => "stdio,id=s2,signal=on",
            Terminal::Interactive => "stdio,id=s2,signal=off",
        };
        command.args(["-chardev", terminal]);
        for number in 0..3 {
            command.args(["-serial", &format!("chardev:s{number}")]);
        }
        for disk in &self.disks {
            command.arg("-drive").arg(format!(
                "if=none,id={},format=raw,snapshot=on,file={}",
                disk.serial,
                disk.file.display().to_string().replace(',', ",,")
            ));
            let device = match disk.bus {
                Bus::Nvme => "nvme",
                Bus::Virtio => "virtio-blk-pci",
            };
            command
                .arg("-device")
                .arg(format!("{device},serial={0},drive={0}", disk.serial));
        }
        if self.terminal != Terminal::Interactive {
            command.stdin(Stdio::null());
        }
        command
    }
}

/// A console's text, without the carriage returns that terminals want.
pub fn read(console: &Path) -> String {
    let bytes = fs::read(console).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\r', "")
}

/// A child that does not outlive the one who waits for it.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// Whole lines of a file that grows.
struct Lines {
    file: File,
    rest: Vec<u8>,
}

impl Lines {
    fn open(path: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            file: File::open(path)?,
            rest: Vec::new(),
        })
    }

    fn read(&mut self) -> anyhow::Result<Vec<String>> {
        self.file.read_to_end(&mut self.rest)?;
        let mut lines = Vec::new();
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            lines.push(String::from_utf8_lossy(&line).trim().to_owned());
        }
        Ok(lines)
    }
}
