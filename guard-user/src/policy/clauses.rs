//! Which items of a group make a clause together.

use guard_ebpf::policy::{SELECTORS, Selector};

use super::document::Item;

/// The items of a group by clause. Items that ask for one and the same kind of thing only are
/// alternatives within one clause; others have one each.
pub(super) fn together(items: &[Item]) -> Vec<Vec<&Item>> {
    let mut single: [Option<usize>; SELECTORS] = [None; SELECTORS];
    let mut clauses: Vec<Vec<&Item>> = Vec::new();
    for item in items {
        let kinds = [
            (item.exe.is_some(), Selector::Executable),
            (item.name.is_some(), Selector::Name),
            (item.user.is_some(), Selector::User),
            (item.cgroup.is_some(), Selector::Cgroup),
        ];
        let mut asked = kinds
            .iter()
            .filter(|(asks, _)| *asks)
            .map(|(_, kind)| *kind);
        match (asked.next(), asked.next()) {
            (Some(kind), None) => {
                let clause = *single[kind as usize].get_or_insert(clauses.len());
                if clause == clauses.len() {
                    clauses.push(Vec::new());
                }
                clauses[clause].push(item);
            }
            _ => clauses.push(vec![item]),
        }
    }
    clauses
}
