//! What clauses ask for, as expressions at the starts of the automaton: of each kind of thing one of
//! some, and none of others.

use std::collections::{BTreeMap, BTreeSet};

use guard_ebpf::policy::{Effect, Selector};

use super::compile::Compiler;
use super::document::{Item, PathGlob, Selection, Via};
use super::environment::Environment;
use super::expression::{Body, Entry, Meaning};
use super::places::{Device, Place};
use super::ruleset::RulesetRule;

/// The expressions of each start.
#[derive(Default)]
pub(super) struct Starts {
    pub files: BTreeMap<Device, BTreeSet<Entry>>,
    pub executables: BTreeMap<Device, BTreeSet<Entry>>,
    pub actors: BTreeMap<Device, BTreeSet<Entry>>,
    pub ancestors: BTreeMap<Device, BTreeSet<Entry>>,
    pub names: BTreeSet<Entry>,
    pub cgroups: BTreeSet<Entry>,
    pub sockets: BTreeSet<Entry>,
    pub commands: BTreeSet<Entry>,
    pub listening: BTreeSet<Entry>,
}

/// The file systems that a policy's automaton has a start for.
pub(super) fn devices(environment: &Environment) -> Vec<Device> {
    let mounts = environment.mounts_now.iter();
    let known: BTreeSet<u32> = mounts
        .chain(environment.mounts_at_start.iter())
        .map(|mount| mount.device)
        .collect();
    let known = known.into_iter().map(Device::Known);
    [Device::Elsewhere].into_iter().chain(known).collect()
}

/// What an entry of a list does for a clause.
#[derive(Clone, Copy)]
pub(super) struct Side {
    pub clause: usize,
    /// Whether the clause is about all but that.
    pub except: bool,
}

impl Side {
    pub(super) const fn of(clause: usize) -> Self {
        Self {
            clause,
            except: false,
        }
    }

    pub(super) const fn but(clause: usize) -> Self {
        Self {
            clause,
            except: true,
        }
    }

    pub(super) const fn entry(self, body: Body) -> Entry {
        Entry {
            meaning: Meaning {
                clause: self.clause,
                ancestor: false,
                except: self.except,
            },
            body,
        }
    }

    /// The same for a kind of which a process can have several: what is excepted does not fit, and
    /// counts against all the others that do ([`guard_ebpf::policy::several`]).
    pub(super) fn one_of_several(self, body: Body) -> impl Iterator<Item = Entry> {
        let entry = self.entry(body);
        let against = self.except.then(|| Entry {
            meaning: Meaning {
                ancestor: true,
                except: false,
                ..entry.meaning
            },
            body: entry.body.clone(),
        });
        [entry].into_iter().chain(against)
    }
}

pub(super) const fn is_refusal(effect: Effect) -> bool {
    matches!(effect, Effect::Deny | Effect::DenyAlways)
}

impl Compiler<'_> {
    /// Adds what a clause asks for in one kind of thing: one of some, and none of others.
    pub(super) fn some<T>(
        &mut self,
        clause: usize,
        rule: &RulesetRule,
        kind: Selector,
        selection: &Selection<T>,
        add: impl Fn(&mut Self, Side, &T),
    ) {
        self.uses(clause, kind);
        match &selection.of {
            Some(all) => all.iter().for_each(|one| add(self, Side::of(clause), one)),
            None => self.anything(clause, rule, kind),
        }
        for one in &selection.except {
            add(self, Side::but(clause), one);
        }
    }

    /// Has everything of a kind fit a clause, from which exceptions are taken out.
    pub(super) fn anything(&mut self, clause: usize, rule: &RulesetRule, kind: Selector) {
        self.uses(clause, kind);
        let entry = Side::of(clause).entry(Body::Anything);
        let on_all = |set: &mut BTreeMap<Device, BTreeSet<Entry>>, devices: &[Device]| {
            for device in devices {
                set.entry(*device).or_default().insert(entry.clone());
            }
        };
        match kind {
            Selector::Executable => on_all(&mut self.starts.executables, &self.devices),
            Selector::Actor => on_all(&mut self.starts.actors, &self.devices),
            Selector::Name => drop(self.starts.names.insert(entry)),
            Selector::Cgroup => drop(self.starts.cgroups.insert(entry)),
            Selector::Path => {
                on_all(&mut self.starts.files, &self.devices);
                self.starts.sockets.insert(entry);
            }
            Selector::User => drop(self.users.entry(clause).or_default()),
            Selector::Command => drop(self.starts.commands.insert(entry)),
            Selector::Ancestor => self.policy.any_ancestors.insert(clause),
            Selector::Listening => self.policy.any_listening.insert(clause),
            Selector::Session => drop(self.sessions.entry(clause).or_default()),
        }
        // What can't be looked up is none of the exceptions of a rule that refuses, and all of them of
        // one that lets through.
        if is_refusal(rule.effect) {
            self.unknown[kind as usize].insert(clause);
        }
    }

    /// Adds the places of an executable to a clause.
    pub(super) fn executable(
        &mut self,
        side: Side,
        rule: &RulesetRule,
        glob: &PathGlob,
        of: fn(&mut Starts) -> &mut BTreeMap<Device, BTreeSet<Entry>>,
    ) {
        for place in self.places(side, rule, glob) {
            // What protects an executable from deletion is a rule on paths.
            if !place.ancestor {
                let set = of(&mut self.starts).entry(place.device).or_default();
                set.insert(side.entry(Body::Path(place.parts)));
            }
        }
    }

    /// Adds the places of a glob to a clause, with the directories on the way if they matter.
    pub(super) fn path(
        &mut self,
        side: Side,
        rule: &RulesetRule,
        glob: &PathGlob,
        ancestors: bool,
    ) {
        for place in self.places(side, rule, glob) {
            if place.ancestor && !ancestors {
                continue;
            }
            let mut entry = side.entry(Body::Path(place.parts));
            entry.meaning.ancestor = place.ancestor;
            let set = self.starts.files.entry(place.device).or_default();
            set.insert(entry);
        }
    }

    /// Adds sockets to a clause.
    pub(super) fn socket(&mut self, side: Side, rule: &RulesetRule, via: &Via) {
        match via {
            Via::Path(glob) => self.path(side, rule, glob, false),
            Via::Text(text) => {
                let patterns = text.patterns.iter().cloned();
                let entries = patterns.map(|pattern| side.entry(Body::Word(pattern)));
                self.starts.sockets.extend(entries);
            }
        }
    }

    pub(super) fn uses(&mut self, clause: usize, kind: Selector) {
        self.policy.uses[kind as usize].insert(clause);
    }

    /// Adds what an item asks for in one kind of thing.
    pub(super) fn item(&mut self, side: Side, rule: &RulesetRule, item: &Item, kind: Selector) {
        self.uses(side.clause, kind);
        match kind {
            Selector::Executable => {
                if let Some(glob) = &item.exe {
                    self.executable(side, rule, glob, |starts| &mut starts.executables);
                }
            }
            Selector::Name => {
                let names = item.name.iter().cloned();
                let entries = names.map(|name| side.entry(Body::Word(name)));
                self.starts.names.extend(entries);
            }
            Selector::User => {
                let users = self.users.entry(side.clause).or_default();
                if side.except {
                    users.except.extend(item.user);
                } else {
                    users.of.get_or_insert_default().extend(item.user);
                }
            }
            Selector::Cgroup => {
                let globs = item.cgroup.iter().flatten().cloned();
                let entries = globs.map(|glob| side.entry(Body::Path(glob)));
                self.starts.cgroups.extend(entries);
            }
            Selector::Command => {
                let lines = item.command.iter().cloned();
                let entries = lines.map(|line| side.entry(Body::Word(line)));
                self.starts.commands.extend(entries);
            }
            Selector::Ancestor => {
                if let Some(glob) = &item.ancestor {
                    for place in self.places(side, rule, glob) {
                        if !place.ancestor {
                            let set = self.starts.ancestors.entry(place.device).or_default();
                            set.extend(side.one_of_several(Body::Path(place.parts)));
                        }
                    }
                }
            }
            Selector::Listening => {
                let patterns = item.listens.iter().flat_map(|socket| &socket.patterns);
                for pattern in patterns {
                    let entries = side.one_of_several(Body::Word(pattern.clone()));
                    self.starts.listening.extend(entries);
                }
            }
            Selector::Session => {
                let sessions = self.sessions.entry(side.clause).or_default();
                let names = if side.except {
                    &mut sessions.except
                } else {
                    sessions.of.get_or_insert_default()
                };
                item.session.iter().for_each(|name| names.add(name));
            }
            // No process has one.
            Selector::Path | Selector::Actor => {}
        }
        // Here looking up can fail: what is not known is whatever a rule refuses, and nothing that one
        // lets through.
        if kind.can_be_unknown() && is_refusal(rule.effect) {
            self.unknown[kind as usize].insert(side.clause);
        }
    }

    /// The places of a glob: many where that refuses more, few where it lets more through.
    pub(super) fn places(&mut self, side: Side, rule: &RulesetRule, glob: &PathGlob) -> Vec<Place> {
        if is_refusal(rule.effect) != side.except {
            return self.translator.wide(glob);
        }
        self.translator.narrow(glob).unwrap_or_else(|why| {
            let note = format!("rule `{}`: {why}", rule.info.name);
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
            Vec::new()
        })
    }
}
