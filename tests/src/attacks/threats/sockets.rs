//! Asking others to do it: connections to sockets that the session did not make (J, H7, H10).
//! What would answer is played by the test, at the address where the real one listens.

use std::fs;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;

use nix::libc;

use super::scene::{RING, Scene, Script, Stage, bytes, does, fresh, string};
use super::{Row, both};
use crate::support::raw::call;

pub(super) const STREAM: i32 = libc::SOCK_STREAM;
pub(super) const DATAGRAM: i32 = libc::SOCK_DGRAM;
const SEQUENCED: i32 = libc::SOCK_SEQPACKET;
/// `MSG_FASTOPEN`.
const FAST_OPEN: i32 = 0x2000_0000;
const RING_CONNECT: u8 = 16;
/// Protocols of stream sockets.
pub(super) const TCP: i32 = 0;
pub(super) const MPTCP: i32 = 262;

/// An address as `connect` takes it; a name that begins with `@` is an abstract one.
pub(super) fn unix(name: &str) -> Vec<u8> {
    let mut address = (libc::AF_UNIX as u16).to_le_bytes().to_vec();
    if let Some(name) = name.strip_prefix('@') {
        address.push(0);
        address.extend(name.as_bytes());
    } else {
        address.extend(name.as_bytes());
        address.push(0);
    }
    address
}

pub(super) fn inet(address: [u8; 4], port: u16) -> Vec<u8> {
    let mut bytes = (libc::AF_INET as u16).to_le_bytes().to_vec();
    bytes.extend(port.to_be_bytes());
    bytes.extend(address);
    bytes.extend([0; 8]);
    bytes
}

pub(super) fn inet6(address: std::net::Ipv6Addr, port: u16) -> Vec<u8> {
    let mut bytes = (libc::AF_INET6 as u16).to_le_bytes().to_vec();
    bytes.extend(port.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(address.octets());
    bytes.extend([0; 4]);
    bytes
}

fn family(address: &[u8]) -> i32 {
    i32::from(u16::from_le_bytes([address[0], address[1]]))
}

/// A socket of the test's that waits at an address.
pub(super) struct Waiting {
    socket: OwnedFd,
    kind: i32,
}

impl Waiting {
    pub(super) fn at(address: &[u8], kind: i32) -> anyhow::Result<Self> {
        Self::with(address, kind, 0, libc::SO_REUSEADDR)
    }

    /// One of a protocol, with an option of sockets set.
    pub(super) fn with(
        address: &[u8],
        kind: i32,
        protocol: i32,
        option: i32,
    ) -> anyhow::Result<Self> {
        let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        let words = [
            family(address) as usize,
            (kind | flags) as usize,
            protocol as usize,
        ];
        let descriptor = call(libc::SYS_socket, &words)?;
        // SAFETY: the kernel has just given it to us.
        let socket = unsafe { OwnedFd::from_raw_fd(descriptor as i32) };
        let one = 1_i32;
        let words = [
            descriptor,
            libc::SOL_SOCKET as usize,
            option as usize,
            (&raw const one) as usize,
            4,
        ];
        call(libc::SYS_setsockopt, &words)?;
        let words = [descriptor, address.as_ptr() as usize, address.len()];
        call(libc::SYS_bind, &words)?;
        if !matches!(kind, DATAGRAM | libc::SOCK_RAW) {
            call(libc::SYS_listen, &[descriptor, 64])?;
        }
        Ok(Self { socket, kind })
    }

    /// Whether somebody has come.
    pub(super) fn was_met(&self) -> bool {
        let descriptor = self.socket.as_raw_fd() as usize;
        if matches!(self.kind, DATAGRAM | libc::SOCK_RAW) {
            let mut byte = [0_u8; 8];
            let words = [descriptor, byte.as_mut_ptr() as usize, 8, 0, 0, 0];
            return call(libc::SYS_recvfrom, &words).is_ok();
        }
        call(libc::SYS_accept4, &[descriptor, 0, 0, 0])
            .inspect(|connection| {
                let _ = call(libc::SYS_close, &[*connection]);
            })
            .is_ok()
    }
}

/// A script that connects.
pub(super) fn connect(address: &[u8], kind: i32, protocol: i32) -> Script {
    does(libc::SYS_socket, &[&family(address), &kind, &protocol])
        .then(libc::SYS_connect, &[&"$1", &bytes(address), &address.len()])
}

/// An attack on whoever waits at an address.
pub(super) fn meets(waiting: Waiting, script: Script) -> Scene {
    script.scene().shows(move || waiting.was_met())
}

/// A Unix socket at its usual place, open to everybody.
pub(super) fn at_path(path: &str, kind: i32) -> anyhow::Result<Waiting> {
    let parent = Path::new(path).parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent)?;
    let _ = fs::remove_file(path);
    let waiting = Waiting::at(&unix(path), kind)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o777))?;
    Ok(waiting)
}

fn service(path: &'static str) -> anyhow::Result<Scene> {
    let waiting = at_path(path, STREAM)?;
    Ok(
        meets(waiting, connect(&unix(path), STREAM, 0)).undo(move || {
            let _ = fs::remove_file(path);
        }),
    )
}

/// A server on a port of this machine.
fn port(number: u16) -> anyhow::Result<Scene> {
    let waiting = Waiting::at(&inet([127, 0, 0, 1], number), STREAM)?;
    Ok(meets(
        waiting,
        connect(&inet([127, 0, 0, 1], number), STREAM, TCP),
    ))
}

pub(super) fn fresh_port() -> u16 {
    20_000 + fresh() as u16
}

/// The address of an interface other than the loopback one, as a server is reached from outside.
const OWN: [u8; 4] = [192, 0, 2, 1];

/// Gives this machine an address.
pub(super) fn give_address(interface: &[u8; 4], address: [u8; 4]) -> anyhow::Result<()> {
    const SIOCSIFADDR: usize = 0x8916;
    let mut request = [0_u8; 40];
    request[..4].copy_from_slice(interface);
    request[16..32].copy_from_slice(&inet(address, 0));
    let socket = call(libc::SYS_socket, &[2, 2, 0])?;
    let words = [socket, SIOCSIFADDR, request.as_ptr() as usize];
    let result = call(libc::SYS_ioctl, &words);
    call(libc::SYS_close, &[socket])?;
    result?;
    Ok(())
}

/// A path for a socket of the attacker's own.
fn own_path(stage: &Stage<'_>) -> anyhow::Result<String> {
    Ok(format!("{}/own.sock", stage.directory()?))
}

/// A listener and a connection to it, both of the session.
pub(super) fn own(address: &[u8], kind: i32) -> Scene {
    let (there, length) = (bytes(address), address.len());
    let family = family(address);
    let script = does(libc::SYS_socket, &[&family, &kind, &0])
        .then(libc::SYS_bind, &[&"$1", &there, &length]);
    let script = if kind == DATAGRAM {
        script.then(libc::SYS_socket, &[&family, &kind, &0]).then(
            libc::SYS_sendto,
            &[&"$3", &string("x"), &1, &0, &there, &length],
        )
    } else {
        script
            .then(libc::SYS_listen, &[&"$1", &8])
            .then(libc::SYS_socket, &[&family, &kind, &0])
            .then(libc::SYS_connect, &[&"$4", &there, &length])
            .then(libc::SYS_write, &[&"$4", &string("x"), &1])
    };
    script.scene()
}

/// A message without a connection.
pub(super) fn datagram(address: &[u8]) -> Script {
    does(libc::SYS_socket, &[&family(address), &DATAGRAM, &0]).then(
        libc::SYS_sendto,
        &[&"$1", &string("x"), &1, &0, &bytes(address), &address.len()],
    )
}

pub const ROWS: &[Row] = &[
    both("J1", "docker", |_| service("/run/docker.sock")),
    both("J2", "containerd", |_| {
        service("/run/containerd/containerd.sock")
    }),
    both("J3", "systemd", |_| service("/run/systemd/private")),
    both("H7", "the user's systemd", |_| {
        service("/run/user/1000/systemd/private")
    }),
    both("J5", "the system's D-Bus", |_| {
        service("/run/dbus/system_bus_socket")
    }),
    both("J22", "the user's D-Bus", |_| service("/run/user/1000/bus")),
    both(
        "J22",
        "the user's D-Bus under the name of an agent of keys",
        |s| {
            let there = format!("/run/user/{}/bus-{}", s.uid, fresh());
            let agent = format!("/run/user/{}/ssh-agent-{}", s.uid, fresh());
            let waiting = at_path(&there, STREAM)?;
            for path in [
                Path::new(&there),
                Path::new(&there).parent().unwrap_or(Path::new("/")),
            ] {
                chown(path, Some(s.uid), Some(s.uid))?;
            }
            let address = unix(&agent);
            let script = does(libc::SYS_rename, &[&string(&there), &string(&agent)])
                .then(libc::SYS_socket, &[&1, &STREAM, &0])
                .then(
                    libc::SYS_connect,
                    &[&"$2", &bytes(&address), &address.len()],
                );
            Ok(meets(waiting, script))
        },
    ),
    both("J6", "libvirt", |_| service("/run/libvirt/libvirt-sock")),
    both("J7", "a virtual machine's monitor", |_| {
        service("/srv/victim/machine.qmp")
    }),
    both("J9", "a supervisor", |_| service("/run/supervisor.sock")),
    both("H10", "somebody's tmux", |_| {
        service("/tmp/tmux-1000/default")
    }),
    both("J12", "somebody's connection of ssh", |_| {
        service("/srv/victim/control-master")
    }),
    both("J14", "snapd", |_| service("/run/snapd.socket")),
    both("J23", "a service that speaks varlink", |_| {
        service("/run/systemd/io.systemd.Machine")
    }),
    both("J13", "the display", |_| {
        let name = "@/tmp/.X11-unix/X7";
        let waiting = Waiting::at(&unix(name), STREAM)?;
        Ok(meets(waiting, connect(&unix(name), STREAM, 0)))
    }),
    both("J8", "PostgreSQL by TCP", |_| port(5432)),
    both("J8", "PostgreSQL by its socket", |_| {
        service("/run/postgresql/.s.PGSQL.5432")
    }),
    both("J8", "redis", |_| port(6379)),
    both("H9", "ssh to this machine", |_| port(2222)),
    both("J1", "docker by TCP", |_| port(2375)),
    both("J21", "an administrator's page", |_| port(9090)),
    both("J2", "an abstract socket", |_| {
        let name = format!("@harm-{}", fresh());
        let waiting = Waiting::at(&unix(&name), STREAM)?;
        Ok(meets(waiting, connect(&unix(&name), STREAM, 0)))
    }),
    both("J9", "a socket of packets in sequence", |_| {
        let path = "/run/harm.packets";
        let waiting = at_path(path, SEQUENCED)?;
        Ok(meets(waiting, connect(&unix(path), SEQUENCED, 0)))
    }),
    both("J17", "a message to a Unix socket", |_| {
        let path = "/run/harm.messages";
        let waiting = at_path(path, DATAGRAM)?;
        Ok(meets(waiting, datagram(&unix(path))))
    }),
    both("J17", "a message to a connected Unix socket", |_| {
        let path = "/run/harm.connected";
        let waiting = at_path(path, DATAGRAM)?;
        let script =
            connect(&unix(path), DATAGRAM, 0).then(libc::SYS_write, &[&"$1", &string("x"), &1]);
        Ok(meets(waiting, script))
    }),
    both("J17", "a message to an abstract socket", |_| {
        let name = format!("@harm-{}", fresh());
        let waiting = Waiting::at(&unix(&name), DATAGRAM)?;
        Ok(meets(waiting, datagram(&unix(&name))))
    }),
    both("J8", "TCP to ::1", |_| {
        let address = inet6(std::net::Ipv6Addr::LOCALHOST, fresh_port());
        let waiting = Waiting::at(&address, STREAM)?;
        Ok(meets(waiting, connect(&address, STREAM, TCP)))
    }),
    both("J8", "TCP to the machine's own address", |_| {
        give_address(b"lo:1", OWN)?;
        let number = fresh_port();
        let waiting = Waiting::at(&inet([0; 4], number), STREAM)?;
        Ok(meets(waiting, connect(&inet(OWN, number), STREAM, TCP)))
    }),
    both("J8", "TCP to 127.0.0.2", |_| {
        let number = fresh_port();
        let waiting = Waiting::at(&inet([0; 4], number), STREAM)?;
        let script = connect(&inet([127, 0, 0, 2], number), STREAM, TCP);
        Ok(meets(waiting, script))
    }),
    both("J8", "TCP to 0.0.0.0", |_| {
        let number = fresh_port();
        let waiting = Waiting::at(&inet([0; 4], number), STREAM)?;
        Ok(meets(waiting, connect(&inet([0; 4], number), STREAM, TCP)))
    }),
    both("J8", "TCP to an IPv4 address in IPv6", |_| {
        let number = fresh_port();
        let waiting = Waiting::at(&inet([127, 0, 0, 1], number), STREAM)?;
        let mapped = std::net::Ipv4Addr::LOCALHOST.to_ipv6_mapped();
        Ok(meets(waiting, connect(&inet6(mapped, number), STREAM, TCP)))
    }),
    both("J8", "TCP with data in its first packet", |_| {
        let address = inet([127, 0, 0, 1], fresh_port());
        let waiting = Waiting::at(&address, STREAM)?;
        let there = bytes(&address);
        let script = does(libc::SYS_socket, &[&2, &STREAM, &0]).then(
            libc::SYS_sendto,
            &[&"$1", &string("x"), &1, &FAST_OPEN, &there, &16],
        );
        Ok(meets(waiting, script))
    }),
    both("J24", "TCP of several paths", |_| {
        let address = inet([127, 0, 0, 1], fresh_port());
        let waiting = Waiting::at(&address, STREAM)?;
        Ok(meets(waiting, connect(&address, STREAM, MPTCP)))
    }),
    both("J8", "TCP by io_uring", |_| {
        let address = inet([127, 0, 0, 1], fresh_port());
        let waiting = Waiting::at(&address, STREAM)?;
        let script = does(libc::SYS_socket, &[&2, &STREAM, &0])
            .then(RING, &[&RING_CONNECT, &"$1", &16, &bytes(&address), &0, &0]);
        Ok(meets(waiting, script))
    }),
    both("J15", "the daemon of iSCSI", |_| {
        let name = "@ISCSIADM_ABSTRACT_NAMESPACE";
        let waiting = Waiting::at(&unix(name), STREAM)?;
        Ok(meets(waiting, connect(&unix(name), STREAM, 0)))
    }),
    both("J15", "datagrams, as for looking up names", |_| {
        let address = inet([127, 0, 0, 1], fresh_port());
        let waiting = Waiting::at(&address, DATAGRAM)?;
        Ok(meets(waiting, datagram(&address)))
    })
    .twin(),
    both("J8", "a Unix socket of its own", |s| {
        Ok(own(&unix(&own_path(s)?), STREAM))
    })
    .twin(),
    both("J9", "a socket of packets of its own", |s| {
        Ok(own(&unix(&own_path(s)?), SEQUENCED))
    })
    .twin(),
    both("J17", "messages to its own", |s| {
        Ok(own(&unix(&own_path(s)?), DATAGRAM))
    })
    .twin(),
    both(
        "J8",
        "a Unix socket of its own that is moved into place",
        |s| {
            let (first, then) = (own_path(s)?, own_path(s)?);
            let (at_first, address) = (unix(&first), unix(&then));
            Ok(does(libc::SYS_socket, &[&1, &STREAM, &0])
                .then(libc::SYS_bind, &[&"$1", &bytes(&at_first), &at_first.len()])
                .then(libc::SYS_listen, &[&"$1", &8])
                .then(libc::SYS_rename, &[&string(&first), &string(&then)])
                .then(libc::SYS_socket, &[&1, &STREAM, &0])
                .then(
                    libc::SYS_connect,
                    &[&"$5", &bytes(&address), &address.len()],
                )
                .scene())
        },
    )
    .twin(),
    both("J2", "an abstract socket of its own", |_| {
        Ok(own(&unix(&format!("@own-{}", fresh())), STREAM))
    })
    .twin(),
    both("J8", "a server of its own on 127.0.0.1", |_| {
        Ok(own(&inet([127, 0, 0, 1], fresh_port()), STREAM))
    })
    .twin(),
    both("J8", "a server of its own on 0.0.0.0", |_| {
        Ok(own(&inet([0; 4], fresh_port()), STREAM))
    })
    .twin(),
    both("J8", "a server of its own on ::1", |_| {
        let address = inet6(std::net::Ipv6Addr::LOCALHOST, fresh_port());
        Ok(own(&address, STREAM))
    })
    .twin(),
    both("J15", "UDP of its own", |_| {
        Ok(own(&inet([127, 0, 0, 1], fresh_port()), DATAGRAM))
    })
    .twin(),
    both("J8", "pairs and pipes", |_| {
        Ok(
            does(libc::SYS_socketpair, &[&1, &STREAM, &0, &bytes(&[0; 8])])
                .then(libc::SYS_socketpair, &[&1, &DATAGRAM, &0, &bytes(&[0; 8])])
                .then(libc::SYS_pipe2, &[&bytes(&[0; 8]), &0])
                .scene(),
        )
    })
    .twin(),
    both("J17", "the session's own run directory", |s| {
        let path = format!("/tmp/own-{}-{}", s.uid, fresh());
        fs::create_dir(&path)?;
        chown(&path, Some(s.uid), Some(s.uid))?;
        Ok(own(&unix(&format!("{path}/own.sock")), STREAM))
    })
    .twin(),
];
