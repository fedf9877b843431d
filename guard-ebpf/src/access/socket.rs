//! Sockets, messages and System V IPC objects.

use aya_ebpf::helpers::generated::bpf_skc_to_unix_sock;
use guard_ebpf::kernel::Field;

use super::{Dentry, IpcObject, Message, Sock, Socket, UnixSock, offset, untyped};

impl Socket {
    /// The protocol's side of it.
    #[inline(always)]
    pub fn sock(self) -> Option<Sock> {
        Sock::from_pointer(self.read(Field::SocketSock))
    }

    /// Its type (`SOCK_…`).
    #[inline(always)]
    pub fn kind(self) -> u16 {
        self.read(Field::SocketType)
    }
}

impl Sock {
    #[inline(always)]
    fn common<T: Copy>(self, field: Field) -> T {
        // SAFETY: as in `read`: `__sk_common` is embedded.
        unsafe {
            core::ptr::read_volatile(self.0.add(offset(Field::SockCommon) + offset(field)).cast())
        }
    }

    /// Its address family (`AF_…`).
    #[inline(always)]
    pub fn family(self) -> u16 {
        self.common(Field::SockFamily)
    }

    /// Its protocol (`IPPROTO_…`, and what other families have).
    #[inline(always)]
    pub fn protocol(self) -> u16 {
        self.read(Field::SockProtocol)
    }

    /// The address of its network namespace, which is not that of whoever uses it: a socket stays
    /// in the one that it was made in.
    #[inline(always)]
    pub fn network(self) -> u64 {
        // As a number: it is an identity, and handed to functions that take numbers only.
        untyped(unsafe {
            // SAFETY: only the address is computed; the helper checks what it reads.
            self.0
                .add(offset(Field::SockCommon) + offset(Field::SockNet))
        })
    }

    /// The same as a Unix socket; none when it is another.
    #[inline(always)]
    pub fn unix(self) -> Option<UnixSock> {
        // SAFETY: the helper (5.16) looks at what it is.
        UnixSock::from_pointer(unsafe { bpf_skc_to_unix_sock(self.pointer()) }.cast())
    }
}

impl UnixSock {
    /// The file that it is bound to; none for one of the abstract name space or without a name.
    #[inline(always)]
    pub fn dentry(self) -> Option<Dentry> {
        // SAFETY: as in `read`: `path` is embedded.
        Dentry::from_pointer(unsafe {
            core::ptr::read_volatile(
                self.0
                    .add(offset(Field::UnixPath) + offset(Field::PathDentry))
                    .cast(),
            )
        })
    }

    /// Where its name of the abstract name space stands, behind the NUL that it begins with;
    /// 0 when it has no name.
    #[inline(always)]
    pub fn abstract_name(self) -> u64 {
        /// `sun_family`, and the NUL.
        const BEFORE: u64 = 2 + 1;
        match untyped(self.embedded(Field::UnixAddress)) {
            0 => 0,
            address => address + offset(Field::UnixAddressName) as u64 + BEFORE,
        }
    }
}

impl Message {
    /// The address of the destination in kernel memory; 0 for none.
    #[inline(always)]
    pub fn name(self) -> u64 {
        untyped(self.embedded(Field::MessageName))
    }

    /// How the message is sent (`MSG_…`).
    #[inline(always)]
    pub fn flags(self) -> u32 {
        self.read(Field::MessageFlags)
    }
}

impl IpcObject {
    /// Its number, as `ipcs` shows it.
    #[inline(always)]
    pub fn id(self) -> u32 {
        self.read(Field::IpcId)
    }
}
