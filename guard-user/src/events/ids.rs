//! The numbers of events.

use super::time::Time;

/// Makes ids: the time in 1/32 ms since 2026, counted up where events come faster, in
/// Crockford's base 32, nine characters until 2061. They sort as text.
#[derive(Debug, Default)]
pub struct Ids(u64);

impl Ids {
    /// 2026-01-01T00:00:00Z in milliseconds since 1970.
    const START: i64 = 1_767_225_600_000;
    const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    const LENGTH: u32 = 9;

    /// The next, for an event at a time.
    pub fn next(&mut self, time: Time) -> String {
        let ticks = (time.milliseconds() - Self::START).max(0) as u64 * 32;
        self.0 = ticks.max(self.0 + 1);
        (0..Self::LENGTH)
            .rev()
            .map(|place| char::from(Self::DIGITS[(self.0 >> (5 * place)) as usize % 32]))
            .collect()
    }
}
