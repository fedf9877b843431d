//! `guard threats`: every way to do harm that is known, and what becomes of it on this machine
//! under a policy.

use guard_ebpf::operation::{Facility, Operation};
use guard_ebpf::policy::Effect;
use guard_threats::{GROUPS, Series, Stopped, Threat};

use super::check::load;
use super::exit::{Exit, Failure};
use super::output::{json, print, sentence};
use super::whom::Whom;
use crate::engine;
use crate::policy::ruleset::{Ruleset, RulesetRule};
use crate::server::compiler::Subject;

/// Show what an agent could do to this machine, and what becomes of it
///
/// For each way that is known: whether it is refused in a session under the policy, only kept
/// within limits, let through by a rule, or out of guard's reach, and what to do then.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A policy file, or the name of a preset; can be given several times
    #[arg(long, value_name = "FILE")]
    policy: Vec<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// Only these rows: numbers such as F4, or letters of groups
    #[arg(value_name = "ROW")]
    rows: Vec<String>,
}

/// What becomes of a threat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
enum Fate {
    /// It is refused.
    Stopped,
    /// It is refused but for what rules of the policy let through.
    StoppedExcept,
    /// A rule lets it through, whatever the target.
    Allowed,
    /// It goes through and is recorded, as `mode: audit` has it.
    Recorded,
    /// Limits of the session keep it within bounds.
    Limited,
    /// It harms nothing that is not the session's own.
    Harmless,
    /// Guard can't stop it.
    NotStopped,
    /// This kernel has no such thing.
    Absent,
}

/// A row as it is shown.
#[derive(Debug, serde::Serialize)]
struct Row<'a> {
    id: &'static str,
    title: &'static str,
    effect: &'static str,
    command: &'static str,
    fate: Fate,
    /// The operation of a policy, with the facility of the machine.
    operation: Option<String>,
    /// The rules that let it through.
    rules: Vec<&'a str>,
    remains: &'static str,
}

/// Shows the rows.
pub fn run(raw: &Arguments) -> Result<Exit, Failure> {
    if let Some(unknown) = raw.rows.iter().find(|row| !names_any(row)) {
        return Err(Failure::usage(format!(
            "There is no threat called `{unknown}`; they are numbered A1 to J{}.",
            GROUPS.last().map_or(0, |group| group.threats.len())
        )));
    }
    let (kernel, _) =
        engine::release().map_err(|error| Failure::guard(sentence(&format!("{error:#}"))))?;
    let subject = Subject {
        policies: raw.policy.clone(),
        ..Whom::default().subject()?
    };
    let Some(loaded) = load(&subject) else {
        return Ok(Exit::Usage);
    };
    let wanted = |id: &str| raw.rows.is_empty() || raw.rows.iter().any(|row| fits(row, id));
    let rows: Vec<(char, &str, Vec<Row<'_>>)> = GROUPS
        .iter()
        .map(|group| {
            let threats = group.threats.iter().filter(|threat| wanted(threat.id));
            let rows = threats.map(|threat| row(threat, kernel, &loaded.ruleset));
            (group.letter, group.title, rows.collect())
        })
        .collect();
    let text = if raw.json {
        let rows: Vec<_> = rows.into_iter().flat_map(|(_, _, rows)| rows).collect();
        json(&rows)
    } else {
        shown(&rows)
    };
    print(&text)?;
    Ok(Exit::Success)
}

/// Whether a word of the command line means a row: its number, or its group's letter.
fn fits(word: &str, id: &str) -> bool {
    word.eq_ignore_ascii_case(id)
        || word.len() == 1
            && id
                .get(..1)
                .is_some_and(|letter| word.eq_ignore_ascii_case(letter))
}

fn names_any(word: &str) -> bool {
    guard_threats::all().any(|threat| fits(word, threat.id))
}

/// What becomes of a threat under a policy.
fn row<'a>(threat: &Threat, kernel: Series, ruleset: &'a Ruleset) -> Row<'a> {
    let asked = asked(threat.stopped);
    let mut rules = Vec::new();
    let fate = if threat.exists_on(kernel) {
        match (threat.stopped, asked) {
            (Stopped::Limits, _) => Fate::Limited,
            (Stopped::Harmless, _) => Fate::Harmless,
            (_, Some((operation, facility))) => {
                let through = through(ruleset, operation, facility);
                rules = through.rules;
                through.fate
            }
            (_, None) => Fate::NotStopped,
        }
    } else {
        Fate::Absent
    };
    Row {
        id: threat.id,
        title: threat.title,
        effect: threat.effect,
        command: threat.command,
        fate,
        operation: asked.map(|(operation, facility)| match facility {
            Some(facility) => format!("{}: {}", operation.name(), facility.name()),
            None => operation.name().to_owned(),
        }),
        rules,
        remains: threat.remains,
    }
}

/// The operation, and the facility, that a policy is asked for.
fn asked(stopped: Stopped) -> Option<(Operation, Option<Facility>)> {
    match stopped {
        Stopped::Operation(name) => {
            let mut all = Operation::EVERY.iter();
            Some((*all.find(|operation| operation.name() == name)?, None))
        }
        Stopped::Facility(name) => {
            let mut all = Facility::EVERY.iter();
            let facility = all.find(|facility| facility.name() == name)?;
            Some((Operation::Machine, Some(*facility)))
        }
        Stopped::Limits | Stopped::Harmless | Stopped::No => None,
    }
}

struct Through<'a> {
    fate: Fate,
    rules: Vec<&'a str>,
}

/// What rules let through of an operation, in the order in which they are tried.
fn through(ruleset: &Ruleset, operation: Operation, facility: Option<Facility>) -> Through<'_> {
    let mut rules = Vec::new();
    let about = ruleset.rules.iter().filter(|rule| {
        rule.operations.contains(&operation)
            && facility.is_none_or(|facility| {
                let named = rule.facilities.as_ref();
                named.is_none_or(|named| named.contains(&facility))
            })
    });
    for rule in about {
        let lets_through = matches!(rule.effect, Effect::Allow | Effect::Audit);
        if lets_through {
            rules.push(rule.info.name.as_str());
        }
        if is_about_all(rule) {
            let fate = match (lets_through, rules.is_empty()) {
                (true, _) => Fate::Allowed,
                (false, true) => refused(ruleset),
                (false, false) => Fate::StoppedExcept,
            };
            return Through { fate, rules };
        }
    }
    let fate = if rules.is_empty() || ruleset.audit {
        refused(ruleset)
    } else {
        Fate::StoppedExcept
    };
    Through { fate, rules }
}

/// What a refusal comes to.
const fn refused(ruleset: &Ruleset) -> Fate {
    if ruleset.audit {
        Fate::Recorded
    } else {
        Fate::Stopped
    }
}

/// Whether a rule is about every target.
const fn is_about_all(rule: &RulesetRule) -> bool {
    rule.to.is_none() && rule.on.is_none() && rule.via.is_none() && rule.signals.is_none()
}

/// The rows for people.
fn shown(groups: &[(char, &str, Vec<Row<'_>>)]) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for (letter, title, rows) in groups.iter().filter(|(_, _, rows)| !rows.is_empty()) {
        let _ = writeln!(text, "{letter}  {title}\n");
        for row in rows {
            let _ = writeln!(text, "  {:4} {}: {}", row.id, row.title, verdict(row));
            let _ = writeln!(text, "       {}", row.command);
            if !row.remains.is_empty() {
                let _ = writeln!(text, "       {}", row.remains);
            }
        }
        text.push('\n');
    }
    let count = |fate: Fate| {
        let rows = groups.iter().flat_map(|(_, _, rows)| rows);
        rows.filter(|row| row.fate == fate).count()
    };
    let _ = writeln!(
        text,
        "refused {}, refused but for what rules allow {}, allowed {}, recorded {}, within limits {}, \
         harmless {}, not stopped {}, not on this kernel {}",
        count(Fate::Stopped),
        count(Fate::StoppedExcept),
        count(Fate::Allowed),
        count(Fate::Recorded),
        count(Fate::Limited),
        count(Fate::Harmless),
        count(Fate::NotStopped),
        count(Fate::Absent),
    );
    text
}

/// What becomes of a row, in words.
fn verdict(row: &Row<'_>) -> String {
    let operation = row.operation.as_deref().unwrap_or_default();
    let rules = row.rules.join(", ");
    match row.fate {
        Fate::Stopped => format!("refused ({operation})"),
        Fate::StoppedExcept => format!("refused ({operation}), but for what {rules} allows"),
        Fate::Allowed => format!("allowed ({operation}) by {rules}"),
        Fate::Recorded => format!("goes through and is recorded ({operation}; mode: audit)"),
        Fate::Limited => "within the session's limits".to_owned(),
        Fate::Harmless => "harmless".to_owned(),
        Fate::NotStopped => "not stopped".to_owned(),
        Fate::Absent => "not on this kernel".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::policies::Policies;

    /// The fate of a row under a policy, and the rules that are named.
    fn fate(policy: &str, id: &str) -> (Fate, Vec<String>) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("policy.yaml");
        std::fs::write(&file, policy).unwrap();
        let subject = Subject {
            policies: vec![file.display().to_string()],
            ..Whom::default().subject().unwrap()
        };
        let loaded = Policies::default().load(&subject).unwrap();
        let threat = guard_threats::all().find(|threat| threat.id == id).unwrap();
        let row = row(threat, (6, 12), &loaded.ruleset);
        let rules = row.rules.iter().map(ToString::to_string).collect();
        (row.fate, rules)
    }

    #[test]
    fn what_a_policy_allows_is_said_with_its_rule() {
        const POLICY: &str = "\
version: 1
groups:
  web: [{ exe: /usr/bin/node }]
rules:
  - name: the-clock
    allow: [machine]
    facilities: [time]
  - name: web
    allow: [signal]
    to: web
";
        assert_eq!(
            fate(POLICY, "G9"),
            (Fate::Allowed, vec!["the-clock".into()])
        );
        assert_eq!(
            fate(POLICY, "A1"),
            (Fate::StoppedExcept, vec!["web".into()])
        );
        assert_eq!(fate(POLICY, "G3"), (Fate::Stopped, vec![]));
        assert_eq!(fate(POLICY, "A2"), (Fate::Harmless, vec![]));
        assert_eq!(fate(POLICY, "C4"), (Fate::Limited, vec![]));
        assert_eq!(fate(POLICY, "G17"), (Fate::NotStopped, vec![]));
    }

    #[test]
    fn a_rule_that_refuses_everything_hides_those_below_it() {
        const POLICY: &str = "\
version: 1
rules:
  - name: none
    deny: [signal]
  - name: all
    allow: [signal, trace]
";
        assert_eq!(fate(POLICY, "A1"), (Fate::Stopped, vec![]));
        assert_eq!(fate(POLICY, "D1"), (Fate::Allowed, vec!["all".into()]));
        let audit = POLICY.replace("version: 1", "version: 1\nmode: audit");
        assert_eq!(fate(&audit, "A1"), (Fate::Recorded, vec![]));
    }

    #[test]
    fn every_row_has_its_operation() {
        for threat in guard_threats::all() {
            let is_refused = matches!(threat.stopped, Stopped::Operation(_) | Stopped::Facility(_));
            assert_eq!(asked(threat.stopped).is_some(), is_refused, "{}", threat.id);
        }
    }

    #[test]
    fn rows_are_named_by_number_or_letter() {
        assert!(fits("F4", "F4") && fits("f", "F4") && fits("f4", "F4"));
        assert!(!fits("F", "A1") && !fits("F4", "F44") && !names_any("K1"));
    }
}
