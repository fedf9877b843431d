//! Virtual network interfaces (tun, tap).
//!
//! - `tun_dev_open`: judges attaching to an interface that exists, as a use of the facility
//!   `network`: a further queue of a virtual machine's would take away what is meant for it.
//!   Making one is free where the kernel lets a session do it, in a network of its own.
//!
//! The hook is not told which interface it is, so that one of the session's own, made to stay or
//! with several queues, can't be told from others.

use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use guard_ebpf::operation::Facility;
use guard_ebpf::record::NO_NUMBER;

use crate::access::Task;
use crate::identity::session_of;
use crate::judge::{self, Act};

/// Judges attaching to virtual interfaces.
#[lsm(hook = "tun_dev_open")]
pub fn tun_dev_open(_: LsmContext) -> i32 {
    match session_of(Task::current()) {
        0 => 0,
        session => judge::machine(
            Act::on_machine(session, Facility::Network),
            NO_NUMBER,
            NO_NUMBER,
        ),
    }
}
