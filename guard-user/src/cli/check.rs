//! `guard check`: whether policies could be put in force.

use serde_json::{Value, json};

use super::exit::{Exit, Failure};
use super::output::{self, print, say_line};
use super::whom::Whom;
use crate::events::text::escaped;
use crate::explain;
use crate::policy::diagnostics::Diagnostic;
use crate::policy::load::Loaded;
use crate::policy::unmatched::unmatched;
use crate::policy::unreached::unreached;
use crate::server::compiler::{Mistake, Subject};
use crate::server::policies::Policies;

/// Check policy files
///
/// Each file is checked by itself, as a session in the working directory would use it, which whoever
/// calls would start; or as --user and --workspace say.
#[derive(Debug, clap::Args)]
#[command(after_help = super::presets())]
pub struct Arguments {
    /// Run the tests that they hold as well
    #[arg(long)]
    tests: bool,
    /// Write JSON, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    whom: Whom,
    /// The policy files, or names of presets
    #[arg(required = true, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    files: Vec<String>,
}

/// Checks all files, and says what is wrong with each.
pub fn run(raw: &Arguments) -> Result<Exit, Failure> {
    let subject = raw.whom.subject()?;
    let mut has_mistakes = false;
    let mut reports = Vec::new();
    for file in &raw.files {
        let checked = check(&subject, file, raw.tests);
        has_mistakes |= checked.is_err();
        if raw.json {
            reports.push(report(file, &checked));
        } else {
            tell(file, checked)?;
        }
    }
    if raw.json {
        print(&output::json(&reports))?;
    }
    Ok(if has_mistakes {
        Exit::Usage
    } else {
        Exit::Success
    })
}

/// Says it to people.
fn tell(file: &str, checked: Checked) -> Result<(), Failure> {
    let shown = escaped(file.as_bytes());
    match checked {
        Ok((loaded, tests)) => {
            let rules = loaded.compiled.rules.len();
            let tests = match tests {
                None => String::new(),
                Some(0) => "; it has no tests".to_owned(),
                Some(1) => "; its test came out as expected".to_owned(),
                Some(count) => format!("; its {count} tests came out as expected"),
            };
            print(&format!("{shown}: {rules} rules, no mistake{tests}\n"))?;
            for note in loaded.notes {
                say_line(&format!("{shown}: {note}"));
            }
        }
        // In the form that editors and people know, without a prefix.
        Err(mistake) => eprintln!("{}", mistake.message),
    }
    Ok(())
}

/// Says it to programs.
fn report(file: &str, checked: &Checked) -> Value {
    match checked {
        Ok((loaded, tests)) => json!({
            "file": file,
            "rules": loaded.compiled.rules.len(),
            "tests": tests,
            "notes": loaded.notes,
            "mistakes": [],
        }),
        Err(mistake) => {
            let mistakes: Vec<Value> = mistake.mistakes.iter().map(placed).collect();
            json!({
                "file": file,
                "rules": null,
                "tests": null,
                "notes": [],
                // What is not a policy's has no place.
                "mistakes": if mistakes.is_empty() {
                    vec![json!({ "file": file, "line": null, "column": null, "message": mistake.message })]
                } else {
                    mistakes
                },
            })
        }
    }
}

fn placed(mistake: &Diagnostic) -> Value {
    let place = mistake.excerpt.as_ref();
    json!({
        "file": mistake.file,
        "line": place.map(|place| place.line),
        "column": place.map(|place| place.column),
        "message": mistake.message,
    })
}

/// What a file comes to and how many tests it passed, when they were asked for.
type Checked = Result<(Loaded, Option<usize>), Mistake>;

fn check(subject: &Subject, file: &str, tests: bool) -> Checked {
    let subject = Subject {
        policies: vec![file.to_owned()],
        ..subject.clone()
    };
    let policies = Policies::of_this_process();
    let (mut loaded, tests) = if tests {
        let (loaded, tests) = policies.verify(&subject)?;
        (loaded, Some(tests))
    } else {
        (policies.load(&subject)?, None)
    };
    loaded.notes.extend(unreached(&loaded.ruleset, file));
    loaded.notes.extend(unmatched(
        &loaded.ruleset,
        &loaded.compiled,
        file,
        &explain::processes(&loaded.compiled),
        &|path| path.symlink_metadata().is_ok(),
    ));
    Ok((loaded, tests))
}

/// What policies come to, after saying what there is to say of them. None after their mistakes.
pub(super) fn load(subject: &Subject) -> Option<Loaded> {
    match Policies::of_this_process().load(subject) {
        Ok(loaded) => {
            for note in &loaded.notes {
                say_line(note);
            }
            Some(loaded)
        }
        Err(mistake) => {
            // In the form that editors and people know, without a prefix.
            eprintln!("{}", mistake.message);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_a_mistake_is_told_from_one_without() {
        let directory = tempfile::tempdir().unwrap();
        let good = directory.path().join("good.yaml");
        std::fs::write(&good, "version: 1\ninclude: [default]\n").unwrap();
        let bad = directory.path().join("bad.yaml");
        std::fs::write(&bad, "version: 1\nrulez: []\n").unwrap();
        let subject = Whom::default().subject().unwrap();
        let (loaded, _) = check(&subject, good.to_str().unwrap(), false).unwrap();
        assert!(!loaded.compiled.rules.is_empty());
        let mistake = check(&subject, bad.to_str().unwrap(), false).unwrap_err();
        assert!(
            mistake.message.contains("bad.yaml:2:1"),
            "{}",
            mistake.message
        );
        let none = check(&subject, "/nowhere/none.yaml", false).unwrap_err();
        assert!(
            none.message.contains("/nowhere/none.yaml"),
            "{}",
            none.message
        );
    }
    /// Presets' tests say the same on this machine, whoever asks, as on the one that is made up.
    #[test]
    fn the_tests_of_presets_come_out_here() {
        let subject = Whom::default().subject().unwrap();
        for preset in crate::policy::presets::PRESETS {
            let (_, tests) = check(&subject, preset.name, true).unwrap_or_else(|mistake| {
                panic!("{}", mistake.message);
            });
            assert!(tests.is_some_and(|count| count > 3), "{}", preset.name);
        }
    }

    #[test]
    fn a_test_that_fails_is_a_mistake_with_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("p.yaml");
        let text = "version: 1\ntests:\n  - { operation: delete, path: /a, expect: allow }\n";
        std::fs::write(&file, text).unwrap();
        let file = file.to_str().unwrap();
        let subject = Whom::default().subject().unwrap();
        assert!(check(&subject, file, false).is_ok());
        let mistake = check(&subject, file, true).unwrap_err();
        assert!(mistake.message.contains("p.yaml:3:"), "{}", mistake.message);
        let raw = Arguments {
            tests: true,
            json: false,
            files: vec![file.to_owned()],
            whom: Whom::default(),
        };
        assert_eq!(run(&raw).unwrap(), Exit::Usage);
    }

    #[test]
    fn programs_get_every_mistake_with_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p.yaml");
        std::fs::write(&path, "version: 1\nrulez: []\nmode: quiet\n").unwrap();
        let subject = Whom::default().subject().unwrap();
        let file = path.to_str().unwrap();
        let bad = report(file, &check(&subject, file, false));
        assert_eq!(bad["rules"], Value::Null);
        let places: Vec<_> = bad["mistakes"].as_array().unwrap().iter().collect();
        assert_eq!(places.len(), 2, "{bad}");
        for (mistake, (line, column)) in places.iter().zip([(2, 1), (3, 7)]) {
            assert_eq!(mistake["line"], line, "{mistake}");
            assert_eq!(mistake["column"], column, "{mistake}");
            assert!(mistake["file"].as_str().unwrap().ends_with("p.yaml"));
            assert!(!mistake["message"].as_str().unwrap().contains('\n'));
        }
        let missing = report("/nowhere", &check(&subject, "/nowhere", false));
        assert_eq!(missing["mistakes"][0]["line"], Value::Null);
        let good = report("strict", &check(&subject, "strict", true));
        assert_eq!(good["mistakes"], json!([]));
        assert!(good["tests"].as_u64().unwrap() > 3);
        assert!(good["rules"].as_u64().unwrap() > 3);
    }
}
