//! Whose own a listener on a TCP port is.
//!
//! - `socket_listen`: remembers a session's socket that has a port and is about to listen; forgets a
//!   session's listeners that somebody outside shares the port with.
//! - `inet_csk_listen_start`, when it returns: remembers those that have got their port by listening,
//!   those that share it, and those below MPTCP. All TCP listeners come by here. From 6.1 on it has
//!   had the same argument. The kernel leaves a program on a function out while another task's run
//!   of it is preempted on the same processor, as it never does with LSM programs: then such a
//!   listener is not the session's own, which is why all others are remembered before.
//! - `inet_csk_listen_stop`, when it returns: forgets it. What is missed here does no harm: entries
//!   are checked when they are used.
//! - `socket_post_create`: marks what a session makes: Unix sockets are its own by that, and only
//!   what it made itself can be its own listener.
//!
//! Nothing here refuses. A connection is the session's own when a socket of the session's listens
//! where it goes, at this moment. The kernel lets nobody else listen there then, with one
//! exception: sockets of one user's that all ask to share (`SO_REUSEPORT`). Such a socket is only
//! taken for the session's own when no one else listens on the port when it begins to, and no
//! longer than until somebody does. One that takes connections of one interface only
//! (`SO_BINDTODEVICE`) never is: others may listen at the same place.
//!
//! Known gaps: what is true when the connection is judged may not be any more when its packets
//! arrive: a listener may close, and another take the port. Netfilter and `sk_lookup` programs may
//! lead elsewhere. SCTP's listeners are nobody's own.

use core::ffi::c_void;

use aya_ebpf::bindings::BPF_EXIST;
use aya_ebpf::helpers::generated::{bpf_get_socket_cookie, bpf_loop};
use aya_ebpf::macros::{fexit, lsm};
use aya_ebpf::programs::{FExitContext, LsmContext};
use guard_ebpf::kernel::ProgramId;
use guard_ebpf::session::{Listener, Listening, PortKey};

use crate::access::{
    Arguments, ONLY_IPV6, PortSockets, Sock, Socket, Task, TcpSock, forget, mapped, unmapped,
};
use crate::identity::session_of;
use crate::maps::{LISTENERS, SOCKETS};

const AF_UNIX: u32 = 1;
const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;
/// `IPPROTO_TCP`.
const TCP: u16 = 6;

/// `::1`, the second word.
const LOOPBACK6: u64 = 1 << 56;

/// In a cookie that is remembered: it is not known yet whether somebody else listens there. (The
/// kernel counts cookies up from 1.)
const PENDING: u64 = 1 << 63;

/// How many sockets of a port are looked at, those of connections too. Of a port that has more a
/// shared listener is not the session's own.
const MOST_SOCKETS: u32 = 8192;

/// Whether what was remembered listens now, where it listened. A global function: the verifier
/// looks at it once.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn listens(socket: u64, cookie: u64, low: u64, high: u64, port: u64) -> u32 {
    let sock = TcpSock::at(socket);
    let key = sock.key();
    // The cookie last: then all else was this socket's.
    let is = sock.listens()
        && !sock.is_of_device()
        && key.address == [low, high]
        && key.port == port
        && sock.cookie() == cookie;
    u32::from(is)
}

#[inline(always)]
fn does_listen(what: Listening, key: &PortKey) -> bool {
    let [low, high] = key.address;
    what.socket != 0 && listens(what.socket, what.cookie, low, high, key.port) != 0
}

/// Whether a session's own socket listens at a place.
#[inline(never)]
fn is_heard(session: u32, key: &PortKey) -> bool {
    // SAFETY: read in place; what is torn or another's by then does not listen there.
    let Some(listener) = (unsafe { LISTENERS.get(key) }) else {
        return false;
    };
    listener.session == session && listener.sockets.iter().any(|&what| does_listen(what, key))
}

/// Whether an address of this host's leads to a listener of the session's own.
#[inline(always)]
pub fn is_own(session: u32, namespace: u64, address: [u64; 2], port: u16) -> bool {
    let heard = |address| {
        let key = PortKey {
            namespace,
            address,
            port: port.into(),
        };
        is_heard(session, &key)
    };
    let is_ipv4 = unmapped(address).is_some();
    // 0.0.0.0 and :: lead to the loopback address.
    let target = match address {
        [0, 0] => [0, LOOPBACK6],
        _ if unmapped(address) == Some(0) => mapped(u32::from_le_bytes([127, 0, 0, 1])),
        other => other,
    };
    heard(target) || heard(if is_ipv4 { mapped(0) } else { ONLY_IPV6 }) || heard([0, 0])
}

/// Whether a socket is remembered as a session's.
#[inline(always)]
fn is_remembered(session: u32, sock: TcpSock) -> bool {
    let this = sock.remembered();
    // SAFETY: as in `is_heard`.
    unsafe { LISTENERS.get(sock.key()) }.is_some_and(|listener| {
        listener.session == session
            && listener
                .sockets
                .iter()
                .any(|what| what.socket == this.socket && what.cookie & !PENDING == this.cookie)
    })
}

/// A search for somebody else's listener: shared with the function that the kernel calls for each
/// socket.
struct Search {
    session: u32,
    bucket: u64,
    sockets: PortSockets,
    /// Whether all were looked at, and all were the session's.
    alone: u32,
}

/// Looks at one socket of a port. Without the kernel's lock a list may change meanwhile: a socket
/// that is no more in it, and could lead to another, does not have this bucket any more.
unsafe extern "C" fn look(_: u32, search: *mut Search) -> i64 {
    // SAFETY: what was given to `bpf_loop`.
    let search = unsafe { &mut *search };
    if search.sockets.is_at_end() {
        search.alone = 1;
        return 1;
    }
    let Some(sock) = search.sockets.take() else {
        return 0;
    };
    if sock.bucket() != search.bucket {
        return 1;
    }
    i64::from(sock.says_it_listens() && !is_remembered(search.session, sock))
}

/// Whether all that listen on a socket's port, at whatever address, are the session's.
#[inline(always)]
fn is_alone(session: u32, sock: TcpSock) -> bool {
    let bucket = sock.bucket();
    let mut search = Search {
        session,
        bucket,
        sockets: PortSockets::of(bucket, sock.key().port as u16),
        alone: forget(0),
    };
    // SAFETY: the function has the form that the helper calls, and the search outlives it.
    unsafe {
        bpf_loop(
            MOST_SOCKETS,
            look as *mut c_void,
            (&raw mut search).cast(),
            0,
        )
    };
    search.alone != 0
}

/// Remembers a socket that a session listens with. In place of one that does not any more, if there
/// is one. Two that begin at once may lose one of them.
#[inline(never)]
fn remember(session: u32, address: u64, cookie: u64) {
    let key = TcpSock::at(address).key();
    // SAFETY: as in `is_heard`.
    let mut listener = match unsafe { LISTENERS.get(key) } {
        Some(listener) if listener.session == session => *listener,
        _ => Listener {
            session,
            ..Listener::default()
        },
    };
    let mut left = Some(Listening {
        socket: address,
        cookie,
    });
    for what in &mut listener.sockets {
        let known = Listening {
            cookie: what.cookie & !PENDING,
            ..*what
        };
        if (what.socket == address || !does_listen(known, &key))
            && let Some(new) = left.take()
        {
            *what = new;
        }
    }
    if let Some(new) = left {
        listener.sockets[0] = new;
    }
    let _ = LISTENERS.insert(key, listener, 0);
}

/// Says of a socket that is remembered that nobody else listens on its port, unless it was
/// forgotten meanwhile, since somebody does.
#[inline(never)]
fn confirm(address: u64, cookie: u64) {
    let key = TcpSock::at(address).key();
    // SAFETY: as in `is_heard`.
    let Some(mut listener) = unsafe { LISTENERS.get(key) }.copied() else {
        return;
    };
    for what in &mut listener.sockets {
        if what.socket == address && what.cookie == cookie | PENDING {
            what.cookie = cookie;
        }
    }
    let _ = LISTENERS.insert(key, listener, BPF_EXIST.into());
}

/// Forgets a session's listeners that a socket from outside may take connections from.
#[inline(never)]
fn forget_shared(address: u64) {
    let sock = TcpSock::at(address);
    if !sock.shares() {
        return;
    }
    let key = sock.key();
    for address in [key.address, mapped(0), [0, 0], ONLY_IPV6] {
        let _ = LISTENERS.remove(PortKey { address, ..key });
    }
}

/// Whether a session has made a socket.
#[inline(always)]
fn is_made_by(session: u32, sock: Sock) -> bool {
    SOCKETS.get(sock).is_some_and(|owner| *owner == session)
}

/// Remembers a session's socket that is about to listen at its port: whether it does is asked
/// whenever somebody connects.
#[inline(always)]
fn expect(session: u32, sock: Sock) {
    let this = TcpSock::at(sock.address());
    if sock.protocol() != TCP
        || !is_made_by(session, sock)
        || this.key().port == 0
        || this.shares()
        || this.is_of_device()
    {
        return;
    }
    // SAFETY: a socket, as the verifier knows.
    let cookie = unsafe { bpf_get_socket_cookie(sock.pointer()) };
    remember(session, sock.address(), cookie);
}

/// Remembers listeners.
#[fexit(function = "inet_csk_listen_start")]
pub fn listen_started(context: FExitContext) -> i32 {
    let sock = Sock::from_argument(Arguments::of(&context, ProgramId::listen_started).get(0));
    let address = sock.address();
    let session = session_of(Task::current());
    if session == 0 {
        forget_shared(address);
        return 0;
    }
    let this = TcpSock::at(address);
    if !is_made_by(session, sock) || !this.listens() || this.is_of_device() {
        return 0;
    }
    // SAFETY: a socket, as the verifier knows.
    let cookie = unsafe { bpf_get_socket_cookie(sock.pointer()) };
    if !this.shares() {
        remember(session, address, cookie);
        return 0;
    }
    // In this order: whoever begins to listen meanwhile is seen, or makes it be forgotten.
    remember(session, address, cookie | PENDING);
    if is_alone(session, this) {
        confirm(address, cookie);
    }
    0
}

/// Forgets listeners.
#[fexit(function = "inet_csk_listen_stop")]
pub fn listen_stopped(context: FExitContext) -> i32 {
    let session = session_of(Task::current());
    if session == 0 {
        return 0;
    }
    let argument = Arguments::of(&context, ProgramId::listen_stopped).get(0);
    let key = TcpSock::at(argument).key();
    // SAFETY: as in `is_heard`.
    let in_use = unsafe { LISTENERS.get(key) }.is_none_or(|listener| {
        listener.session != session || listener.sockets.iter().any(|&what| does_listen(what, &key))
    });
    if !in_use {
        let _ = LISTENERS.remove(key);
    }
    0
}

/// Remembers who is about to listen, and forgets what is shared from now on.
#[lsm(hook = "socket_listen")]
pub fn socket_listen(context: LsmContext) -> i32 {
    let session = session_of(Task::current());
    let socket = Arguments::of(&context, ProgramId::socket_listen).get(0);
    let Some(sock) = Socket::from_argument(socket).sock() else {
        return 0;
    };
    if !matches!(u32::from(sock.family()), AF_INET | AF_INET6) {
        return 0;
    }
    if session == 0 {
        forget_shared(sock.address());
    } else {
        expect(session, sock);
    }
    0
}

/// Marks sockets.
#[lsm(hook = "socket_post_create")]
pub fn socket_post_create(context: LsmContext) -> i32 {
    let session = session_of(Task::current());
    if session == 0 {
        return 0;
    }
    let arguments = Arguments::of(&context, ProgramId::socket_post_create);
    if matches!(arguments.get(1) as u32, AF_UNIX | AF_INET | AF_INET6)
        && let Some(sock) = Socket::from_argument(arguments.get(0)).sock()
    {
        let owner = session;
        SOCKETS.get_or_insert(sock, &owner);
    }
    0
}
