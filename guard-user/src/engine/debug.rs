//! The programs' own debug messages, when they were asked for: read by a thread of their
//! own, and written to standard error, which is the server's log.

use std::os::fd::AsFd;

use anyhow::{Context, Result};
use aya::Ebpf;
use aya_log::EbpfLogger;
use log::{Log, Metadata, Record};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Writes messages to standard error.
struct StandardError;

impl Log for StandardError {
    fn enabled(&self, _: &Metadata) -> bool {
        true
    }

    fn log(&self, record: &Record) {
        eprintln!("programs: {} {}", record.level(), record.args());
    }

    fn flush(&self) {}
}

/// Starts reading the messages of programs that were just loaded. They are read as long as
/// this process lives; a server that adopts the engine does not read them.
pub fn follow(object: &mut Ebpf) -> Result<()> {
    let mut logger = EbpfLogger::init_with_logger(object, StandardError)
        .context("the programs' debug messages cannot be read")?;
    std::thread::Builder::new()
        .name("programs".to_owned())
        .spawn(move || {
            loop {
                let mut ready = [PollFd::new(logger.as_fd(), PollFlags::POLLIN)];
                // An interrupted wait reads what there is, like any other.
                let _ = poll(&mut ready, PollTimeout::NONE);
                logger.flush();
            }
        })
        .context("no thread for the programs' debug messages")?;
    Ok(())
}
