//! One automaton of all globs of a policy, as rows for the kernel.
//!
//! Paths on different file systems, executables, command names and cgroups are matched by
//! the same automaton from different rows: a start is the set of its expressions' beginnings.
//!
//! It is made by subset construction, then made as small as it can be, and last bytes that no
//! row tells apart become one class. A general library for regular expressions would serve but
//! for one thing: it cannot know that below a place that matches with all that is in it the
//! other globs of the same clause do not matter any more ([`super::expression`]), and the
//! automata of some dozens of directories would be thousands of times larger on the way.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use guard_ebpf::abi::MAX_POLICY_ROWS;
use guard_ebpf::automaton::{CLASSES, DEAD, Row};
use guard_ebpf::bits::Bits;

use super::expression::{Entry, Expressions, Meaning};

/// How many states there can be before equal ones are merged.
const MAX_STATES: usize = 2 * MAX_POLICY_ROWS as usize;

/// How many positions the states can consist of altogether: 16 MiB.
const MAX_POSITIONS: usize = 4 << 20;

/// The finished automaton.
#[derive(Debug)]
pub(crate) struct Built {
    /// The rows; the first is [`DEAD`].
    pub rows: Vec<Row>,
    /// The class of each byte.
    pub classes: [u8; 256],
    /// For each start that was asked for, its row.
    pub starts: Vec<u16>,
}

/// Why there is no automaton: a limit, with what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TooLarge {
    /// More rows than the kernel has room for.
    Rows,
    /// More kinds of bytes than a row has room for.
    Classes,
}

impl TooLarge {
    pub fn message(self) -> String {
        match self {
            Self::Rows => format!(
                "the globs of this policy need more than {MAX_POLICY_ROWS} states, which is the limit; \
                 the most costly are those with several `*` in one name or several `**`"
            ),
            Self::Classes => format!(
                "the globs of this policy tell more than {CLASSES} kinds of characters apart, \
                 which is the limit; replace some special characters by `?`"
            ),
        }
    }
}

impl Built {
    /// The row that matches these clauses and is never left.
    pub fn row_for(&mut self, clauses: Bits) -> Result<u16, TooLarge> {
        if clauses.is_empty() {
            return Ok(DEAD);
        }
        if self.rows.len() >= MAX_POLICY_ROWS as usize {
            return Err(TooLarge::Rows);
        }
        self.rows.push(Row {
            matches: clauses,
            ..Row::EMPTY
        });
        Ok((self.rows.len() - 1) as u16)
    }
}

/// Builds the automaton of some starts, each of which has its own expressions.
pub(crate) fn build(starts: &[BTreeSet<Entry>]) -> Result<Built, TooLarge> {
    // Expressions with one meaning that count for the same starts begin at one position and
    // share what they have in common.
    let mut users: BTreeMap<&Entry, BTreeSet<usize>> = BTreeMap::new();
    for (start, set) in starts.iter().enumerate() {
        for entry in set {
            users.entry(entry).or_default().insert(start);
        }
    }
    let mut expressions = Expressions::default();
    let mut beginnings: BTreeMap<(Meaning, BTreeSet<usize>), u32> = BTreeMap::new();
    for (entry, users) in users {
        let beginning = *beginnings
            .entry((entry.meaning, users))
            .or_insert_with(|| expressions.begin(entry.meaning));
        expressions.add(beginning, &entry.body);
    }
    let mut entries: Vec<Vec<u32>> = vec![Vec::new(); starts.len()];
    for ((_, users), beginning) in beginnings {
        for start in users {
            entries[start].push(beginning);
        }
    }
    let (states, entries, kinds) = determinize(&expressions, &entries)?;
    let (states, entries) = merge(states, &entries);
    if states.len() > MAX_POLICY_ROWS as usize {
        return Err(TooLarge::Rows);
    }
    let (rows, classes) = pack(&states, &kinds)?;
    Ok(Built {
        rows,
        classes,
        // There are fewer rows than a `u16` can number.
        starts: entries.into_iter().map(|row| row as u16).collect(),
    })
}

/// A state on the way to a row.
struct State {
    matches: Bits,
    ancestors: Bits,
    /// The successor for each kind of byte.
    next: Vec<u32>,
}

/// The bytes by kind: no expression tells two of a kind apart.
struct Kinds {
    kind: [u8; 256],
    /// One byte of each kind.
    examples: Vec<u8>,
}

/// Makes the states that the starts lead to, state 0 being the one without a way out, and
/// says which of them are the starts.
fn determinize(
    expressions: &Expressions,
    starts: &[Vec<u32>],
) -> Result<(Vec<State>, Vec<u32>, Kinds), TooLarge> {
    let kinds = kinds(expressions);
    let mut known: HashMap<Vec<u32>, u32> = HashMap::from([(Vec::new(), DEAD.into())]);
    let mut order: Vec<Vec<u32>> = vec![Vec::new()];
    let mut positions = 0;
    let mut number = |set: Vec<u32>, order: &mut Vec<Vec<u32>>| -> Result<u32, TooLarge> {
        let next = order.len();
        if let Some(&state) = known.get(&set) {
            return Ok(state);
        }
        positions += set.len();
        if next >= MAX_STATES || positions > MAX_POSITIONS {
            return Err(TooLarge::Rows);
        }
        order.push(set.clone());
        known.insert(set, next as u32);
        Ok(next as u32)
    };
    let mut entries = Vec::with_capacity(starts.len());
    for start in starts {
        entries.push(number(expressions.close(start), &mut order)?);
    }
    let mut states: Vec<State> = Vec::new();
    while let Some(set) = order.get(states.len()).cloned() {
        let mut next = Vec::with_capacity(kinds.examples.len());
        for &byte in &kinds.examples {
            let after = expressions.step(&set, byte);
            next.push(number(expressions.close(&after), &mut order)?);
        }
        let (matches, ancestors) = expressions.accepted(&set);
        states.push(State {
            matches,
            ancestors,
            next,
        });
    }
    Ok((states, entries, kinds))
}

fn kinds(expressions: &Expressions) -> Kinds {
    // A kind ends where the range of an edge begins or has ended.
    let mut begins = [false; 257];
    begins[0] = true;
    for (first, last) in expressions.ranges() {
        begins[usize::from(first)] = true;
        begins[usize::from(last) + 1] = true;
    }
    let mut kind = [0; 256];
    let mut examples = Vec::new();
    for byte in 0..=255_u8 {
        if begins[usize::from(byte)] {
            examples.push(byte);
        }
        kind[usize::from(byte)] = (examples.len() - 1) as u8;
    }
    Kinds { kind, examples }
}

/// What a state says, in a form that can be hashed.
type Said = ([u64; 2], [u64; 2]);

/// Merges states that cannot be told apart (Moore's algorithm), and says where the entries
/// went. State 0 stays the first.
fn merge(states: Vec<State>, entries: &[u32]) -> (Vec<State>, Vec<u32>) {
    let mut group: Vec<u32> = vec![0; states.len()];
    let mut count = 0;
    loop {
        let mut known: HashMap<(Said, Vec<u32>), u32> = HashMap::new();
        let mut refined = Vec::with_capacity(states.len());
        for (state, &own) in states.iter().zip(&group) {
            let mut successors = Vec::with_capacity(1 + state.next.len());
            successors.push(own);
            successors.extend(state.next.iter().map(|&next| group[next as usize]));
            let size = known.len() as u32;
            let key = ((state.matches.0, state.ancestors.0), successors);
            refined.push(*known.entry(key).or_insert(size));
        }
        let settled = known.len() == count;
        count = known.len();
        group = refined;
        if settled {
            break;
        }
    }
    let mut merged: Vec<State> = Vec::with_capacity(count);
    for (mut state, &own) in states.into_iter().zip(&group) {
        // Groups are numbered in the order in which they are met.
        if own as usize == merged.len() {
            for next in &mut state.next {
                *next = group[*next as usize];
            }
            merged.push(state);
        }
    }
    let entries = entries.iter().map(|&entry| group[entry as usize]).collect();
    (merged, entries)
}

/// Puts bytes that no row tells apart into one class.
fn pack(states: &[State], kinds: &Kinds) -> Result<(Vec<Row>, [u8; 256]), TooLarge> {
    let mut known: HashMap<Vec<u32>, u8> = HashMap::new();
    // For each kind, its class; and for each class, a kind.
    let mut class_of = Vec::new();
    let mut kind_of = Vec::new();
    for kind in 0..kinds.examples.len() {
        let column: Vec<u32> = states.iter().map(|state| state.next[kind]).collect();
        let size = known.len();
        if size == CLASSES && !known.contains_key(&column) {
            return Err(TooLarge::Classes);
        }
        class_of.push(*known.entry(column).or_insert_with(|| {
            kind_of.push(kind);
            size as u8
        }));
    }
    let classes = kinds.kind.map(|kind| class_of[usize::from(kind)]);
    let rows = states
        .iter()
        .map(|state| {
            let mut row = Row {
                matches: state.matches,
                ancestors: state.ancestors,
                ..Row::EMPTY
            };
            for (class, &kind) in kind_of.iter().enumerate() {
                row.next[class] = state.next[kind] as u16;
            }
            row
        })
        .collect();
    Ok((rows, classes))
}

#[cfg(test)]
mod tests {
    use super::super::expression::Body;
    use super::super::glob::tests::{letters, path};
    use super::super::glob::{Part, parse_word};
    use super::super::matching::name_matches;
    use super::super::matching::tests::path_matches;
    use super::*;
    use proptest::prelude::*;

    fn entry(clause: usize, glob: &str) -> Entry {
        Entry {
            meaning: Meaning {
                clause,
                ancestor: false,
                except: false,
            },
            body: Body::Path(path(glob)),
        }
    }

    fn run(built: &Built, start: usize, text: &[u8]) -> Row {
        let end = text.iter().fold(built.starts[start], |row, &byte| {
            built.rows[usize::from(row)].step(built.classes[usize::from(byte)])
        });
        built.rows[usize::from(end)]
    }

    #[test]
    fn starts_have_their_own_expressions_and_share_what_is_equal() {
        let a = BTreeSet::from([entry(0, "/a/**"), entry(1, "**/x")]);
        let b = BTreeSet::from([entry(1, "**/x")]);
        let built = build(&[a.clone(), b, BTreeSet::new(), a]).expect("small");
        assert_eq!(built.starts[0], built.starts[3]);
        assert_eq!(built.starts[2], DEAD);
        assert_eq!(built.rows[0], Row::EMPTY);
        assert_eq!(
            run(&built, 0, b"/a/x").matches,
            Bits::one(0).or(Bits::one(1))
        );
        assert_eq!(run(&built, 0, b"/a").matches, Bits::NONE);
        assert_eq!(run(&built, 1, b"/a/x").matches, Bits::one(1));
        assert_eq!(run(&built, 1, b"/a/y").matches, Bits::NONE);
        assert_eq!(run(&built, 2, b"/a/x").matches, Bits::NONE);
    }

    #[test]
    fn no_globs_need_one_row() {
        let built = build(&[BTreeSet::new()]).expect("small");
        assert_eq!(built.rows, [Row::EMPTY]);
    }

    #[test]
    fn ancestors_are_kept_apart_from_places() {
        let mut ancestor = entry(3, "/a");
        ancestor.meaning.ancestor = true;
        let built = build(&[BTreeSet::from([ancestor, entry(3, "/a/b")])]).expect("small");
        assert_eq!(run(&built, 0, b"/a").ancestors, Bits::one(3));
        assert_eq!(run(&built, 0, b"/a").matches, Bits::NONE);
        assert_eq!(run(&built, 0, b"/a/b").matches, Bits::one(3));
    }

    #[test]
    fn an_automaton_that_does_not_fit_is_refused() {
        // Whether each of the last 20 characters was an `a` has to be kept in mind.
        let glob = format!("/*a{}", "?".repeat(20));
        let error = build(&[BTreeSet::from([entry(0, &glob)])]).expect_err("too large");
        assert_eq!(error, TooLarge::Rows);
        assert!(error.message().contains("16384"), "{}", error.message());
    }

    #[test]
    fn many_floating_directories_of_one_clause_stay_small() {
        let globs: BTreeSet<Entry> = (0..40)
            .map(|n| entry(0, &format!("**/dir{n}/**")))
            .collect();
        let built = build(&[globs]).expect("small");
        assert!(built.rows.len() < 100, "{}", built.rows.len());
        assert_eq!(run(&built, 0, b"/a/dir1/dir2/x").matches, Bits::one(0));
        assert_eq!(run(&built, 0, b"/a/dir").matches, Bits::NONE);
        assert_eq!(run(&built, 0, b"/dir39").matches, Bits::NONE);
    }

    #[test]
    fn too_many_kinds_of_bytes_are_refused() {
        // Each name's first byte leads to a state of its own: what follows is its number.
        let names: BTreeSet<Entry> = (1..=255_u8)
            .filter(|byte| *byte != b'/')
            .take(140)
            .map(|byte| {
                let name = [&[byte], byte.to_string().as_bytes()].concat();
                Entry {
                    body: Body::Path(vec![Part::literal(&name)]),
                    ..entry(0, "/x")
                }
            })
            .collect();
        assert_eq!(build(&[names]).expect_err("too many"), TooLarge::Classes);
    }

    /// Globs over a small alphabet, so that they meet the texts.
    fn glob_text() -> impl Strategy<Value = String> {
        let token = prop_oneof![
            4 => "[abä.]",
            1 => Just("*".to_owned()),
            1 => Just("?".to_owned()),
            1 => Just("[ab]".to_owned()),
            1 => Just("[!a]".to_owned()),
        ];
        let name = prop::collection::vec(token, 1..4)
            .prop_map(|tokens| tokens.concat().replace("**", "*"))
            .prop_filter("`.` and `..` are mistakes", |name| {
                name != "." && name != ".."
            });
        let part = prop_oneof![3 => name, 1 => Just("**".to_owned())];
        (any::<bool>(), prop::collection::vec(part, 1..5)).prop_map(|(floating, parts)| {
            let path = format!("/{}", parts.join("/"));
            if floating { format!("**{path}") } else { path }
        })
    }

    fn path_text() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![
            Just(b"a".to_vec()),
            Just(b"b".to_vec()),
            Just(b".".to_vec()),
            Just("ä".as_bytes().to_vec()),
            Just(vec![0xc3]),
            Just(vec![0xff]),
        ];
        let name = prop::collection::vec(byte, 1..4).prop_map(|bytes| bytes.concat());
        prop::collection::vec(name, 0..5).prop_map(|names| {
            names
                .iter()
                .flat_map(|name| [b"/".as_slice(), name].concat())
                .collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(192))]

        #[test]
        fn the_automaton_agrees_with_the_plain_meaning_of_globs(
            globs in prop::collection::vec((glob_text(), 0_usize..3, 0_usize..4), 1..7),
            paths in prop::collection::vec(path_text(), 16),
        ) {
            let mut starts = vec![BTreeSet::new(), BTreeSet::new(), BTreeSet::new()];
            // A glob of the last kind counts for two starts.
            let counts = |of: usize, start: usize| of == start || of == 3 && start != 1;
            for (glob, clause, of) in &globs {
                for (start, set) in starts.iter_mut().enumerate() {
                    if counts(*of, start) {
                        set.insert(entry(*clause, glob));
                    }
                }
            }
            let built = build(&starts).expect("small");
            for text in &paths {
                for start in 0..starts.len() {
                    let mut expected = Bits::NONE;
                    for (glob, clause, of) in &globs {
                        if counts(*of, start) && path_matches(&path(glob), text) {
                            expected.insert(*clause);
                        }
                    }
                    prop_assert_eq!(
                        run(&built, start, text).matches, expected,
                        "{:?} on {}", globs, text.escape_ascii()
                    );
                }
            }
        }

        #[test]
        fn words_agree_too(glob in "[ab*?/]{1,6}", words in prop::collection::vec("[ab/]{1,6}", 16)) {
            let tokens = parse_word(&letters(&glob)).expect("a good glob");
            let entry = Entry { body: Body::Word(tokens.clone()), ..entry(0, "/x") };
            let built = build(&[BTreeSet::from([entry])]).expect("small");
            for word in &words {
                prop_assert_eq!(
                    !run(&built, 0, word.as_bytes()).matches.is_empty(),
                    name_matches(&tokens, word.as_bytes()),
                    "{} on {}", glob, word
                );
            }
        }
    }
}
