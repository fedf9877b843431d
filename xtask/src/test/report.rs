//! The report that a run ends with: what real programs did in sessions and without guard, and what
//! became of the incidents, from the rows that the tests in the machines sent.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

/// What was heard from all machines.
#[derive(Debug, Default)]
pub struct Report {
    /// The boots that said something, as they are called.
    boots: Vec<String>,
    /// By workload and user.
    workloads: BTreeMap<(String, String), Work>,
    /// By incident, in the order of their numbers.
    incidents: BTreeMap<(u32, String), Incident>,
}

/// What is known of one workload of one user's.
#[derive(Debug, Default)]
struct Work {
    /// Seconds without guard.
    without: Option<f64>,
    /// Seconds in a session, by boot.
    with: BTreeMap<String, f64>,
    /// Refusals that should not have been.
    refused: u64,
    /// Refusals by which nothing failed that would have worked without guard.
    in_name: u64,
}

/// What is known of one incident.
#[derive(Debug, Default)]
struct Incident {
    /// What its command did without guard.
    harm: Option<String>,
    /// Sessions in which it was run, and those in which nobody outside was harmed.
    harmless: Count,
    /// Sessions that had something of their own which had to end by it, and those in which it did.
    twin: Count,
}

/// How many of how many.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Count {
    good: u32,
    all: u32,
}

impl Count {
    fn add(&mut self, good: bool) {
        self.good += u32::from(good);
        self.all += 1;
    }

    fn say(self, good: &str, bad: &str) -> String {
        match self {
            Self { all: 0, .. } => "-".to_owned(),
            Self { good: n, all } if n == all => format!("{good} in {all} of {all}"),
            Self { good: n, all } => format!("{bad} in {} of {all}", all - n),
        }
    }
}

impl Report {
    /// Takes in a row that a test on `boot` sent.
    pub fn take(&mut self, boot: &str, row: &Value) {
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        if row["workload"].is_string() {
            if !self.boots.iter().any(|known| known == boot) {
                self.boots.push(boot.to_owned());
            }
            let work = self
                .workloads
                .entry((text("workload"), text("user")))
                .or_default();
            work.without = work.without.or(row["without"].as_f64());
            work.with
                .insert(boot.to_owned(), row["with"].as_f64().unwrap_or_default());
            work.refused += row["refused"].as_u64().unwrap_or_default();
            work.in_name += row["in_name"].as_u64().unwrap_or_default();
        } else if row["incident"].is_string() {
            let name = text("incident");
            let digits = name
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(name.len());
            let number = name[..digits].parse().unwrap_or_default();
            let incident = self.incidents.entry((number, name)).or_default();
            incident.harm = incident
                .harm
                .take()
                .or(row["harm"].as_str().map(Into::into));
            if let Some(harmless) = row["harmless"].as_bool() {
                incident.harmless.add(harmless);
            }
            if let Some(works) = row["twin"].as_bool() {
                incident.twin.add(works);
            }
        }
    }

    fn workloads(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\nreal programs, without guard and in a session under the default policy: seconds, refusals,\n\
             and of these those in name only (nothing failed that would have worked)\n"
        )?;
        let mut boots: Vec<_> = self.boots.iter().collect();
        // By number: 6.1 before 6.12.
        boots.sort_by_key(|boot| {
            let numbers = boot.split(['.', '+']);
            numbers
                .map_while(|part| part.parse::<u32>().ok())
                .collect::<Vec<_>>()
        });
        write!(f, "{:24}{:>8}", "", "without")?;
        for boot in &boots {
            write!(f, "{boot:>10}")?;
        }
        writeln!(f, "{:>10}{:>9}", "refused", "in name")?;
        let seconds = |took: Option<&f64>| took.map_or("-".to_owned(), |took| format!("{took:.1}"));
        for ((name, user), work) in &self.workloads {
            let what = format!("{name}, {user}");
            write!(f, "{what:24}{:>8}", seconds(work.without.as_ref()))?;
            for boot in &boots {
                write!(f, "{:>10}", seconds(work.with.get(*boot)))?;
            }
            writeln!(f, "{:>10}{:>9}", work.refused, work.in_name)?;
        }
        Ok(())
    }

    fn incidents(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\nincidents (docs/incidents.md): what the command did without guard, in how many sessions \
             nobody\noutside was harmed by it, and in how many the session's own ended by it, where it had \
             some\n"
        )?;
        let row = |f: &mut fmt::Formatter<'_>, cells: [&str; 4]| {
            let [incident, without, with, twin] = cells;
            writeln!(f, "{incident:24}{without:42}{with:19}{twin}")
        };
        row(f, ["", "without guard", "with guard", "its twin"])?;
        for ((_, name), incident) in &self.incidents {
            row(
                f,
                [
                    name,
                    incident.harm.as_deref().unwrap_or("-"),
                    &incident.harmless.say("whole", "HARM"),
                    &incident.twin.say("ended", "NOT ENDED"),
                ],
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.workloads.is_empty() {
            self.workloads(f)?;
        }
        if !self.incidents.is_empty() {
            self.incidents(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn report(rows: &[(&str, Value)]) -> String {
        let mut report = Report::default();
        for (boot, row) in rows {
            report.take(boot, row);
        }
        report.to_string()
    }

    #[test]
    fn nothing_heard_is_nothing_said() {
        assert_eq!(report(&[("6.1", json!({ "other": 1 }))]), "");
    }

    #[test]
    fn a_workload_has_a_line_with_every_boot() {
        let git = |without, with, refused| {
            json!({ "workload": "git", "user": "agent", "without": without, "with": with,
                    "refused": refused, "in_name": 2 })
        };
        let said = report(&[
            ("6.12", git(Value::Null, 3.0, 0)),
            ("6.1", git(json!(1.5), 2.04, 1)),
        ]);
        let lines: Vec<_> = said.lines().rev().take(2).collect();
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(words(lines[1]), "without 6.1 6.12 refused in name");
        assert_eq!(words(lines[0]), "git, agent 1.5 2.0 3.0 1 4");
    }

    #[test]
    fn an_incident_tells_harm_and_what_became_of_it() {
        let with = |user, harmless| json!({ "incident": "7", "user": user, "harmless": harmless });
        let said = report(&[
            (
                "6.1",
                json!({ "incident": "22", "user": "root", "harmless": true }),
            ),
            ("6.1", json!({ "incident": "7", "harm": "redis gone" })),
            ("6.1", with("agent", true)),
            ("7.3", with("root", false)),
            (
                "7.3",
                json!({ "incident": "7", "user": "root", "twin": true }),
            ),
        ]);
        let lines: Vec<_> = said.lines().rev().take(2).collect();
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(
            words(lines[1]),
            "7 redis gone HARM in 1 of 2 ended in 1 of 1"
        );
        assert_eq!(words(lines[0]), "22 - whole in 1 of 1 -");
    }
}
