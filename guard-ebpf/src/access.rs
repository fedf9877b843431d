//! Typed accessors to the kernel's structures, over offsets that the user side has
//! looked up in the running kernel's BTF.
//!
//! A wrapper is a pointer that the verifier knows the type of. Reading through it cannot
//! fault: the kernel turns a read of an invalid address into zero.

use core::ffi::c_void;

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::generated::{bpf_get_current_task_btf, bpf_probe_read_kernel};
use guard_ebpf::abi::COMM_LEN;
use guard_ebpf::kernel::{FIELD_COUNT, Field, MAX_ARGUMENTS, POISON, PROGRAM_COUNT, ProgramId};

/// Where each [`Field`] lies in its structure, in bytes.
#[unsafe(no_mangle)]
static OFFSETS: [u32; FIELD_COUNT] = [POISON; FIELD_COUNT];

/// For each program, the positions of its arguments.
#[unsafe(no_mangle)]
static POSITIONS: [[u32; MAX_ARGUMENTS]; PROGRAM_COUNT] = [[POISON; MAX_ARGUMENTS]; PROGRAM_COUNT];

/// Whether labels are kept in `TASKS` and not in task storage (before 6.2): 0 or 1.
#[unsafe(no_mangle)]
static LABELS_IN_TABLE: u32 = POISON;

/// Whether `file.f_owner` points to the owner (from 6.12) and does not hold it: 0 or 1.
#[unsafe(no_mangle)]
static OWNER_IS_POINTER: u32 = POISON;

/// Reads a constant that the user side has set. To the verifier it is a constant; the
/// compiler must not take its first value for the last.
#[inline(always)]
fn constant(value: &'static u32) -> u32 {
    // SAFETY: a valid reference to read-only data.
    unsafe { core::ptr::read_volatile(value) }
}

/// Reads eight bytes of kernel memory, as a number that the verifier knows nothing of.
#[inline(always)]
fn untyped(address: *const u8) -> u64 {
    let mut value = 0_u64;
    // SAFETY: the destination is as long as said; the helper checks the source, and leaves
    // zero when it cannot be read.
    unsafe {
        bpf_probe_read_kernel(
            (&raw mut value).cast(),
            size_of::<u64>() as u32,
            address.cast(),
        );
    }
    value
}

/// The same number, of which the verifier knows nothing any more. Where several ways through
/// a program meet, it would otherwise follow the rest of the program once for each of them.
#[inline(always)]
pub fn forget(value: u32) -> u32 {
    forgotten(u64::from(value)) as u32
}

/// See [`forget`]; also for pointers, which become numbers.
#[inline(always)]
fn forgotten(value: u64) -> u64 {
    let mut place = value;
    // SAFETY: adds zero to a number on the stack. After an atomic instruction the verifier
    // takes what stands there for anything.
    unsafe {
        core::arch::asm!(
            "lock *(u64 *)({place} + 0) += {zero}",
            place = in(reg) &raw mut place,
            zero = in(reg) 0_u64,
        );
        core::ptr::read_volatile(&raw const place)
    }
}

/// Where a field lies.
#[inline(always)]
fn offset(field: Field) -> usize {
    constant(&OFFSETS[field as usize]) as usize
}

/// See [`LABELS_IN_TABLE`].
#[inline(always)]
pub fn labels_in_table() -> bool {
    constant(&LABELS_IN_TABLE) != 0
}

/// See [`OWNER_IS_POINTER`].
#[inline(always)]
fn owner_is_pointer() -> bool {
    constant(&OWNER_IS_POINTER) != 0
}

/// A hook's arguments.
///
/// Behind them the kernel puts the verdict of the program before on the same hook. Nobody reads
/// it: after a refusal the kernel calls no further program (`invoke_bpf_mod_ret`, since LSM
/// programs exist, 5.7), so it is always zero.
#[derive(Clone, Copy)]
pub struct Arguments {
    context: *const u64,
    program: ProgramId,
}

impl Arguments {
    /// The arguments of a program.
    #[inline(always)]
    pub fn of(context: &impl EbpfContext, program: ProgramId) -> Self {
        Self {
            context: context.as_ptr().cast(),
            program,
        }
    }

    /// The argument at a position. The verifier wants the offset in the instruction, and the
    /// compiler would rather add it to the pointer.
    #[inline(always)]
    fn at(self, position: u32) -> u64 {
        match position {
            0 => self.read::<0>(),
            1 => self.read::<8>(),
            2 => self.read::<16>(),
            3 => self.read::<24>(),
            4 => self.read::<32>(),
            5 => self.read::<40>(),
            6 => self.read::<48>(),
            _ => self.read::<56>(),
        }
    }

    /// The argument at an offset in bytes.
    #[inline(always)]
    fn read<const OFFSET: usize>(self) -> u64 {
        let value;
        // SAFETY: the verifier knows how many arguments the hook has, and refuses a program
        // that reads beyond them. The branches not taken are dead to it.
        unsafe {
            core::arch::asm!(
                "{value} = *(u64 *)({context} + {offset})",
                value = lateout(reg) value,
                context = in(reg) self.context,
                offset = const OFFSET,
                options(nostack, readonly),
            );
        }
        value
    }

    /// The argument with this index in [`guard_ebpf::kernel::Program::arguments`].
    #[inline(always)]
    pub fn get(self, index: usize) -> u64 {
        self.at(constant(&POSITIONS[self.program as usize][index]))
    }

    /// Whether the argument with this index is null.
    ///
    /// The verifier takes an argument that is a pointer for one that never is, and removes
    /// what comes after a check for null as dead code, also where the kernel does pass null.
    /// So it must not know what is compared.
    #[inline(always)]
    pub fn is_null(self, index: usize) -> bool {
        forgotten(self.get(index)) == 0
    }
}

macro_rules! structure {
    ($(#[$attribute:meta])* $name:ident) => {
        $(#[$attribute])*
        #[derive(Clone, Copy)]
        #[repr(transparent)]
        pub struct $name(*const u8);

        #[allow(dead_code)]
        impl $name {
            /// Takes an argument of a hook.
            #[inline(always)]
            pub fn from_argument(argument: u64) -> Self {
                Self(argument as *const u8)
            }

            /// Takes a pointer; none when it is null.
            #[inline(always)]
            fn from_pointer(pointer: *const u8) -> Option<Self> {
                if pointer.is_null() { None } else { Some(Self(pointer)) }
            }

            /// Reads a field.
            #[inline(always)]
            fn read<T: Copy>(self, field: Field) -> T {
                // SAFETY: the verifier checks that the offset lies in the structure, and the
                // kernel handles the fault of a stale pointer.
                unsafe { core::ptr::read_volatile(self.0.add(offset(field)).cast()) }
            }

            /// Where an embedded structure lies.
            #[inline(always)]
            fn embedded(self, field: Field) -> *const u8 {
                // SAFETY: as in `read`.
                unsafe { self.0.add(offset(field)) }
            }

            /// The address, as an identity.
            #[inline(always)]
            pub fn address(self) -> u64 {
                self.0 as u64
            }

            /// The pointer, for helpers.
            #[inline(always)]
            pub fn pointer(self) -> *mut c_void {
                self.0.cast_mut().cast()
            }
        }
    };
}

structure! {
    /// `struct task_struct`.
    Task
}
structure! {
    /// `struct cred`.
    Cred
}
structure! {
    /// `struct mm_struct`.
    Memory
}
structure! {
    /// `struct css_set`.
    CssSet
}
structure! {
    /// `struct cgroup`.
    Cgroup
}
structure! {
    /// `struct kernfs_node`.
    KernfsNode
}
structure! {
    /// `struct file`.
    File
}
structure! {
    /// `struct fown_struct`.
    FileOwner
}
structure! {
    /// `struct dentry`.
    Dentry
}
structure! {
    /// `struct super_block`.
    SuperBlock
}
structure! {
    /// `struct inode`.
    Inode
}

impl Task {
    /// The task that runs.
    #[inline(always)]
    pub fn current() -> Self {
        // SAFETY: the helper (5.11) always returns a valid task.
        Self(unsafe { bpf_get_current_task_btf() }.cast::<u8>())
    }

    /// The leader of its thread group.
    #[inline(always)]
    pub fn leader(self) -> Self {
        Self(self.read(Field::TaskGroupLeader))
    }

    /// The thread's number in the first pid namespace.
    #[inline(always)]
    pub fn tid(self) -> u32 {
        self.read(Field::TaskPid)
    }

    /// The process's number in the first pid namespace.
    #[inline(always)]
    pub fn pid(self) -> u32 {
        self.read(Field::TaskTgid)
    }

    /// When it started, in nanoseconds since boot.
    #[inline(always)]
    pub fn start(self) -> u64 {
        self.read(Field::TaskStart)
    }

    /// Its command name, as two words.
    #[inline(always)]
    pub fn comm_words(self) -> [u64; COMM_LEN / 8] {
        let place = self.embedded(Field::TaskComm).cast::<u64>();
        // SAFETY: `comm` is 16 bytes long; as in `read`.
        unsafe {
            [
                core::ptr::read_volatile(place),
                core::ptr::read_volatile(place.add(1)),
            ]
        }
    }

    /// Its command name.
    #[inline(always)]
    pub fn comm(self) -> [u8; COMM_LEN] {
        // SAFETY: both are 16 bytes of plain integers.
        unsafe { core::mem::transmute(self.comm_words()) }
    }

    /// Its effective user in the first user namespace; the highest number when there is none.
    #[inline(always)]
    pub fn euid(self) -> u32 {
        match Cred::from_pointer(self.read(Field::TaskCred)) {
            Some(cred) => cred.read(Field::CredEuid),
            None => u32::MAX,
        }
    }

    /// Its executable's dentry. Kernel threads and processes that have exited have none.
    #[inline(always)]
    pub fn executable(self) -> Option<Dentry> {
        let memory = Memory::from_pointer(self.read(Field::TaskMm))?;
        let file = File::from_pointer(memory.read(Field::MmExeFile))?;
        file.dentry()
    }

    /// Its cgroup (version 2).
    #[inline(always)]
    pub fn cgroup(self) -> Option<KernfsNode> {
        let set = CssSet::from_pointer(self.read(Field::TaskCgroups))?;
        Cgroup::from_pointer(set.read(Field::CssSetDefault))?.node()
    }
}

impl Cgroup {
    /// Its node in cgroupfs.
    #[inline(always)]
    pub fn node(self) -> Option<KernfsNode> {
        KernfsNode::from_pointer(self.read(Field::CgroupKn))
    }
}

impl KernfsNode {
    /// Its number: the cgroup's, and the inode's of its directory.
    #[inline(always)]
    pub fn id(self) -> u64 {
        self.read(Field::KernfsId)
    }

    /// The node above; none for the root.
    #[inline(always)]
    pub fn parent(self) -> Option<Self> {
        Self::from_pointer(self.read(Field::KernfsParent))
    }

    /// The address of its name, a string in kernel memory. Read as a number: from 7.0 on the
    /// verifier gives the pointer a type of its own, which global functions do not take.
    #[inline(always)]
    pub fn name(self) -> u64 {
        untyped(self.embedded(Field::KernfsName))
    }
}

impl File {
    /// The file's dentry.
    #[inline(always)]
    pub fn dentry(self) -> Option<Dentry> {
        // SAFETY: as in `read`: `f_path` is embedded.
        Dentry::from_pointer(unsafe {
            core::ptr::read_volatile(
                self.0
                    .add(offset(Field::FilePath) + offset(Field::PathDentry))
                    .cast(),
            )
        })
    }
}

impl FileOwner {
    /// The address of the file that it belongs to.
    #[inline(always)]
    pub fn file_address(self) -> u64 {
        if owner_is_pointer() {
            // From 6.12 the owner is an object of its own, which begins with its file:
            // `struct fown_struct { struct file *file; … }`.
            // SAFETY: as in `read`.
            unsafe { core::ptr::read_volatile(self.0.cast::<u64>()) }
        } else {
            self.address() - offset(Field::FileOwner) as u64
        }
    }
}

impl Dentry {
    /// The directory above; the root is its own.
    #[inline(always)]
    pub fn parent(self) -> Self {
        Self(self.read(Field::DentryParent))
    }

    /// What it names; none for a name that does not exist.
    #[inline(always)]
    pub fn inode(self) -> Option<Inode> {
        Inode::from_pointer(self.read(Field::DentryInode))
    }

    /// Whether it names something. The verifier takes a dentry for one that always does (as
    /// with [`Arguments::is_null`]), and where a file is renamed to it does not.
    #[inline(always)]
    pub fn exists(self) -> bool {
        untyped(self.embedded(Field::DentryInode)) != 0
    }

    /// Its file system.
    #[inline(always)]
    pub fn super_block(self) -> SuperBlock {
        SuperBlock(self.read(Field::DentrySb))
    }

    /// The address of its name, a string in kernel memory. Read as a number, like
    /// [`KernfsNode::name`].
    #[inline(always)]
    pub fn name(self) -> u64 {
        // SAFETY: only the address is computed; the helper checks what it reads.
        untyped(unsafe {
            self.embedded(Field::DentryName)
                .add(offset(Field::QstrName))
        })
    }
}

impl SuperBlock {
    /// Its device number, `major << 20 | minor`.
    #[inline(always)]
    pub fn device(self) -> u32 {
        self.read(Field::SbDevice)
    }

    /// Its magic number, which tells what file system it is.
    #[inline(always)]
    pub fn magic(self) -> u64 {
        self.read(Field::SbMagic)
    }

    /// Its root.
    #[inline(always)]
    pub fn root(self) -> Dentry {
        Dentry(self.read(Field::SbRoot))
    }
}

impl Inode {
    /// Its number.
    #[inline(always)]
    pub fn number(self) -> u64 {
        self.read(Field::InodeNumber)
    }

    /// Whether it is a directory (`S_ISDIR`).
    #[inline(always)]
    pub fn is_directory(self) -> bool {
        self.read::<u16>(Field::InodeMode) & 0o170_000 == 0o040_000
    }
}
