//! Connections: what a session could have others do for it.
//!
//! - `socket_connect`: Internet sockets are judged by address and port, those of other families
//!   by their family; Unix sockets by the hooks below, which see the other side.
//! - `socket_sendmsg`: the same for what names its destination with the data (`MSG_FASTOPEN`,
//!   datagrams).
//! - `unix_stream_connect`, `unix_may_send`: judge a Unix socket by its file or its abstract name.
//! - `socket_listen`, `socket_bind`: remember what is the session's own. They refuse nothing;
//!   what could not be remembered is not the session's own.
//!
//! Free, where no rule says otherwise, are addresses that are not this host's, and datagrams of
//! the Internet protocols (name look-ups).

use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use guard_ebpf::decision::Candidates;
use guard_ebpf::kernel::ProgramId;
use guard_ebpf::operation::{Operation, Reason};
use guard_ebpf::policy::{Policy, Selector};
use guard_ebpf::record::Kind;
use guard_ebpf::session::{LISTENED, Listener, PortKey};

use crate::access::{Arguments, Message, Sock, Socket, Task, untyped};
use crate::file;
use crate::identity::session_of;
use crate::judge::{self, Act, Outcome};
use crate::maps::{ADDRESSES, LISTENERS, SOCKETS};
use crate::report::{self, Peer};
use crate::walk;

/// `-ECONNREFUSED`: what a refused connection to an Internet socket returns.
const ECONNREFUSED: i32 = -111;

const AF_UNSPEC: u16 = 0;
const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const AF_NETLINK: u16 = 16;
const AF_PACKET: u16 = 17;
const SOCK_STREAM: u16 = 1;
const SOCK_DGRAM: u16 = 2;
const SOCK_RAW: u16 = 3;

/// What stands before an IPv4 address that is mapped into IPv6, in the second word.
const MAPPED: u64 = 0xffff_0000;
/// `::1`, the second word.
const LOOPBACK6: u64 = 1 << 56;
/// What `::` is remembered as when it does not stand for IPv4 too.
const ONLY_IPV6: [u64; 2] = [u64::MAX, 0];

/// An IPv4 address, as it stands in memory, mapped into IPv6.
#[inline(always)]
fn mapped(address: u32) -> [u64; 2] {
    [0, MAPPED | u64::from(address) << 32]
}

/// The IPv4 address in one of IPv6, as it stands in memory.
#[inline(always)]
fn unmapped(address: [u64; 2]) -> Option<u32> {
    if address[0] == 0 && address[1] as u32 == MAPPED as u32 {
        Some((address[1] >> 32) as u32)
    } else {
        None
    }
}

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
    unsafe { ADDRESSES.get(key) }.is_some()
}

/// Whether an address leads to a listener of the session's own.
#[inline(always)]
fn is_own_listener(session: u32, address: [u64; 2], port: u16) -> bool {
    let key = PortKey {
        namespace: Task::current().network(),
        port: port.into(),
    };
    // SAFETY: read in place; an entry that changes meanwhile belongs to one session or the other.
    let Some(listener) = (unsafe { LISTENERS.get(key) }) else {
        return false;
    };
    if listener.session != session {
        return false;
    }
    let is_ipv4 = unmapped(address).is_some();
    // 0.0.0.0 and :: lead to the loopback address.
    let target = match address {
        [0, 0] => [0, LOOPBACK6],
        _ if unmapped(address) == Some(0) => mapped(u32::from_le_bytes([127, 0, 0, 1])),
        other => other,
    };
    listener.addresses.iter().any(|&heard| {
        heard == target
            || heard == [0, 0] && listener.count != 0
            || is_ipv4 && heard == mapped(0)
            || !is_ipv4 && heard == ONLY_IPV6
    })
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
    judge::conclude_candidates(slot, candidates, free)
}

/// Counts and records an outcome. Returns what the hook returns.
#[inline(always)]
fn settle(act: Act, outcome: Outcome, policy: u32, peer: &Peer) -> i32 {
    if judge::conclude(act, outcome) {
        report::socket(&outcome.header(Kind::Socket, act, policy), peer);
    }
    outcome.returned()
}

/// Judges a destination that is not a Unix socket. `address` is where it stands in kernel
/// memory.
#[inline(never)]
fn judge_destination(session: u32, kind: u16, place: u64) -> i32 {
    let read = |offset: u64| untyped((place + offset) as *const u8);
    let first = read(0);
    let family = first as u16;
    let port = (first >> 16) as u16;
    let address = match family {
        // Taking a connection back; Unix sockets have hooks of their own; the kernel, and
        // whatever is on the wire, are no deputies.
        AF_UNSPEC | AF_UNIX | AF_NETLINK | AF_PACKET => return 0,
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
        return settle(act, Outcome::deny(Reason::Error), 0, &peer);
    };
    let candidates = Candidates::about(policy, act.operation, act.detail);
    let (row, free) = if internet {
        let free = matches!(kind, SOCK_DGRAM | SOCK_RAW) || !is_local(address);
        (walk::endpoint(slot, address, port.into()), free)
    } else {
        (walk::family(slot, family.into()), false)
    };
    let mut outcome = decide(policy, slot, candidates, row, free);
    if outcome.yields() && internet && is_own_listener(session, address, peer.port) {
        outcome = Outcome::own();
    }
    match settle(act, outcome, policy.id, &peer) {
        0 => 0,
        // Who waits for a server of its own to come up goes on waiting at this, as where nobody
        // listens yet, and gives up at anything else.
        _ if internet => ECONNREFUSED,
        verdict => verdict,
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
        return settle(act, Outcome::deny(Reason::Error), 0, &peer);
    };
    let outcome = match file {
        Some(dentry) => file::decide(policy, slot, act, false, dentry),
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
    settle(act, outcome, policy.id, &peer)
}

/// Judges connections.
#[lsm(hook = "socket_connect")]
pub fn socket_connect(context: LsmContext) -> i32 {
    let session = session_of(Task::current());
    if session == 0 {
        return 0;
    }
    let arguments = Arguments::of(&context, ProgramId::socket_connect);
    let kind = Socket::from_argument(arguments.get(0)).kind();
    judge_destination(session, kind, arguments.get(1))
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
            let kind = Socket::from_argument(arguments.get(0)).kind();
            judge_message(session, kind, message.flags(), name)
        }
    }
}

/// Judges a session's message with a destination.
#[inline(always)]
fn judge_message(session: u32, kind: u16, flags: u32, name: u64) -> i32 {
    const MSG_FASTOPEN: u32 = 0x2000_0000;
    // A stream that is connected ignores the name.
    if kind == SOCK_STREAM && flags & MSG_FASTOPEN == 0 {
        return 0;
    }
    judge_destination(session, kind, name)
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

/// Remembers whose a socket is.
#[inline(always)]
fn remember(session: u32, sock: Sock) {
    let mut owner = session;
    SOCKETS.get_or_insert(sock, &mut owner);
}

/// Marks sockets that are bound.
#[lsm(hook = "socket_bind")]
pub fn socket_bind(context: LsmContext) -> i32 {
    let session = session_of(Task::current());
    if session == 0 {
        return 0;
    }
    let socket = Arguments::of(&context, ProgramId::socket_bind).get(0);
    if let Some(sock) = Socket::from_argument(socket).sock() {
        remember(session, sock);
    }
    0
}

/// Marks listeners.
#[lsm(hook = "socket_listen")]
pub fn socket_listen(context: LsmContext) -> i32 {
    let session = session_of(Task::current());
    let socket = Arguments::of(&context, ProgramId::socket_listen).get(0);
    let Some(sock) = Socket::from_argument(socket).sock() else {
        return 0;
    };
    if session != 0 {
        remember(session, sock);
    }
    let family = sock.family();
    if !matches!(family, AF_INET | AF_INET6) {
        return 0;
    }
    let key = PortKey {
        namespace: sock.network(),
        port: sock.port().into(),
    };
    if session == 0 {
        // Whatever a session listened on here is somebody else's now, or shared.
        let _ = LISTENERS.remove(key);
        return 0;
    }
    let address = match family {
        AF_INET => mapped(sock.address4()),
        _ => match sock.address6() {
            [0, 0] if sock.is_only_ipv6() => ONLY_IPV6,
            address => address,
        },
    };
    // SAFETY: an entry is replaced as a whole.
    let mut listener = match unsafe { LISTENERS.get(key) } {
        Some(listener) if listener.session == session => *listener,
        _ => Listener {
            session,
            ..Listener::default()
        },
    };
    listener.addresses[listener.count as usize & (LISTENED - 1)] = address;
    listener.count = listener.count.wrapping_add(1) & 0xff;
    let _ = LISTENERS.insert(key, listener, 0);
    0
}
