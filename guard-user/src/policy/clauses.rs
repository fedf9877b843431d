//! Which items of a group make a clause together.

use guard_ebpf::bits::MAX_CLAUSES;
use guard_ebpf::policy::{SELECTORS, Selector};

use super::document::{Item, Selection};

/// One way for a process to be selected, which is a clause.
pub(super) struct Way<'a> {
    /// What it must be. Of several items, one: they ask for the same kind of thing. None where
    /// everything is meant but the exceptions.
    pub items: Vec<&'a Item>,
    /// What it must not be, in that one kind of thing that the item asks for.
    pub except: Vec<(&'a Item, Selector)>,
}

/// The ways for a process to be in a selection. The error is their number, where there are more than
/// there can be clauses.
pub(super) fn ways(selection: &Selection<Item>) -> Result<Vec<Way<'_>>, usize> {
    let alternatives = match &selection.of {
        Some(items) => together(items),
        None => vec![Vec::new()],
    };
    // Whoever is not all that an exception asks for is not one of the things: that many ways.
    let of_each = selection.except.iter().map(|item| item.kinds().len());
    let count = of_each.fold(alternatives.len(), usize::saturating_mul);
    if count > MAX_CLAUSES {
        return Err(count);
    }
    let mut except: Vec<Vec<(&Item, Selector)>> = vec![Vec::new()];
    for item in &selection.except {
        let longer = |known: &Vec<_>, kind| [known.as_slice(), &[(item, kind)]].concat();
        except = except
            .iter()
            .flat_map(|known| {
                item.kinds()
                    .into_iter()
                    .map(move |kind| longer(known, kind))
            })
            .collect();
    }
    let mut ways = Vec::new();
    for items in alternatives {
        ways.extend(except.iter().map(|except| Way {
            items: items.clone(),
            except: except.clone(),
        }));
    }
    Ok(ways)
}

/// The items of a group by clause. Items that ask for one and the same kind of thing only are
/// alternatives within one clause; others have one each.
fn together(items: &[Item]) -> Vec<Vec<&Item>> {
    let mut single: [Option<usize>; SELECTORS] = [None; SELECTORS];
    let mut clauses: Vec<Vec<&Item>> = Vec::new();
    for item in items {
        match item.kinds().as_slice() {
            [kind] => {
                let clause = *single[*kind as usize].get_or_insert(clauses.len());
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
