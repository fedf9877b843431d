//! Counting anew the tasks of a session whose ends the programs did not see.

use anyhow::{Context, Result};
use guard_ebpf::session::place;

use super::Engine;
use super::shared::Shared;

impl Engine {
    /// Sets the count of tasks of a session to zero that has had no process for a while. Ends of
    /// tasks are counted as they happen, and those that happened while the kernel ran no programs
    /// (`kernel.ftrace_enabled=0`) would be waited for forever.
    ///
    /// A task that is on its way out when this is called is counted twice.
    pub fn forget_lost_tasks(&mut self, session: u32) -> Result<()> {
        let mut counters = self.counters(session)?;
        counters.tasks = 0;
        self.maps
            .counters
            .set(place(session), Shared(counters), 0)
            .context("the session's counters cannot be set")
    }
}
