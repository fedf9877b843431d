//! One automaton of all globs of a policy, as rows for the kernel.
//!
//! Paths on different file systems, executables, command names and cgroups are matched by
//! the same automaton from different rows: every expression begins with a tag that says for
//! which starts it counts, and a start is the state after its tag. The tags are written in
//! the bytes NUL, which no name holds, and `/`, so they cost no class of bytes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use guard_ebpf::abi::MAX_ROWS;
use guard_ebpf::automaton::{CLASSES, DEAD, Row};
use guard_ebpf::bits::Bits;
use regex_automata::dfa::{Automaton as _, StartKind, dense};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::util::alphabet::{ByteClasses, Unit};
use regex_automata::util::primitives::StateID;
use regex_automata::{Anchored, MatchKind};
use regex_syntax::hir::{
    Class, ClassBytes, ClassBytesRange, ClassUnicode, ClassUnicodeRange, Hir, Repetition,
};

use super::glob::{Part, Token};

/// How much memory the automaton may take while it is made, in bytes. 16,384 rows of 64
/// classes are 4 MiB; before equal states are merged there can be some times as many.
const MEMORY: usize = 16 << 20;

/// What names are matched against.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Body {
    /// A path like `/a/b`; the root is the empty string.
    Path(Vec<Part>),
    /// A command name.
    Word(Vec<Token>),
}

/// An expression of a start: what it matches, and what for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Entry {
    /// The clause that it belongs to.
    pub clause: usize,
    /// Whether it is about a directory on the way to a protected place rather than about a
    /// place itself ([`Row::ancestors`]).
    pub ancestor: bool,
    /// What it matches.
    pub body: Body,
}

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TooLarge {
    /// More rows than the kernel has room for.
    Rows,
    /// More kinds of bytes than a row has room for.
    Classes,
}

impl TooLarge {
    pub fn message(&self) -> String {
        match self {
            Self::Rows => format!(
                "the globs of this policy need more than {MAX_ROWS} states, which is the limit; \
                 the most costly are those with several `*` in one name or several `**`"
            ),
            Self::Classes => format!(
                "the globs of this policy tell more than {CLASSES} kinds of characters apart, \
                 which is the limit; replace some special characters by `?`"
            ),
        }
    }
}

/// Builds the automaton of some starts, each of which has its own expressions.
pub(crate) fn build(starts: &[BTreeSet<Entry>]) -> Result<Built, TooLarge> {
    // Starts with the same expressions share a tag; those without any lead nowhere.
    let distinct: BTreeSet<&BTreeSet<Entry>> =
        starts.iter().filter(|start| !start.is_empty()).collect();
    let tag_of: BTreeMap<&BTreeSet<Entry>, usize> = distinct
        .iter()
        .enumerate()
        .map(|(tag, set)| (*set, tag))
        .collect();
    if tag_of.is_empty() {
        return Ok(Built {
            rows: vec![Row::EMPTY],
            classes: [0; 256],
            starts: vec![DEAD; starts.len()],
        });
    }
    let bits = usize::BITS - (tag_of.len() - 1).leading_zeros();
    let tag = |number: usize| -> Vec<u8> {
        (0..bits)
            .map(|bit| if number >> bit & 1 == 0 { 0 } else { b'/' })
            .collect()
    };

    // An expression that counts for several starts is built once, with all their tags.
    let mut users: BTreeMap<&Entry, BTreeSet<usize>> = BTreeMap::new();
    for (set, number) in &tag_of {
        for entry in *set {
            users.entry(entry).or_default().insert(*number);
        }
    }
    let mut alternatives: BTreeMap<(usize, bool, BTreeSet<usize>), Vec<&Body>> = BTreeMap::new();
    for (entry, tags) in users {
        alternatives
            .entry((entry.clause, entry.ancestor, tags))
            .or_default()
            .push(&entry.body);
    }
    let mut means = Vec::new();
    let mut patterns = Vec::new();
    for ((clause, ancestor, tags), bodies) in alternatives {
        means.push((clause, ancestor));
        let tags = tags.into_iter().map(|number| Hir::literal(tag(number)));
        patterns.push(Hir::concat(vec![
            Hir::alternation(tags.collect()),
            expression(&bodies),
        ]));
    }

    let dfa = determinize(&patterns)?;
    let start = dfa
        .universal_start_state(Anchored::Yes)
        .expect("no expression looks around");
    let after_tag = |number: usize| {
        tag(number)
            .into_iter()
            .fold(start, |state, byte| dfa.next_state(state, byte))
    };
    let entries: Vec<StateID> = (0..tag_of.len()).map(after_tag).collect();
    let walked = walk(&dfa, &entries, &means)?;
    let (states, merged_entries) = merge(walked, &entries);
    if states.len() > MAX_ROWS as usize {
        return Err(TooLarge::Rows);
    }
    let (rows, classes) = pack(&states, dfa.byte_classes())?;
    let starts = starts
        .iter()
        .map(|set| tag_of.get(set).map_or(DEAD, |&tag| merged_entries[tag]))
        .collect();
    Ok(Built {
        rows,
        classes,
        starts,
    })
}

fn determinize(patterns: &[Hir]) -> Result<dense::DFA<Vec<u32>>, TooLarge> {
    let nfa = thompson::Compiler::new()
        .configure(
            thompson::Config::new()
                .utf8(false)
                .which_captures(WhichCaptures::None)
                .nfa_size_limit(Some(MEMORY)),
        )
        .build_many_from_hir(patterns)
        .map_err(|_| TooLarge::Rows)?;
    dense::Builder::new()
        .configure(
            dense::Config::new()
                .match_kind(MatchKind::All)
                .start_kind(StartKind::Anchored)
                .accelerate(false)
                .dfa_size_limit(Some(MEMORY))
                .determinize_size_limit(Some(MEMORY)),
        )
        .build_from_nfa(&nfa)
        .map_err(|_| TooLarge::Rows)
}

/// The bytes that a wildcard of a path can stand for. NUL is in no name.
fn not_slash() -> ClassBytes {
    ClassBytes::new([
        ClassBytesRange::new(1, b'/' - 1),
        ClassBytesRange::new(b'/' + 1, 255),
    ])
}

fn repeat(least: u32, what: Hir) -> Hir {
    Hir::repetition(Repetition {
        min: least,
        max: None,
        greedy: true,
        sub: Box::new(what),
    })
}

/// What matches any of some bodies.
fn expression(bodies: &[&Body]) -> Hir {
    let mut words = Vec::new();
    let mut paths = Vec::new();
    for body in bodies {
        match body {
            Body::Word(tokens) => words.push(name(tokens, true)),
            Body::Path(parts) => paths.push(parts.as_slice()),
        }
    }
    if !paths.is_empty() {
        words.push(alternatives_of(&paths));
    }
    Hir::alternation(words)
}

/// What matches any of some path globs. Those with the same end share it: of `**/a/**` and
/// `**/b/**` it doesn't matter below which of the two a path lies, and an automaton that
/// remembered it for each would double its size with every one.
fn alternatives_of(globs: &[&[Part]]) -> Hir {
    let mut by_end: BTreeMap<Option<&Part>, Vec<&[Part]>> = BTreeMap::new();
    for glob in globs {
        by_end.entry(glob.last()).or_default().push(glob);
    }
    let ends = by_end.into_values().map(|globs| {
        let first = globs[0];
        let shared = if globs.len() == 1 {
            first.len()
        } else {
            let shortest = globs.iter().map(|glob| glob.len()).min().unwrap_or(0);
            (0..shortest)
                .take_while(|back| {
                    let from_end = |glob: &'_ [Part]| glob.len() - 1 - back;
                    let part = &first[from_end(first)];
                    globs.iter().all(|glob| glob[from_end(glob)] == *part)
                })
                .count()
        };
        let end = first[first.len() - shared..].iter().map(part);
        if globs.len() == 1 {
            return Hir::concat(end.collect());
        }
        let beginnings: Vec<&[Part]> = globs
            .iter()
            .map(|glob| &glob[..glob.len() - shared])
            .collect();
        Hir::concat(
            [alternatives_of(&beginnings)]
                .into_iter()
                .chain(end)
                .collect(),
        )
    });
    Hir::alternation(ends.collect())
}

fn part(part: &Part) -> Hir {
    match part {
        Part::Name(tokens) => Hir::concat(vec![Hir::literal(*b"/"), name(tokens, false)]),
        Part::AnyDepth => repeat(
            0,
            Hir::concat(vec![
                Hir::literal(*b"/"),
                repeat(1, Hir::class(Class::Bytes(not_slash()))),
            ]),
        ),
    }
}

/// A name; `slash` says whether its wildcards can stand for a slash.
fn name(tokens: &[Token], slash: bool) -> Hir {
    let any = if slash {
        ClassBytes::new([ClassBytesRange::new(1, 255)])
    } else {
        not_slash()
    };
    // No name is empty.
    let least = u32::from(tokens.iter().all(|token| *token == Token::AnyRun));
    let pieces = tokens.iter().map(|token| match token {
        Token::Byte(byte) => Hir::literal([*byte]),
        Token::AnyRun => repeat(least, Hir::class(Class::Bytes(any.clone()))),
        Token::AnyChar => character(true, &[], slash),
        Token::Class { negated, ranges } => character(*negated, ranges, slash),
    });
    Hir::concat(pieces.collect())
}

/// One character of a set; of a negated one also a byte that is part of no character.
fn character(negated: bool, ranges: &[(char, char)], slash: bool) -> Hir {
    let mut class = ClassUnicode::new(
        ranges
            .iter()
            .map(|&(first, last)| ClassUnicodeRange::new(first, last)),
    );
    if negated {
        class.negate();
    }
    let excluded = if slash { '\0'..='\0' } else { '\0'..='/' };
    class.difference(&ClassUnicode::new(
        [*excluded.start(), *excluded.end()].map(|end| ClassUnicodeRange::new(end, end)),
    ));
    let class = Hir::class(Class::Unicode(class));
    if !negated {
        return class;
    }
    let stray = Hir::class(Class::Bytes(ClassBytes::new([ClassBytesRange::new(
        0x80, 0xff,
    )])));
    Hir::alternation(vec![class, stray])
}

/// A state on the way to a row.
struct State {
    matches: Bits,
    ancestors: Bits,
    /// The successor for each byte that stands for a class of the library's.
    next: Vec<u32>,
}

/// The states that can be reached from some others. State 0 is the dead one.
struct Walked {
    states: Vec<State>,
    numbers: HashMap<StateID, u32>,
}

/// One byte of each class that the library tells apart.
fn representatives(dfa: &dense::DFA<Vec<u32>>) -> Vec<u8> {
    dfa.byte_classes()
        .representatives(0..=255)
        .filter_map(Unit::as_u8)
        .collect()
}

fn walk(
    dfa: &dense::DFA<Vec<u32>>,
    entries: &[StateID],
    means: &[(usize, bool)],
) -> Result<Walked, TooLarge> {
    // Before equal states are merged there are more, mostly twice as many: the library
    // reports a match one byte late.
    const LIMIT: usize = 4 * MAX_ROWS as usize;
    let mut numbers = HashMap::new();
    let mut order = Vec::new();
    let mut number = |state: StateID, order: &mut Vec<StateID>| -> u32 {
        if dfa.is_dead_state(state) {
            return 0;
        }
        *numbers.entry(state).or_insert_with(|| {
            order.push(state);
            order.len() as u32
        })
    };
    for entry in entries {
        number(*entry, &mut order);
    }
    let bytes = representatives(dfa);
    let mut states = vec![State {
        matches: Bits::NONE,
        ancestors: Bits::NONE,
        next: vec![0; bytes.len()],
    }];
    while let Some(&state) = order.get(states.len() - 1) {
        if order.len() > LIMIT {
            return Err(TooLarge::Rows);
        }
        let mut row = State {
            matches: Bits::NONE,
            ancestors: Bits::NONE,
            next: Vec::with_capacity(bytes.len()),
        };
        let end = dfa.next_eoi_state(state);
        if dfa.is_match_state(end) {
            for index in 0..dfa.match_len(end) {
                let (clause, ancestor) = means[dfa.match_pattern(end, index).as_usize()];
                if ancestor {
                    row.ancestors.insert(clause);
                } else {
                    row.matches.insert(clause);
                }
            }
        }
        for &byte in &bytes {
            row.next
                .push(number(dfa.next_state(state, byte), &mut order));
        }
        states.push(row);
    }
    Ok(Walked { states, numbers })
}

/// Merges states that cannot be told apart (Moore's algorithm), and says where the entries
/// went. State 0 stays the dead one, and every state that leads nowhere becomes it.
fn merge(walked: Walked, entries: &[StateID]) -> (Vec<State>, Vec<u16>) {
    let Walked { states, numbers } = walked;
    let mut group: Vec<u32> = Vec::new();
    let mut count = 0;
    loop {
        let mut known: HashMap<(Bits64, Vec<u32>), u32> = HashMap::new();
        let mut next_group = Vec::with_capacity(states.len());
        for (index, state) in states.iter().enumerate() {
            let successors = if group.is_empty() {
                Vec::new()
            } else {
                let mut successors = Vec::with_capacity(1 + state.next.len());
                successors.push(group[index]);
                successors.extend(state.next.iter().map(|&next| group[next as usize]));
                successors
            };
            let size = known.len() as u32;
            let key = ((state.matches.0, state.ancestors.0), successors);
            next_group.push(*known.entry(key).or_insert(size));
        }
        let settled = known.len() == count;
        count = known.len();
        group = next_group;
        if settled {
            break;
        }
    }
    let mut merged: Vec<Option<State>> = (0..count).map(|_| None).collect();
    for (index, mut state) in states.into_iter().enumerate() {
        let place = &mut merged[group[index] as usize];
        if place.is_none() {
            for next in &mut state.next {
                *next = group[*next as usize];
            }
            *place = Some(state);
        }
    }
    let states: Vec<State> = merged.into_iter().flatten().collect();
    let entries = entries
        .iter()
        .map(|entry| {
            let number = numbers.get(entry).copied().unwrap_or(0);
            // A number that does not fit belongs to an automaton that is refused for its size.
            u16::try_from(group[number as usize]).unwrap_or(DEAD)
        })
        .collect();
    (states, entries)
}

/// What a state says, in a form that can be hashed.
type Bits64 = ([u64; 2], [u64; 2]);

/// Puts bytes that no row tells apart into one class.
fn pack(states: &[State], library: &ByteClasses) -> Result<(Vec<Row>, [u8; 256]), TooLarge> {
    let mut known: HashMap<Vec<u32>, u8> = HashMap::new();
    // For each class of the library's, ours.
    let mut packed = Vec::new();
    let mut representatives = Vec::new();
    for index in 0..states.first().map_or(0, |state| state.next.len()) {
        let column: Vec<u32> = states.iter().map(|state| state.next[index]).collect();
        let size = known.len();
        if size == CLASSES && !known.contains_key(&column) {
            return Err(TooLarge::Classes);
        }
        packed.push(*known.entry(column).or_insert_with(|| {
            representatives.push(index);
            size as u8
        }));
    }
    let mut classes = [0; 256];
    for byte in 0..=255 {
        classes[usize::from(byte)] = packed[usize::from(library.get(byte))];
    }
    let rows = states
        .iter()
        .map(|state| {
            let mut row = Row {
                matches: state.matches,
                ancestors: state.ancestors,
                ..Row::EMPTY
            };
            for (class, &index) in representatives.iter().enumerate() {
                row.next[class] = state.next[index] as u16;
            }
            row
        })
        .collect();
    Ok((rows, classes))
}

#[cfg(test)]
mod tests {
    use super::super::glob::tests::{letters, path, path_matches};
    use super::super::glob::{name_matches, parse_word};
    use super::*;
    use proptest::prelude::*;

    fn entry(clause: usize, glob: &str) -> Entry {
        Entry {
            clause,
            ancestor: false,
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
        let ancestor = Entry {
            ancestor: true,
            ..entry(3, "/a")
        };
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
                    clause: 0,
                    ancestor: false,
                    body: Body::Path(vec![Part::literal(&name)]),
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
            globs in prop::collection::vec((glob_text(), 0_usize..3), 1..5),
            paths in prop::collection::vec(path_text(), 16),
        ) {
            let mut starts = vec![BTreeSet::new(), BTreeSet::new(), BTreeSet::new()];
            for (clause, (glob, start)) in globs.iter().enumerate() {
                starts[*start].insert(entry(clause, glob));
            }
            let built = build(&starts).expect("small");
            for text in &paths {
                for start in 0..starts.len() {
                    let mut expected = Bits::NONE;
                    for (clause, (glob, of)) in globs.iter().enumerate() {
                        if *of == start && path_matches(&path(glob), text) {
                            expected.insert(clause);
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
            let entry = Entry { clause: 0, ancestor: false, body: Body::Word(tokens.clone()) };
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
