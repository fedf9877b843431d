//! From a ruleset to what the kernel gets: clauses, sets of clauses, and the automaton.
//!
//! A clause is one way in which a rule can match: an item of a group, all of a rule's paths, or
//! all of its sockets. Clauses are numbered in the order of their rules, since the lowest that matches
//! decides.

use std::collections::{BTreeMap, BTreeSet};

use guard_ebpf::abi::MAX_SIGNAL;
use guard_ebpf::automaton::{DEAD, Start};
use guard_ebpf::bits::{Bits, MAX_CLAUSES};
use guard_ebpf::grant;
use guard_ebpf::operation::{Facility, Operation};
use guard_ebpf::policy::{
    Effect, Limit, MAX_RULES, MODE_AUDIT, MODE_RECORD, Policy, SELECTORS, Selector,
};
use guard_ebpf::session::MAX_LIMITS;

use super::automaton::build;
use super::builtin;
use super::clauses::ways;
use super::compiled::{Compiled, RuleInfo};
use super::document::{Item, Selection};
use super::entries::{Side, Starts, devices};
use super::environment::{Environment, Host};
use super::exceptions;
use super::expression::Entry;
use super::places::{Device, Translator};
use super::ruleset::{Ruleset, RulesetRule};
use super::who::{Member, Sessions, Users, that_hold};

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
            mode: if ruleset.audit { MODE_AUDIT } else { 0 }
                | if ruleset.records_all { MODE_RECORD } else { 0 },
            ..Policy::EMPTY
        },
        clauses: 0,
        limits: 0,
        starts: Starts::default(),
        users: BTreeMap::new(),
        sessions: BTreeMap::new(),
        unknown: [Bits::NONE; SELECTORS],
        devices: devices(environment),
        notes: Vec::new(),
    };
    for (index, rule) in ruleset.rules.iter().enumerate() {
        compiler.policy.effects[index] = rule.effect as u8;
        compiler.policy.numbers[index] = grant::rule(rule.info.name.as_bytes());
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

/// A compilation under way.
pub(super) struct Compiler<'load> {
    pub(super) translator: Translator<'load>,
    pub(super) policy: Policy,
    /// How many clauses there are; those beyond the limit are counted and lead nowhere.
    pub(super) clauses: usize,
    /// How many limits there are, in the same way.
    pub(super) limits: usize,
    pub(super) starts: Starts,
    /// The users of each clause that asks for some.
    pub(super) users: BTreeMap<usize, Users>,
    /// The sessions of each clause that asks for some.
    pub(super) sessions: BTreeMap<usize, Sessions>,
    /// For each kind of selector, the clauses that match what could not be looked up.
    pub(super) unknown: [Bits; SELECTORS],
    /// Those file systems that are not known first, then those that are: a known one without an entry
    /// would be taken for one that is not known.
    pub(super) devices: Vec<Device>,
    pub(super) notes: Vec<String>,
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
            Some(selections) => {
                for selection in selections {
                    self.processes(index, rule, &processes, selection);
                }
            }
        }
        match &rule.on {
            None => unconditional.extend(files),
            Some(_) if files.is_empty() => {}
            Some(selections) => {
                let ancestors = files.iter().any(|operation| guards_ancestors(*operation));
                for selection in selections {
                    for clause in self.clauses(index, rule, &files) {
                        self.some(
                            clause,
                            rule,
                            Selector::Path,
                            selection,
                            |this, side, glob| {
                                this.path(side, rule, glob, ancestors);
                            },
                        );
                    }
                }
            }
        }
        match &rule.via {
            None => unconditional.extend(sockets),
            Some(_) if sockets.is_empty() => {}
            Some(selections) => {
                for selection in selections {
                    for clause in self.clauses(index, rule, &sockets) {
                        self.some(
                            clause,
                            rule,
                            Selector::Path,
                            selection,
                            |this, side, via| {
                                this.socket(side, rule, via);
                            },
                        );
                    }
                }
            }
        }
        if !unconditional.is_empty() {
            self.clauses(index, rule, &unconditional);
        }
        if let Some(limit) = rule.at_most {
            self.limit(index, limit);
        }
    }

    /// Adds the clauses of a rule about some processes.
    fn processes(
        &mut self,
        index: usize,
        rule: &RulesetRule,
        operations: &[Operation],
        selection: &Selection<Item>,
    ) {
        let ways = match ways(selection) {
            Ok(ways) => ways,
            Err(count) => {
                // They are counted, and lead nowhere: it is too many of them.
                self.clauses = self.clauses.saturating_add(count);
                return;
            }
        };
        for way in &ways {
            for clause in self.clauses(index, rule, operations) {
                let asked: Vec<Selector> = way.items.iter().flat_map(|item| item.kinds()).collect();
                for item in &way.items {
                    for kind in item.kinds() {
                        self.item(Side::of(clause), rule, item, kind);
                    }
                }
                for (item, kind) in &way.except {
                    if !asked.contains(kind) {
                        self.anything(clause, rule, *kind);
                    }
                    self.item(Side::but(clause), rule, item, *kind);
                }
            }
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

    /// New clauses of a rule, about some of its operations: one for each selection of who acts.
    fn clauses(
        &mut self,
        index: usize,
        rule: &RulesetRule,
        operations: &[Operation],
    ) -> Vec<usize> {
        let Some(by) = &rule.by else {
            return vec![self.clause(index, rule, operations)];
        };
        by.iter()
            .map(|selection| {
                let clause = self.clause(index, rule, operations);
                self.some(
                    clause,
                    rule,
                    Selector::Actor,
                    selection,
                    |this, side, item| {
                        if let Some(glob) = &item.exe {
                            this.executable(side, rule, glob, |starts| &mut starts.actors);
                        }
                    },
                );
                clause
            })
            .collect()
    }

    /// A new clause of a rule.
    fn clause(&mut self, index: usize, rule: &RulesetRule, operations: &[Operation]) -> usize {
        let clause = self.clauses;
        self.clauses = self.clauses.saturating_add(1);
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
        clause
    }

    fn finish(mut self, ruleset: &Ruleset) -> Result<(Compiled, Vec<String>), String> {
        let of = |starts: &mut BTreeMap<Device, BTreeSet<Entry>>, device| {
            starts.remove(&device).unwrap_or_default()
        };
        let mut sets = vec![
            self.starts.names,
            self.starts.cgroups,
            self.starts.sockets,
            self.starts.commands,
            self.starts.listening,
        ];
        for &device in &self.devices {
            sets.push(of(&mut self.starts.files, device));
            sets.push(of(&mut self.starts.executables, device));
            sets.push(of(&mut self.starts.actors, device));
            sets.push(of(&mut self.starts.ancestors, device));
        }
        let mut built = build(&sets).map_err(super::automaton::TooLarge::message)?;
        for (row, clauses) in self.policy.unknown.iter_mut().zip(self.unknown) {
            *row = built
                .row_for(clauses)
                .map_err(super::automaton::TooLarge::message)?;
        }
        let users = std::mem::take(&mut self.users);
        let named: BTreeSet<u32> = users.values().flat_map(Users::named).collect();
        let satisfied = |uid: Option<u32>| that_hold(&users, |users| users.hold(uid));
        self.policy.other_users = satisfied(None);
        let sessions = std::mem::take(&mut self.sessions);
        let asked_for: BTreeSet<u64> = sessions.values().flat_map(Sessions::named).collect();
        let of = |member: Member| that_hold(&sessions, |sessions| sessions.hold(member));
        self.policy.other_sessions = of(Member::Other);
        self.policy.no_session = of(Member::Nobody);
        let [
            name_start,
            cgroup_start,
            socket_start,
            command_start,
            listening_start,
            paths @ ..,
        ] = built.starts.as_slice()
        else {
            unreachable!("there is a row for every set of expressions");
        };
        let mut starts = paths.chunks_exact(4).map(|four| Start {
            path: four[0],
            executable: four[1],
            actor: four[2],
            ancestor: four[3],
        });
        let elsewhere = starts.next().unwrap_or_default();
        let nowhere = Start {
            path: DEAD,
            executable: DEAD,
            actor: DEAD,
            ancestor: DEAD,
        };
        let mut unreached = 0;
        let known = self.devices.iter().filter_map(|device| match device {
            Device::Known(device) => Some(*device),
            Device::Elsewhere => None,
        });
        let starts = known
            .zip(starts)
            .filter(|(_, start)| {
                unreached += usize::from(*start == nowhere);
                *start != elsewhere && (*start != nowhere || unreached <= MAX_UNREACHED)
            })
            .collect();
        self.policy.name_start = *name_start;
        self.policy.cgroup_start = *cgroup_start;
        self.policy.socket_start = *socket_start;
        self.policy.command_start = *command_start;
        self.policy.listening_start = *listening_start;
        self.policy.elsewhere = elsewhere;
        self.policy.classes = built.classes;
        self.policy.rows = built.rows.len() as u32;
        let compiled = Compiled {
            policy: self.policy,
            rows: built.rows,
            starts,
            users: named
                .into_iter()
                .map(|uid| (uid, satisfied(Some(uid))))
                .collect(),
            sessions: asked_for
                .into_iter()
                .map(|name| (name, of(Member::Of(name))))
                .collect(),
            rules: ruleset
                .rules
                .iter()
                .zip(self.policy.limited)
                .enumerate()
                .map(|(index, (rule, limited))| RuleInfo {
                    limit: limited.checked_sub(1),
                    audits: rule.effect == Effect::Audit,
                    ..exceptions::info(ruleset, index, rule)
                })
                .collect(),
        };
        Ok((compiled, self.notes))
    }
}
