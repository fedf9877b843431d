//! What tests share: raw system calls, processes to be attacked, attackers, guard itself.

pub mod agent;
pub mod cases;
pub mod guard;
pub mod process;
pub mod raw;
pub mod rows;
pub mod scripts;
pub mod tree;
pub mod victim;
