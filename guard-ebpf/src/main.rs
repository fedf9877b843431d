//! Guard's programs: one file per family of hooks, over typed accessors to the kernel's
//! structures (`kernel.rs`) and the maps (`maps.rs`).
//!
//! Which way they fail: a task without a label is let through after one look-up. For a
//! task with one, everything that cannot be looked up, followed or remembered refuses.
//! Nothing depends on the ring buffer: a full one costs a record, which is counted.
#![no_std]
#![feature(asm_experimental_arch)]
#![no_main]

mod access;
mod actor;
mod budget;
mod commands;
mod file;
mod grants;
mod identity;
mod judge;
mod maps;
mod outcome;
mod report;
mod target;
mod walk;

mod attributes;
mod connect;
mod create;
mod delete;
mod ioctl;
mod ipc;
mod limit;
mod listen;
mod machine;
mod mount;
mod own;
mod signal;
mod trace;
mod tunnel;
mod write;

/// The kernel's helpers that the programs use are for GPL programs only.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 4] = *b"GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // SAFETY: nothing in the programs can panic: what remains of this is removed as dead
    // code, and the verifier refuses a program in which it is not.
    unsafe { core::hint::unreachable_unchecked() }
}
