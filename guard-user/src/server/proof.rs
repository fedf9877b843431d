//! The proof at a session's start: one refused signal that is no event.
//!
//! Before the first process of a session becomes the command, it sends `SIGURG` to the server,
//! which must be refused (`session::launch`). The kernel counts and records that like any other
//! refusal. It says nothing of the session: it is taken out of the events and of what
//! `guard status` counts.
//!
//! Until then the first process does nothing, and there is no other. So the proof is the first
//! operation that the session has a record of. When that is anything else, the proof's own
//! record was lost, and what looks like the proof later is not it.

use std::collections::BTreeMap;

use guard_ebpf::operation::{Operation, Verdict};
use guard_ebpf::session::Counters;
use serde::{Deserialize, Serialize};

use super::core::Session;
use crate::events::record::Record;

/// Where the proof is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Proof {
    /// Nothing of the session has been recorded yet.
    Expected {
        /// The session's first process.
        actor: u32,
        /// The server.
        target: u32,
    },
    /// It was seen, and taken out of the events.
    Seen,
    /// Something else came first.
    Missed,
}

impl Proof {
    /// What becomes of it with a record of this session; `None` when nothing does. Only the
    /// record that makes it [`Proof::Seen`] is the proof's.
    pub(super) fn after(self, record: &Record) -> Option<Self> {
        let Self::Expected { actor, target } = self else {
            return None;
        };
        let is_it = match record {
            Record::Process {
                what,
                actor: by,
                target: of,
            } => {
                what.operation == Operation::Signal
                    && i32::from(what.signal) == libc::SIGURG
                    && what.verdict == Verdict::Deny
                    && (by.pid, by.tid, of.pid) == (actor, actor, target)
            }
            Record::File { .. } | Record::Socket { .. } | Record::Machine { .. } => false,
            Record::Executable { .. } | Record::Ended { .. } => return None,
        };
        Some(if is_it { Self::Seen } else { Self::Missed })
    }

    /// Takes it out of what the kernel has counted.
    pub(super) fn subtract_from(self, counters: &mut Counters) {
        if self == Self::Seen {
            let refused =
                &mut counters.verdicts[Operation::Signal as usize][Verdict::Deny as usize];
            *refused = refused.saturating_sub(1);
        }
    }
}

/// A record that decided about a session's proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// The session. Its state has changed.
    pub session: u32,
    /// Whether the record is the proof's.
    pub is_proof: bool,
}

/// Looks whether a record decides about the proof of a session; `None` when it does not.
pub(super) fn take(bytes: &[u8], sessions: &mut BTreeMap<u32, Session>) -> Option<Taken> {
    let is_expected = |session: &Session| matches!(session.state.proof, Proof::Expected { .. });
    if !sessions.values().any(is_expected) {
        return None;
    }
    let record = Record::decode(bytes).ok()?;
    let (Record::Process { what, .. }
    | Record::File { what, .. }
    | Record::Socket { what, .. }
    | Record::Machine { what, .. }) = &record
    else {
        return None;
    };
    let state = &mut sessions.get_mut(&what.session)?.state;
    state.proof = state.proof.after(&record)?;
    Some(Taken {
        session: what.session,
        is_proof: state.proof == Proof::Seen,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::testing::{Layout, deletion, header, task};
    use crate::server::state::tests::state;
    use guard_ebpf::record::{Header, Kind, ProcessRecord};

    const EXPECTED: Proof = Proof::Expected {
        actor: 20,
        target: 10,
    };

    fn bytes(header: Header, actor: u32, target: u32) -> Vec<u8> {
        let record = ProcessRecord {
            header,
            actor: task(actor, b"guard"),
            target: task(target, b"guard"),
        };
        record.bytes()
    }

    fn record(header: Header, actor: u32, target: u32) -> Record {
        Record::decode(&bytes(header, actor, target)).unwrap()
    }

    fn urgent() -> Header {
        Header {
            detail: libc::SIGURG as u8,
            ..header(Kind::Process, Operation::Signal)
        }
    }

    #[test]
    fn the_first_refused_signal_of_the_first_process_to_the_server_is_the_proof() {
        let seen = EXPECTED.after(&record(urgent(), 20, 10));
        assert_eq!(seen, Some(Proof::Seen));
        // The command may send the same signal, and that is an event.
        assert_eq!(Proof::Seen.after(&record(urgent(), 20, 10)), None);
    }

    #[test]
    fn nothing_that_differs_in_anything_is_the_proof_nor_is_what_comes_later() {
        let terminate = Header {
            detail: libc::SIGTERM as u8,
            ..urgent()
        };
        let let_through = Header {
            verdict: Verdict::Audit as u8,
            ..urgent()
        };
        let trace = header(Kind::Process, Operation::Trace);
        for other in [
            record(terminate, 20, 10),
            record(let_through, 20, 10),
            record(trace, 20, 10),
            record(urgent(), 21, 10),
            record(urgent(), 20, 11),
            Record::decode(&deletion(1, b"a/b").bytes()).unwrap(),
        ] {
            assert_eq!(EXPECTED.after(&other), Some(Proof::Missed), "{other:?}");
        }
        assert_eq!(Proof::Missed.after(&record(urgent(), 20, 10)), None);
    }

    #[test]
    fn a_session_loses_exactly_one_record_to_its_proof() {
        let mut state = state("a-1");
        state.proof = EXPECTED;
        let session = Session {
            state,
            inside: None,
            is_awaited: true,
            status: None,
            is_ending: false,
            unseen: None,
        };
        // Records of the test's helpers are of session 1.
        let mut sessions = BTreeMap::from([(1, session)]);
        let ended = Header {
            kind: Kind::Ended as u8,
            ..Header::default()
        };
        assert_eq!(take(&ended.bytes(), &mut sessions), None);
        assert_eq!(take(b"damaged", &mut sessions), None);
        let other = Header {
            session: 2,
            ..urgent()
        };
        assert_eq!(take(&bytes(other, 20, 10), &mut sessions), None);
        let taken = Taken {
            session: 1,
            is_proof: true,
        };
        assert_eq!(take(&bytes(urgent(), 20, 10), &mut sessions), Some(taken));
        assert_eq!(take(&bytes(urgent(), 20, 10), &mut sessions), None);
        assert_eq!(sessions[&1].state.proof, Proof::Seen);
    }

    #[test]
    fn only_a_proof_that_was_seen_is_subtracted() {
        let mut counters = Counters::default();
        let at = (Operation::Signal as usize, Verdict::Deny as usize);
        counters.verdicts[at.0][at.1] = 3;
        EXPECTED.subtract_from(&mut counters);
        Proof::Missed.subtract_from(&mut counters);
        assert_eq!(counters.verdicts[at.0][at.1], 3);
        Proof::Seen.subtract_from(&mut counters);
        assert_eq!(counters.verdicts[at.0][at.1], 2);
    }
}
