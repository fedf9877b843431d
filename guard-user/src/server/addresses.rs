//! The host's own addresses: what a session connects to there is on this machine.

use std::collections::BTreeSet;
use std::io;
use std::net::Ipv6Addr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use guard_ebpf::abi::MAX_ADDRESSES;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, SockaddrLike,
    SockaddrStorage, bind, recv, socket,
};
use tokio::io::unix::AsyncFd;

use super::core::{Server, log};

/// How long changes are collected: an interface that comes up gets several addresses.
const QUIET: Duration = Duration::from_millis(20);

/// The addresses of all interfaces of this network namespace, IPv4 mapped into IPv6.
pub(crate) fn addresses() -> io::Result<BTreeSet<Ipv6Addr>> {
    let interfaces = nix::ifaddrs::getifaddrs()?;
    Ok(interfaces
        .filter_map(|interface| mapped(&interface.address?))
        .collect())
}

fn mapped(address: &SockaddrStorage) -> Option<Ipv6Addr> {
    match address.family()? {
        AddressFamily::Inet => Some(address.as_sockaddr_in()?.ip().to_ipv6_mapped()),
        AddressFamily::Inet6 => Some(address.as_sockaddr_in6()?.ip()),
        _ => None,
    }
}

/// A socket on which the kernel tells of every address that comes or goes (rtnetlink(7)).
fn news() -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        flags,
        SockProtocol::NetlinkRoute,
    )?;
    let groups = libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups as u32))?;
    Ok(socket)
}

/// Takes all news that have come. What they say is not looked at: the addresses are read anew.
fn take_all(socket: &OwnedFd) -> io::Result<()> {
    let mut buffer = [0; 8192];
    loop {
        match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
            Err(Errno::EAGAIN) => return Ok(()),
            // Some were lost, which does not matter.
            Ok(_) | Err(Errno::ENOBUFS | Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

impl Server {
    /// Tells the engine the host's addresses as they are now.
    pub(super) fn set_addresses(&self) -> anyhow::Result<()> {
        let addresses: Vec<[u8; 16]> = addresses()?.iter().map(Ipv6Addr::octets).collect();
        if addresses.len() > MAX_ADDRESSES as usize {
            log(&format!(
                "this host has {} addresses, more than the {MAX_ADDRESSES} that guard tells apart: \
                 until it has fewer, every address is taken for one of them, and sessions reach \
                 other hosts only where a rule allows it",
                addresses.len()
            ));
        }
        self.with_engine(|engine| engine.set_addresses(&addresses))
    }

    /// Keeps the engine's addresses those of the host.
    pub(super) async fn follow_addresses(self: Rc<Self>) {
        if let Err(error) = self.follow().await {
            log(&format!(
                "addresses that the host gets from now on are not known to be its own: {error}"
            ));
        }
    }

    async fn follow(&self) -> io::Result<()> {
        // SAFETY: the descriptor is owned by what is handed over, which nothing replaces, so it
        // stays open and the same as long as it is registered.
        let socket = unsafe { AsyncFd::register(news()?) }?;
        loop {
            // What changed before the socket was there is seen here.
            if self.inner.borrow().engine.is_some()
                && let Err(error) = self.set_addresses()
            {
                log(&format!("the host's addresses can't be set: {error:#}"));
            }
            let mut ready = socket.readable().await?;
            tokio::time::sleep(QUIET).await;
            take_all(socket.get_ref())?;
            ready.clear_ready();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_has_its_loopback_address_mapped() {
        let addresses = addresses().unwrap();
        let loopback = std::net::Ipv4Addr::LOCALHOST.to_ipv6_mapped();
        assert!(addresses.contains(&loopback), "{addresses:?}");
    }

    #[test]
    fn news_are_listened_for_and_taken() {
        let socket = news().unwrap();
        take_all(&socket).unwrap();
    }
}
