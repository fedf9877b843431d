//! Judging an operation on a file: what it is, where it lies, whether it is the session's own.
//!
//! Which way it fails: a file of which it cannot be said where it lies, one that lies too deep,
//! and one on a file system that the kernel controls itself through are refused; a mark that
//! could not be made or was lost means that the file is not the session's own.

use guard_ebpf::bits::Bits;
use guard_ebpf::decision::Candidates;
use guard_ebpf::operation::{Facility, Operation, Reason};
use guard_ebpf::places::{self, magic};
use guard_ebpf::policy::{Policy, Selector};
use guard_ebpf::record::{FLAG_DIRECTORY, Kind};
use guard_ebpf::session::GUARD;

use crate::access::{Dentry, Entry, Inode, S_IFBLK, S_IFCHR, Task, forget};
use crate::actor;
use crate::grants;
use crate::judge::{self, Act, Under};
use crate::maps::{INODES, MOUNTED};
use crate::outcome::Outcome;
use crate::own::{self, Own};
use crate::report;
use crate::walk;

/// Where a file lies, as far as it matters before any rule: a number below [`FACILITIES`], or
/// the detail of a facility. A number, since the verifier follows the rest once for each value
/// that it knows.
///
/// [`FACILITIES`]: guard_ebpf::operation::FACILITIES
type Region = u32;

/// In a tree of files.
const TREE: Region = 0;
/// It is the session's own, or serves nobody but its caller.
const OWN: Region = 1;
/// Where the engine is pinned.
const PIN: Region = 2;
/// It shows one of the guard's processes.
const KEEPER: Region = 3;

/// Whether a session was started with a file or terminal as its input or output.
#[inline(always)]
pub fn is_given(inode: Inode, session: u32) -> bool {
    INODES.get(inode).is_some_and(|mark| mark.given == session)
}

/// The region of a device's node.
#[inline(always)]
pub fn device_region(inode: Inode, session: u32) -> Region {
    match inode.kind() {
        S_IFBLK => return Facility::Disks.detail(),
        S_IFCHR => {}
        _ => return TREE,
    }
    match places::character_device(inode.device()) {
        None => OWN,
        Some(_) if is_given(inode, session) || own::is_own(inode, session) => OWN,
        Some(facility) => facility.detail(),
    }
}

/// The session whose process a file of procfs shows, or [`GUARD`]; 0 for none.
#[inline(always)]
fn shown(inode: Inode) -> u32 {
    INODES.get(inode).map_or(0, |mark| mark.process)
}

/// The region of a file by its file system.
#[inline(always)]
fn region(leaf: Entry, inode: Option<Inode>, session: u32) -> Region {
    match leaf.super_block().magic() {
        magic::BPF => PIN,
        magic::PROC => match inode {
            Some(inode) if inode.process() != 0 => match shown(inode) {
                // Opening it is tracing, and judged as that.
                _ if shows_memory(leaf) => OWN,
                GUARD => KEEPER,
                owner if owner != session => Facility::Processes.detail(),
                _ if is_preference(leaf) && Task::current().may_prefer_itself() => {
                    Facility::Priority.detail()
                }
                _ => OWN,
            },
            // In a user namespace of its own an ordinary user may set what belongs to that: its
            // own network. All else below `/proc/sys` is root's: the kernel looks at the user, and
            // not at capabilities.
            _ if Task::current().is_confined() && is_setting(leaf) => OWN,
            _ => Facility::Settings.detail(),
        },
        other => match places::facility(other) {
            Some(facility) => facility.detail(),
            None => TREE,
        },
    }
}

/// Whether a file in `/proc/PID` is the process's memory.
#[inline(always)]
fn shows_memory(leaf: Entry) -> bool {
    leaf.dentry.name_word() as u32 == u32::from_le_bytes(*b"mem\0")
}

/// Whether a file in `/proc/PID` says whom the kernel spares when memory runs out. Only a task
/// with `CAP_SYS_RESOURCE` can make itself preferred.
#[inline(always)]
fn is_preference(leaf: Entry) -> bool {
    // `oom_score_adj` and `oom_adj`, by their first eight bytes.
    let name = leaf.dentry.name_word();
    name == u64::from_le_bytes(*b"oom_scor") || name == u64::from_le_bytes(*b"oom_adj\0")
}

/// Whether a file of procfs lies below `/proc/sys`.
#[inline(always)]
fn is_setting(leaf: Entry) -> bool {
    match walk::depth(leaf) {
        Ok(depth) if depth > 0 => {
            walk::word_above(leaf, depth - 1) as u32 == u32::from_le_bytes(*b"sys\0")
        }
        _ => false,
    }
}

/// The decision on an operation on a file, by its path.
#[inline(always)]
pub fn decide(policy: &'static Policy, slot: u32, act: Act, free: bool, target: Entry) -> Outcome {
    const DELETE: u32 = Operation::Delete as u32;
    const ATTRIBUTES: u32 = Operation::Attributes as u32;
    const MOUNT: u32 = Operation::Mount as u32;
    let file_system = target.super_block();
    let depth = match walk::depth(target) {
        // A descriptor of what is nowhere mounted was made by its holder, or given to it.
        Err(Reason::Disconnected) if file_system.is_nowhere() => return Outcome::own(),
        Err(reason) => return Outcome::deny(reason),
        Ok(depth) => depth,
    };
    let mut candidates = Candidates::about(policy, act.operation, act.detail);
    if candidates.ask_for(policy, Selector::Path) {
        let start = judge::start(policy, slot, file_system).path;
        let end = judge::row(walk::file(slot, start, target, depth));
        // The way to what is protected stays as it is.
        let ancestors = if act.brings
            || act.flags & FLAG_DIRECTORY != 0
                && matches!(act.operation, DELETE | ATTRIBUTES | MOUNT)
        {
            end.ancestors
        } else {
            Bits::NONE
        };
        candidates.narrow(policy, Selector::Path, end.matches.xor(ancestors));
    }
    let asked = actor::narrow(&mut candidates, policy, slot);
    judge::conclude_candidates(slot, candidates, free).asked(asked)
}

/// Judges an operation on a file in a region. `inode` is the file's, when it can be the
/// session's own.
#[inline(always)]
fn in_region(act: Act, region: Region, inode: Option<Inode>, target: Entry) -> Outcome {
    let mut act = act;
    let free = act.operation == Operation::Create as u32 && region == TREE;
    // SAFETY: a value that is written once.
    if region == OWN
        || region == TREE
            && unsafe { MOUNTED.get(target.super_block().device()) } == Some(&act.session)
    {
        return Outcome::own();
    }
    if region > KEEPER {
        act.operation = Operation::Machine as u32;
        act.detail = region;
    }
    let (outcome, under) = match judge::policy_of(act.session) {
        None => (Outcome::deny(Reason::Error), Under::NONE),
        Some((policy, slot)) if region == PIN || region == KEEPER => {
            let reason = if region == PIN {
                Reason::GuardPin
            } else {
                Reason::GuardProcess
            };
            let under = Under::of(policy, slot);
            (Outcome::deny(reason), under)
        }
        Some((policy, slot)) => {
            let under = Under::of(policy, slot);
            let outcome = decide(policy, slot, act, free, target);
            let own = match inode {
                Some(inode) if outcome.yields() || outcome.is_recorded_only() => {
                    match own::of(inode, act.session) {
                        Own::Made => true,
                        // What a rule lets through so many times, it lets through.
                        Own::Below => outcome.is_limited() || !outcome.is_by_rule(),
                        Own::Not => false,
                    }
                }
                _ => false,
            };
            let outcome = match inode {
                _ if own => Outcome::own(),
                Some(inode)
                    if region == TREE
                        && outcome.is_by_default()
                        && own::is_doubtful(inode, act.session) =>
                {
                    outcome.forgotten()
                }
                _ => outcome,
            };
            (outcome, under)
        }
    };
    let outcome = judge::spend(act, under, outcome);
    let outcome = grants::lift(act, under, outcome, || grants::file(act, target));
    if judge::conclude(act, outcome) {
        report::file(&outcome.header(Kind::File, act, under.id), target);
    }
    outcome
}

/// Judges an operation on a file that exists. Returns what the hook returns.
#[inline(always)]
pub fn existing(act: Act, target: Dentry) -> i32 {
    match target.inode() {
        Some(inode) => with_inode(act, inode, target).returned(),
        None => judge::EPERM,
    }
}

/// [`existing`] as a function of its own, for programs that judge several files: the verifier
/// would follow what comes after for each way through what comes before.
#[inline(never)]
pub fn existing_apart(act: Act, target: Dentry) -> i32 {
    existing(act, target)
}

/// [`new`] as a function of its own.
#[inline(never)]
pub fn new_apart(act: Act, target: Dentry) -> i32 {
    new(act, target)
}

/// Judges an operation on a file whose inode is known from elsewhere: from 6.19 on the verifier
/// does not trust what is found through `file.f_path`, and marks can only be asked of inodes that
/// it trusts.
#[inline(always)]
pub fn with_inode(act: Act, inode: Inode, target: Dentry) -> Outcome {
    let act = Act {
        flags: act.flags
            | if inode.is_directory() {
                FLAG_DIRECTORY
            } else {
                0
            },
        ..act
    };
    let entry = target.entry();
    let region = if inode.links() == 0 && target.is_unhashed() {
        // A file without a name, which nobody else can reach.
        OWN
    } else {
        region(entry, Some(inode), act.session)
    };
    in_region(act, forget(region), Some(inode), entry)
}

/// Judges an operation on a place. Whose own it is does not matter. Returns what the hook
/// returns.
#[inline(always)]
pub fn place(act: Act, target: Dentry) -> i32 {
    let act = Act {
        flags: act.flags | FLAG_DIRECTORY,
        ..act
    };
    let entry = target.entry();
    let region = forget(region(entry, None, act.session));
    in_region(act, region, None, entry).returned()
}

/// Judges the making of a file. Returns what the hook returns.
#[inline(always)]
pub fn new(act: Act, target: Dentry) -> i32 {
    let entry = target.entry();
    // Nothing can be made in procfs, and the kernel asks before it has looked what is there: the
    // shell's `> /dev/stdout` leads there, and finds the descriptor.
    if entry.super_block().magic() == magic::PROC {
        return 0;
    }
    let region = forget(region(entry, None, act.session));
    in_region(act, region, None, entry).returned()
}

/// Judges the use of a device by its node. Returns what the hook returns.
#[inline(always)]
pub fn device_node(session: u32, inode: Inode, node: Dentry) -> i32 {
    let region = forget(device_region(inode, session));
    in_region(
        Act::new(session, Operation::Machine),
        region,
        None,
        node.entry(),
    )
    .returned()
}
