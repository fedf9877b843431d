//! The command `guard`.
fn main() {}
