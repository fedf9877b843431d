//! The engine's maps, opened from where they are pinned. A new engine and an adopted one
//! are the same from here on.

use std::path::Path;

use anyhow::{Context, Result, bail};
use aya::maps::{Array, HashMap, Map, MapData, RingBuf};
use guard_ebpf::automaton::{Row, Start, StartKey};
use guard_ebpf::bits::Bits;
use guard_ebpf::command::{Command, EarlierKey};
use guard_ebpf::grant::{Grant, GrantKey};
use guard_ebpf::policy::{NameKey, Policy, UserKey};
use guard_ebpf::record::ExecutableKey;
use guard_ebpf::session::{
    Counters, EvictedKey, Listener, MAX_LIMITS, Owner, PortKey, Session, Spent,
};

use super::shared::Shared;

/// The maps that the user side reads or writes.
pub struct Maps {
    /// Sessions by their place.
    pub sessions: Array<MapData, Shared<Session>>,
    /// What each session did.
    pub counters: Array<MapData, Shared<Counters>>,
    /// How far each session has come with its limits.
    pub spent: Array<MapData, Shared<[Spent; MAX_LIMITS]>>,
    /// Sessions' cgroups.
    pub cgroups: HashMap<MapData, u64, u32>,
    /// The guard's processes.
    pub guards: HashMap<MapData, u32, u64>,
    /// Policies by slot.
    pub policies: Array<MapData, Shared<Policy>>,
    /// The rows of all automata.
    pub rows: Array<MapData, Shared<Row>>,
    /// Where automata start.
    pub starts: HashMap<MapData, Shared<StartKey>, Shared<Start>>,
    /// Clauses that ask for users.
    pub users: HashMap<MapData, Shared<UserKey>, Shared<Bits>>,
    /// Clauses that ask for sessions.
    pub named: HashMap<MapData, Shared<NameKey>, Shared<Bits>>,
    /// Whether command lines are kept.
    pub kept: Array<MapData, u32>,
    /// What processes were executed with before command lines were kept.
    pub earlier: HashMap<MapData, Shared<EarlierKey>, Shared<Command>>,
    /// Who set the owner of open files.
    pub owners: HashMap<MapData, u64, Shared<Owner>>,
    /// Executables whose path was told.
    pub executables: Array<MapData, Shared<ExecutableKey>>,
    /// Where sessions listen.
    pub listeners: HashMap<MapData, Shared<PortKey>, Shared<Listener>>,
    /// The System V IPC objects that sessions made, by address.
    pub ipc_objects: HashMap<MapData, u64, u32>,
    /// Files of sessions' own that the kernel has dropped from memory.
    pub evicted: HashMap<MapData, Shared<EvictedKey>, u32>,
    /// What people have let sessions do although a rule refuses it.
    pub grants: HashMap<MapData, Shared<GrantKey>, Shared<Grant>>,
    /// How many grants each session has.
    pub granted: Array<MapData, u32>,
    /// The host's own addresses.
    pub addresses: HashMap<MapData, [u8; 16], u32>,
}

/// Opens the ring buffer, which is mapped as a whole, and twice: it is opened once, by its
/// reader.
pub fn records(directory: &Path) -> Result<RingBuf<MapData>> {
    pinned(directory, "RECORDS", Map::RingBuf)
}

/// The names of the maps that are pinned: every one that has a name in the programs.
pub const NAMES: &[&str] = &[
    "LABELS",
    "TASKS",
    "SESSIONS",
    "COUNTERS",
    "CGROUPS",
    "GUARDS",
    "POLICIES",
    "ROWS",
    "STARTS",
    "USERS",
    "NAMED",
    "KEPT",
    "COMMANDS",
    "COMMAND_TABLE",
    "EARLIER",
    "OWNERS",
    "EXECUTABLES",
    "RECORDS",
    "INODES",
    "SOCKETS",
    "LISTENERS",
    "ADDRESSES",
    "IPC_OBJECTS",
    "EVICTED",
    "MOUNTED",
    "SPENT",
    "GRANTS",
    "GRANTED",
];

impl Maps {
    /// Opens the maps that are pinned in a directory.
    pub fn open(directory: &Path) -> Result<Self> {
        Ok(Self {
            sessions: pinned(directory, "SESSIONS", Map::Array)?,
            counters: pinned(directory, "COUNTERS", Map::Array)?,
            spent: pinned(directory, "SPENT", Map::Array)?,
            cgroups: pinned(directory, "CGROUPS", Map::HashMap)?,
            guards: pinned(directory, "GUARDS", Map::HashMap)?,
            policies: pinned(directory, "POLICIES", Map::Array)?,
            rows: pinned(directory, "ROWS", Map::Array)?,
            starts: pinned(directory, "STARTS", Map::HashMap)?,
            users: pinned(directory, "USERS", Map::HashMap)?,
            named: pinned(directory, "NAMED", Map::HashMap)?,
            kept: pinned(directory, "KEPT", Map::Array)?,
            earlier: pinned(directory, "EARLIER", Map::HashMap)?,
            owners: pinned(directory, "OWNERS", Map::HashMap)?,
            executables: pinned(directory, "EXECUTABLES", Map::Array)?,
            listeners: pinned(directory, "LISTENERS", Map::LruHashMap)?,
            ipc_objects: pinned(directory, "IPC_OBJECTS", Map::HashMap)?,
            evicted: pinned(directory, "EVICTED", Map::HashMap)?,
            grants: pinned(directory, "GRANTS", Map::HashMap)?,
            granted: pinned(directory, "GRANTED", Map::Array)?,
            addresses: pinned(directory, "ADDRESSES", Map::HashMap)?,
        })
    }
}

fn pinned<T>(directory: &Path, name: &str, kind: fn(MapData) -> Map) -> Result<T>
where
    T: TryFrom<Map>,
    T::Error: std::error::Error + Send + Sync + 'static,
{
    let path = directory.join(name);
    let data = MapData::from_pin(&path)
        .with_context(|| format!("the engine's map {} cannot be opened", path.display()))?;
    T::try_from(kind(data))
        .with_context(|| format!("the engine's map {} has another layout", path.display()))
}

/// Says which map is full, and at what number, instead of the kernel's `E2BIG`.
pub fn full(error: aya::maps::MapError, what: &str, limit: u32) -> anyhow::Error {
    if let aya::maps::MapError::SyscallError(error) = &error
        && matches!(
            error.io_error.raw_os_error(),
            Some(libc::E2BIG | libc::ENOSPC)
        )
    {
        return anyhow::anyhow!("there is no room for more {what}: the limit is {limit}");
    }
    anyhow::Error::new(error).context(format!("the engine does not take {what}"))
}

/// Fails with the limit when a number is beyond it.
pub fn within(count: usize, what: &str, limit: u32) -> Result<()> {
    if count > limit as usize {
        bail!("there is no room for {count} {what}: the limit is {limit}");
    }
    Ok(())
}
