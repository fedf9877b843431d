//! Loading, attaching and pinning the programs.
//!
//! Everything is pinned in a directory of its own beside the final one, which is renamed
//! when all is complete: there is a whole engine or none.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use aya::programs::links::FdLink;
use aya::programs::{BtfTracePoint, FExit, Iter, Lsm, Program as Loaded, ProgramError};
use aya::{Btf, Ebpf, EbpfLoader, Endianness, VerifierLogLevel};
use guard_ebpf::abi::ABI_VERSION;
use guard_ebpf::kernel::{Attach, PROGRAMS, Program};

use super::kernel::{BTF_PATH, Kernel, release};
use super::{Features, debug, maps};

/// The programs, as `build.rs` built them.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("GUARD_PROGRAMS"));

/// Where the engine is pinned: below a bpffs.
pub const PIN_ROOT: &str = "/sys/fs/bpf/guard";

/// What can be asked for when the engine is loaded.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoadOptions {
    /// Have the programs send debug messages.
    pub debug: bool,
}

/// The directory of this version's pins.
pub fn pin_directory() -> PathBuf {
    Path::new(PIN_ROOT).join(format!("v{ABI_VERSION}"))
}

/// Fails when an engine of another version is pinned.
pub fn refuse_other_versions() -> Result<()> {
    let Ok(entries) = fs::read_dir(PIN_ROOT) else {
        return Ok(());
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('v') && name != format!("v{ABI_VERSION}") {
            bail!(
                "another version of guard is at work: its engine is pinned in {PIN_ROOT}/{name}, \
                 and this one is version {ABI_VERSION}. End its sessions with that version's \
                 `guard stop`, or restart the machine; nothing was changed"
            );
        }
    }
    Ok(())
}

/// Loads, attaches and pins everything.
pub fn load(options: LoadOptions) -> Result<Features> {
    refuse_other_versions()?;
    let (version, kernel_name) = release()?;
    let data = fs::read(BTF_PATH).with_context(|| {
        format!("{BTF_PATH} cannot be read: the kernel must be built with CONFIG_DEBUG_INFO_BTF=y")
    })?;
    let kernel = Kernel::look_up(&data, version)?;
    drop(data);
    let btf = sparse(&kernel)?;
    let building = Path::new(PIN_ROOT).join(format!("loading-{}", std::process::id()));
    let attempt = |explain| {
        let result = load_object(&kernel, options, explain).and_then(|mut object| {
            attach_and_pin(&mut object, &kernel, &btf, &building)?;
            if options.debug {
                debug::follow(&mut object)
            } else {
                Ok(())
            }
        });
        if result.is_err() {
            // The error is what matters; what is left is removed as far as that goes.
            let _ = remove(&building);
        }
        result
    };
    // Writing its log takes the verifier several times as long as verifying: only when there
    // is something to explain.
    attempt(false).or_else(|_| attempt(true))?;
    let directory = pin_directory();
    fs::rename(&building, &directory).with_context(|| {
        format!(
            "the engine's pins cannot be moved to {}",
            directory.display()
        )
    })?;
    Ok(Features::new(kernel_name, &kernel))
}

fn load_object(kernel: &Kernel, options: LoadOptions, explain: bool) -> Result<Ebpf> {
    let labels_in_table = u32::from(kernel.labels_in_table);
    let owner_is_pointer = u32::from(kernel.owner_is_pointer);
    let buckets_by_address = u32::from(kernel.buckets_by_address);
    let log_level: u8 = if options.debug { u8::MAX } else { 0 };
    let mut loader = EbpfLoader::new();
    loader
        .btf(None)
        .verifier_log_level(if explain {
            VerifierLogLevel::DEBUG
        } else {
            VerifierLogLevel::DISABLE
        })
        .allow_unsupported_maps()
        .override_global("OFFSETS", &kernel.offsets[..], true)
        .override_global("POSITIONS", &kernel.positions[..], true)
        .override_global("LABELS_IN_TABLE", &labels_in_table, true)
        .override_global("OWNER_IS_POINTER", &owner_is_pointer, true)
        .override_global("BUCKETS_BY_ADDRESS", &buckets_by_address, true)
        .override_global(aya_log::LEVEL, &log_level, false);
    if !kernel.labels_in_table {
        // Preallocated, and not used here.
        loader.map_max_entries("TASKS", 1);
        loader.map_max_entries("COMMAND_TABLE", 1);
    }
    loader.load(OBJECT).context("the programs cannot be loaded")
}

/// A BTF that holds nothing but the functions that programs are attached to, under the
/// kernel's own numbers. aya asks it for those numbers, and for nothing else; the kernel's
/// whole BTF has been read once and is not read again for them.
fn sparse(kernel: &Kernel) -> Result<Btf> {
    const KIND_FORWARD: u32 = 7;
    const KIND_TYPEDEF: u32 = 8;
    const KIND_FUNC: u32 = 12;
    const HEADER: u32 = 24;
    let mut functions = kernel.functions.clone();
    functions.sort_by_key(|(_, number)| *number);
    let mut types: Vec<u32> = Vec::new();
    let mut strings = vec![0_u8];
    for (name, number) in functions {
        // What lies between is filled with declarations of nothing.
        while types.len() / 3 + 1 < number as usize {
            types.extend([0, KIND_FORWARD << 24, 0]);
        }
        let kind = if name.starts_with("btf_trace_") {
            KIND_TYPEDEF
        } else {
            KIND_FUNC
        };
        types.extend([u32::try_from(strings.len())?, kind << 24, 0]);
        strings.extend(name.as_bytes());
        strings.push(0);
    }
    let length = u32::try_from(types.len() * 4)?;
    let magic_and_version = 0x0001_eb9f_u32;
    let header = [
        magic_and_version,
        HEADER,
        0,
        length,
        length,
        u32::try_from(strings.len())?,
    ];
    let mut data: Vec<u8> = header
        .iter()
        .chain(&types)
        .flat_map(|word| word.to_le_bytes())
        .collect();
    data.extend(strings);
    Btf::parse(&data, Endianness::Little).context("aya does not take the names of the hooks")
}

fn attach_and_pin(object: &mut Ebpf, kernel: &Kernel, btf: &Btf, directory: &Path) -> Result<()> {
    let root = Path::new(PIN_ROOT);
    for path in [root, directory] {
        match fs::create_dir(path) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(error).with_context(|| {
                    format!(
                        "{} cannot be made: is a bpffs mounted at /sys/fs/bpf? \
                         (mount -t bpf bpf /sys/fs/bpf)",
                        path.display()
                    )
                });
            }
            _ => {}
        }
    }
    for name in maps::NAMES {
        let map = object
            .map(name)
            .with_context(|| format!("the object has no map {name}"))?;
        map.pin(directory.join(name))
            .with_context(|| format!("the map {name} cannot be pinned"))?;
    }
    for program in PROGRAMS.iter().filter(|program| kernel.has(program)) {
        let link = attach(object, program, btf)
            .with_context(|| format!("the program {} cannot be attached", program.name))?;
        link.pin(directory.join(program.name))
            .with_context(|| format!("the program {} cannot be pinned", program.name))?;
    }
    Ok(())
}

fn attach(object: &mut Ebpf, program: &Program, btf: &Btf) -> Result<FdLink> {
    let loaded = object
        .program_mut(program.name)
        .with_context(|| format!("the object has no program {}", program.name))?;
    Ok(match program.attach {
        Attach::Lsm => {
            let loaded: &mut Lsm = loaded.try_into()?;
            loaded.load(program.hook, btf).map_err(shorten)?;
            let id = loaded.attach()?;
            loaded.take_link(id)?.into()
        }
        Attach::Tracepoint => {
            let loaded: &mut BtfTracePoint = loaded.try_into()?;
            loaded.load(program.hook, btf).map_err(shorten)?;
            let id = loaded.attach()?;
            loaded.take_link(id)?.into()
        }
        Attach::Return => {
            let loaded: &mut FExit = loaded.try_into()?;
            loaded.load(program.hook, btf).map_err(shorten)?;
            let id = loaded.attach()?;
            loaded.take_link(id)?.into()
        }
        Attach::TaskIterator => {
            let Loaded::Iter(loaded) = loaded else {
                bail!("{} is no iterator", program.name)
            };
            let loaded: &mut Iter = loaded;
            loaded.load(program.hook, btf).map_err(shorten)?;
            let id = loaded.attach()?;
            loaded.take_link(id)?.try_into()?
        }
    })
}

/// The verifier's log can be megabytes long; what it stumbled over stands at its end.
fn shorten(error: ProgramError) -> anyhow::Error {
    const LINES: usize = 40;
    if let ProgramError::LoadError {
        io_error,
        verifier_log,
    } = &error
    {
        let log = verifier_log.to_string();
        let lines: Vec<&str> = log.lines().collect();
        let end = lines[lines.len().saturating_sub(LINES)..].join("\n");
        let reason: Cow<str> = match io_error.raw_os_error() {
            Some(libc::EPERM) => "the kernel does not let this process load it (EPERM): it must \
                                  be root with all capabilities, outside of a container, and \
                                  lockdown must not forbid BPF"
                .into(),
            _ => io_error.to_string().into(),
        };
        return anyhow::anyhow!("{reason}\n{end}");
    }
    anyhow::Error::new(error)
}

/// Removes a directory of pins: programs detach, maps vanish with their last user.
pub fn remove(directory: &Path) -> Result<()> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.with_context(|| format!("{} cannot be listed", directory.display()))?,
    };
    for entry in entries {
        let path = entry?.path();
        fs::remove_file(&path)
            .with_context(|| format!("the pin {} cannot be removed", path.display()))?;
    }
    fs::remove_dir(directory).with_context(|| format!("{} cannot be removed", directory.display()))
}
