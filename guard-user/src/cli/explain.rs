//! `guard explain`: whether a session may do something, and why.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use guard_ebpf::operation::{Facility, Operation, Verdict};

use super::exit::{Exit, Failure};
use super::output::{json, print, sentence};
use super::under::Under;
use crate::events::names::Named;
use crate::explain::{self, Answer, Question, Target};
use crate::policy::compiled::Compiled;
use crate::server::client::{self, unexpected};
use crate::server::paths::Paths;
use crate::server::protocol::{Request, Response};
use crate::system::signals;

/// Say whether a session may do something, and why
///
/// The answer is that of the policy in force, by the decision that the kernel makes: the verdict,
/// the rule and where it stands, and whose the target is. Without --session it is about the one
/// session that there is.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    words: Words,
    #[command(flatten)]
    under: Under,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// What is asked about.
#[derive(Debug, clap::Args)]
pub struct Words {
    /// What would be done: signal, trace, inspect, limit, delete, overwrite, attributes, create,
    /// mount, connect or machine
    operation: String,
    /// To what: a process's number, a path, an address with its port, `@` and the name of a Unix
    /// socket, or a facility of the machine
    target: String,
    /// Which signal
    #[arg(long, default_value = "TERM")]
    signal: String,
    /// By which program, for rules that ask who acts
    #[arg(long, value_name = "PROGRAM")]
    by: Option<PathBuf>,
}

/// Asks and shows. The status is 1 when it would be refused.
pub fn run(raw: &Arguments) -> Result<Exit, Failure> {
    let question = raw.words.question()?;
    let answer = match raw.under.policy()? {
        None => {
            super::require_root()?;
            in_session(&raw.under, &question)?
        }
        Some(policy) => under_policy(&policy, &question)?,
    };
    let text = if raw.json {
        json(&answer)
    } else {
        answer.to_string()
    };
    print(&text)?;
    Ok(match answer.verdict {
        Verdict::Deny => Exit::Unmet,
        Verdict::Allow | Verdict::Audit => Exit::Success,
    })
}

impl Words {
    /// What they mean.
    pub(super) fn question(&self) -> Result<Question, Failure> {
        let operation = Operation::named(&self.operation).ok_or_else(|| {
            let valid = Operation::EVERY.map(Operation::name).join(", ");
            Failure::usage(format!(
                "There is no operation `{}`; there are {valid}.",
                self.operation
            ))
        })?;
        let signal = match &*self.signal {
            "0" => Some(0),
            name => signals::number(name),
        };
        let signal = signal
            .ok_or_else(|| Failure::usage(format!("There is no signal `{}`.", self.signal)))?;
        Ok(Question {
            operation,
            signal: if operation == Operation::Signal {
                signal
            } else {
                0
            },
            target: target(operation, &self.target)?,
            by: self.by.as_deref().map(program).transpose()?,
        })
    }
}

/// The executable itself, without symbolic links on the way.
fn program(path: &Path) -> Result<PathBuf, Failure> {
    path.canonicalize().map_err(|error| {
        Failure::usage(format!(
            "The program {} can't be followed: {error}.",
            path.display()
        ))
    })
}

/// What a word means as the target of an operation.
fn target(operation: Operation, word: &str) -> Result<Target, Failure> {
    let path = || {
        let path = std::path::absolute(word);
        path.map(Target::File)
            .map_err(|error| Failure::usage(format!("{word} is no path: {error}.")))
    };
    if operation.is_on_process() {
        let pid = word.parse().map(Target::Process);
        return pid.map_err(|_| {
            Failure::usage(format!(
                "`{}` is done to a process: give its number, not `{word}`.",
                operation.name()
            ))
        });
    }
    match operation {
        Operation::Connect => {
            if let Some(name) = word.strip_prefix('@') {
                return Ok(Target::Abstract(name.to_owned()));
            }
            if word.contains('/') {
                return path();
            }
            let address: Result<SocketAddr, _> = word.parse();
            address
                .map(|address| Target::Address(address.ip(), address.port()))
                .map_err(|_| {
                    Failure::usage(format!(
                        "`{word}` is no socket: give a path, `@` and a name, or an address with its \
                         port (127.0.0.1:5432, [::1]:80)."
                    ))
                })
        }
        Operation::Machine => match Facility::named(word) {
            Some(facility) => Ok(Target::Facility(facility)),
            None if word.contains('/') => path(),
            None => {
                let valid: Vec<_> = Facility::EVERY.iter().map(|one| one.name()).collect();
                Err(Failure::usage(format!(
                    "There is no facility `{word}`; there are {}.",
                    valid.join(", ")
                )))
            }
        },
        _ => path(),
    }
}

/// The answer for a session that lives.
fn in_session(under: &Under, question: &Question) -> Result<Answer, Failure> {
    let paths = Paths::system();
    let request = Request::Explain {
        session: under.session(&paths)?,
        question: question.clone(),
    };
    match client::ask(&paths, &request)? {
        Response::Explained(answer) => Ok(*answer),
        other => Err(unexpected(&other)),
    }
}

/// The answer for a session that could be started.
fn under_policy(policy: &Compiled, question: &Question) -> Result<Answer, Failure> {
    let answer = explain::answer(question, policy, &policy.rules, 0, &explain::Nothing);
    answer.map_err(|error| Failure::usage(sentence(&format!("{error:#}"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(operation: &str, target: &str) -> Answer {
        let words = Words {
            operation: operation.to_owned(),
            target: target.to_owned(),
            signal: "TERM".to_owned(),
            by: None,
        };
        let question = words.question().unwrap();
        let under = Under::of("default");
        under_policy(&under.policy().unwrap().unwrap(), &question).unwrap()
    }

    #[test]
    fn a_question_is_answered_by_the_policy_that_is_named() {
        let answer = ask("delete", "/etc/cron.d/x");
        assert_eq!(answer.verdict, Verdict::Deny);
        assert_eq!(answer.rule.as_deref(), Some("system-startup"));
        assert!(
            answer
                .source
                .is_some_and(|source| source.starts_with("default:"))
        );
        assert!(answer.target.ends_with("which is not there"));
        assert_eq!(ask("create", "/var/tmp/x").verdict, Verdict::Allow);
        let answer = ask("delete", "/etc/cron.d/not/there/yet");
        assert_eq!(answer.rule.as_deref(), Some("system-startup"));
        assert!(answer.target.ends_with("not/there/yet, which is not there"));
        assert_eq!(ask("signal", "1").verdict, Verdict::Deny);
        assert_eq!(ask("connect", "127.0.0.1:22").verdict, Verdict::Deny);
        assert_eq!(ask("connect", "192.0.2.1:22").verdict, Verdict::Allow);
        assert_eq!(ask("connect", "@/tmp/.X11-unix/X0").verdict, Verdict::Deny);
        let answer = ask("machine", "time");
        assert_eq!(answer.rule.as_deref(), Some("machine/time"));
        assert!(
            answer
                .instead
                .is_some_and(|text| text.contains("facilities: [time]"))
        );
    }

    #[test]
    fn files_that_control_the_machine_are_the_machine() {
        let answer = ask("overwrite", "/proc/sys/kernel/core_pattern");
        assert_eq!(answer.rule.as_deref(), Some("machine/settings"));
        assert_eq!(ask("overwrite", "/dev/null").verdict, Verdict::Allow);
        assert_eq!(
            ask("overwrite", "/sys/kernel/mm").rule.as_deref(),
            Some("machine/hardware")
        );
    }

    #[test]
    fn words_that_mean_nothing_are_said() {
        for (operation, word, part) in [
            (Operation::Signal, "bash", "give its number"),
            (Operation::Connect, "localhost:80", "is no socket"),
            (Operation::Machine, "tme", "There is no facility"),
        ] {
            let failure = target(operation, word).unwrap_err();
            assert!(failure.message.contains(part), "{failure}");
        }
    }
}
