//! Attacks from inside a session, a file per family. Each is made three times: before guard is
//! there and with a session beside, where it has to succeed, and from inside the session, where
//! it has to fail and leave its target whole.

mod delete;
mod everything;
mod guard;
mod identity;
mod signals;
pub mod threats;
mod trace;

use crate::registry::{Test, enforcing};

/// All of them.
pub const TESTS: &[Test] = &[
    enforcing(
        "signals::every_way_to_send_one",
        signals::every_way_to_send_one,
    ),
    enforcing("signals::kill_everything", everything::kill_everything),
    enforcing(
        "trace::every_way_to_get_hold_of_a_process",
        trace::every_way,
    ),
    enforcing("delete::every_way_to_remove_a_file", delete::every_way),
    enforcing("delete::what_may_go_and_what_may_not", delete::what_may_go),
    enforcing(
        "delete::the_way_to_what_is_kept",
        delete::the_way_to_what_is_kept,
    ),
    enforcing("identity::the_label_stays", identity::the_label_stays),
    enforcing(
        "identity::many_threads_at_once",
        identity::many_threads_at_once,
    ),
    enforcing("guard::protects_itself", guard::protects_itself),
];
