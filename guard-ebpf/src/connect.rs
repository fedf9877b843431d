//! Connections: what a session could have others do for it.
//!
//! - `socket_connect`: Internet sockets are judged by address and port, those of other families
//!   by their family; Unix sockets by the hooks below, which see the other side.
//! - `socket_sendmsg`: the same for what names its destination with the data (`MSG_FASTOPEN`,
//!   datagrams).
//! - `unix_stream_connect`, `unix_may_send`: judge a Unix socket by its file or its abstract name.
//! - `sctp_bind_connect`: judges the addresses of an association that has several.
//!
//! Free, where no rule says otherwise, are addresses that are not this host's, and datagrams of
//! the Internet protocols (name look-ups). Whose own a listener is says `listen.rs`.

use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use guard_ebpf::abi::ANY_ADDRESS;
use guard_ebpf::decision::Candidates;
use guard_ebpf::kernel::ProgramId;
use guard_ebpf::operation::{Operation, Reason};
use guard_ebpf::policy::{Policy, Selector};
use guard_ebpf::record::Kind;

use crate::access::{Arguments, Dentry, Message, Sock, Socket, Task, mapped, unmapped, untyped};
use crate::actor;
use crate::file;
use crate::grants;
use crate::identity::session_of;
use crate::judge::{self, Act, Under};
use crate::listen;
use crate::maps::{ADDRESSES, SOCKETS};
use crate::outcome::Outcome;
use crate::own::{self, Own};
use crate::report::{self, Peer};
use crate::walk;

/// `-ECONNREFUSED`: what a refused connection to an Internet socket returns.
const ECONNREFUSED: i32 = -111;

const AF_UNSPEC: u16 = 0;
const AF_UNIX: u16 = 1;
pub const AF_INET: u16 = 2;
pub const AF_INET6: u16 = 10;
const AF_NETLINK: u16 = 16;
const AF_PACKET: u16 = 17;
/// The type of a socket's file.
const S_IFSOCK: u16 = 0o140_000;
const SOCK_STREAM: u16 = 1;
const SOCK_DGRAM: u16 = 2;

/// `::1`, the second word.
const LOOPBACK6: u64 = 1 << 56;
/// Protocols of stream sockets (`IPPROTO_…`).
const TCP: u16 = 6;
const MPTCP: u16 = 262;

/// Whether an address is this host's.
#[inline(always)]
fn is_local(address: [u64; 2]) -> bool {
    match unmapped(address) {
        // 127.0.0.0/8, and 0.0.0.0, which leads there.
        Some(address) if address & 0xff == 127 || address == 0 => return true,
        None if address[0] == 0 && (address[1] == 0 || address[1] == LOOPBACK6) => return true,
        _ => {}
    }
    // SAFETY: both are 16 bytes of plain integers.
    let key: [u8; 16] = unsafe { core::mem::transmute(address) };
    // SAFETY: entries only come and go as a whole.
    unsafe { ADDRESSES.get(key).is_some() || ADDRESSES.get(ANY_ADDRESS).is_some() }
}

/// Whether a socket is one of TCP.
#[inline(always)]
fn is_tcp(sock: Sock) -> bool {
    matches!(sock.family(), AF_INET | AF_INET6) && matches!(sock.protocol(), TCP | MPTCP)
}

/// The decision on a row at which a socket ends.
#[inline(always)]
fn decide(
    policy: &'static Policy,
    slot: u32,
    candidates: Candidates,
    row: u32,
    free: bool,
) -> Outcome {
    let mut candidates = candidates;
    candidates.narrow(policy, Selector::Path, judge::row(row).matches);
    actor::narrow(&mut candidates, policy, slot);
    judge::conclude_candidates(slot, candidates, free)
}

/// Counts and records an outcome. Returns what the hook returns.
#[inline(always)]
fn settle(act: Act, under: Under, outcome: Outcome, peer: &Peer) -> i32 {
    let outcome = judge::spend(act, under, outcome);
    let outcome = grants::lift(act, under, outcome, || grants::socket(act, peer));
    if judge::conclude(act, outcome) {
        report::socket(&outcome.header(Kind::Socket, act, under.id), peer);
    }
    outcome.returned()
}

/// What goes out, and how.
#[derive(Clone, Copy)]
struct Way {
    /// The socket's address family.
    family: u16,
    /// Its type.
    kind: u16,
    /// Whether it is one of TCP.
    is_tcp: bool,
    /// Whether the destination comes with the data.
    with_data: bool,
    /// Its network namespace.
    network: u64,
}

impl Way {
    #[inline(always)]
    fn of(sock: Sock, kind: u16, with_data: bool) -> Self {
        Self {
            family: sock.family(),
            kind,
            is_tcp: is_tcp(sock),
            with_data,
            network: sock.network(),
        }
    }
}

/// Judges a destination that is not a Unix socket. `place` is where it stands in kernel memory.
#[inline(always)]
fn judge_destination(session: u32, way: Way, place: u64) -> i32 {
    let what = u64::from(way.family)
        | u64::from(way.kind) << 16
        | u64::from(way.is_tcp) << 32
        | u64::from(way.with_data) << 33;
    match judge_address(session, what, way.network, place) {
        0 => 0,
        // Who waits for a server of its own to come up goes on waiting at this, as where nobody
        // listens yet, and gives up at anything else.
        REFUSED => ECONNREFUSED,
        _ => judge::EPERM,
    }
}

/// What [`judge_address`] returns of an Internet socket that may not be connected to.
const REFUSED: u32 = 2;

/// Judges a destination. Returns 0 when it is let through. A global function: the verifier looks
/// at it once, and not for each of several addresses.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn judge_address(session: u32, what: u64, network: u64, place: u64) -> u32 {
    let kind = (what >> 16) as u16;
    let is_tcp = what >> 32 & 1 != 0;
    let with_data = what >> 33 & 1 != 0;
    let read = |offset: u64| untyped((place + offset) as *const u8);
    let first = read(0);
    let port = (first >> 16) as u16;
    let family = match (what as u16, first as u16) {
        // Unix sockets have hooks of their own; the kernel, and whatever is on the wire, are no
        // deputies: what may be done to them takes a capability.
        (AF_UNIX | AF_NETLINK | AF_PACKET, _) => return 0,
        // Sent with data, it is taken for the socket's own (`udp_sendmsg`, `raw_sendmsg`,
        // `rawv6_sendmsg`); UDP over IPv6 passes over the name.
        (AF_INET, AF_UNSPEC) if with_data => AF_INET,
        (AF_INET6, AF_UNSPEC) if with_data && kind != SOCK_DGRAM => AF_INET6,
        // Taking a connection back.
        (_, AF_UNSPEC) => return 0,
        (_, family) => family,
    };
    let address = match family {
        AF_INET => mapped((first >> 32) as u32),
        AF_INET6 => [read(8), read(16)],
        _ => [0, 0],
    };
    let internet = matches!(family, AF_INET | AF_INET6);
    let peer = Peer {
        family,
        kind,
        port: if internet { u16::from_be(port) } else { 0 },
        address,
        file: None,
        name: 0,
    };
    let act = Act::new(session, Operation::Connect);
    let Some((policy, slot)) = judge::policy_of(session) else {
        return settle(act, Under::NONE, Outcome::deny(Reason::Error), &peer).unsigned_abs();
    };
    let under = Under::of(policy, slot);
    let candidates = Candidates::about(policy, act.operation, act.detail);
    let local = internet && is_local(address);
    let (row, free) = if internet {
        let free = kind == SOCK_DGRAM || !local;
        (walk::endpoint(policy, slot, address, port.into()), free)
    } else {
        (walk::family(slot, family.into()), false)
    };
    let mut outcome = decide(policy, slot, candidates, row, free);
    // A listener on every address is none on those of other hosts.
    let own_counts = outcome.yields() || outcome.is_recorded_only();
    if own_counts && local && is_tcp && listen::is_own(session, network, address, peer.port) {
        outcome = Outcome::own();
    }
    match settle(act, under, outcome, &peer) {
        0 => 0,
        _ if internet => REFUSED,
        verdict => verdict.unsigned_abs(),
    }
}

/// Judges a Unix socket.
#[inline(never)]
fn judge_unix(session: u32, kind: u16, other: Sock) -> i32 {
    if SOCKETS.get(other).is_some_and(|owner| *owner == session) {
        return 0;
    }
    let Some(unix) = other.unix() else {
        return judge::EPERM;
    };
    let file = unix.dentry();
    let name = unix.abstract_name();
    // The other end of a pair: whoever gave the descriptor away meant it to be used.
    if file.is_none() && name == 0 {
        return 0;
    }
    let peer = Peer {
        family: AF_UNIX,
        kind,
        port: 0,
        address: [0; 2],
        file,
        name,
    };
    let act = Act::new(session, Operation::Connect);
    let Some((policy, slot)) = judge::policy_of(session) else {
        return settle(act, Under::NONE, Outcome::deny(Reason::Error), &peer);
    };
    let under = Under::of(policy, slot);
    let outcome = match file {
        Some(dentry) => file::decide(policy, slot, act, false, dentry.entry()),
        None => {
            let candidates = Candidates::about(policy, act.operation, act.detail);
            decide(
                policy,
                slot,
                candidates,
                walk::abstract_name(slot, name),
                false,
            )
        }
    };
    settle(act, under, outcome, &peer)
}

/// Judges the moving of a socket's file: rules find a Unix socket by where its file is now, so
/// that one that may not be connected to may not be taken to where a rule lets it be. Returns 0 for
/// all other files.
///
/// Not its name when it was bound, which the kernel keeps too: that is relative to a directory, a
/// root and symbolic links that are gone, and some services (haproxy) bind to another name and
/// rename the file into place.
#[inline(never)]
pub fn judge_move(session: u32, from: Dentry) -> i32 {
    let Some(inode) = from.inode() else {
        return 0;
    };
    if inode.kind() != S_IFSOCK || own::of(inode, session) == Own::Made {
        return 0;
    }
    let peer = Peer {
        family: AF_UNIX,
        kind: 0,
        port: 0,
        address: [0; 2],
        file: Some(from),
        name: 0,
    };
    let act = Act::new(session, Operation::Connect);
    let Some((policy, slot)) = judge::policy_of(session) else {
        return settle(act, Under::NONE, Outcome::deny(Reason::Error), &peer);
    };
    let under = Under::of(policy, slot);
    let outcome = file::decide(policy, slot, act, false, from.entry());
    settle(act, under, outcome, &peer)
}

/// Judges connections.
#[lsm(hook = "socket_connect")]
pub fn socket_connect(context: LsmContext) -> i32 {
    let session = session_of(Task::current());
    if session == 0 {
        return 0;
    }
    let arguments = Arguments::of(&context, ProgramId::socket_connect);
    let socket = Socket::from_argument(arguments.get(0));
    let Some(sock) = socket.sock() else {
        return judge::EPERM;
    };
    let way = Way::of(sock, socket.kind(), false);
    judge_destination(session, way, arguments.address(1))
}

/// Judges what names its destination with the data.
#[lsm(hook = "socket_sendmsg")]
pub fn socket_sendmsg(context: LsmContext) -> i32 {
    let session = session_of(Task::current());
    if session == 0 {
        return 0;
    }
    let arguments = Arguments::of(&context, ProgramId::socket_sendmsg);
    let message = Message::from_argument(arguments.get(1));
    match message.name() {
        0 => 0,
        name => {
            let socket = Socket::from_argument(arguments.get(0));
            judge_message(session, socket, message.flags(), name)
        }
    }
}

/// Judges a session's message with a destination.
#[inline(always)]
fn judge_message(session: u32, socket: Socket, flags: u32, name: u64) -> i32 {
    const MSG_FASTOPEN: u32 = 0x2000_0000;
    let Some(sock) = socket.sock() else {
        return judge::EPERM;
    };
    // TCP ignores the name. Streams of other protocols (SCTP, TIPC) connect to it.
    if is_tcp(sock) && flags & MSG_FASTOPEN == 0 {
        return 0;
    }
    judge_destination(session, Way::of(sock, socket.kind(), true), name)
}

/// Judges the addresses that an association of SCTP is made with.
#[lsm(hook = "sctp_bind_connect")]
pub fn sctp_bind_connect(context: LsmContext) -> i32 {
    /// `SCTP_SOCKOPT_CONNECTX`. All else that the hook is called for comes by the hooks above,
    /// names an address of this host's, or comes from the other side, in nobody's name.
    const CONNECT: u32 = 110;
    let session = session_of(Task::current());
    let arguments = Arguments::of(&context, ProgramId::sctp_bind_connect);
    if session == 0 || arguments.get(1) as u32 != CONNECT {
        return 0;
    }
    let way = Way::of(Sock::from_argument(arguments.get(0)), SOCK_STREAM, false);
    judge_addresses(session, way, arguments.address(2), arguments.get(3) as u32)
}

/// Judges several addresses, which stand one behind the other. Refuses more than anybody has.
#[inline(always)]
fn judge_addresses(session: u32, way: Way, place: u64, length: u32) -> i32 {
    const MOST: usize = 4;
    let mut at = 0;
    for _ in 0..MOST {
        let address = place + u64::from(at);
        let verdict = judge_destination(session, way, address);
        if verdict != 0 {
            return verdict;
        }
        // `struct sockaddr_in` and `struct sockaddr_in6`.
        at += match untyped(address as *const u8) as u16 {
            AF_INET => 16,
            AF_INET6 => 28,
            _ => return judge::EPERM,
        };
        if at >= length {
            return 0;
        }
    }
    judge::EPERM
}

/// Judges connections to Unix sockets.
#[lsm(hook = "unix_stream_connect")]
pub fn unix_stream_connect(context: LsmContext) -> i32 {
    match session_of(Task::current()) {
        0 => 0,
        session => {
            let other = Arguments::of(&context, ProgramId::unix_stream_connect).get(0);
            judge_unix(session, SOCK_STREAM, Sock::from_argument(other))
        }
    }
}

/// Judges datagrams to Unix sockets.
#[lsm(hook = "unix_may_send")]
pub fn unix_may_send(context: LsmContext) -> i32 {
    let session = session_of(Task::current());
    if session == 0 {
        return 0;
    }
    let other = Arguments::of(&context, ProgramId::unix_may_send).get(0);
    match Socket::from_argument(other).sock() {
        Some(other) => judge_unix(session, SOCK_DGRAM, other),
        None => judge::EPERM,
    }
}
