//! What a running test is given.

use crate::boot::Boot;

/// The machine that a test runs on.
#[derive(Debug)]
pub struct Context {
    /// The boot as the host named it.
    pub boot: Boot,
}
