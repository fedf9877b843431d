//! Other ways to a service than TCP: protocols, addresses that are not what they seem, and virtual
//! interfaces (J15, J24, B12).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use nix::libc;

use super::scene::{Script, bytes, does, fresh, string};
use super::sockets::{
    DATAGRAM, STREAM, Waiting, connect, datagram, fresh_port, give_address, inet, inet6, meets,
};
use super::{Row, both, root};
use crate::support::raw::{self, call};

const SCTP: i32 = libc::IPPROTO_SCTP;
const SOL_SCTP: i32 = 132;
/// `SCTP_SOCKOPT_CONNECTX`.
const CONNECT_SEVERAL: i32 = 110;
/// A protocol that is nobody's (RFC 3692).
const EXPERIMENT: i32 = 253;
/// What hands out credentials: the default policy refuses it, datagrams too.
const METADATA: [u8; 4] = [169, 254, 169, 254];
const LOOPBACK: [u8; 4] = [127, 0, 0, 1];
const TUNNELS: &str = "/dev/net/tun";
const SET_INTERFACE: i32 = 0x4004_54ca;

/// Opens the door to tunnels to everybody, as udev does.
fn open_tunnels() -> anyhow::Result<()> {
    for (path, mode) in [("/dev/net", 0o755), (TUNNELS, 0o666)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// `struct ifreq` for a tap interface without packet information.
fn tap(name: &str) -> [u8; 40] {
    let mut request = [0_u8; 40];
    request[..name.len()].copy_from_slice(name.as_bytes());
    request[16..18].copy_from_slice(&0x1002_u16.to_le_bytes());
    request
}

/// A script that attaches to a tap interface, or makes it.
fn attach(script: Script, step: usize, name: &str) -> Script {
    let flags = libc::O_RDWR;
    script
        .then(
            libc::SYS_openat,
            &[&libc::AT_FDCWD, &string(TUNNELS), &flags, &0],
        )
        .then(
            libc::SYS_ioctl,
            &[&format!("${step}"), &SET_INTERFACE, &bytes(&tap(name))],
        )
}

/// A tap interface of somebody's that stays when nobody uses it.
fn make_interface(name: &str, uid: u32) -> anyhow::Result<impl FnOnce() + 'static> {
    const SET_PERSIST: usize = 0x4004_54cb;
    const SET_OWNER: usize = 0x4004_54cc;
    open_tunnels()?;
    let request = tap(name);
    let attached = move || -> anyhow::Result<usize> {
        let descriptor = raw::open(TUNNELS, libc::O_RDWR)?;
        let words = [
            descriptor,
            SET_INTERFACE as usize,
            request.as_ptr() as usize,
        ];
        call(libc::SYS_ioctl, &words)?;
        Ok(descriptor)
    };
    let descriptor = attached()?;
    call(libc::SYS_ioctl, &[descriptor, SET_OWNER, uid as usize])?;
    call(libc::SYS_ioctl, &[descriptor, SET_PERSIST, 1])?;
    call(libc::SYS_close, &[descriptor])?;
    Ok(move || {
        if let Ok(descriptor) = attached() {
            let _ = call(libc::SYS_ioctl, &[descriptor, SET_PERSIST, 0]);
            let _ = call(libc::SYS_close, &[descriptor]);
        }
    })
}

pub const ROWS: &[Row] = &[
    both(
        "B12",
        "the network interface of somebody's virtual machine",
        |s| {
            let name = format!("tap{}", fresh());
            let undo = make_interface(&name, s.uid)?;
            Ok(attach(Script::default(), 1, &name).scene().undo(undo))
        },
    )
    .with_modules(),
    both("B12", "a network interface of its own", |_| {
        open_tunnels()?;
        let new = does(
            libc::SYS_unshare,
            &[&(libc::CLONE_NEWUSER | libc::CLONE_NEWNET)],
        );
        Ok(attach(new, 2, "tap0").scene())
    })
    .twin()
    .with_modules(),
    both("J24", "SCTP", |_| {
        let there = inet(LOOPBACK, fresh_port());
        let waiting = Waiting::with(&there, STREAM, SCTP, libc::SO_REUSEADDR)?;
        Ok(meets(waiting, connect(&there, STREAM, SCTP)))
    })
    .with_modules(),
    both("J24", "SCTP that connects with its data", |_| {
        let there = inet(LOOPBACK, fresh_port());
        let waiting = Waiting::with(&there, STREAM, SCTP, libc::SO_REUSEADDR)?;
        let script = does(libc::SYS_socket, &[&2, &STREAM, &SCTP]).then(
            libc::SYS_sendto,
            &[&"$1", &string("x"), &1, &0, &bytes(&there), &16],
        );
        Ok(meets(waiting, script))
    })
    .with_modules(),
    both("J24", "SCTP to several addresses", |_| {
        let there = inet(LOOPBACK, fresh_port());
        let waiting = Waiting::with(&there, STREAM, SCTP, libc::SO_REUSEADDR)?;
        let script = does(libc::SYS_socket, &[&2, &STREAM, &SCTP]).then(
            libc::SYS_setsockopt,
            &[&"$1", &SOL_SCTP, &CONNECT_SEVERAL, &bytes(&there), &16],
        );
        Ok(meets(waiting, script))
    })
    .with_modules(),
    root("J24", "packets of any protocol", |_| {
        let there = inet(LOOPBACK, 0);
        let waiting = Waiting::with(&there, libc::SOCK_RAW, EXPERIMENT, libc::SO_REUSEADDR)?;
        let script = does(libc::SYS_socket, &[&2, &libc::SOCK_RAW, &EXPERIMENT]).then(
            libc::SYS_sendto,
            &[&"$1", &string("x"), &1, &0, &bytes(&there), &16],
        );
        Ok(meets(waiting, script))
    }),
    root(
        "J24",
        "packets of any protocol to an address of no family",
        |_| {
            let there = inet6(std::net::Ipv6Addr::LOCALHOST, 0);
            let waiting = Waiting::with(&there, libc::SOCK_RAW, EXPERIMENT, libc::SO_REUSEADDR)?;
            let mut nameless = there.clone();
            nameless[..2].fill(0);
            let script = does(libc::SYS_socket, &[&10, &libc::SOCK_RAW, &EXPERIMENT]).then(
                libc::SYS_sendto,
                &[
                    &"$1",
                    &string("x"),
                    &1,
                    &0,
                    &bytes(&nameless),
                    &nameless.len(),
                ],
            );
            Ok(meets(waiting, script))
        },
    ),
    both("J15", "a datagram that a rule refuses", |_| {
        give_address(b"lo:2", METADATA)?;
        let there = inet(METADATA, fresh_port());
        Ok(meets(Waiting::at(&there, DATAGRAM)?, datagram(&there)))
    }),
    both("J15", "a datagram to an address of no family", |_| {
        give_address(b"lo:2", METADATA)?;
        let there = inet(METADATA, fresh_port());
        let waiting = Waiting::at(&there, DATAGRAM)?;
        let mut nameless = there.clone();
        nameless[..2].fill(0);
        let script = does(libc::SYS_socket, &[&2, &DATAGRAM, &0]).then(
            libc::SYS_sendto,
            &[&"$1", &string("x"), &1, &0, &bytes(&nameless), &16],
        );
        Ok(meets(waiting, script))
    }),
];
