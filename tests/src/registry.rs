//! Every test, by name.

use anyhow::ensure;

use crate::attacks;
use crate::boot::{Boot, Image};
use crate::context::Context;
use crate::lifecycle;

/// The boots that run a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernels {
    /// Every boot on which guard enforces.
    Enforcing,
    /// Every boot on which guard has to refuse to start.
    Refusing,
    /// Every boot.
    All,
    /// Every enforcing boot whose series is at least this one.
    From(u32, u32),
    /// The enforcing boot of this series.
    Only(u32, u32),
    /// The oldest enforcing boot, 6.12 and the newest: for what takes long.
    Few,
}

impl Kernels {
    /// Whether `boot` is among them.
    pub fn contain(self, boot: Boot) -> bool {
        match self {
            Self::Enforcing => boot.enforces(),
            Self::Refusing => !boot.enforces(),
            Self::All => true,
            Self::From(major, minor) => boot.enforces() && boot.series >= (major, minor),
            Self::Only(major, minor) => boot.enforces() && boot.series == (major, minor),
            // The newest is whatever is beyond the series that the host's matrix names.
            Self::Few => {
                boot.enforces() && (matches!(boot.series, (6, 1 | 12)) || boot.series > (7, 0))
            }
        }
    }
}

/// One test: it runs as root in a process of its own, on a machine where nothing of an earlier
/// test is left running.
pub struct Test {
    /// What the host lists, asks for and counts.
    pub name: &'static str,
    /// On which boots it runs.
    pub kernels: Kernels,
    /// On which root file system.
    pub image: Image,
    /// What it does; an error is its failure. An error that is a [`Skip`] is a skip.
    pub run: fn(&mut Context) -> anyhow::Result<()>,
}

/// The skips that are known: test, boots, reason. Any other skip is a failure.
pub const SKIPS: &[(&str, Kernels, &str)] = &[];

/// The reason why a test could not be run where it was listed.
#[derive(Debug)]
pub struct Skip(pub String);

impl std::fmt::Display for Skip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skip {}

/// Every test there is, in the order in which they run.
pub fn all() -> impl Iterator<Item = &'static Test> {
    [
        MACHINE,
        crate::promise::TESTS,
        attacks::TESTS,
        attacks::threats::TESTS,
        lifecycle::TESTS,
        crate::own::TESTS,
        crate::made::TESTS,
        crate::grants::TESTS,
        crate::limits::TESTS,
        crate::canary::TESTS,
        crate::reload::TESTS,
        crate::edits::TESTS,
        crate::budgets::TESTS,
        crate::explain::TESTS,
        crate::selectors::TESTS,
        crate::events::TESTS,
        crate::receipts::TESTS,
        crate::cli::TESTS,
        crate::trial::TESTS,
        crate::refusals::TESTS,
        crate::systemd::TESTS,
        crate::workloads::TESTS,
        crate::incidents::TESTS,
    ]
    .into_iter()
    .flatten()
}

/// A test for the small image on every boot on which guard enforces.
pub const fn enforcing(name: &'static str, run: fn(&mut Context) -> anyhow::Result<()>) -> Test {
    Test {
        name,
        kernels: Kernels::Enforcing,
        image: Image::Small,
        run,
    }
}

/// A test for the small image on a few boots: what takes long, and looks at what guard's user side does.
pub const fn few(name: &'static str, run: fn(&mut Context) -> anyhow::Result<()>) -> Test {
    Test {
        kernels: Kernels::Few,
        ..enforcing(name, run)
    }
}

/// A test for the full image on a few boots.
pub const fn full(name: &'static str, run: fn(&mut Context) -> anyhow::Result<()>) -> Test {
    Test {
        name,
        kernels: Kernels::Few,
        image: Image::Full,
        run,
    }
}

/// A test for the full image with systemd on a few boots.
pub const fn systemd(name: &'static str, run: fn(&mut Context) -> anyhow::Result<()>) -> Test {
    Test {
        image: Image::Systemd,
        ..full(name, run)
    }
}

/// The tests of the machine itself.
const MACHINE: &[Test] = &[
    Test {
        name: "machine::kernel_is_of_the_series_asked_for",
        kernels: Kernels::All,
        image: Image::Small,
        run: kernel_is_of_the_series_asked_for,
    },
    Test {
        name: "machine::bpf_is_in_the_lsm_list_where_it_should_be",
        kernels: Kernels::All,
        image: Image::Small,
        run: bpf_is_in_the_lsm_list_where_it_should_be,
    },
    Test {
        name: "machine::full_image_has_real_programs",
        kernels: Kernels::Few,
        image: Image::Full,
        run: full_image_has_real_programs,
    },
];

fn kernel_is_of_the_series_asked_for(context: &mut Context) -> anyhow::Result<()> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let (major, minor) = context.boot.series;
    ensure!(
        release.starts_with(&format!("{major}.{minor}.")),
        "the machine runs {release}"
    );
    Ok(())
}

fn bpf_is_in_the_lsm_list_where_it_should_be(context: &mut Context) -> anyhow::Result<()> {
    let list = std::fs::read_to_string("/sys/kernel/security/lsm")?;
    ensure!(
        list.split(',').any(|lsm| lsm.trim() == "bpf") == context.boot.enforces(),
        "the LSM list is {list}"
    );
    Ok(())
}

fn full_image_has_real_programs(_: &mut Context) -> anyhow::Result<()> {
    for program in [
        "pkill",
        "killall",
        "lsof",
        "strace",
        "gdb",
        "git",
        "python3",
        "psql",
        "node",
        "cmake",
        "bwrap",
        "npm",
        "cargo",
        "rustc",
        "podman",
        "qemu-system-x86_64",
    ] {
        let found = ["/bin", "/usr/bin", "/usr/sbin"]
            .iter()
            .any(|dir| std::path::Path::new(dir).join(program).exists());
        ensure!(found, "{program} is not there");
    }
    Ok(())
}
