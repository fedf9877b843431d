//! What a session's counters tell that no record does: lost records, processes without a label, files
//! whose makers were forgotten.

use guard_ebpf::abi::MAX_EVICTED;
use guard_ebpf::operation::{MAX_OPERATIONS, Operation};
use guard_ebpf::session::Counters;

use super::event::{Body, Level, Loss, Lost, Notice};

/// What has been said about a session's counters.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reported {
    lost: [u64; MAX_OPERATIONS],
    unlabelled: u64,
    forgotten: u64,
    unidentified: bool,
}

impl Reported {
    /// What is new since the last time.
    pub fn news(&mut self, counters: &Counters) -> Vec<Body> {
        let mut bodies = Vec::new();
        for operation in Operation::EVERY {
            let at = operation as usize;
            let count = counters.lost[at].saturating_sub(self.lost[at]);
            if count > 0 {
                self.lost[at] = counters.lost[at];
                bodies.push(Body::Lost(Loss {
                    what: Lost::Records,
                    operation: Some(operation),
                    count,
                    because: "the ring buffer was full; the verdicts were in force all the same"
                        .to_owned(),
                }));
            }
        }
        let unlabelled = counters.unlabelled.saturating_sub(self.unlabelled);
        if unlabelled > 0 {
            self.unlabelled = counters.unlabelled;
            bodies.push(Body::Notice(Notice {
                level: Level::Error,
                message: format!(
                    "{unlabelled} processes that were moved into the session could not be \
                     labelled and are not guarded; end them, or stop the session"
                ),
            }));
        }
        let forgotten = counters.forgotten.saturating_sub(self.forgotten);
        if forgotten > 0 {
            self.forgotten = counters.forgotten;
            bodies.push(Body::Notice(Notice {
                level: Level::Warning,
                message: format!(
                    "{forgotten} files that the session made are protected from it now: the kernel \
                     dropped them from memory, and guard remembers {MAX_EVICTED} such files; what \
                     lies in a workspace needs no remembering"
                ),
            }));
        }
        // Said once: on such a file system it goes on and on.
        if counters.unidentified > 0 && !self.unidentified {
            self.unidentified = true;
            bodies.push(Body::Notice(Notice {
                level: Level::Warning,
                message:
                    "files that the session made are protected from it now: the kernel dropped \
                          them from memory, and on their file system guard can't tell them again; \
                          what lies in a workspace needs no remembering"
                        .to_owned(),
            }));
        }
        bodies
    }

    /// Lost records that the session's log already tells of.
    pub fn adopt(&mut self, lost: [u64; MAX_OPERATIONS]) {
        self.lost = lost;
    }
}
