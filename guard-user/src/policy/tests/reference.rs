//! The compiled policy against a plain reading of its rules: what a person would do who goes
//! through them from the top.

use proptest::prelude::*;

use super::*;
use crate::policy::glob::parse_word;
use crate::policy::glob::tests::{letters, path};
use crate::policy::matching::name_matches;
use crate::policy::matching::tests::path_matches;

/// An item of a group, as it is written.
#[derive(Clone, Debug)]
struct PlainItem {
    exe: Option<String>,
    name: Option<String>,
    uid: Option<u32>,
    cgroup: Option<String>,
    further: Option<PlainFurther>,
}

/// What only some policies ask for.
#[derive(Clone, Debug)]
enum PlainFurther {
    Command(String),
    Ancestor(String),
    Listens(u16),
    Session(&'static str),
}

impl PlainFurther {
    fn yaml(&self) -> String {
        match self {
            Self::Command(glob) => format!("command: '{glob}'"),
            Self::Ancestor(glob) => format!("ancestor: '{glob}'"),
            Self::Listens(port) => format!("listens: {port}"),
            Self::Session(name) => format!("session: '{name}'"),
        }
    }

    /// Whether it fits; none when it is not known.
    fn fits(&self, facts: &Further) -> Option<bool> {
        Some(match self {
            Self::Command(glob) => {
                let glob = parse_word(&letters(glob)).expect("good");
                name_matches(&glob, facts.command.as_ref()?)
            }
            Self::Ancestor(glob) => {
                let mut ancestors = facts.ancestors.as_ref()?.iter();
                ancestors.any(|(_, executable)| path_matches(&path(glob), executable))
            }
            Self::Listens(port) => {
                let mut listens = facts.listens.as_ref()?.iter();
                listens.any(|(_, other)| other == port)
            }
            Self::Session(name) => {
                let session = facts.session.as_ref();
                session.is_some_and(|session| *name == "*" || session == name)
            }
        })
    }
}

/// A list with exceptions, as it is written.
#[derive(Clone, Debug)]
struct Plain<T> {
    of: Vec<T>,
    except: Vec<T>,
}

impl<T> Plain<T> {
    fn yaml(&self, one: impl Fn(&T) -> String) -> String {
        let mut items: Vec<_> = self.of.iter().map(&one).collect();
        if !self.except.is_empty() {
            let except: Vec<_> = self.except.iter().map(one).collect();
            // Where it stands does not matter.
            items.insert(0, format!("{{ except: [{}] }}", except.join(", ")));
        }
        format!("[{}]", items.join(", "))
    }

    fn holds(&self, fits: impl Fn(&T) -> bool) -> bool {
        self.holds_with(|one, _| fits(one))
    }

    /// The same, where it matters whether something is an exception.
    fn holds_with(&self, fits: impl Fn(&T, bool) -> bool) -> bool {
        (self.of.is_empty() || self.of.iter().any(|one| fits(one, false)))
            && !self.except.iter().any(|one| fits(one, true))
    }
}

/// Lists of one to some, of exceptions alone, or of both.
fn list<T: Clone + std::fmt::Debug>(
    one: impl Strategy<Value = T> + Clone,
    most: usize,
) -> impl Strategy<Value = Plain<T>> {
    let except = prop_oneof![
        3 => Just(Vec::new()),
        1 => prop::collection::vec(one.clone(), 1..3),
    ];
    (prop::collection::vec(one, 0..most), except)
        .prop_map(|(of, except)| Plain { of, except })
        .prop_filter("something stands there", |list| {
            !list.of.is_empty() || !list.except.is_empty()
        })
}

/// A rule, as it is written.
#[derive(Clone, Debug)]
struct PlainRule {
    verb: &'static str,
    operations: Vec<Operation>,
    signals: Option<Vec<u32>>,
    facilities: Option<Vec<Facility>>,
    to: Option<Plain<PlainItem>>,
    on: Option<Plain<String>>,
    via: Option<Plain<String>>,
    by: Option<Plain<String>>,
    at_most: Option<u32>,
}

impl PlainItem {
    fn yaml(&self) -> String {
        let mut keys = Vec::new();
        keys.extend(self.exe.iter().map(|exe| format!("exe: '{exe}'")));
        keys.extend(self.name.iter().map(|name| format!("name: '{name}'")));
        keys.extend(self.uid.iter().map(|uid| format!("user: {uid}")));
        keys.extend(
            self.cgroup
                .iter()
                .map(|cgroup| format!("cgroup: '{cgroup}'")),
        );
        keys.extend(self.further.iter().map(PlainFurther::yaml));
        format!("{{ {} }}", keys.join(", "))
    }

    /// `unknown` says what is taken for granted where something is not known.
    fn fits(&self, facts: &ProcessFacts, unknown: bool) -> bool {
        let (_, executable) = facts
            .executable
            .as_ref()
            .expect("every process here has one");
        self.exe
            .as_ref()
            .is_none_or(|glob| path_matches(&path(glob), executable))
            && self.name.as_ref().is_none_or(|glob| {
                name_matches(&parse_word(&letters(glob)).expect("good"), &facts.name)
            })
            && self.uid.is_none_or(|uid| uid == facts.uid)
            && self
                .cgroup
                .as_ref()
                .is_none_or(|glob| path_matches(&path(glob), &facts.cgroup))
            && self
                .further
                .as_ref()
                .is_none_or(|further| further.fits(&facts.further).unwrap_or(unknown))
    }
}

impl PlainRule {
    fn yaml(&self, group: usize) -> (String, String) {
        let operations: Vec<_> = self.operations.iter().map(|o| o.name()).collect();
        let mut rule = vec![format!("  - {}: [{}]\n", self.verb, operations.join(", "))];
        if let Some(signals) = &self.signals {
            rule.push(format!("    signals: {signals:?}\n"));
        }
        if let Some(facilities) = &self.facilities {
            let names: Vec<_> = facilities.iter().map(|facility| facility.name()).collect();
            rule.push(format!("    facilities: [{}]\n", names.join(", ")));
        }
        let mut definition = String::new();
        if let Some(items) = &self.to {
            definition = format!("  g{group}: {}\n", items.yaml(PlainItem::yaml));
            rule.push(format!("    to: g{group}\n"));
        }
        for (key, globs) in [("on", &self.on), ("via", &self.via)] {
            let Some(globs) = globs else { continue };
            let globs = globs.yaml(|glob| format!("'{glob}'"));
            rule.push(format!("    {key}: {globs}\n"));
        }
        if let Some(globs) = &self.by {
            let list = globs.yaml(|glob| format!("{{ exe: '{glob}' }}"));
            definition = format!("{definition}  p{group}: {list}\n");
            rule.push(format!("    by: p{group}\n"));
        }
        if let Some(count) = self.at_most {
            rule.push(format!("    at-most: {{ count: {count}, per: 1m }}\n"));
        }
        (definition, rule.concat())
    }

    fn verdict(&self) -> Verdict {
        match self.verb {
            "allow" => Verdict::Allow,
            "deny" => Verdict::Deny,
            _ => Verdict::Audit,
        }
    }

    fn fits_actor(&self, executable: &[u8]) -> bool {
        let fits = |glob: &String| path_matches(&path(glob), executable);
        self.by.as_ref().is_none_or(|globs| globs.holds(fits))
    }

    fn fits_process(&self, operation: Operation, signal: u32, facts: &ProcessFacts) -> bool {
        self.operations.contains(&operation)
            && (operation != Operation::Signal
                || self
                    .signals
                    .as_ref()
                    .is_none_or(|only| only.contains(&signal)))
            && self.to.as_ref().is_none_or(|items| {
                // What is not known is what a rule refuses, and no exception from that.
                items.holds_with(|item, is_exception| {
                    item.fits(facts, (self.verb == "deny") != is_exception)
                })
            })
    }

    fn fits_file(&self, operation: Operation, facts: &FileFacts) -> bool {
        let guards_ancestors = matches!(
            operation,
            Operation::Delete | Operation::Attributes | Operation::Mount | Operation::Create
        );
        self.operations.contains(&operation)
            && self.on.as_ref().is_none_or(|globs| {
                let holds = globs.holds(|glob| path_matches(&path(glob), &facts.path));
                let leads_to = |globs: &[String]| {
                    let mut globs = globs.iter().map(|glob| path(glob));
                    facts.is_directory
                        && guards_ancestors
                        && globs.any(|glob| is_on_the_way(&glob, &facts.path))
                };
                if self.verb == "deny" {
                    holds || leads_to(&globs.of)
                } else {
                    holds && !leads_to(&globs.except)
                }
            })
    }

    fn fits_machine(&self, facility: Facility, file: Option<&FileFacts>) -> bool {
        let narrowed = self.facilities.as_ref();
        narrowed.is_none_or(|only| only.contains(&facility))
            && match file {
                Some(facts) => self.fits_file(Operation::Machine, facts),
                None => self.operations.contains(&Operation::Machine) && self.on.is_none(),
            }
    }

    fn fits_socket(&self, facts: &FileFacts) -> bool {
        self.operations.contains(&Operation::Connect)
            && self
                .via
                .as_ref()
                .is_none_or(|globs| globs.holds(|glob| path_matches(&path(glob), &facts.path)))
    }
}

/// Whether a directory is one of the beginnings of a glob, up to its first `**`.
fn is_on_the_way(glob: &[crate::policy::glob::Part], directory: &[u8]) -> bool {
    use crate::policy::glob::Part;
    let fixed = glob
        .iter()
        .take_while(|part| **part != Part::AnyDepth)
        .count();
    (0..glob.len().min(fixed + 1)).any(|depth| path_matches(&glob[..depth], directory))
}

fn glob_text() -> impl Strategy<Value = String> + Clone {
    let name = prop_oneof![3 => "[ab]{1,2}", 1 => Just("*".to_owned()), 1 => Just("a*".to_owned()), 1 => Just("?".to_owned())];
    let part = prop_oneof![4 => name, 1 => Just("**".to_owned())];
    prop::collection::vec(part, 1..4).prop_map(|parts| format!("/{}", parts.join("/")))
}

fn item() -> impl Strategy<Value = PlainItem> + Clone {
    let parts = (
        prop::option::of(glob_text()),
        prop::option::of("[ab]|a\\*|\\?"),
        prop::option::of(0_u32..3),
        prop::option::of(glob_text()),
        prop::option::of(prop_oneof![
            "[ab]|a\\*|\\*b|a [ab?]".prop_map(PlainFurther::Command),
            glob_text().prop_map(PlainFurther::Ancestor),
            (1_u16..4).prop_map(PlainFurther::Listens),
            prop::sample::select(vec!["s", "t", "*"]).prop_map(PlainFurther::Session),
        ]),
    );
    parts
        .prop_map(|(exe, name, uid, cgroup, further)| PlainItem {
            exe,
            name,
            uid,
            cgroup,
            further,
        })
        .prop_filter("an item has a key", |item| item.yaml() != "{  }")
}

const ON_PROCESSES: [Operation; 4] = [
    Operation::Signal,
    Operation::Trace,
    Operation::Inspect,
    Operation::Limit,
];

const ON_FILES: [Operation; 5] = [
    Operation::Delete,
    Operation::Overwrite,
    Operation::Attributes,
    Operation::Create,
    Operation::Mount,
];

fn rule() -> impl Strategy<Value = PlainRule> {
    let facilities = vec![Facility::Devices, Facility::Disks, Facility::Time];
    (
        prop::sample::select(vec!["allow", "deny", "audit"]),
        prop::sample::subsequence(Operation::EVERY.to_vec(), 1..=6),
        prop::option::of(prop::collection::vec(1_u32..5, 1..3)),
        prop::option::of(prop::sample::subsequence(facilities, 1..3)),
        prop::option::of(list(item(), 4)),
        prop::option::of(list(glob_text(), 3)),
        prop::option::of(list(glob_text(), 3)),
        prop::option::weighted(0.3, list(glob_text(), 3)),
        prop::option::weighted(0.3, 1_u32..9),
    )
        .prop_map(
            |(verb, operations, signals, facilities, to, on, via, by, at_most)| {
                let is_about = |fits: fn(Operation) -> bool| operations.iter().any(|o| fits(*o));
                let processes = is_about(Operation::is_on_process);
                let files = is_about(Operation::is_on_file);
                let sockets = operations.contains(&Operation::Connect);
                // Where a rule is about several kinds, it has selectors for all of them or none.
                let selects = (!processes || to.is_some())
                    && (!files || on.is_some())
                    && (!sockets || via.is_some());
                PlainRule {
                    verb,
                    signals: signals.filter(|_| operations.contains(&Operation::Signal)),
                    facilities: facilities.filter(|_| operations.contains(&Operation::Machine)),
                    to: to.filter(|_| processes && selects),
                    on: on.filter(|_| files && selects),
                    via: via.filter(|_| sockets && selects),
                    by,
                    at_most: at_most.filter(|_| verb == "allow"),
                    operations,
                }
            },
        )
}

/// What only some policies ask for, or that it is not known.
fn further() -> impl Strategy<Value = Further> {
    let address = std::net::Ipv4Addr::LOCALHOST;
    (
        prop::option::weighted(0.8, "[ab]{1,2}( [ab])?"),
        prop::option::weighted(0.8, prop::collection::vec(path_text(), 0..3)),
        prop::option::weighted(0.8, prop::collection::vec(1_u16..4, 0..3)),
        prop::option::of(prop::sample::select(vec!["s", "t", "u"])),
    )
        .prop_map(move |(command, ancestors, listens, session)| Further {
            command: command.map(String::into_bytes),
            ancestors: ancestors.map(|all| all.into_iter().map(|path| (ROOT, path)).collect()),
            listens: listens.map(|all| all.iter().map(|port| (address.into(), *port)).collect()),
            session: session.map(str::to_owned),
        })
}

fn path_text() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec("[ab]{1,2}", 0..4).prop_map(|names| {
        names
            .iter()
            .flat_map(|name| format!("/{name}").into_bytes())
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_compiled_policy_says_what_its_rules_say(
        plain in prop::collection::vec(rule(), 0..6),
        audit in any::<bool>(),
        processes in prop::collection::vec((path_text(), "[ab]", 0_u32..3, path_text(), further()), 12),
        files in prop::collection::vec((path_text(), any::<bool>(), any::<bool>()), 12),
        actor in path_text(),
        signal in 1_u32..5,
    ) {
        let (groups, rules): (Vec<_>, Vec<_>) =
            plain.iter().enumerate().map(|(index, rule)| rule.yaml(index)).unzip();
        let text = format!(
            "version: 1\nmode: {}\ngroups:\n{}rules:\n{}",
            if audit { "audit" } else { "enforce" },
            groups.concat(),
            rules.concat()
        );
        let host = FakeHost::new().file("p.yaml", text.clone());
        // One file system, so that a path is the same for people and for the kernel.
        let mounts = Mounts::parse("20 1 8:1 / / rw - ext4 /dev/sda1 rw\n").expect("good");
        let environment = Environment {
            mounts_at_start: mounts.clone(),
            mounts_now: mounts,
            ..environment()
        };
        let loaded = Loader::new(&environment, &host).load(&[Source::File("p.yaml".into())]);
        if let Err(mistakes) = &loaded {
            // Many kinds of things in exceptions make many clauses.
            prop_assume!(!mistakes.to_string().contains("the limit is 128"));
        }
        let loaded = loaded.unwrap_or_else(|mistakes| panic!("{text}\n{mistakes}"));
        let builtin = loaded.compiled.rules.len() - plain.len();

        let first_of = |fits: &dyn Fn(&PlainRule) -> bool| {
            plain.iter().position(|rule| rule.fits_actor(&actor) && fits(rule))
        };
        let by = loaded.compiled.by(Some((ROOT, &actor)));
        let expect = |index: Option<usize>, free: bool| -> (Verdict, Reason, usize) {
            let (verdict, reason, rule) = match index {
                Some(index) => (plain[index].verdict(), Reason::Rule, index + builtin),
                None if free => (Verdict::Allow, Reason::Default, 0),
                None => (Verdict::Deny, Reason::Default, 0),
            };
            let softened = audit && verdict == Verdict::Deny;
            (if softened { Verdict::Audit } else { verdict }, reason, rule)
        };
        let told = |decision: Decision| {
            (decision.verdict, decision.reason, usize::from(decision.rule))
        };
        for (executable, name, uid, cgroup, further) in processes {
            let facts = ProcessFacts {
                executable: Some((ROOT, executable)),
                name: name.into(),
                uid,
                cgroup,
                further,
            };
            for operation in ON_PROCESSES {
                let decision = by.on_process(operation, signal, &facts);
                let first = first_of(&|r: &PlainRule| r.fits_process(operation, signal, &facts));
                prop_assert_eq!(
                    told(decision), expect(first, false), "{} {:?} {:?}", text, operation, facts
                );
            }
        }
        for (path, is_directory, is_own) in files {
            let facts = FileFacts { device: ROOT, path, is_directory, is_own };
            // The root is on the way to the guard's own files.
            if is_directory && facts.path.is_empty() {
                continue;
            }
            // What is the session's own lifts every refusal here.
            let lifted = |first: Option<usize>, free: bool| {
                // What a rule lets through so many times is not counted then.
                let refused = match first {
                    Some(index) => plain[index].verb == "deny" || plain[index].at_most.is_some(),
                    None => !free,
                };
                if is_own && refused {
                    (Verdict::Allow, Reason::Own, 0)
                } else {
                    expect(first, free)
                }
            };
            for operation in ON_FILES {
                let decision = by.on_file(operation, &facts);
                let first = first_of(&|r: &PlainRule| r.fits_file(operation, &facts));
                let free = operation == Operation::Create;
                prop_assert_eq!(
                    told(decision), lifted(first, free), "{} {:?} {:?}", text, operation, facts
                );
            }
            for facility in [Facility::Devices, Facility::Time, Facility::Reboot] {
                let decision = by.on_machine(facility, Some(&facts));
                let first = first_of(&|r: &PlainRule| r.fits_machine(facility, Some(&facts)));
                prop_assert_eq!(
                    told(decision), lifted(first, false), "{} {:?} {:?}", text, facility, facts
                );
                let decision = by.on_machine(facility, None);
                let first = first_of(&|r: &PlainRule| r.fits_machine(facility, None));
                prop_assert_eq!(told(decision), expect(first, false), "{} {:?}", text, facility);
            }
            let facts = FileFacts { is_directory: false, is_own: false, ..facts };
            let decision = by.on_socket(&SocketFacts::File(facts.clone()));
            let first = first_of(&|r: &PlainRule| r.fits_socket(&facts));
            prop_assert_eq!(told(decision), expect(first, false), "{} {:?}", text, facts);
        }
    }
}
