//! `guard check`: whether policies could be put in force.

use super::exit::{Exit, Failure};
use super::output::{print, say_line};
use super::run::choose_workspace;
use crate::events::text::escaped;
use crate::policy::repository;
use crate::server::compiler::{Compiler, Mistake, Subject};
use crate::server::policies::Policies;
use crate::session::identity::{Host, Identity};
use crate::system::mounts;

/// Check policy files
///
/// Each file is checked by itself, as a session in the working directory would use it.
#[derive(Debug, clap::Args)]
#[command(after_help = super::presets())]
pub struct Arguments {
    /// The policy files, or names of presets
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
}

/// Checks all files, and says what is wrong with each.
pub fn run(raw: &Arguments) -> Result<Exit, Failure> {
    let subject = subject()?;
    let mut has_mistakes = false;
    for file in &raw.files {
        match check(&subject, file) {
            Ok((rules, notes)) => {
                let shown = escaped(file.as_bytes());
                print(&format!("{shown}: {rules} rules, no mistake\n"))?;
                for note in notes {
                    say_line(&format!("{shown}: {note}"));
                }
            }
            Err(mistake) => {
                has_mistakes = true;
                // In the form that editors and people know, without a prefix.
                eprintln!("{}", mistake.message);
            }
        }
    }
    Ok(if has_mistakes {
        Exit::Usage
    } else {
        Exit::Success
    })
}

fn check(subject: &Subject, file: &str) -> Result<(usize, Vec<String>), Mistake> {
    let subject = Subject {
        policies: vec![file.to_owned()],
        ..subject.clone()
    };
    let ready = Policies::of_this_process().compile(&subject)?;
    Ok((ready.compiled.rules.len(), ready.notes))
}

/// The session that whoever asks would start.
pub(super) fn subject() -> Result<Subject, Failure> {
    let uid = nix::unistd::getuid().as_raw().to_string();
    let sudo_uid = std::env::var_os("SUDO_UID").unwrap_or_else(|| uid.into());
    let identity = Identity::choose(None, Some(&sudo_uid), &Host)?;
    let mounts = mounts::table()
        .map_err(|error| Failure::guard(format!("The mount table can't be read: {error}.")))?;
    let workspace = choose_workspace(None, &identity)?;
    let repository = workspace
        .as_deref()
        .and_then(|workspace| repository::of(workspace, &identity.home));
    Ok(Subject {
        policies: Vec::new(),
        user: identity.name,
        uid: identity.uid,
        home: identity.home,
        workspace,
        repository,
        mounts,
    })
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
        let subject = subject().unwrap();
        let (rules, _) = check(&subject, good.to_str().unwrap()).unwrap();
        assert!(rules > 0);
        let mistake = check(&subject, bad.to_str().unwrap()).unwrap_err();
        assert!(
            mistake.message.contains("bad.yaml:2:1"),
            "{}",
            mistake.message
        );
        let none = check(&subject, "/nowhere/none.yaml").unwrap_err();
        assert!(
            none.message.contains("/nowhere/none.yaml"),
            "{}",
            none.message
        );
    }
}
