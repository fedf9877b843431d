//! Counting anew the tasks of a session whose ends the programs did not see.

use anyhow::{Context, Result};
use guard_ebpf::session::place;

use super::Engine;
use super::shared::Shared;

impl Engine {
    /// Sets a session's count of tasks to zero when no process carries its label, and says
    /// whether that was so. Ends of tasks are counted as they happen, and those that happened
    /// while the kernel ran no programs (`kernel.ftrace_enabled=0`) would be waited for forever.
    ///
    /// A task that is on its way out when this is called is counted twice: call it when the
    /// session has had no process for a while.
    pub fn forget_lost_tasks(&mut self, session: u32) -> Result<bool> {
        let mut counters = self.counters(session)?;
        let lives = self
            .members()?
            .iter()
            .any(|member| member.session == session);
        if lives || counters.tasks == 0 {
            return Ok(false);
        }
        counters.tasks = 0;
        self.maps
            .counters
            .set(place(session), Shared(counters), 0)
            .context("the session's counters cannot be set")?;
        Ok(true)
    }
}
