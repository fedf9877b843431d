//! `guard ps`: the processes of the machine, and what a session may do to them.

use std::collections::BTreeMap;

use guard_ebpf::operation::Operation;

use super::exit::{Exit, Failure};
use super::output::{json, print, sentence, table};
use super::under::Under;
use crate::events::text::escaped;
use crate::explain::{self, Exposure, Owner, Signals};
use crate::server::client::{self, Outcome, accepted, unexpected};
use crate::server::paths::Paths;
use crate::server::protocol::{Request, Response};
use crate::system::users;

/// List the processes of the machine, whose they are, and what a session may do to them
///
/// By the policy in force, for programs that no rule names (`by`). Without --session it is about the
/// one session that there is. The kernel's own processes are left out.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
MAY is what the session may do: `own` for everything, to what it started itself; `-` for nothing; \
otherwise the operations, and which signals. RULES are those that are about the process, whichever \
of them decides; `guard explain` says that.")]
pub struct Arguments {
    #[command(flatten)]
    under: Under,
    /// Only those that are not its own and that it may do something to
    #[arg(long)]
    exposed: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Asks and shows.
pub fn run(raw: &Arguments) -> Result<Exit, Failure> {
    let mut processes = match raw.under.policy()? {
        None => {
            super::require_root()?;
            let paths = Paths::system();
            let session = raw.under.session(&paths)?;
            ask(&paths, &Request::Processes { session })?
        }
        Some(policy) => explain::exposures(&policy, &policy.rules, 0, &explain::Nothing)
            .map_err(|error| Failure::guard(sentence(&format!("{error:#}"))))?,
    };
    if raw.exposed {
        processes.retain(Exposure::is_exposed);
    }
    let text = if raw.json {
        json(&processes)
    } else {
        shown(&processes, |uid| {
            users::by_uid(uid).ok().flatten().map(|user| user.name)
        })
    };
    print(&text)?;
    Ok(Exit::Success)
}

fn ask(paths: &Paths, request: &Request) -> Result<Vec<Exposure>, Failure> {
    client::converse(paths, |mut connection| {
        connection.send(request, None)?;
        let mut all = Vec::new();
        loop {
            match accepted(connection.receive()?)? {
                Response::Processes { processes, more } => {
                    all.extend(processes);
                    if !more {
                        return Ok(all);
                    }
                }
                response => return Err(Outcome::from(unexpected(&response))),
            }
        }
    })
}

/// The list for people.
fn shown(processes: &[Exposure], name: impl Fn(u32) -> Option<String>) -> String {
    if processes.is_empty() {
        return "None.\n".to_owned();
    }
    let mut names: BTreeMap<u32, String> = BTreeMap::new();
    let mut rows = vec![
        ["PID", "USER", "OF", "MAY", "RULES", "PROGRAM"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for process in processes {
        let user = names
            .entry(process.uid)
            .or_insert_with(|| name(process.uid).unwrap_or_else(|| process.uid.to_string()));
        rows.push(vec![
            process.pid.to_string(),
            plain(user),
            match &process.owner {
                Owner::Own => "own".to_owned(),
                Owner::Session(name) => plain(name),
                Owner::Guard => "guard".to_owned(),
                Owner::Nobody => "-".to_owned(),
            },
            may(process),
            listed(&process.rules),
            plain(process.exe.as_ref().unwrap_or(&process.comm)),
        ]);
    }
    table(&rows)
}

/// What may be done to a process, in words.
fn may(process: &Exposure) -> String {
    if process.owner == Owner::Own {
        return "own".to_owned();
    }
    let signals = match &process.signals {
        Signals::All => Some("signal".to_owned()),
        Signals::Some(names) if names.is_empty() => None,
        Signals::Some(names) => Some(format!("signal ({})", names.join(" "))),
    };
    let others = process
        .operations
        .iter()
        .map(|&one| Operation::name(one).to_owned());
    listed(&signals.into_iter().chain(others).collect::<Vec<_>>())
}

fn listed(words: &[String]) -> String {
    if words.is_empty() {
        return "-".to_owned();
    }
    plain(&words.join(", "))
}

fn plain(text: &str) -> String {
    escaped(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32, owner: Owner, signals: &[&str], operations: &[Operation]) -> Exposure {
        Exposure {
            pid,
            uid: 1000,
            comm: "no\u{1b}de".into(),
            exe: None,
            owner,
            signals: Signals::Some(signals.iter().map(|&name| name.to_owned()).collect()),
            operations: operations.to_vec(),
            rules: vec!["restart".into()],
            groups: vec!["dev-server".into()],
        }
    }

    #[test]
    fn people_see_whose_a_process_is_and_what_may_be_done_to_it() {
        let processes = [
            process(7, Owner::Own, &[], &[]),
            process(70, Owner::Nobody, &["TERM", "HUP"], &[Operation::Inspect]),
            process(700, Owner::Session("other".into()), &[], &[]),
        ];
        let expected = "\
PID  USER  OF     MAY                         RULES    PROGRAM
7    ann   own    own                         restart  no\\u{1b}de
70   ann   -      signal (TERM HUP), inspect  restart  no\\u{1b}de
700  ann   other  -                           restart  no\\u{1b}de
";
        assert_eq!(shown(&processes, |_| Some("ann".into())), expected);
        assert!(!processes[0].is_exposed() && processes[1].is_exposed());
        assert!(!processes[2].is_exposed());
    }

    #[test]
    fn the_processes_of_this_machine_are_listed_under_a_policy() {
        let compiled = Under::of("default").policy().unwrap().unwrap();
        let all = explain::exposures(&compiled, &compiled.rules, 0, &explain::Nothing).unwrap();
        let own = all
            .iter()
            .find(|process| process.pid == std::process::id())
            .expect("this process runs");
        assert_eq!(own.owner, Owner::Nobody);
        assert_eq!(own.signals, Signals::Some(Vec::new()));
        assert!(own.exe.as_ref().is_some_and(|exe| exe.starts_with('/')));
        assert!(all.is_sorted_by_key(|process| process.pid));
    }
}
