//! What agents really ran, as public reports have it: every command without guard, where the harm
//! has to be seen, and in sessions under the default policy, where nobody outside may be harmed and
//! what is the session's own has to end. The numbers are those of the table in `docs/incidents.md`.

mod files;
mod processes;
mod workspace;

use crate::registry::{Kernels, Test, full};

/// The tests of this folder.
pub const TESTS: &[Test] = &[
    full("incidents::processes", processes::all),
    full("incidents::files", files::all),
    Test {
        // It is about what the default says; what the kernel does with that, other tests show.
        kernels: Kernels::Only(6, 1),
        ..full("incidents::the_workspace", workspace::all)
    },
    full(
        "incidents::a_home_of_ten_thousand_files",
        files::ten_thousand,
    ),
];
