//! `guard policy`: the language of policies, and what policies come to.

use super::check::load;
use super::exit::{Exit, Failure};
use super::output::{json, print, sentence};
use super::whom::Whom;
use crate::events::text::harmless;
use crate::policy::load::Loaded;
use crate::policy::resolved::resolved;
use crate::policy::schema::schema;
use crate::policy::show::Shown;
use crate::server::compiler::Subject;
use crate::server::policies::DEFAULT;

/// Show what policies say
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Print the JSON Schema of policies, by which editors complete and check them
    ///
    /// For an editor with the YAML language server: put it into a file, and name that at the top of
    /// a policy, in a line `# yaml-language-server: $schema=FILE`.
    Schema,
    Try(super::r#try::Arguments),
    /// Show what policies come to together: every rule in the order in which it is tried
    ///
    /// As `guard run` would take them with --policy. Each rule is shown with its place, with what it
    /// is about, and with its reason.
    #[command(after_help = super::presets())]
    Show {
        /// Policy files or names of presets, in their order [default: default]
        #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
        policies: Vec<String>,
        /// As one policy: what is included is in it, names are looked up, variables filled in
        #[arg(long)]
        resolved: bool,
        #[command(flatten)]
        whom: Whom,
    },
}

/// Shows it.
pub fn run(raw: &Arguments) -> Result<Exit, Failure> {
    match &raw.what {
        What::Schema => {
            print(&json(&schema()))?;
        }
        What::Try(raw) => return super::r#try::run(raw),
        What::Show {
            policies,
            resolved,
            whom,
        } => return show(policies, *resolved, whom),
    }
    Ok(Exit::Success)
}

fn show(policies: &[String], as_document: bool, whom: &Whom) -> Result<Exit, Failure> {
    let subject = Subject {
        policies: policies.to_vec(),
        ..whom.subject()?
    };
    let Some(loaded) = load(&subject) else {
        return Ok(Exit::Usage);
    };
    let text = if as_document {
        document(&loaded, &subject)?
    } else {
        harmless(&Shown(&loaded.ruleset).to_string())
    };
    print(&text)?;
    Ok(Exit::Success)
}

/// One document, with a line on what it comes from.
fn document(loaded: &Loaded, subject: &Subject) -> Result<String, Failure> {
    let names = match &subject.policies[..] {
        [] => DEFAULT.to_owned(),
        names => names.join(", "),
    };
    let workspace = match &subject.workspace {
        Some(workspace) => format!("the workspace {}", workspace.display()),
        None => "no workspace".to_owned(),
    };
    let of = format!("{names}, as resolved for {} with {workspace}", subject.user);
    resolved(&loaded.ruleset, &of).map_err(|error| Failure::usage(sentence(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::policies::Policies;

    #[test]
    fn what_is_shown_can_be_loaded_again() {
        let subject = Subject {
            policies: vec!["vms".to_owned(), "default".to_owned()],
            ..Whom::default().subject().unwrap()
        };
        let load = |subject: &Subject| Policies::default().load(subject).unwrap();
        let loaded = load(&subject);
        let text = document(&loaded, &subject).unwrap();
        assert!(
            text.starts_with("# vms, default, as resolved for "),
            "{text}"
        );
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("policy.yaml");
        std::fs::write(&file, text).unwrap();
        let again = load(&Subject {
            policies: vec![file.display().to_string()],
            ..subject
        });
        let names = |loaded: &Loaded| -> Vec<String> {
            let rules = loaded.compiled.rules.iter();
            rules.map(|rule| rule.name.clone()).collect()
        };
        assert_eq!(names(&again), names(&loaded));
    }

    #[test]
    fn mistakes_of_policies_have_the_status_of_mistakes() {
        let exit = show(&["/nowhere/a.yaml".to_owned()], false, &Whom::default()).unwrap();
        assert_eq!(exit, Exit::Usage);
    }
}
