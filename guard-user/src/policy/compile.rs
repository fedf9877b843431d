//! From a ruleset to what the kernel gets: clauses, sets of clauses, and the automaton.
//!
//! A clause is one way in which a rule can match: an item of a group, all of a rule's paths, or
//! all of its sockets. Clauses are numbered in the order of their rules, since the lowest that matches
//! decides.

use std::collections::{BTreeMap, BTreeSet};

use guard_ebpf::abi::MAX_SIGNAL;
use guard_ebpf::automaton::{DEAD, Start};
use guard_ebpf::bits::{Bits, MAX_CLAUSES};
use guard_ebpf::operation::{Facility, Operation};
use guard_ebpf::policy::{Effect, Limit, MAX_RULES, MODE_AUDIT, MODE_ENFORCE, Policy, Selector};
use guard_ebpf::session::MAX_LIMITS;

use super::automaton::build;
use super::builtin;
use super::clauses::together;
use super::compiled::{Compiled, RuleInfo};
use super::document::{Item, PathGlob, Via};
use super::environment::{Environment, Host};
use super::expression::{Body, Entry, Meaning};
use super::places::{Device, Place, Translator};
use super::ruleset::{Ruleset, RulesetRule};

/// How many file systems on which a policy matches nothing get a starting row that says so.
/// The others among them are treated like file systems that are not in the mount table.
/// Hosts with that many are those with hundreds of containers, whose roots are meant there.
const MAX_UNREACHED: usize = 256;

/// Whether a rule that refuses an operation on a place refuses it on the directories on the way
/// to that place as well: what is done to those would move the place, lock it away or hide it. For
/// making files that is about what brings its own tree along: a directory that is moved there, a
/// symbolic link.
pub(crate) const fn guards_ancestors(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::Delete | Operation::Attributes | Operation::Mount | Operation::Create
    )
}

/// Compiles a ruleset. The notes are about rules with no place in this session; the error is
/// a limit, with its number.
pub(crate) fn compile(
    ruleset: &Ruleset,
    environment: &Environment,
    host: &dyn Host,
) -> Result<(Compiled, Vec<String>), String> {
    let count = ruleset.rules.len();
    if count > MAX_RULES {
        let built_in = builtin::count(&environment.protected);
        return Err(format!(
            "the policy has {} rules with what it includes, and the limit is {}, besides the {} \
             that are built in",
            count - built_in,
            MAX_RULES - built_in,
            built_in
        ));
    }
    let mut compiler = Compiler {
        translator: Translator::new(environment, host),
        policy: Policy {
            mode: if ruleset.audit {
                MODE_AUDIT
            } else {
                MODE_ENFORCE
            },
            ..Policy::EMPTY
        },
        clauses: 0,
        limits: 0,
        starts: Starts::default(),
        users: BTreeMap::new(),
        notes: Vec::new(),
    };
    for (index, rule) in ruleset.rules.iter().enumerate() {
        compiler.policy.effects[index] = rule.effect as u8;
        compiler.rule(index, rule);
    }
    if compiler.clauses > MAX_CLAUSES {
        return Err(format!(
            "the rules need {} clauses, and the limit is {MAX_CLAUSES}; a clause is an item of a \
             group with more than one key, all items with one and the same key, or the paths or \
             the sockets of a rule",
            compiler.clauses
        ));
    }
    if compiler.limits > MAX_LIMITS {
        return Err(format!(
            "{} rules have an `at-most`, and the limit is {MAX_LIMITS}",
            compiler.limits
        ));
    }
    compiler.finish(ruleset)
}

/// The expressions of each start.
#[derive(Default)]
struct Starts {
    files: BTreeMap<Device, BTreeSet<Entry>>,
    executables: BTreeMap<Device, BTreeSet<Entry>>,
    actors: BTreeMap<Device, BTreeSet<Entry>>,
    names: BTreeSet<Entry>,
    cgroups: BTreeSet<Entry>,
    sockets: BTreeSet<Entry>,
}

struct Compiler<'load> {
    translator: Translator<'load>,
    policy: Policy,
    /// How many clauses there are; those beyond the limit are counted and lead nowhere.
    clauses: usize,
    /// How many limits there are, in the same way.
    limits: usize,
    starts: Starts,
    users: BTreeMap<u32, Bits>,
    notes: Vec<String>,
}

impl Compiler<'_> {
    fn rule(&mut self, index: usize, rule: &RulesetRule) {
        let about = |fits: fn(Operation) -> bool| -> Vec<Operation> {
            let operations = rule.operations.iter().copied();
            operations.filter(|operation| fits(*operation)).collect()
        };
        let processes = about(Operation::is_on_process);
        let files = about(Operation::is_on_file);
        let sockets = about(|operation| operation == Operation::Connect);
        let mut unconditional = Vec::new();
        match &rule.to {
            None => unconditional.extend(processes),
            Some(_) if processes.is_empty() => {}
            Some(items) => {
                for items in together(items) {
                    let clause = self.clause(index, rule, &processes);
                    for item in items {
                        self.item(clause, rule, item);
                    }
                }
            }
        }
        match &rule.on {
            None => unconditional.extend(files),
            Some(_) if files.is_empty() => {}
            Some(globs) => {
                let clause = self.clause(index, rule, &files);
                self.uses(clause, Selector::Path);
                let ancestors = files.iter().any(|operation| guards_ancestors(*operation));
                for glob in globs {
                    self.path(clause, rule, glob, ancestors);
                }
            }
        }
        match &rule.via {
            None => unconditional.extend(sockets),
            Some(_) if sockets.is_empty() => {}
            Some(all) => {
                let clause = self.clause(index, rule, &sockets);
                self.uses(clause, Selector::Path);
                for via in all {
                    self.socket(clause, rule, via);
                }
            }
        }
        if !unconditional.is_empty() {
            self.clause(index, rule, &unconditional);
        }
        if let Some(limit) = rule.at_most {
            self.limit(index, limit);
        }
    }

    /// Gives a rule a limit; those beyond the most that there can be are counted.
    fn limit(&mut self, index: usize, limit: Limit) {
        if let Some(place) = self.policy.limits.get_mut(self.limits) {
            *place = limit;
            self.policy.limited[index] = self.limits as u8 + 1;
        }
        self.limits += 1;
    }

    /// A new clause of a rule, about some of its operations.
    fn clause(&mut self, index: usize, rule: &RulesetRule, operations: &[Operation]) -> usize {
        let clause = self.clauses;
        self.clauses += 1;
        if let Some(place) = self.policy.clause_rule.get_mut(clause) {
            *place = index as u8;
        }
        for operation in operations {
            self.policy.operations[*operation as usize].insert(clause);
        }
        for signal in 1..=MAX_SIGNAL {
            if rule
                .signals
                .as_ref()
                .is_none_or(|only| only.contains(&signal))
            {
                self.policy.details[signal as usize].insert(clause);
            }
        }
        for facility in Facility::EVERY {
            if rule
                .facilities
                .as_ref()
                .is_none_or(|only| only.contains(facility))
            {
                self.policy.details[facility.detail() as usize].insert(clause);
            }
        }
        for item in rule.by.iter().flatten() {
            self.uses(clause, Selector::Actor);
            if let Some(glob) = &item.exe {
                self.executable(clause, rule, glob, |starts| &mut starts.actors);
            }
        }
        clause
    }

    /// Adds the places of an executable to a clause.
    fn executable(
        &mut self,
        clause: usize,
        rule: &RulesetRule,
        glob: &PathGlob,
        of: fn(&mut Starts) -> &mut BTreeMap<Device, BTreeSet<Entry>>,
    ) {
        for place in self.places(rule, glob) {
            // What protects an executable from deletion is a rule on paths.
            if !place.ancestor {
                let set = of(&mut self.starts).entry(place.device).or_default();
                set.insert(Entry {
                    meaning: Meaning {
                        clause,
                        ancestor: false,
                    },
                    body: Body::Path(place.parts),
                });
            }
        }
    }

    /// Adds the places of a glob to a clause, with the directories on the way if they matter.
    fn path(&mut self, clause: usize, rule: &RulesetRule, glob: &PathGlob, ancestors: bool) {
        for place in self.places(rule, glob) {
            if place.ancestor && !ancestors {
                continue;
            }
            let set = self.starts.files.entry(place.device).or_default();
            set.insert(Entry {
                meaning: Meaning {
                    clause,
                    ancestor: place.ancestor,
                },
                body: Body::Path(place.parts),
            });
        }
    }

    /// Adds sockets to a clause.
    fn socket(&mut self, clause: usize, rule: &RulesetRule, via: &Via) {
        match via {
            Via::Path(glob) => self.path(clause, rule, glob, false),
            Via::Text(text) => {
                let meaning = Meaning {
                    clause,
                    ancestor: false,
                };
                let entries = text.patterns.iter().map(|pattern| Entry {
                    meaning,
                    body: Body::Word(pattern.clone()),
                });
                self.starts.sockets.extend(entries);
            }
        }
    }

    fn uses(&mut self, clause: usize, kind: Selector) {
        self.policy.uses[kind as usize].insert(clause);
    }

    fn item(&mut self, clause: usize, rule: &RulesetRule, item: &Item) {
        let entry = |body| Entry {
            meaning: Meaning {
                clause,
                ancestor: false,
            },
            body,
        };
        if let Some(glob) = &item.exe {
            self.uses(clause, Selector::Executable);
            self.executable(clause, rule, glob, |starts| &mut starts.executables);
        }
        if let Some(name) = &item.name {
            self.uses(clause, Selector::Name);
            self.starts.names.insert(entry(Body::Word(name.clone())));
        }
        if let Some(uid) = item.user {
            self.uses(clause, Selector::User);
            self.users.entry(uid).or_default().insert(clause);
        }
        if let Some(globs) = &item.cgroup {
            self.uses(clause, Selector::Cgroup);
            let globs = globs.iter().cloned();
            self.starts
                .cgroups
                .extend(globs.map(|glob| entry(Body::Path(glob))));
        }
    }

    fn places(&mut self, rule: &RulesetRule, glob: &PathGlob) -> Vec<Place> {
        match rule.effect {
            Effect::Deny | Effect::DenyAlways => self.translator.wide(glob),
            Effect::Allow | Effect::Audit => self.translator.narrow(glob).unwrap_or_else(|why| {
                self.notes.push(format!("rule `{}`: {why}", rule.info.name));
                Vec::new()
            }),
        }
    }

    fn finish(mut self, ruleset: &Ruleset) -> Result<(Compiled, Vec<String>), String> {
        let environment = self.translator.environment;
        // A known file system without an entry would be taken for one that is not known.
        let devices: BTreeSet<u32> = environment
            .mounts_now
            .iter()
            .chain(environment.mounts_at_start.iter())
            .map(|mount| mount.device)
            .collect();
        let of = |starts: &mut BTreeMap<Device, BTreeSet<Entry>>, device| {
            starts.remove(&device).unwrap_or_default()
        };
        let mut sets = vec![self.starts.names, self.starts.cgroups, self.starts.sockets];
        for device in [Device::Elsewhere]
            .into_iter()
            .chain(devices.iter().copied().map(Device::Known))
        {
            sets.push(of(&mut self.starts.files, device));
            sets.push(of(&mut self.starts.executables, device));
            sets.push(of(&mut self.starts.actors, device));
        }
        let built = build(&sets).map_err(super::automaton::TooLarge::message)?;
        let [name_start, cgroup_start, socket_start, paths @ ..] = built.starts.as_slice() else {
            unreachable!("there is a row for every set of expressions");
        };
        let mut starts = paths.chunks_exact(3).map(|three| Start {
            path: three[0],
            executable: three[1],
            actor: three[2],
        });
        let elsewhere = starts.next().unwrap_or_default();
        let nowhere = Start {
            path: DEAD,
            executable: DEAD,
            actor: DEAD,
        };
        let mut unreached = 0;
        let starts = devices
            .into_iter()
            .zip(starts)
            .filter(|(_, start)| {
                unreached += usize::from(*start == nowhere);
                *start != elsewhere && (*start != nowhere || unreached <= MAX_UNREACHED)
            })
            .collect();
        self.policy.name_start = *name_start;
        self.policy.cgroup_start = *cgroup_start;
        self.policy.socket_start = *socket_start;
        self.policy.elsewhere = elsewhere;
        self.policy.classes = built.classes;
        self.policy.rows = built.rows.len() as u32;
        let compiled = Compiled {
            policy: self.policy,
            rows: built.rows,
            starts,
            users: self.users.into_iter().collect(),
            rules: ruleset
                .rules
                .iter()
                .zip(self.policy.limited)
                .map(|(rule, limited)| RuleInfo {
                    limit: limited.checked_sub(1),
                    ..rule.info.clone()
                })
                .collect(),
        };
        Ok((compiled, self.notes))
    }
}
