//! Events: from the kernel's records to readers.
//!
//! ```text
//! ring buffer ─→ record (codec) ─→ pipeline ──────────────→ event ─→ log (JSON lines)
//!                                    │ resolve: names        │       └→ history (--since)
//!                                    │ fold: bursts          ├→ filter ─→ who follows
//!                                    └ reasons: words        └→ summary
//!                                                  event ─→ json, or bursts ─→ terminal (escaped)
//! ```
//!
//! The server drives it: it hands each record to [`pipeline::Pipeline::push`], asks
//! [`pipeline::Pipeline::poll`] for what is ready, appends each event to its session's
//! [`log::Log`], adds it to the session's [`summary::Summary`], and sends it to every
//! follower whose [`filter::Filter`] lets it through. Nothing here knows of sockets or of an
//! event loop, and nothing here has a say in a verdict.

pub mod bounded;
pub mod bursts;
mod counted;
mod decode;
pub mod event;
pub mod filter;
pub mod fold;
pub mod history;
mod ids;
pub(crate) mod json;
mod judged;
pub mod lines;
pub mod log;
pub mod machine;
pub mod names;
pub mod pipeline;
pub mod reasons;
pub mod receipt;
pub mod receipts;
pub mod record;
pub mod resolve;
pub(crate) mod shown;
pub mod summary;
pub mod terminal;
pub mod text;
pub mod time;
pub mod users;

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
pub(crate) mod testing;
