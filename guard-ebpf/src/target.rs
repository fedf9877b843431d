//! What rules ask of a process that takes more than a look at it: its command line, its ancestors, what
//! it listens at, its session by name.
//!
//! Which way it fails: what is not known fits every rule that refuses and none that lets through.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_loop;
use guard_ebpf::abi::{MAX_ANCESTORS, MAX_DESCRIPTORS};
use guard_ebpf::automaton::StartKey;
use guard_ebpf::bits::Bits;
use guard_ebpf::decision::Candidates;
use guard_ebpf::policy::{NameKey, Policy, Selector, several};
use guard_ebpf::session::place;

use crate::access::{CgroupNode, Process, Task, forget};
use crate::commands;
use crate::identity::{CGROUP_DEPTH, session_of};
use crate::judge::row;
use crate::maps::{CGROUPS, NAMED, POLICIES, SESSIONS, STARTS};
use crate::walk;

/// Narrows down by all of it that somebody asks for.
#[inline(always)]
pub fn narrow(candidates: &mut Candidates, policy: &'static Policy, slot: u32, task: Task) {
    let leader = task.leader();
    if candidates.ask_for(policy, Selector::Session) {
        let satisfied = in_session(policy, slot, session_of(task));
        candidates.narrow(policy, Selector::Session, satisfied);
    }
    if candidates.ask_for(policy, Selector::Command) {
        let end = walk::command(slot, commands::of(leader));
        let unknown = policy.unknown[Selector::Command as usize];
        let end = row(end.unwrap_or(unknown.into()));
        candidates.narrow(policy, Selector::Command, end.matches);
    }
    if candidates.ask_for(policy, Selector::Ancestor) {
        let of = leader.plain_address();
        let satisfied = Bits([ancestors(slot, of, 0), ancestors(slot, of, 1)]);
        candidates.narrow(policy, Selector::Ancestor, satisfied);
    }
    if candidates.ask_for(policy, Selector::Listening) {
        let (of, session) = (task.plain_address(), session_of(task));
        let satisfied = Bits([
            listening(slot, of, session, 0),
            listening(slot, of, session, 1),
        ]);
        candidates.narrow(policy, Selector::Listening, satisfied);
    }
}

/// Whether somebody asks for any of it.
#[inline(always)]
pub fn is_asked(candidates: Candidates, policy: &Policy) -> bool {
    candidates.ask_for(policy, Selector::Session)
        || candidates.ask_for(policy, Selector::Command)
        || candidates.ask_for(policy, Selector::Ancestor)
        || candidates.ask_for(policy, Selector::Listening)
}

/// The clauses that a process of a session satisfies.
#[inline(always)]
fn in_session(policy: &Policy, slot: u32, session: u32) -> Bits {
    if session == 0 {
        return policy.no_session;
    }
    let Some(known) = SESSIONS
        .get(place(session))
        .filter(|known| known.id == session)
    else {
        return row(policy.unknown[Selector::Session as usize].into()).matches;
    };
    let key = NameKey {
        slot,
        reserved: 0,
        name: known.name,
    };
    // SAFETY: entries are made before the policy is published, and stay while it is.
    unsafe { NAMED.get(key) }
        .copied()
        .unwrap_or(policy.other_sessions)
}

/// What the things of one kind come to that a process has: shared with the function that the kernel
/// calls for each of them.
struct All {
    /// The process whose ancestor, or whose descriptors, come next.
    at: u64,
    slot: u32,
    /// Its session; 0 for none.
    session: u32,
    /// 1 when not everything is known.
    unknown: u32,
    fits: Bits,
    excepted: Bits,
}

impl All {
    /// Nothing yet.
    #[inline(always)]
    fn of(slot: u32, at: u64, session: u32) -> Self {
        Self {
            at,
            slot,
            session,
            unknown: forget(0),
            fits: Bits::NONE,
            excepted: Bits::NONE,
        }
    }

    /// Adds one, by the row at which it ends.
    #[inline(always)]
    fn add(&mut self, end: u32) {
        let end = row(end);
        self.fits = self.fits.or(end.matches);
        self.excepted = self.excepted.or(end.ancestors);
    }

    /// One word of the clauses that are satisfied.
    #[inline(always)]
    fn satisfied(self, policy: &Policy, kind: Selector, any: Bits, word: u32) -> u64 {
        let Bits([low, high]) = if self.unknown == 0 {
            several(any, self.fits, self.excepted)
        } else {
            row(policy.unknown[kind as usize].into()).matches
        };
        if word == 0 { low } else { high }
    }
}

/// Adds the next ancestor; stops behind the first process.
unsafe extern "C" fn add_ancestor(_: u32, all: *mut All) -> i64 {
    // SAFETY: what was given to `bpf_loop`.
    let all = unsafe { &mut *all };
    let Some(policy) = POLICIES.get(all.slot) else {
        return 1;
    };
    let process = Process::at(all.at).parent();
    if process.pid() == 0 {
        all.at = 0;
        return 1;
    }
    if let Some(executable) = process.executable() {
        let slot = all.slot;
        let start = |device| {
            let key = StartKey { slot, device };
            // SAFETY: as in `in_session`.
            let start = unsafe { STARTS.get(key) };
            start.unwrap_or(&policy.elsewhere).ancestor
        };
        match walk::place(slot, executable, start) {
            Some(end) => all.add(end),
            None => all.unknown = 1,
        }
    }
    all.at = process.address();
    0
}

/// A word of the clauses that the ancestors of a process satisfy: from its parent up to the first
/// process. Who is left by its parent is taken over, and comes from whoever took it over. A global
/// function: the verifier looks at it once.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ancestors(slot: u32, process: u64, word: u32) -> u64 {
    let Some(policy) = POLICIES.get(slot) else {
        return 0;
    };
    let mut all = All::of(slot, process, 0);
    // SAFETY: the function has the form that the helper calls, and what it is given outlives it.
    unsafe {
        bpf_loop(
            MAX_ANCESTORS,
            add_ancestor as *mut c_void,
            (&raw mut all).cast(),
            0,
        )
    };
    if all.at != 0 {
        all.unknown = 1;
    }
    all.satisfied(policy, Selector::Ancestor, policy.any_ancestors, word)
}

/// Whether what was made in a cgroup counts for a process of a session, or of none (0): a socket that a
/// session has made and handed to somebody else is nothing that this one listens with. Otherwise a
/// session could make what a rule lets it do to those who listen reach further.
#[inline(always)]
fn counts(cgroup: u64, session: u32) -> bool {
    let mut climb = Climb {
        node: CgroupNode::of(cgroup),
        maker: forget(0),
    };
    // SAFETY: as in `ancestors`.
    unsafe {
        bpf_loop(
            CGROUP_DEPTH,
            climb_cgroup as *mut c_void,
            (&raw mut climb).cast(),
            0,
        )
    };
    if climb.maker == 0 {
        climb.node.is_none()
    } else {
        climb.maker == session
    }
}

/// A way up from a cgroup: shared with the function that the kernel calls for each step.
struct Climb {
    node: CgroupNode,
    /// The session whose cgroup it is, once one is found.
    maker: u32,
}

/// One step up; stops at a session's cgroup, and above the root.
unsafe extern "C" fn climb_cgroup(_: u32, climb: *mut Climb) -> i64 {
    // SAFETY: what was given to `bpf_loop`.
    let climb = unsafe { &mut *climb };
    if climb.node.is_none() {
        return 1;
    }
    // SAFETY: sessions' cgroups are removed after their last process.
    if let Some(&maker) = unsafe { CGROUPS.get(climb.node.id()) } {
        climb.maker = maker;
        return 1;
    }
    climb.node = climb.node.parent();
    0
}

/// Adds what a process listens at with one of its descriptors.
unsafe extern "C" fn add_listening(index: u32, all: *mut All) -> i64 {
    // SAFETY: what was given to `bpf_loop`.
    let all = unsafe { &mut *all };
    let Some(policy) = POLICIES.get(all.slot) else {
        return 1;
    };
    let Some(descriptors) = Process::at(all.at).descriptors() else {
        all.unknown = 1;
        return 1;
    };
    if let Some(sock) = descriptors.listening(index)
        && counts(sock.cgroup(), all.session)
    {
        let (address, port) = sock.endpoint();
        all.add(walk::listening(policy, all.slot, address, port));
    }
    0
}

/// A word of the clauses that what a process listens at satisfies. A global function, like
/// [`ancestors`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn listening(slot: u32, process: u64, session: u32, word: u32) -> u64 {
    let Some(policy) = POLICIES.get(slot) else {
        return 0;
    };
    let mut all = All::of(slot, process, session);
    match Process::at(process).descriptors() {
        Some(descriptors) if descriptors.count <= MAX_DESCRIPTORS => {
            // SAFETY: as in `ancestors`.
            unsafe {
                bpf_loop(
                    descriptors.count,
                    add_listening as *mut c_void,
                    (&raw mut all).cast(),
                    0,
                )
            };
        }
        _ => all.unknown = 1,
    }
    all.satisfied(policy, Selector::Listening, policy.any_listening, word)
}
