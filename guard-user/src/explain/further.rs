//! What only some policies ask for of a process, found out from outside; and only if the policy at hand
//! does.

use std::fs;
use std::net::IpAddr;
use std::os::fd::{AsFd as _, AsRawFd as _};

use guard_ebpf::abi::{MAX_ANCESTORS, MAX_DESCRIPTORS};
use guard_ebpf::policy::Selector;
use nix::sys::socket::{SockaddrStorage, getsockname, getsockopt, sockopt};
use nix::unistd::Pid;

use super::Knowledge;
use super::facts::place;
use crate::policy::compiled::Compiled;
use crate::policy::evaluate::{Further, ProcessFacts};
use crate::session::raw::{pidfd_getfd, pidfd_open};
use crate::system::mounts::Mounts;
use crate::system::processes;

/// A process with what a policy asks for. `session` is its session.
pub fn with(
    facts: ProcessFacts,
    pid: u32,
    policy: &Compiled,
    mounts: &Mounts,
    known: &dyn Knowledge,
    session: Option<u32>,
) -> ProcessFacts {
    let asks_for = |kind| policy.asks_for(kind);
    let further = Further {
        command: asks_for(Selector::Command)
            .then(|| known.command_of(pid))
            .flatten(),
        ancestors: asks_for(Selector::Ancestor)
            .then(|| ancestors(mounts, pid))
            .flatten(),
        listens: asks_for(Selector::Listening)
            .then(|| listens(pid, session, known))
            .flatten(),
        session: session.map(|session| known.name(session)),
    };
    ProcessFacts { further, ..facts }
}

/// What a process was executed with, as `/proc` shows it, the arguments with a space between them.
pub fn command(pid: u32) -> Option<Vec<u8>> {
    let text = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let arguments = text.split(|&byte| byte == 0);
    let arguments: Vec<&[u8]> = arguments.filter(|argument| !argument.is_empty()).collect();
    (!arguments.is_empty()).then(|| arguments.join(&b' '))
}

/// The executables of what a process comes from.
fn ancestors(mounts: &Mounts, pid: u32) -> Option<Vec<(u32, Vec<u8>)>> {
    let mut all = Vec::new();
    let mut at = processes::running(pid)?.parent;
    for _ in 0..MAX_ANCESTORS {
        if at == 0 {
            return Some(all);
        }
        // Threads of the kernel's have none.
        if let Ok(path) = fs::read_link(format!("/proc/{at}/exe")) {
            all.push(place(mounts, &path).ok()?);
        }
        at = processes::running(at)?.parent;
    }
    (at == 0).then_some(all)
}

/// Where a process listens for TCP connections. Its sockets are asked themselves: lists of sockets do
/// not have those of other network namespaces, nor all of Multipath TCP. What another session has made and
/// handed to it does not count.
fn listens(pid: u32, session: Option<u32>, known: &dyn Knowledge) -> Option<Vec<(IpAddr, u16)>> {
    let process = pidfd_open(Pid::from_raw(i32::try_from(pid).ok()?)).ok()?;
    let mut all = Vec::new();
    let mut count = 0;
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).ok()? {
        let entry = entry.ok()?;
        count += 1;
        if count > MAX_DESCRIPTORS {
            return None;
        }
        let target = fs::read_link(entry.path());
        if !target.is_ok_and(|target| target.to_string_lossy().starts_with("socket:")) {
            continue;
        }
        let number = entry.file_name().to_str()?.parse().ok()?;
        let Ok(socket) = pidfd_getfd(process.as_fd(), number) else {
            // It may have been closed meanwhile.
            continue;
        };
        let maker = known.maker_of(socket.as_fd());
        if getsockopt(&socket, sockopt::AcceptConn).is_ok_and(|listens| listens)
            && (maker.is_none() || maker == session)
            && let Ok(name) = getsockname::<SockaddrStorage>(socket.as_raw_fd())
        {
            let four = name.as_sockaddr_in();
            let four = four.map(|name| (IpAddr::from(name.ip()), name.port()));
            let six = name.as_sockaddr_in6();
            all.extend(four.or_else(|| six.map(|name| (name.ip().into(), name.port()))));
        }
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::Nothing;

    #[test]
    fn a_process_is_known_by_what_it_comes_from_and_listens_at() {
        let own = std::process::id();
        let mounts = Mounts::read().unwrap();
        assert!(command(own).is_some_and(|line| !line.is_empty() && !line.contains(&0)));
        assert!(ancestors(&mounts, own).is_some_and(|all| !all.is_empty()));
        assert!(command(u32::MAX).is_none() && ancestors(&mounts, u32::MAX).is_none());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let all = listens(own, None, &Nothing).unwrap();
        assert!(all.contains(&(address.ip(), address.port())), "{all:?}");
        drop(listener);
        let all = listens(own, None, &Nothing).unwrap();
        assert!(!all.contains(&(address.ip(), address.port())), "{all:?}");
    }
}
