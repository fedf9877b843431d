//! Typed accessors to the kernel's structures, over offsets that the user side has
//! looked up in the running kernel's BTF.
//!
//! A wrapper is a pointer that the verifier knows the type of. Reading through it cannot
//! fault: the kernel turns a read of an invalid address into zero.

use core::ffi::c_void;

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::generated::{
    bpf_get_current_task_btf, bpf_probe_read_kernel, bpf_skc_to_unix_sock,
};
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
pub fn forgotten(value: u64) -> u64 {
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

impl Task {
    /// Whether it lives in a mount namespace that belongs to the machine: one whose user
    /// namespace is the first. In all others the kernel itself keeps what is mounted from
    /// being seen outside.
    #[inline(always)]
    pub fn mounts_for_all(self) -> bool {
        let Some(namespaces) = Namespaces::from_pointer(self.read(Field::TaskNamespaces)) else {
            return true;
        };
        let mount = MountNamespace(namespaces.read(Field::NamespacesMount));
        UserNamespace(mount.read(Field::MountNamespaceUser)).is_first()
    }

    /// The address of its network namespace; 0 for a task that is about to end.
    #[inline(always)]
    pub fn network(self) -> u64 {
        Namespaces::from_pointer(self.read(Field::TaskNamespaces))
            .map_or(0, |namespaces| namespaces.read(Field::NamespacesNet))
    }
}

impl UserNamespace {
    /// Whether it is the first, whose capabilities hold for the whole machine.
    #[inline(always)]
    pub fn is_first(self) -> bool {
        self.read::<u32>(Field::UserNamespaceLevel) == 0
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

impl Path {
    /// What it leads to.
    #[inline(always)]
    pub fn dentry(self) -> Option<Dentry> {
        Dentry::from_pointer(self.read(Field::PathDentry))
    }
}

impl Mount {
    /// Its root: where the file system begins that it shows.
    #[inline(always)]
    pub fn root(self) -> Dentry {
        Dentry(self.read(Field::MountRoot))
    }
}

impl Attributes {
    /// Which attributes are to change (`ATTR_…`).
    #[inline(always)]
    pub fn valid(self) -> u32 {
        self.read(Field::AttributesValid)
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

    /// Its inode: of a block device the device's, not the node's.
    #[inline(always)]
    pub fn inode(self) -> Option<Inode> {
        Inode::from_pointer(self.read(Field::FileInode))
    }

    /// How it was opened (`FMODE_…`).
    #[inline(always)]
    pub fn mode(self) -> u32 {
        self.read(Field::FileMode)
    }

    /// What was asked for when it was opened (`O_…`).
    #[inline(always)]
    pub fn flags(self) -> u32 {
        self.read(Field::FileFlags)
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
    /// The first eight bytes of its name. Names are aligned, and not shorter in memory.
    #[inline(always)]
    pub fn name_word(self) -> u64 {
        untyped(self.name() as *const u8)
    }

    /// The hash and the length of its name.
    #[inline(always)]
    pub fn name_hash(self) -> u64 {
        // SAFETY: only the address is computed; the helper checks what it reads.
        untyped(unsafe {
            self.embedded(Field::DentryName)
                .add(offset(Field::QstrHash))
        })
    }

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

    /// Whether it is the kernel's own and nowhere mounted: pipes, sockets, anonymous memory.
    #[inline(always)]
    pub fn is_nowhere(self) -> bool {
        /// `SB_KERNMOUNT` and `SB_NOUSER`.
        const INTERNAL: u64 = 1 << 22 | 1 << 31;
        self.read::<u64>(Field::SbFlags) & INTERNAL != 0
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
        self.kind() == S_IFDIR
    }

    /// What kind of file it is (`S_IF…`).
    #[inline(always)]
    pub fn kind(self) -> u16 {
        self.read::<u16>(Field::InodeMode) & 0o170_000
    }

    /// The number of the device that it stands for, `major << 20 | minor`.
    #[inline(always)]
    pub fn device(self) -> u32 {
        self.read(Field::InodeDevice)
    }

    /// For an inode of procfs, the address of the `struct pid` of the process that it shows; 0
    /// for files of the whole machine.
    #[inline(always)]
    pub fn process(self) -> u64 {
        let begin = self.address() - offset(Field::ProcInodeInode) as u64;
        untyped((begin + offset(Field::ProcInodePid) as u64) as *const u8)
    }
}

impl Socket {
    /// The protocol's side of it.
    #[inline(always)]
    pub fn sock(self) -> Option<Sock> {
        Sock::from_pointer(self.read(Field::SocketSock))
    }

    /// Its type (`SOCK_…`).
    #[inline(always)]
    pub fn kind(self) -> u16 {
        self.read(Field::SocketType)
    }
}

impl Sock {
    #[inline(always)]
    fn common<T: Copy>(self, field: Field) -> T {
        // SAFETY: as in `read`: `__sk_common` is embedded.
        unsafe {
            core::ptr::read_volatile(self.0.add(offset(Field::SockCommon) + offset(field)).cast())
        }
    }

    /// Its address family (`AF_…`).
    #[inline(always)]
    pub fn family(self) -> u16 {
        self.common(Field::SockFamily)
    }

    /// Its port, in the host's order.
    #[inline(always)]
    pub fn port(self) -> u16 {
        self.common(Field::SockPort)
    }

    /// The address of its network namespace.
    #[inline(always)]
    pub fn network(self) -> u64 {
        self.common(Field::SockNet)
    }

    /// The IPv4 address that it is bound to, as it stands in memory.
    #[inline(always)]
    pub fn address4(self) -> u32 {
        self.common(Field::SockAddress4)
    }

    /// The IPv6 address that it is bound to, as it stands in memory.
    #[inline(always)]
    pub fn address6(self) -> [u64; 2] {
        let place = self.common_place(Field::SockAddress6);
        [untyped(place), untyped(place.wrapping_add(8))]
    }

    /// Whether it is one of IPv6 that does not take IPv4 too.
    #[inline(always)]
    pub fn is_only_ipv6(self) -> bool {
        // The flags share the byte behind the state: `skc_reuse` (4 bits), `skc_reuseport`,
        // `skc_ipv6only`, … (since 3.12).
        let state = self.common_place(Field::SockState);
        untyped(state.wrapping_add(1)) & 1 << 5 != 0
    }

    #[inline(always)]
    fn common_place(self, field: Field) -> *const u8 {
        // SAFETY: only the address is computed.
        unsafe { self.0.add(offset(Field::SockCommon) + offset(field)) }
    }

    /// The same as a Unix socket; none when it is another.
    #[inline(always)]
    pub fn unix(self) -> Option<UnixSock> {
        // SAFETY: the helper (5.16) looks at what it is.
        UnixSock::from_pointer(unsafe { bpf_skc_to_unix_sock(self.pointer()) }.cast())
    }
}

impl UnixSock {
    /// The file that it is bound to; none for one of the abstract name space or without a name.
    #[inline(always)]
    pub fn dentry(self) -> Option<Dentry> {
        // SAFETY: as in `read`: `path` is embedded.
        Dentry::from_pointer(unsafe {
            core::ptr::read_volatile(
                self.0
                    .add(offset(Field::UnixPath) + offset(Field::PathDentry))
                    .cast(),
            )
        })
    }

    /// Where its name of the abstract name space stands, behind the NUL that it begins with;
    /// 0 when it has no name.
    #[inline(always)]
    pub fn abstract_name(self) -> u64 {
        /// `sun_family`, and the NUL.
        const BEFORE: u64 = 2 + 1;
        match untyped(self.embedded(Field::UnixAddress)) {
            0 => 0,
            address => address + offset(Field::UnixAddressName) as u64 + BEFORE,
        }
    }
}

impl Message {
    /// The address of the destination in kernel memory; 0 for none.
    #[inline(always)]
    pub fn name(self) -> u64 {
        untyped(self.embedded(Field::MessageName))
    }

    /// How the message is sent (`MSG_…`).
    #[inline(always)]
    pub fn flags(self) -> u32 {
        self.read(Field::MessageFlags)
    }
}

impl IpcObject {
    /// Its number, as `ipcs` shows it.
    #[inline(always)]
    pub fn id(self) -> u32 {
        self.read(Field::IpcId)
    }
}

/// `S_IFDIR`.
pub const S_IFDIR: u16 = 0o040_000;
/// `S_IFREG`.
pub const S_IFREG: u16 = 0o100_000;
/// `S_IFBLK`.
pub const S_IFBLK: u16 = 0o060_000;
/// `S_IFCHR`.
pub const S_IFCHR: u16 = 0o020_000;
