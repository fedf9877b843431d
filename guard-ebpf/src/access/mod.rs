//! Typed accessors to the kernel's structures, over offsets that the user side has
//! looked up in the running kernel's BTF.
//!
//! A wrapper is a pointer that the verifier knows the type of. Reading through it cannot
//! fault: the kernel turns a read of an invalid address into zero.

mod file;
mod listening;
mod process;
mod socket;
mod task;

use core::ffi::c_void;

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
pub use file::{Entry, S_IFBLK, S_IFCHR, S_IFDIR, S_IFREG};
use guard_ebpf::kernel::{FIELD_COUNT, Field, MAX_ARGUMENTS, POISON, PROGRAM_COUNT, ProgramId};
pub use listening::{ONLY_IPV6, PortSockets, TcpSock, mapped, unmapped};
pub use process::{CgroupNode, Place, Process};

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

/// Whether the kernel keeps the sockets of a port by address (from 6.8): 0 or 1.
#[unsafe(no_mangle)]
static BUCKETS_BY_ADDRESS: u32 = POISON;

/// Reads a constant that the user side has set. To the verifier it is a constant; the
/// compiler must not take its first value for the last.
#[inline(always)]
fn constant(value: &'static u32) -> u32 {
    // SAFETY: a valid reference to read-only data.
    unsafe { core::ptr::read_volatile(value) }
}

/// Reads eight bytes of kernel memory, as a number that the verifier knows nothing of.
#[inline(always)]
pub fn untyped(address: *const u8) -> u64 {
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

/// The address of a value in a map, as a number that the verifier knows nothing of.
#[inline(always)]
pub fn address_of<T>(value: &T) -> u64 {
    forgotten(core::ptr::from_ref(value) as u64)
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
        self.address(index) == 0
    }

    /// The argument with this index, a pointer, as a number.
    #[inline(always)]
    pub fn address(self, index: usize) -> u64 {
        forgotten(self.get(index))
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

            /// The address, as a number that the verifier knows nothing of: global functions take
            /// no other.
            #[inline(always)]
            pub fn plain_address(self) -> u64 {
                forgotten(self.0 as u64)
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
    /// `struct linux_binprm`: what is about to run.
    Binary
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
structure! {
    /// `struct path`.
    Path
}
structure! {
    /// `struct vfsmount`.
    Mount
}
structure! {
    /// `struct iattr`.
    Attributes
}
structure! {
    /// `struct user_namespace`.
    UserNamespace
}
structure! {
    /// `struct nsproxy`.
    Namespaces
}
structure! {
    /// `struct mnt_namespace`.
    MountNamespace
}
structure! {
    /// `struct socket`.
    Socket
}
structure! {
    /// `struct sock`.
    Sock
}
structure! {
    /// `struct unix_sock`.
    UnixSock
}
structure! {
    /// `struct msghdr`.
    Message
}
structure! {
    /// `struct kern_ipc_perm`.
    IpcObject
}
