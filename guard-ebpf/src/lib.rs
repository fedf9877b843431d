//! What Guard's two sides share: the layouts of maps and records, and the decision.
//!
//! Plain Rust without an allocator, the standard library or a BPF dependency. The
//! kernel programs (`main.rs`, feature `programs`), the unit and property tests and
//! the user side compile the same code, so there is one decision, compiled twice.
//!
//! Everything that crosses the kernel boundary is `#[repr(C)]`, holds fixed-width
//! integers and byte arrays only, has no implicit padding, and has its size and its
//! offsets asserted at compile time.
#![cfg_attr(not(test), no_std)]

pub mod abi;
pub mod automaton;
pub mod bits;
pub mod command;
pub mod decision;
pub mod grant;
pub mod kernel;
pub mod operation;
pub mod places;
pub mod policy;
pub mod record;
pub mod session;
pub mod socket;
