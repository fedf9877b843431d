//! Expressions: globs as networks of positions, from which the automaton is made.
//!
//! A position is a point in a glob; edges lead on for a range of bytes, or for none. The
//! positions of all expressions are numbered together, and a state of the automaton is the
//! set of positions at which the text so far may be.

use std::collections::HashMap;

use guard_ebpf::bits::Bits;
use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};
use regex_syntax::utf8::Utf8Sequences;

use super::glob::{Part, Token};

/// What names are matched against.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Body {
    /// A path like `/a/b`; the root is the empty string.
    Path(Vec<Part>),
    /// What is no path: a command name, or what stands for a socket.
    Word(Vec<Token>),
    /// Everything, also nothing at all.
    Anything,
}

/// An expression of a start: what it matches, and what for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Entry {
    /// What it is accepted for.
    pub meaning: Meaning,
    /// What it matches.
    pub body: Body,
}

/// What a text is accepted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Meaning {
    /// A clause.
    pub clause: usize,
    /// Whether it is a directory on the way to one of the clause's places rather than a place
    /// itself ([`guard_ebpf::automaton::Row::ancestors`]).
    pub ancestor: bool,
    /// Whether the clause is about all but this.
    pub except: bool,
}

/// A point in an expression.
struct Position {
    /// Where a byte of a range leads.
    edges: Vec<(u8, u8, u32)>,
    /// Where nothing leads.
    free: Vec<u32>,
    /// Whether the text may end here.
    accepts: bool,
    /// What it is accepted for.
    meaning: Meaning,
    /// Whether everything that can follow is accepted for the same meaning, so that other
    /// positions with that meaning don't matter.
    swallows: bool,
}

/// The positions of all expressions.
#[derive(Default)]
pub(crate) struct Expressions {
    positions: Vec<Position>,
    /// Where parts end that begin at a position: paths that begin alike share positions.
    shared: HashMap<(u32, Part), u32>,
    /// For each meaning, what stands for everything below a place ([`Self::everything`]).
    everything: HashMap<Meaning, (u32, u32)>,
}

/// What a wildcard can stand for: all but NUL, which is in no name, and (in paths) the slash.
const NOT_SLASH: [(u8, u8); 2] = [(1, b'/' - 1), (b'/' + 1, 255)];
const NOT_NUL: [(u8, u8); 1] = [(1, 255)];

impl Expressions {
    /// A position for expressions of one meaning to begin at.
    pub fn begin(&mut self, meaning: Meaning) -> u32 {
        self.positions.push(Position {
            edges: Vec::new(),
            free: Vec::new(),
            accepts: false,
            meaning,
            swallows: false,
        });
        (self.positions.len() - 1) as u32
    }

    /// Adds an expression.
    pub fn add(&mut self, beginning: u32, body: &Body) {
        let end = match body {
            Body::Word(tokens) => self.name(beginning, tokens, &NOT_NUL),
            Body::Path(parts) => self.path(beginning, parts),
            Body::Anything => {
                let end = self.after(beginning);
                self.positions[beginning as usize].free.push(end);
                self.edges(end, &NOT_NUL, end);
                self.positions[end as usize].swallows = true;
                end
            }
        };
        self.positions[end as usize].accepts = true;
    }

    /// A new position with the meaning of another.
    fn after(&mut self, from: u32) -> u32 {
        self.begin(self.positions[from as usize].meaning)
    }

    fn edge(&mut self, from: u32, first: u8, last: u8, to: u32) {
        self.positions[from as usize].edges.push((first, last, to));
    }

    fn edges(&mut self, from: u32, ranges: &[(u8, u8)], to: u32) {
        for &(first, last) in ranges {
            self.edge(from, first, last, to);
        }
    }

    /// Adds a path from a position, and returns where it ends.
    fn path(&mut self, start: u32, parts: &[Part]) -> u32 {
        let mut at = start;
        let everything = [Part::AnyDepth, Part::Name(vec![Token::AnyRun])];
        let (parts, below) = match parts.strip_suffix(&everything) {
            Some(parts) => (parts, true),
            None => (parts, false),
        };
        for part in parts {
            let key = (at, part.clone());
            if let Some(&end) = self.shared.get(&key) {
                at = end;
                continue;
            }
            at = match part {
                Part::Name(tokens) => {
                    let begin = self.after(at);
                    self.edge(at, b'/', b'/', begin);
                    self.name(begin, tokens, &NOT_SLASH)
                }
                Part::AnyDepth => {
                    let end = self.after(at);
                    self.positions[at as usize].free.push(end);
                    let inside = self.names(end);
                    self.positions[inside as usize].free.push(end);
                    end
                }
            };
            self.shared.insert(key, at);
        }
        if !below {
            return at;
        }
        let (begin, inside) = self.everything(at);
        self.edge(at, b'/', b'/', begin);
        inside
    }

    /// Names below each other, with anything in them: where the first begins, and where it may end.
    /// Once it has begun nothing can change what it is accepted for, so all that has one meaning
    /// comes to the same two positions, and states do not differ by how they were reached.
    fn everything(&mut self, at: u32) -> (u32, u32) {
        let meaning = self.positions[at as usize].meaning;
        if let Some(&known) = self.everything.get(&meaning) {
            return known;
        }
        let begin = self.after(at);
        let inside = self.after(at);
        self.edges(begin, &NOT_SLASH, inside);
        self.edges(inside, &NOT_SLASH, inside);
        self.edge(inside, b'/', b'/', begin);
        for position in [begin, inside] {
            self.positions[position as usize].swallows = true;
        }
        self.everything.insert(meaning, (begin, inside));
        (begin, inside)
    }

    /// Adds a slash and any name from a position, and returns the position inside the name.
    fn names(&mut self, at: u32) -> u32 {
        let begin = self.after(at);
        let inside = self.after(at);
        self.edge(at, b'/', b'/', begin);
        self.edges(begin, &NOT_SLASH, inside);
        self.edges(inside, &NOT_SLASH, inside);
        inside
    }

    /// Adds a name from a position, and returns where it ends. `any` is what its wildcards
    /// can stand for.
    fn name(&mut self, start: u32, tokens: &[Token], any: &[(u8, u8)]) -> u32 {
        let mut at = start;
        // No name is empty.
        if tokens.iter().all(|token| *token == Token::AnyRun) {
            let next = self.after(at);
            self.edges(at, any, next);
            at = next;
        }
        for token in tokens {
            let next = self.after(at);
            match token {
                Token::Byte(byte) => self.edge(at, *byte, *byte, next),
                Token::AnyRun => {
                    self.positions[at as usize].free.push(next);
                    self.edges(next, any, next);
                }
                Token::AnyChar => self.character(at, next, true, &[], any),
                Token::Class { negated, ranges } => {
                    self.character(at, next, *negated, ranges, any);
                }
            }
            at = next;
        }
        at
    }

    /// One character of a set; of a negated one also a byte that is part of no character.
    fn character(
        &mut self,
        at: u32,
        next: u32,
        negated: bool,
        ranges: &[(char, char)],
        any: &[(u8, u8)],
    ) {
        let range = |&(first, last): &(char, char)| ClassUnicodeRange::new(first, last);
        let mut class = ClassUnicode::new(ranges.iter().map(range));
        if negated {
            class.negate();
            self.edge(at, 0x80, 0xff, next);
        }
        // Of the ASCII characters, those that a wildcard can stand for.
        let allowed = any.iter().map(|&(first, last)| {
            let last = if last < 0x80 { last.into() } else { char::MAX };
            ClassUnicodeRange::new(first.into(), last)
        });
        class.intersect(&ClassUnicode::new(allowed));
        for range in class.iter() {
            for sequence in Utf8Sequences::new(range.start(), range.end()) {
                let mut from = at;
                let bytes = sequence.as_slice();
                for (index, byte) in bytes.iter().enumerate() {
                    let to = if index + 1 == bytes.len() {
                        next
                    } else {
                        self.after(at)
                    };
                    self.edge(from, byte.start, byte.end, to);
                    from = to;
                }
            }
        }
    }

    /// All ranges of bytes that are told apart.
    pub fn ranges(&self) -> impl Iterator<Item = (u8, u8)> {
        self.positions
            .iter()
            .flat_map(|position| &position.edges)
            .map(|&(first, last, _)| (first, last))
    }

    /// Where a byte leads from a set of positions.
    pub fn step(&self, set: &[u32], byte: u8) -> Vec<u32> {
        set.iter()
            .flat_map(|&position| &self.positions[position as usize].edges)
            .filter(|(first, last, _)| (*first..=*last).contains(&byte))
            .map(|&(_, _, to)| to)
            .collect()
    }

    /// A set of positions with all those that nothing leads to, sorted, and without those that
    /// do not matter beside others.
    pub fn close(&self, set: &[u32]) -> Vec<u32> {
        let mut closed = Vec::with_capacity(set.len());
        let mut left = set.to_vec();
        while let Some(position) = left.pop() {
            if !closed.contains(&position) {
                closed.push(position);
                left.extend(&self.positions[position as usize].free);
            }
        }
        closed.sort_unstable();
        let swallowing: Vec<u32> = closed
            .iter()
            .copied()
            .filter(|&position| self.positions[position as usize].swallows)
            .collect();
        closed.retain(|&position| {
            let meaning = self.positions[position as usize].meaning;
            let swallowed_by = swallowing
                .iter()
                .find(|&&other| self.positions[other as usize].meaning == meaning);
            // Of several that swallow each other, the first stays.
            swallowed_by.is_none_or(|&other| other == position)
        });
        closed
    }

    /// What a text is accepted for that ends at a set of positions: the clauses that it
    /// matches, and those that count the other way for a directory there.
    pub fn accepted(&self, set: &[u32]) -> (Bits, Bits) {
        let mut places = [Bits::NONE; 2];
        let mut ancestors = [Bits::NONE; 2];
        for &position in set {
            let position = &self.positions[position as usize];
            let Meaning {
                clause,
                ancestor,
                except,
            } = position.meaning;
            if position.accepts {
                let of = if ancestor {
                    &mut ancestors
                } else {
                    &mut places
                };
                of[usize::from(except)].insert(clause);
            }
        }
        let [meant, excepted] = places;
        let matches = meant.and(excepted.not());
        let [to_meant, to_excepted] = ancestors;
        let turned = to_meant.and(matches.not()).or(to_excepted.and(matches));
        (matches, turned)
    }
}
