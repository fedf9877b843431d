//! The command line: a file per verb. Each has the raw arguments as they were typed, and
//! the validated configuration that it runs with.

pub mod exit;
