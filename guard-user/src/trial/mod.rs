//! Trying policies before they bite: what one would have refused ([`plan`]).
//!
//! All of it is made of events ([`crate::events`]), and asks nothing of the kernel.

pub mod places;
pub mod plan;
pub mod plan_text;
pub mod width;
