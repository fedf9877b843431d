//! Counts by a key that a guarded program can choose, in bounded memory: what is most frequent is
//! kept, the rest is added up.

use super::tally::Tally;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::Hash;

/// How many keys are told apart; then those with the lower half of the counts are given up.
pub const ROOM: usize = 4096;

/// Counts by key.
#[derive(Debug)]
pub struct Most<K> {
    rows: HashMap<K, Tally>,
    rest: Tally,
    gave_up: bool,
}

/// The most frequent ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranking<K> {
    /// The most frequent first.
    pub rows: Vec<(K, Tally)>,
    /// How many keys were left out; at least, when the counts are not exact.
    pub others: usize,
    /// What was counted of those.
    pub rest: Tally,
    /// Whether each count is exact, and not possibly too low with the difference in `rest`.
    pub is_exact: bool,
}

impl<K> Default for Most<K> {
    fn default() -> Self {
        Self {
            rows: HashMap::new(),
            rest: Tally::default(),
            gave_up: false,
        }
    }
}

impl<K: Clone + Eq + Hash + Ord> Most<K> {
    /// Counts. What was counted of the key before comes back.
    pub fn add(&mut self, key: K, tally: &Tally) -> Tally {
        let row = self.rows.entry(key).or_default();
        let before = *row;
        row.add(tally);
        if self.rows.len() > ROOM {
            self.give_up();
        }
        before
    }

    fn give_up(&mut self) {
        let mut rows: Vec<_> = self.rows.drain().collect();
        rows.sort_by_key(|(_, tally)| Reverse(tally.total()));
        for (_, tally) in rows.drain(ROOM / 2..) {
            self.rest.add(&tally);
        }
        self.rows.extend(rows);
        self.gave_up = true;
    }

    /// The so many most frequent ones. The order of the keys decides between equals.
    #[must_use]
    pub fn ranking(self, most: usize) -> Ranking<K> {
        let rows = self.rows.into_iter().collect();
        rank(rows, self.rest, !self.gave_up, most)
    }
}

/// Ranks rows, of which there may have been more.
pub fn rank<K: Ord>(
    mut rows: Vec<(K, Tally)>,
    mut rest: Tally,
    is_exact: bool,
    most: usize,
) -> Ranking<K> {
    rows.sort_by(|(one, its), (other, others)| {
        (Reverse(its.total()), one).cmp(&(Reverse(others.total()), other))
    });
    let left: Vec<_> = rows.drain(most.min(rows.len())..).collect();
    for (_, tally) in &left {
        rest.add(tally);
    }
    Ranking {
        rows,
        others: left.len(),
        rest,
        is_exact,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tally::Outcome;
    use guard_ebpf::operation::Operation;

    #[test]
    fn what_is_frequent_survives_a_flood_and_sums_stay_exact() {
        let mut most = Most::default();
        let one = Tally::of(Outcome::Refused, Operation::Delete, 1);
        for number in 0..100_000_u64 {
            most.add(format!("flood {number}"), &one);
            if number % 10 == 0 {
                most.add("frequent".to_owned(), &one);
            }
            assert!(most.rows.len() <= ROOM);
        }
        let ranking = most.ranking(3);
        assert_eq!(ranking.rows[0].0, "frequent");
        assert_eq!(ranking.rows[0].1.total(), 10_000);
        assert!(!ranking.is_exact);
        let shown: Tally = ranking.rows.iter().map(|(_, tally)| *tally).collect();
        assert_eq!(shown.total() + ranking.rest.total(), 110_000);
    }

    #[test]
    fn equals_come_in_the_order_of_their_names() {
        let mut most = Most::default();
        let tally = |count| Tally::of(Outcome::Refused, Operation::Delete, count);
        for (key, count) in [("b", 2), ("c", 1), ("a", 2), ("d", 7)] {
            assert_eq!(most.add(key, &tally(count)).total(), 0);
        }
        assert_eq!(most.add("c", &tally(1)).total(), 1);
        let ranking = most.ranking(3);
        let keys: Vec<_> = ranking.rows.iter().map(|(key, _)| *key).collect();
        assert_eq!(keys, ["d", "a", "b"]);
        assert_eq!((ranking.others, ranking.rest.total()), (1, 2));
        assert!(ranking.is_exact);
    }
}
