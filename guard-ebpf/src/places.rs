//! Places that are no trees of files: what a file stands for by its file system, and a device by
//! its number. The programs go by this, and `guard explain`.

use crate::operation::Facility;

/// The magic numbers of file systems (`linux/magic.h` and the file systems' own sources).
pub mod magic {
    #![allow(missing_docs)]

    pub const BPF: u64 = 0xcafe_4a11;
    pub const PROC: u64 = 0x9fa0;
    pub const SYSFS: u64 = 0x6265_6572;
    pub const EFIVARFS: u64 = 0xde5e_81e4;
    pub const CGROUP: u64 = 0x0027_e0eb;
    pub const CGROUP2: u64 = 0x6367_7270;
    pub const DEBUGFS: u64 = 0x6462_6720;
    pub const TRACEFS: u64 = 0x7472_6163;
    pub const SECURITYFS: u64 = 0x7363_6673;
    pub const CONFIGFS: u64 = 0x6265_6570;
    pub const BINFMT: u64 = 0x4249_4e4d;
    pub const PSTORE: u64 = 0x6165_676c;
    pub const SELINUX: u64 = 0xf97c_ff8c;
    pub const SMACK: u64 = 0x4341_5d53;
    pub const FUSECTL: u64 = 0x6573_5543;
    pub const RESCTRL: u64 = 0x0765_5821;
    pub const NFSD: u64 = 0x6e66_7364;
    pub const XENFS: u64 = 0xabba_1974;
    pub const DEVPTS: u64 = 0x1cd1;
    /// ext2 and ext3 too.
    pub const EXT4: u64 = 0xef53;
    pub const XFS: u64 = 0x5846_5342;
    pub const F2FS: u64 = 0xf2f5_2010;
    pub const TMPFS: u64 = 0x0102_1994;
    pub const RAMFS: u64 = 0x8584_58f6;
}

/// The facility that every file of a file system stands for, by the magic number; none for trees of
/// files, and for procfs, whose files stand for several.
#[must_use]
#[inline(always)]
pub const fn facility(magic: u64) -> Option<Facility> {
    match magic {
        magic::SYSFS | magic::EFIVARFS => Some(Facility::Hardware),
        magic::CGROUP | magic::CGROUP2 => Some(Facility::Cgroups),
        magic::DEBUGFS
        | magic::TRACEFS
        | magic::SECURITYFS
        | magic::CONFIGFS
        | magic::BINFMT
        | magic::PSTORE
        | magic::SELINUX
        | magic::SMACK
        | magic::FUSECTL
        | magic::RESCTRL
        | magic::NFSD
        | magic::XENFS => Some(Facility::Kernel),
        _ => None,
    }
}

/// Whether a file system gives an inode's number that was used before to another file with another
/// generation: ext4 (a random one), XFS (the next), F2FS (the next). Not Btrfs: there a snapshot's
/// files have the numbers and generations of the original's.
#[must_use]
#[inline(always)]
pub const fn has_generations(magic: u64) -> bool {
    matches!(magic, magic::EXT4 | magic::XFS | magic::F2FS)
}

/// A device number as the kernel holds it.
#[must_use]
#[inline(always)]
pub const fn device(major: u32, minor: u32) -> u32 {
    major << 20 | minor
}

/// The facility that a character device stands for, by its number (`Documentation/admin-guide/devices.txt`);
/// none for one that only ever serves whoever has opened it.
#[must_use]
#[inline(always)]
pub const fn character_device(number: u32) -> Option<Facility> {
    const MEMORY: u32 = 1;
    const TERMINAL: u32 = 4;
    const CONSOLE: u32 = 5;
    const MISCELLANEOUS: u32 = 10;
    // null, zero, full, random, urandom; tty, ptmx; tun, fuse, kvm, vhost-net, of which each
    // descriptor is an object of its own.
    if number == device(MEMORY, 3)
        || number == device(MEMORY, 5)
        || number == device(MEMORY, 7)
        || number == device(MEMORY, 8)
        || number == device(MEMORY, 9)
        || number == device(CONSOLE, 0)
        || number == device(CONSOLE, 2)
        || number == device(MISCELLANEOUS, 200)
        || number == device(MISCELLANEOUS, 229)
        || number == device(MISCELLANEOUS, 232)
        || number == device(MISCELLANEOUS, 238)
    {
        return None;
    }
    Some(match number >> 20 {
        // Consoles and serial lines, pseudo terminals (the old ones, and those of devpts).
        TERMINAL | CONSOLE | 2 | 3 | 136..=143 => Facility::Terminals,
        _ => Facility::Devices,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_that_serve_nobody_else_stand_for_nothing() {
        assert_eq!(character_device(device(1, 3)), None);
        assert_eq!(character_device(device(5, 2)), None);
        assert_eq!(character_device(device(1, 1)), Some(Facility::Devices));
        assert_eq!(character_device(device(5, 1)), Some(Facility::Terminals));
        assert_eq!(character_device(device(136, 7)), Some(Facility::Terminals));
        assert_eq!(character_device(device(10, 228)), Some(Facility::Devices));
    }

    #[test]
    fn a_tree_of_files_is_no_facility() {
        assert_eq!(facility(magic::EXT4), None);
        assert_eq!(facility(magic::SYSFS), Some(Facility::Hardware));
        assert_eq!(facility(magic::TRACEFS), Some(Facility::Kernel));
    }
}
