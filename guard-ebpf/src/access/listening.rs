//! TCP sockets by their address alone, of which the verifier knows nothing: one that was remembered
//! may be another's memory by now, and what the kernel keeps of a port are lists of any sockets.
//!
//! TCP sockets lie in memory that is only ever used for TCP sockets (`SLAB_TYPESAFE_BY_RCU`), and
//! a cookie belongs to one socket: what was read before its cookie was found to be right was its
//! own.

use guard_ebpf::kernel::Field;
use guard_ebpf::session::{Listening, PortKey};

use super::{BUCKETS_BY_ADDRESS, constant, forgotten, offset, untyped};

const AF_INET: u16 = 2;
/// `TCP_TIME_WAIT`: of such a socket the kernel keeps a smaller structure.
const TIME_WAIT: u8 = 6;
/// `TCP_LISTEN`.
const LISTEN: u8 = 10;

/// What stands before an IPv4 address that is mapped into IPv6, in the second word.
const MAPPED: u64 = 0xffff_0000;
/// What `::` is remembered as when it does not stand for IPv4 too.
pub const ONLY_IPV6: [u64; 2] = [u64::MAX, 0];

/// An IPv4 address, as it stands in memory, mapped into IPv6.
#[inline(always)]
pub fn mapped(address: u32) -> [u64; 2] {
    [0, MAPPED | u64::from(address) << 32]
}

/// The IPv4 address in one of IPv6, as it stands in memory.
#[inline(always)]
pub fn unmapped(address: [u64; 2]) -> Option<u32> {
    if address[0] == 0 && address[1] as u32 == MAPPED as u32 {
        Some((address[1] >> 32) as u32)
    } else {
        None
    }
}

/// A TCP socket (`struct sock`, or what the kernel keeps of one that was closed).
#[derive(Clone, Copy)]
pub struct TcpSock(u64);

impl TcpSock {
    /// The one at an address.
    #[inline(always)]
    pub fn at(address: u64) -> Self {
        Self(address)
    }

    #[inline(always)]
    fn read(self, place: usize) -> u64 {
        untyped((self.0 + place as u64) as *const u8)
    }

    #[inline(always)]
    fn common(self, field: Field) -> u64 {
        self.read(offset(Field::SockCommon) + offset(field))
    }

    #[inline(always)]
    fn state(self) -> u8 {
        self.common(Field::SockState) as u8
    }

    /// The flags share the byte behind the state: `skc_reuse` (4 bits), `skc_reuseport`,
    /// `skc_ipv6only`, … (since 3.12).
    #[inline(always)]
    fn flag(self, bit: u32) -> bool {
        self.common(Field::SockState) >> 8 & 1 << bit != 0
    }

    /// Whether it shares its port with others that do (`SO_REUSEPORT`).
    #[inline(always)]
    pub fn shares(self) -> bool {
        self.flag(4)
    }

    /// Whether it says that it listens. It may not have got the port yet.
    #[inline(always)]
    pub fn says_it_listens(self) -> bool {
        self.state() == LISTEN
    }

    /// Whether it is found by who connects.
    #[inline(always)]
    pub fn listens(self) -> bool {
        // `struct hlist_nulls_node { next, pprev }`: the second is null outside of the table.
        let hashed = self.read(offset(Field::SockCommon) + offset(Field::SockNode) + 8) != 0;
        self.says_it_listens() && hashed
    }

    /// Whether only what comes by one interface reaches it (`SO_BINDTODEVICE`).
    #[inline(always)]
    pub fn is_of_device(self) -> bool {
        self.common(Field::SockDevice) as u32 != 0
    }

    /// Its cookie; 0 when nobody has asked for it.
    #[inline(always)]
    pub fn cookie(self) -> u64 {
        self.common(Field::SockCookie)
    }

    /// The address of the cgroup that it was made in: `struct sock_cgroup_data` begins with it (5.15).
    #[inline(always)]
    pub fn cgroup(self) -> u64 {
        self.read(offset(Field::SockCgroup))
    }

    /// Its address family (`AF_…`).
    #[inline(always)]
    pub fn family(self) -> u16 {
        self.common(Field::SockFamily) as u16
    }

    /// The address (IPv4 mapped into IPv6) and the port that it has, in the order of the network.
    #[inline(always)]
    pub fn endpoint(self) -> ([u64; 2], u32) {
        let address = if self.family() == AF_INET {
            mapped(self.common(Field::SockAddress4) as u32)
        } else {
            let place = offset(Field::SockCommon) + offset(Field::SockAddress6);
            [self.read(place), self.read(place + 8)]
        };
        let port = self.read(offset(Field::InetPort)) as u16;
        (address, port.into())
    }

    /// Where it listens.
    #[inline(always)]
    pub fn key(self) -> PortKey {
        let address = if self.family() == AF_INET {
            mapped(self.common(Field::SockAddress4) as u32)
        } else {
            let place = offset(Field::SockCommon) + offset(Field::SockAddress6);
            match [self.read(place), self.read(place + 8)] {
                [0, 0] if self.flag(5) => ONLY_IPV6,
                address => address,
            }
        };
        PortKey {
            namespace: self.common(Field::SockNet),
            address,
            // In the order of the network. Unlike `skc_num` it stays until the listener is gone.
            port: u16::from_be(self.read(offset(Field::InetPort)) as u16).into(),
        }
    }

    /// What is remembered of it.
    #[inline(always)]
    pub fn remembered(self) -> Listening {
        Listening {
            socket: self.0,
            cookie: self.cookie(),
        }
    }

    /// The address of what the kernel keeps of its port (`struct inet_bind_bucket`).
    #[inline(always)]
    pub fn bucket(self) -> u64 {
        self.read(offset(if self.state() == TIME_WAIT {
            Field::TimewaitBucket
        } else {
            Field::ConnectionBucket
        }))
    }

    /// Where it stands in the list of its port's sockets.
    #[inline(always)]
    fn bind_node() -> u64 {
        (offset(Field::SockCommon) + offset(Field::SockBindNode)) as u64
    }
}

/// A way through the sockets that have a port, listening, connected or closed.
#[derive(Clone, Copy)]
pub struct PortSockets {
    /// The next one's place in its list; 0 at the end.
    node: u64,
    /// The next list, each of an address; 0 after the last.
    list: u64,
    port: u16,
}

impl PortSockets {
    /// Begins with the first of the bucket of a port.
    #[inline(always)]
    pub fn of(bucket: u64, port: u16) -> Self {
        let first = untyped((bucket + offset(Field::BucketSockets) as u64) as *const u8);
        let none = forgotten(0);
        let (node, list) = if constant(&BUCKETS_BY_ADDRESS) == 0 {
            (first, none)
        } else {
            (none, first)
        };
        Self { node, list, port }
    }

    /// Whether there is no further one.
    #[inline(always)]
    pub fn is_at_end(self) -> bool {
        self.node == 0 && self.list == 0
    }

    /// Takes the next socket; none between two lists. When a list has gone meanwhile, it is a
    /// socket that has no bucket.
    #[inline(always)]
    pub fn take(&mut self) -> Option<TcpSock> {
        // `struct hlist_node { next, pprev }`.
        if self.node != 0 {
            let sock = TcpSock(self.node - TcpSock::bind_node());
            self.node = untyped(self.node as *const u8);
            return Some(sock);
        }
        // `struct inet_bind2_bucket`.
        let bucket = self.list - offset(Field::AddressBucketNode) as u64;
        self.node = untyped((bucket + offset(Field::AddressBucketSockets) as u64) as *const u8);
        self.list = untyped(self.list as *const u8);
        let port = untyped((bucket + offset(Field::AddressBucketPort) as u64) as *const u8) as u16;
        (port != self.port).then_some(TcpSock(0))
    }
}
