//! Commands to files, terminals and file systems.
//!
//! - `file_ioctl`, `file_ioctl_compat` (6.8, and in stable kernels since 6.1; before that the
//!   first is called for both): judge the commands that change a file's flags (as attributes),
//!   that write without writing (as writing), that concern a file system as a whole, and that
//!   type into terminals or take them. All others go through: what the descriptor allows was
//!   judged when it was opened.
//!
//! A command is judged by what it is, whatever file it is sent to: drivers do not share numbers
//! with those named here but by chance, and then a session is refused a little too much.

use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use guard_ebpf::kernel::ProgramId;
use guard_ebpf::operation::{Facility, Operation};
use guard_ebpf::record::NO_NUMBER;

use crate::access::{Arguments, File, S_IFCHR, Task};
use crate::file;
use crate::identity::session_of;
use crate::judge::{self, Act};
use crate::own;

/// What a command is judged as.
enum Command {
    /// Changing the file's attributes.
    Attributes,
    /// Writing to the file.
    Writing,
    /// Doing something to its file system.
    FileSystem,
    /// Typing into a terminal, or taking it from others.
    Terminal,
}

/// What a command is judged as; none when it goes through. `argument` is its third argument.
///
/// The numbers are those of `linux/fs.h`, `asm-generic/ioctls.h`, and the file systems' own
/// headers: the second byte is the family, the first the number in it; size and direction,
/// which differ between 32 and 64 bits, are left out.
#[inline(always)]
fn command(number: u32, argument: u64) -> Option<Command> {
    match (number >> 8 & 0xff, number & 0xff) {
        // FS_IOC_SETFLAGS, EXT4_IOC_SETVERSION, EXT4_IOC_MIGRATE, EXT4_IOC_ALLOC_DA_BLKS,
        // FS_IOC_SET_ENCRYPTION_POLICY, FS_IOC_ADD_ and REMOVE_ENCRYPTION_KEY,
        // FS_IOC_ENABLE_VERITY. (GETFLAGS is 1.)
        (0x66, 2 | 4 | 9 | 12 | 19 | 23 | 24 | 25 | 133) => Some(Command::Attributes),
        // EXT4_IOC_MOVE_EXT.
        (0x66, 15) => Some(Command::Writing),
        // EXT4_IOC_GROUP_EXTEND, GROUP_ADD, RESIZE_FS, SWAP_BOOT, CHECKPOINT, SETFSUUID,
        // SET_TUNE_SB_PARAM.
        (0x66, 7 | 8 | 16 | 17 | 43 | 44 | 46) => Some(Command::FileSystem),
        // FS_IOC_SETVERSION.
        (0x76, 2) => Some(Command::Attributes),
        // FS_IOC_FSSETXATTR.
        (0x58, 32) => Some(Command::Attributes),
        // XFS_IOC_ALLOCSP, FREESP, RESVSP, UNRESVSP (and their 64-bit forms), ZERO_RANGE,
        // SWAPEXT, EXCHANGE_RANGE, COMMIT_RANGE.
        (0x58, 10 | 11 | 36..=37 | 40..=43 | 57 | 109 | 129 | 131) => Some(Command::Writing),
        // XFS: SCRUB_METADATA, FSGROWFS…, SET_RESBLKS, ERROR_INJECTION and its end; FIFREEZE,
        // FITHAW, FITRIM, FS_IOC_SHUTDOWN, FS_IOC_SETFSLABEL (of btrfs's family, too).
        (0x58, 60 | 110..=112 | 114 | 116 | 117 | 119 | 120 | 121 | 125) => {
            Some(Command::FileSystem)
        }
        // btrfs, but for: FICLONE (9), CLONE_RANGE (13), START_SYNC (24, of eight bytes),
        // SUBVOL_GETFLAGS (25), TREE_SEARCH (17), INO_LOOKUP (18), SPACE_INFO (20), WAIT_SYNC
        // (22), DEV_INFO (30), FS_INFO (31), INO_PATHS (35), LOGICAL_INO (36, 59),
        // FIDEDUPERANGE (54), FSLABEL (49: reading), FEATURES (57: reading), SUBVOL_INFO (60),
        // SUBVOL_ROOTREF (61), INO_LOOKUP_USER (62), SYNC (8), DEFRAG (2, 16),
        // ENCODED_READ (64). Not SUBVOL_CREATE (14, 24) and SNAP_CREATE (1, 23): they make a
        // directory, with all that a snapshot brings, and come to no hook that knows its name.
        (
            0x94,
            2 | 8 | 9 | 13 | 16 | 17 | 18 | 20 | 22 | 25 | 30 | 31 | 35 | 36 | 49 | 54 | 57 | 59
            | 60 | 61 | 62 | 64,
        ) => None,
        (0x94, 24) if number >> 16 & 0x3fff == 8 => None,
        (0x94, _) => Some(Command::FileSystem),
        // bcachefs: SUBVOLUME_CREATE, SUBVOLUME_DESTROY.
        (0xbc, 16 | 17) => Some(Command::FileSystem),
        // f2fs, but for what asks and what concerns the file itself alone.
        (0xf5, 3 | 4 | 6 | 7 | 8 | 10 | 16 | 20) => Some(Command::FileSystem),
        // TIOCSTI, TIOCLINUX, TIOCCONS, TIOCVHANGUP.
        (0x54, 0x12 | 0x1c | 0x1d | 0x37) => Some(Command::Terminal),
        // TIOCSIG.
        (0x54, 0x36) => Some(Command::Terminal),
        // TIOCSCTTY, when it takes the terminal from another session.
        (0x54, 0x0e) if argument != 0 => Some(Command::Terminal),
        // The console's keyboard and screen: all that sets something.
        (
            0x4b,
            0x2f | 0x30 | 0x32 | 0x36 | 0x37 | 0x3a | 0x45 | 0x47 | 0x49 | 0x4c | 0x4e | 0x52
            | 0x61 | 0x67 | 0x69 | 0x6d | 0x72 | 0xfa | 0xfb | 0xfc,
        ) => Some(Command::Terminal),
        _ => None,
    }
}

/// Judges a command.
#[inline(always)]
fn ioctl(context: &LsmContext, program: ProgramId) -> i32 {
    match session_of(Task::current()) {
        0 => 0,
        session => judge_command(Arguments::of(context, program), session),
    }
}

/// Judges a session's command. (Why it is a function of its own: see `signal::kill`.)
#[inline(never)]
fn judge_command(arguments: Arguments, session: u32) -> i32 {
    let number = arguments.get(1) as u32;
    let Some(command) = command(number, arguments.get(2)) else {
        return 0;
    };
    let file = File::from_argument(arguments.get(0));
    let Some(dentry) = file.dentry() else {
        return judge::EPERM;
    };
    let Some(inode) = file.inode() else {
        return judge::EPERM;
    };
    let operation = match command {
        Command::Attributes => Operation::Attributes,
        Command::Writing => Operation::Overwrite,
        Command::FileSystem => {
            let act = Act::on_machine(session, Facility::FileSystems);
            return judge::machine(act, NO_NUMBER, number);
        }
        Command::Terminal => {
            // The master of a pseudo terminal shows no inode of its own: it was opened, and
            // with it the terminal made, by whoever holds it.
            if inode.kind() != S_IFCHR || own::is_own(inode, session) || is_master(inode.device()) {
                return 0;
            }
            let act = Act::on_machine(session, Facility::Terminals);
            return judge::machine(act, NO_NUMBER, number);
        }
    };
    file::with_inode(Act::new(session, operation), inode, dentry).returned()
}

/// Whether a device is the master of pseudo terminals: `/dev/ptmx`, or `ptmx` in a devpts.
#[inline(always)]
fn is_master(device: u32) -> bool {
    device == 5 << 20 | 2
}

/// Judges commands.
#[lsm(hook = "file_ioctl")]
pub fn file_ioctl(context: LsmContext) -> i32 {
    ioctl(&context, ProgramId::file_ioctl)
}

/// Judges commands of 32-bit programs.
#[lsm(hook = "file_ioctl_compat")]
pub fn file_ioctl_compat(context: LsmContext) -> i32 {
    ioctl(&context, ProgramId::file_ioctl_compat)
}
