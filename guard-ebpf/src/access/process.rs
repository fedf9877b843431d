//! Processes by their addresses, read as numbers (see [`super::Entry`]): what global functions can take.

use guard_ebpf::kernel::Field;

use super::{TcpSock, offset, untyped};

/// `SOCKFS_MAGIC` (`include/uapi/linux/magic.h`).
const SOCKFS: u64 = 0x534f_434b;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// Reads a field of the structure at an address.
#[inline(always)]
fn read(address: u64, field: Field) -> u64 {
    untyped((address + offset(field) as u64) as *const u8)
}

/// A process (`struct task_struct`).
#[derive(Clone, Copy)]
pub struct Process(u64);

impl Process {
    /// The one at an address.
    #[inline(always)]
    pub fn at(address: u64) -> Self {
        Self(address)
    }

    /// The address.
    #[inline(always)]
    pub fn address(self) -> u64 {
        self.0
    }

    /// Its number in the first pid namespace; 0 for what was there before the first process.
    #[inline(always)]
    pub fn pid(self) -> u32 {
        read(self.0, Field::TaskTgid) as u32
    }

    /// Who made it, or who took it over.
    #[inline(always)]
    pub fn parent(self) -> Self {
        Self(read(self.0, Field::TaskParent))
    }

    /// Where its executable lies; none for one that has none.
    #[inline(always)]
    pub fn executable(self) -> Option<Place> {
        let memory = read(self.0, Field::TaskMm);
        if memory == 0 {
            return None;
        }
        let file = read(memory, Field::MmExeFile);
        if file == 0 {
            return None;
        }
        let path = file + offset(Field::FilePath) as u64;
        Some(Place(read(path, Field::PathDentry)))
    }

    /// Its descriptors; none when it has given them up.
    #[inline(always)]
    pub fn descriptors(self) -> Option<Descriptors> {
        let files = read(self.0, Field::TaskFiles);
        if files == 0 {
            return None;
        }
        let table = read(files, Field::FilesTable);
        Some(Descriptors {
            first: read(table, Field::TableFiles),
            count: read(table, Field::TableSize) as u32,
        })
    }
}

/// The descriptors of a process.
#[derive(Clone, Copy)]
pub struct Descriptors {
    first: u64,
    /// How many there is room for.
    pub count: u32,
}

impl Descriptors {
    /// The Internet socket behind a descriptor, if it listens.
    #[inline(always)]
    pub fn listening(self, index: u32) -> Option<TcpSock> {
        let file = untyped((self.first + u64::from(index) * 8) as *const u8);
        if file == 0 {
            return None;
        }
        let super_block = read(read(file, Field::FileInode), Field::InodeSb);
        if read(super_block, Field::SbMagic) != SOCKFS {
            return None;
        }
        let sock = TcpSock::at(read(read(file, Field::FilePrivate), Field::SocketSock));
        let is_internet = matches!(sock.family(), AF_INET | AF_INET6);
        (is_internet && sock.says_it_listens()).then_some(sock)
    }
}

/// A cgroup's node in cgroupfs (`struct kernfs_node`).
#[derive(Clone, Copy)]
pub struct CgroupNode(u64);

impl CgroupNode {
    /// That of the cgroup at an address.
    #[inline(always)]
    pub fn of(cgroup: u64) -> Self {
        Self(read(cgroup, Field::CgroupKn))
    }

    /// Whether there is none: it was the node above the root's.
    #[inline(always)]
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Its number.
    #[inline(always)]
    pub fn id(self) -> u64 {
        read(self.0, Field::KernfsId)
    }

    /// The node above.
    #[inline(always)]
    pub fn parent(self) -> Self {
        Self(read(self.0, Field::KernfsParent))
    }
}

/// Where a file lies (`struct dentry`).
#[derive(Clone, Copy)]
pub struct Place(u64);

impl Place {
    /// The directory above; the root is its own.
    #[inline(always)]
    pub fn parent(self) -> Self {
        Self(read(self.0, Field::DentryParent))
    }

    /// The address of its name, a string in kernel memory.
    #[inline(always)]
    pub fn name(self) -> u64 {
        let name = self.0 + offset(Field::DentryName) as u64;
        read(name, Field::QstrName)
    }

    /// The address, as an identity.
    #[inline(always)]
    pub fn address(self) -> u64 {
        self.0
    }

    /// The device number of its file system.
    #[inline(always)]
    pub fn device(self) -> u32 {
        read(read(self.0, Field::DentrySb), Field::SbDevice) as u32
    }

    /// The address of the root of its file system.
    #[inline(always)]
    pub fn root(self) -> u64 {
        read(read(self.0, Field::DentrySb), Field::SbRoot)
    }
}
