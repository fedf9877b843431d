//! The engine: the loaded programs and their maps, pinned in bpffs.
//!
//! The rest of the user side knows no hook, map or program; it sees sessions, policies,
//! counters and records.

pub mod attempts;
mod btf;
mod call;
mod commands;
mod debug;
mod facts;
mod grace;
mod grants;
mod install;
mod kernel;
mod load;
mod maps;
mod marks;
mod members;
mod readback;
mod records;
mod recount;
mod sessions;
mod shared;
pub(crate) mod slots;
mod storage;

use anyhow::{Context, Result};
use guard_ebpf::kernel::PROGRAMS;
use serde::Serialize;

pub use install::Installed;
pub use kernel::{BTF_PATH, release};
pub use load::{LoadOptions, PIN_ROOT, refuse_other_versions};
pub use records::Records;

use maps::Maps;
use slots::Slots;

/// The lowest kernel that guard runs on: what `bpf_loop` (5.17), the LSM hooks and task
/// storage need is there from 6.1 on, with all the fixes that enforcement rests on.
pub const LOWEST_KERNEL: (u32, u32) = (6, 1);

/// What this kernel has of what guard uses.
#[derive(Clone, Debug, Serialize)]
pub struct Features {
    /// The kernel's release, as it names itself.
    pub kernel: String,
    /// Where the label of a task is kept.
    pub identity: &'static str,
    /// Whether that is a table, by the addresses of tasks, which the user side does not know.
    #[serde(skip)]
    labels_in_table: bool,
    /// The hooks that programs are attached to, and what each is for.
    pub hooks: Vec<(&'static str, &'static str)>,
    /// What cannot be enforced here, in whole sentences.
    pub degradations: Vec<String>,
    /// What cannot be enforced here on sessions of root.
    pub degradations_of_root: Vec<String>,
}

impl Features {
    fn new(kernel: String, looked_up: &kernel::Kernel) -> Self {
        Self {
            kernel,
            labels_in_table: looked_up.labels_in_table,
            identity: if looked_up.labels_in_table {
                "table (task storage can fail to answer before 6.2)"
            } else {
                "task storage"
            },
            hooks: PROGRAMS
                .iter()
                .filter(|program| looked_up.has(program))
                .map(|program| (program.hook, program.purpose))
                .collect(),
            degradations: Vec::new(),
            degradations_of_root: Vec::new(),
        }
    }
}

/// An engine that is loaded and pinned.
pub struct Engine {
    maps: Maps,
    features: Features,
    /// Which slots for policies are in use.
    slots: Slots,
    /// The highest number that a policy has had.
    last_policy: u32,
    /// The highest number that a session has had.
    last_session: u32,
}

impl Engine {
    /// Adopts the engine that is pinned; none when there is none.
    pub fn open() -> Result<Option<Self>> {
        refuse_other_versions()?;
        if !load::pin_directory().exists() {
            return Ok(None);
        }
        let (version, name) = release()?;
        let data = std::fs::read(BTF_PATH).with_context(|| format!("{BTF_PATH} cannot be read"))?;
        let features = Features::new(name, &kernel::Kernel::look_up(&data, version)?);
        Self::from_pins(features).map(Some)
    }

    /// Loads, attaches and pins the engine.
    pub fn load(options: &LoadOptions) -> Result<Self> {
        let features = load::load(*options)?;
        Self::from_pins(features)
    }

    fn from_pins(features: Features) -> Result<Self> {
        let maps = Maps::open(&load::pin_directory())?;
        let mut engine = Self {
            maps,
            features,
            slots: Slots::default(),
            last_policy: 0,
            last_session: 0,
        };
        engine.take_stock()?;
        Ok(engine)
    }

    /// What this kernel has.
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// Detaches the programs and removes everything. No session may be left.
    pub fn unpin(self) -> Result<()> {
        let left = self.sessions()?.len();
        anyhow::ensure!(
            left == 0,
            "the engine cannot be removed while {left} sessions are there"
        );
        load::remove(&load::pin_directory())?;
        // Fails when another version is there, and then it must stay.
        let _ = std::fs::remove_dir(PIN_ROOT);
        Ok(())
    }
}
