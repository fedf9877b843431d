//! The magic numbers of file systems (`linux/magic.h` and the file systems' own sources).

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
