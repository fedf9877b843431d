//! Trying policies before they bite: what one would have refused ([`plan`]), which rules would let
//! that through ([`learn`]), and where another one says something else ([`differences`]).
//!
//! All of it is made of events ([`crate::events`]), and asks nothing of the kernel.

pub mod differences;
mod differences_text;
mod facts;
pub mod fold;
pub mod learn;
mod learn_text;
pub mod places;
pub mod plan;
mod plan_text;
mod proposal;
mod text;
pub mod width;

#[cfg(test)]
mod testing;
