//! Whose own a server is: what a session listens on may not open what others listen on, and what
//! is its own it reaches, however it came to its port (J8, J17).

use std::fs;
use std::os::unix::fs::chown;
use std::sync::{Arc, Mutex};

use nix::libc;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::scene::{NAMESPACES, Scene, Script, Stage, bytes, does, fresh, string, words32};
use super::sockets::{DATAGRAM, MPTCP, STREAM, TCP, Waiting, fresh_port, inet, inet6, meets, unix};
use super::{Row, both, root, user};

const LOOPBACK: [u8; 4] = [127, 0, 0, 1];
const ANY: [u8; 4] = [0; 4];

/// A script that makes a socket which shares its port.
fn sharing(script: Script, step: usize, address: &[u8]) -> Script {
    let socket = format!("${step}");
    let (family, length) = (u16::from_le_bytes([address[0], address[1]]), address.len());
    script
        .then(libc::SYS_socket, &[&family, &STREAM, &0])
        .then(
            libc::SYS_setsockopt,
            &[
                &socket,
                &libc::SOL_SOCKET,
                &libc::SO_REUSEPORT,
                &words32(&[1]),
                &4,
            ],
        )
        .then(libc::SYS_bind, &[&socket, &bytes(address), &length])
        .then(libc::SYS_listen, &[&socket, &64])
}

/// Adds connections, so many that one gets to each of those that share a port.
fn connections(mut script: Script, step: usize, address: &[u8]) -> Script {
    for index in 0..16 {
        script = script.then(libc::SYS_socket, &[&2, &STREAM, &0]).then(
            libc::SYS_connect,
            &[
                &format!("${}", step + 2 * index),
                &bytes(address),
                &address.len(),
            ],
        );
    }
    script
}

/// A script in which a socket listens, `$1`.
fn listening(address: &[u8], protocol: i32) -> Script {
    let family = u16::from_le_bytes([address[0], address[1]]);
    does(libc::SYS_socket, &[&family, &STREAM, &protocol])
        .then(libc::SYS_bind, &[&"$1", &bytes(address), &address.len()])
        .then(libc::SYS_listen, &[&"$1", &8])
}

/// Adds a connection, from the socket of this step.
fn then_connect(script: Script, step: usize, address: &[u8], protocol: i32) -> Script {
    let family = u16::from_le_bytes([address[0], address[1]]);
    script
        .then(libc::SYS_socket, &[&family, &STREAM, &protocol])
        .then(
            libc::SYS_connect,
            &[&format!("${step}"), &bytes(address), &address.len()],
        )
}

/// Where a script waits for the test to do something: a pipe with a name, by which each sees that
/// the other is there.
struct Turn(String);

impl Turn {
    fn new(stage: &Stage<'_>) -> anyhow::Result<Self> {
        let path = format!("{}/turn", stage.directory()?);
        mkfifo(path.as_str(), Mode::S_IRWXU)?;
        chown(&path, Some(stage.uid), Some(stage.uid))?;
        Ok(Self(path))
    }

    /// Adds the waiting, two steps of which this is the first.
    fn wait(&self, script: Script, step: usize) -> Script {
        script
            .then(
                libc::SYS_openat,
                &[&libc::AT_FDCWD, &string(&self.0), &libc::O_RDONLY],
            )
            .then(libc::SYS_read, &[&format!("${step}"), &bytes(&[0; 8]), &8])
    }

    /// Somebody outside who begins to listen while the script waits, and an attack on that.
    fn meets(
        self,
        make: impl FnOnce() -> anyhow::Result<Waiting> + Send + 'static,
        script: Script,
    ) -> Scene {
        let place = Arc::new(Mutex::new(None));
        let there = Arc::clone(&place);
        std::thread::spawn(move || {
            // Opened once the script opens it, closed when all is ready.
            let gate = fs::OpenOptions::new().write(true).open(&self.0);
            if let (Ok(waiting), Ok(mut place)) = (make(), there.lock()) {
                *place = Some(waiting);
            }
            drop(gate);
        });
        script.scene().shows(move || {
            place
                .lock()
                .is_ok_and(|place| place.as_ref().is_some_and(Waiting::was_met))
        })
    }
}

fn shared(address: [u8; 4], port: u16) -> anyhow::Result<Waiting> {
    Waiting::with(&inet(address, port), STREAM, 0, libc::SO_REUSEPORT)
}

pub const ROWS: &[Row] = &[
    both("J8", "by listening on another address of its port", |_| {
        let port = fresh_port();
        let there = inet(LOOPBACK, port);
        let waiting = Waiting::at(&there, STREAM)?;
        let script = listening(&inet([127, 0, 0, 2], port), TCP);
        Ok(meets(waiting, then_connect(script, 4, &there, TCP)))
    }),
    both("J8", "by listening on its port for IPv6 only", |_| {
        const IPV6_ONLY: i32 = 26;
        let port = fresh_port();
        let there = inet(LOOPBACK, port);
        let waiting = Waiting::at(&there, STREAM)?;
        let any = inet6(std::net::Ipv6Addr::UNSPECIFIED, port);
        let one = words32(&[1]);
        let script = does(libc::SYS_socket, &[&10, &STREAM, &0])
            .then(
                libc::SYS_setsockopt,
                &[&"$1", &libc::IPPROTO_IPV6, &IPV6_ONLY, &one, &4],
            )
            .then(libc::SYS_bind, &[&"$1", &bytes(&any), &any.len()])
            .then(libc::SYS_listen, &[&"$1", &8]);
        Ok(meets(waiting, then_connect(script, 5, &there, TCP)))
    }),
    user(
        "J8",
        "by listening on its port in a network of its own",
        |_| {
            let port = fresh_port();
            let there = inet(LOOPBACK, port);
            let waiting = Waiting::at(&there, STREAM)?;
            let any = inet(ANY, port);
            let script = does(libc::SYS_socket, &[&2, &STREAM, &0])
                .then(NAMESPACES, &[&libc::CLONE_NEWNET])
                .then(libc::SYS_socket, &[&2, &STREAM, &0])
                .then(libc::SYS_bind, &[&"$3", &bytes(&any), &16])
                .then(libc::SYS_listen, &[&"$3", &8])
                .then(libc::SYS_connect, &[&"$1", &bytes(&there), &16]);
            Ok(meets(waiting, script))
        },
    ),
    both("J8", "by listening in vain on its port", |s| {
        let turn = Turn::new(s)?;
        let port = fresh_port();
        let there = inet(LOOPBACK, port);
        let one = words32(&[1]);
        let script = does(libc::SYS_socket, &[&2, &STREAM, &0])
            .then(
                libc::SYS_setsockopt,
                &[&"$1", &libc::SOL_SOCKET, &libc::SO_REUSEADDR, &one, &4],
            )
            .then(libc::SYS_bind, &[&"$1", &bytes(&there), &16]);
        let script = turn.wait(script, 4).tries(libc::SYS_listen, &[&"$1", &8]);
        let script = then_connect(script, 7, &there, TCP);
        Ok(turn.meets(move || Waiting::at(&inet(LOOPBACK, port), STREAM), script))
    }),
    both("J8", "by listening for one interface on its port", |_| {
        let port = fresh_port();
        let there = inet(LOOPBACK, port);
        let waiting = Waiting::at(&there, STREAM)?;
        let any = inet(ANY, port);
        let script = does(libc::SYS_socket, &[&2, &STREAM, &0])
            .then(
                libc::SYS_setsockopt,
                &[
                    &"$1",
                    &libc::SOL_SOCKET,
                    &libc::SO_BINDTODEVICE,
                    &string("lo"),
                    &3,
                ],
            )
            .tries(libc::SYS_bind, &[&"$1", &bytes(&any), &16])
            .tries(libc::SYS_listen, &[&"$1", &8]);
        Ok(meets(waiting, then_connect(script, 5, &there, TCP)))
    }),
    root("J8", "by sharing its port", |_| {
        let port = fresh_port();
        let there = inet(LOOPBACK, port);
        let waiting = shared(LOOPBACK, port)?;
        let script = sharing(Script::default(), 1, &there);
        Ok(meets(waiting, connections(script, 5, &there)))
    }),
    root("J8", "by sharing its port on every address", |_| {
        let port = fresh_port();
        let there = inet(LOOPBACK, port);
        let waiting = shared(LOOPBACK, port)?;
        let script = sharing(Script::default(), 1, &inet(ANY, port));
        Ok(meets(waiting, then_connect(script, 5, &there, TCP)))
    }),
    root("J8", "by having shared its port", |s| {
        let turn = Turn::new(s)?;
        let port = fresh_port();
        let there = inet(LOOPBACK, port);
        let script = turn.wait(sharing(Script::default(), 1, &there), 5);
        let script = connections(script, 7, &there);
        Ok(turn.meets(move || shared(LOOPBACK, port), script))
    }),
    both("J8", "a server of its own of several paths", |_| {
        let there = inet(LOOPBACK, fresh_port());
        let script = listening(&there, MPTCP);
        Ok(then_connect(script, 4, &there, MPTCP).scene())
    })
    .twin(),
    both("J8", "a server of its own on every address of IPv6", |_| {
        let port = fresh_port();
        let script = listening(&inet6(std::net::Ipv6Addr::UNSPECIFIED, port), TCP);
        let script = then_connect(script, 4, &inet(LOOPBACK, port), TCP);
        let there = inet6(std::net::Ipv6Addr::LOCALHOST, port);
        Ok(then_connect(script, 6, &there, TCP).scene())
    })
    .twin(),
    both("J8", "a server of its own that took any port", |_| {
        let address = format!("b:address:{}", "00".repeat(16));
        Ok(does(libc::SYS_socket, &[&2, &STREAM, &0])
            .then(libc::SYS_listen, &[&"$1", &8])
            .then(libc::SYS_getsockname, &[&"$1", &address, &words32(&[16])])
            .then(libc::SYS_socket, &[&2, &STREAM, &0])
            .then(libc::SYS_connect, &[&"$4", &"b:address", &16])
            .scene())
    })
    .twin(),
    both("J8", "servers of its own that share a port", |_| {
        let there = inet(ANY, fresh_port());
        let script = sharing(Script::default(), 1, &there);
        let script = sharing(script, 5, &there);
        Ok(connections(script, 9, &there).scene())
    })
    .twin(),
    both("J8", "a server of its own in a network of its own", |_| {
        const SET_FLAGS: i32 = 0x8914;
        // `struct ifreq`: the loopback interface, `IFF_UP`.
        let mut up = [0_u8; 40];
        up[..2].copy_from_slice(b"lo");
        up[16] = 1;
        let there = inet(ANY, fresh_port());
        let script = does(
            libc::SYS_unshare,
            &[&(libc::CLONE_NEWUSER | libc::CLONE_NEWNET)],
        )
        .then(libc::SYS_socket, &[&2, &STREAM, &0])
        .then(libc::SYS_ioctl, &[&"$2", &SET_FLAGS, &bytes(&up)])
        .then(libc::SYS_bind, &[&"$2", &bytes(&there), &16])
        .then(libc::SYS_listen, &[&"$2", &8]);
        Ok(then_connect(script, 6, &there, TCP).scene())
    })
    .twin(),
    both("J8", "a server of its own beside another's", |s| {
        let turn = Turn::new(s)?;
        let port = fresh_port();
        let there = inet(LOOPBACK, port);
        let script = turn.wait(listening(&there, TCP), 4);
        let script = then_connect(script, 6, &there, TCP);
        let scene = turn.meets(
            move || Waiting::at(&inet([127, 0, 0, 2], port), STREAM),
            script,
        );
        // Nobody comes to the other one.
        Ok(scene.shows(|| true))
    })
    .twin(),
    user(
        "J8",
        "a server of its own after thousands of others",
        |_| {
            let any = inet(LOOPBACK, 0);
            let mut script = does(libc::SYS_socket, &[&2, &STREAM, &0]);
            for _ in 0..6000 {
                script = script
                    .then(libc::SYS_bind, &[&"$1", &bytes(&any), &16])
                    .then(libc::SYS_listen, &[&"$1", &1])
                    .then(libc::SYS_shutdown, &[&"$1", &libc::SHUT_RD]);
            }
            let there = inet(LOOPBACK, fresh_port());
            let script = script
                .then(libc::SYS_bind, &[&"$1", &bytes(&there), &16])
                .then(libc::SYS_listen, &[&"$1", &8]);
            Ok(then_connect(script, 1 + 6000 * 3 + 3, &there, TCP).scene())
        },
    )
    .twin(),
    both(
        "J17",
        "an answer to a socket that got its name by sending",
        |_| {
            let there = unix(&format!("@own-{}", fresh()));
            let length = there.len();
            let from = format!("b:from:{}", "00".repeat(110));
            Ok(does(libc::SYS_socket, &[&1, &DATAGRAM, &0])
                .then(libc::SYS_bind, &[&"$1", &bytes(&there), &length])
                .then(libc::SYS_socket, &[&1, &DATAGRAM, &0])
                .then(
                    libc::SYS_setsockopt,
                    &[
                        &"$3",
                        &libc::SOL_SOCKET,
                        &libc::SO_PASSCRED,
                        &words32(&[1]),
                        &4,
                    ],
                )
                .then(
                    libc::SYS_sendto,
                    &[&"$3", &string("x"), &1, &0, &bytes(&there), &length],
                )
                .then(
                    libc::SYS_recvfrom,
                    &[&"$1", &bytes(&[0; 8]), &8, &0, &from, &words32(&[110])],
                )
                // Names that the kernel gives have five digits.
                .then(
                    libc::SYS_sendto,
                    &[&"$1", &string("y"), &1, &0, &"b:from", &8],
                )
                .scene())
        },
    )
    .twin(),
];
