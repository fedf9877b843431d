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

    /// Goes on after an id, if it is one.
    pub fn resume(&mut self, id: &str) {
        let digit = |byte| Self::DIGITS.iter().position(|&digit| digit == byte);
        let number = id.bytes().try_fold(0_u64, |number, byte| {
            Some(number.checked_mul(32)? + digit(byte)? as u64)
        });
        // What could not be counted on from is none that was counted to.
        if let Some(number) = number.filter(|_| id.len() == Self::LENGTH as usize) {
            self.0 = self.0.max(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_go_on_after_those_of_another_server_although_the_clock_was_set_back() {
        let time = |text| Time::parse(text).expect("a time");
        let before = Ids::default().next(time("2026-11-22T14:03:12.345Z"));
        assert_eq!(before, "0t6bdhjs0");
        let mut ids = Ids::default();
        for id in ["", "x", "!!!!!!!!!", "zzzzzzzzzzzzzzzz", &before] {
            ids.resume(id);
        }
        let next = ids.next(time("2026-11-01T00:00:00Z"));
        assert_eq!(next, "0t6bdhjs1");
    }
}
