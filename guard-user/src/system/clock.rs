//! The two clocks that events need: time since boot, which records carry, and the time of
//! day, which people read.

use nix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// How much later the time of day is than the time since boot, at this moment.
///
/// Added to a record's time (`CLOCK_BOOTTIME`) it gives the time of day since 1970 (UTC).
/// Zero when a clock cannot be read, which Linux never lets happen.
#[must_use]
pub fn boot_time() -> Duration {
    let read = |clock| clock_gettime(clock).map_or(Duration::ZERO, Duration::from);
    read(ClockId::CLOCK_REALTIME).saturating_sub(read(ClockId::CLOCK_BOOTTIME))
}

/// How long ago the machine was booted, suspend included (`CLOCK_BOOTTIME`).
#[must_use]
pub fn since_boot() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn boot_lies_in_the_past_and_not_before_1970() {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .expect("after 1970");
        let boot = boot_time();
        assert!(boot > Duration::ZERO && boot < now, "{boot:?}");
    }
}
