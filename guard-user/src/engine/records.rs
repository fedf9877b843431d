//! Reading records from the ring buffer.

use std::os::fd::{AsRawFd, RawFd};

use anyhow::Result;
use aya::maps::{MapData, RingBuf};

use super::{Engine, load, maps};

/// The reader of the ring buffer. Its descriptor is readable when there are records.
pub struct Records(RingBuf<MapData>);

impl Engine {
    /// Opens the ring buffer. There is one reader at a time: the server.
    pub fn records(&mut self) -> Result<Records> {
        maps::records(&load::pin_directory()).map(Records)
    }
}

impl Records {
    /// Hands out the records that are there, oldest first, at most so many.
    pub fn drain(&mut self, limit: usize, mut reader: impl FnMut(&[u8])) -> usize {
        for count in 0..limit {
            match self.0.next() {
                Some(record) => reader(&record),
                None => return count,
            }
        }
        limit
    }
}

impl AsRawFd for Records {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
