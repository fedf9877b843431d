//! Files, directories, file systems and mounts.

use guard_ebpf::kernel::Field;

use super::{
    Attributes, Dentry, File, FileOwner, Inode, Mount, Path, SuperBlock, UserNamespace, offset,
    owner_is_pointer, untyped,
};

/// `S_IFDIR`.
pub const S_IFDIR: u16 = 0o040_000;
/// `S_IFREG`.
pub const S_IFREG: u16 = 0o100_000;
/// `S_IFBLK`.
pub const S_IFBLK: u16 = 0o060_000;
/// `S_IFCHR`.
pub const S_IFCHR: u16 = 0o020_000;

impl Path {
    /// What it leads to.
    #[inline(always)]
    pub fn dentry(self) -> Option<Dentry> {
        Dentry::from_pointer(self.read(Field::PathDentry))
    }
}

impl Path {
    /// The file system that it leads into.
    #[inline(always)]
    pub fn super_block(self) -> Option<SuperBlock> {
        Some(Mount::from_pointer(self.read(Field::PathMount))?.super_block())
    }
}

impl Mount {
    /// Its file system.
    #[inline(always)]
    pub fn super_block(self) -> SuperBlock {
        SuperBlock(self.read(Field::MountSb))
    }

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

    /// How the file was opened that they are set through (`FMODE_…`). Read as a number, and 0 where
    /// there is none.
    #[inline(always)]
    pub fn file_mode(self) -> u32 {
        match untyped(self.embedded(Field::AttributesFile)) {
            0 => 0,
            file => untyped((file + offset(Field::FileMode) as u64) as *const u8) as u32,
        }
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

    /// It with its directory.
    #[inline(always)]
    pub fn entry(self) -> Entry {
        Entry {
            dentry: self,
            directory: self.parent(),
        }
    }

    /// The number of the inode that it names; 0 for none.
    #[inline(always)]
    pub fn inode_number(self) -> u64 {
        match untyped(self.embedded(Field::DentryInode)) {
            0 => 0,
            inode => untyped((inode + offset(Field::InodeNumber) as u64) as *const u8),
        }
    }

    /// Which of the files that had the inode's number one after the other it names. Read as a number,
    /// like [`Self::inode_number`].
    #[inline(always)]
    pub fn inode_generation(self) -> u32 {
        match untyped(self.embedded(Field::DentryInode)) {
            0 => 0,
            inode => untyped((inode + offset(Field::InodeGeneration) as u64) as *const u8) as u32,
        }
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

    /// Whether no look-up finds it: what it named is deleted, or never had a name.
    #[inline(always)]
    pub fn is_unhashed(self) -> bool {
        // `struct hlist_bl_node { next, pprev }`: the second is null.
        untyped(self.embedded(Field::DentryHash).wrapping_add(8)) == 0
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

/// A dentry with the directory above it, by which all else is found.
///
/// From 6.4 on the verifier looks for a name of each pointer that is read through one that it
/// trusts, as a hook's arguments are: up to four times through all the kernel's types, one after
/// the other (`btf_nested_type_is_trusted`), for each way through the program that leads there.
/// Three quarters of the time that loading took went there. What is read is not trusted any more,
/// and all that is read through that comes without.
#[derive(Clone, Copy)]
pub struct Entry {
    /// It itself.
    pub dentry: Dentry,
    /// The directory; the root's is the root.
    pub directory: Dentry,
}

impl Entry {
    /// Its file system, which is its directory's.
    #[inline(always)]
    pub fn super_block(self) -> SuperBlock {
        self.directory.super_block()
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

    /// Whether it was mounted in a user namespace that is not the first.
    #[inline(always)]
    pub fn is_confined(self) -> bool {
        !UserNamespace(self.read(Field::SbUserNamespace)).is_first()
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

    /// Whether paths go on below it: a directory, a symbolic link.
    #[inline(always)]
    pub fn leads_on(self) -> bool {
        const S_IFLNK: u16 = 0o120_000;
        matches!(self.kind(), S_IFDIR | S_IFLNK)
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

    /// How many names it has.
    #[inline(always)]
    pub fn links(self) -> u32 {
        self.read(Field::InodeLinks)
    }

    /// Which of the files that had its number one after the other it is.
    #[inline(always)]
    pub fn generation(self) -> u32 {
        self.read(Field::InodeGeneration)
    }

    /// The device number and the magic number of its file system. (Read as numbers: see
    /// [`Entry`].)
    #[inline(always)]
    pub fn file_system(self) -> (u32, u64) {
        let super_block = untyped(self.embedded(Field::InodeSb));
        let read = |field| untyped((super_block + offset(field) as u64) as *const u8);
        (read(Field::SbDevice) as u32, read(Field::SbMagic))
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
