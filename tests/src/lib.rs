//! The integration tests that run inside the virtual machine.
//!
//! One static program, `guard-tests`, plays every part in the guest: it is the machine's init
//! (`init`), which starts it again for each test (`guard-tests run NAME`), and on the host it says
//! which tests a boot has to run (`guard-tests list`). `xtask` builds it and boots the machines.

pub mod actor;
mod attacks;
pub mod bench;
pub mod boot;
mod budgets;
mod canary;
mod cli;
pub mod context;
mod edits;
mod events;
mod explain;
mod grants;
mod incidents;
pub mod init;
mod lifecycle;
mod limits;
mod made;
mod own;
pub mod promise;
mod receipts;
mod refusals;
pub mod registry;
mod reload;

mod selectors;
mod support;
mod systemd;
mod trial;
mod workloads;

pub use attacks::threats::rows as threats;
