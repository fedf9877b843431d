//! A map that forgets its oldest entries, so that whoever is guarded can't make the server
//! grow.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// A map of at most so many entries. When it is full, the entry that was put in first goes.
#[derive(Debug)]
pub struct Bounded<K, V> {
    room: usize,
    entries: HashMap<K, V>,
    order: VecDeque<K>,
}

impl<K: Clone + Eq + Hash, V> Bounded<K, V> {
    /// An empty map with room for so many entries, one at least.
    #[must_use]
    pub fn new(room: usize) -> Self {
        Self {
            room: room.max(1),
            entries: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key)
    }

    /// Puts a value in, in place of one that the key had.
    pub fn insert(&mut self, key: K, value: V) {
        if self.entries.insert(key.clone(), value).is_some() {
            return;
        }
        self.order.push_back(key);
        if self.order.len() > self.room
            && let Some(oldest) = self.order.pop_front()
        {
            self.entries.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_entry_goes_first() {
        let mut map = Bounded::new(2);
        map.insert(1, "a");
        map.insert(2, "b");
        map.insert(1, "again");
        map.insert(3, "c");
        assert_eq!(map.get(&1), None);
        assert_eq!(map.get(&2), Some(&"b"));
        assert_eq!(map.get(&3), Some(&"c"));
        map.insert(1, "back");
        assert_eq!((map.get(&1), map.get(&2)), (Some(&"back"), None));
        assert_eq!(map.entries.len(), map.order.len());
    }
}
