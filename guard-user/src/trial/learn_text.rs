//! Proposed rules as a policy to be reviewed: with what each is made of, and what is not in it.

use super::fold::{named, targets};
use super::learn::{Learner, Left, Reach};
use super::proposal::{Cause, Proposal};
use crate::events::event::{Body, Event};
use crate::policy::resolved::Writer;
use crate::system::mounts::Mounts;

/// How many examples a rule is shown with.
const EXAMPLES: usize = 3;

impl Learner {
    /// The policy. `checked` says in a line what came of its check. An error when a rule can't be
    /// written.
    pub fn document(
        &self,
        session: &str,
        reach: Reach<'_>,
        mounts: &Mounts,
        checked: Option<&str>,
    ) -> Result<String, String> {
        let mut writer = Writer::default();
        let because = format!("learned from session {session}");
        for proposal in self.proposals(reach, mounts) {
            writer
                .rule(&proposal.rule(&because), &self.comments(&proposal))
                .ok_or("a rule would name what is not UTF-8")?;
        }
        let mut head = self.head(session, reach);
        head.extend(checked.map(str::to_owned));
        Ok(writer.finish(&head, ""))
    }

    fn head(&self, session: &str, reach: Reach<'_>) -> Vec<String> {
        let events = counted(self.events().len() as u64, "event", "events");
        let mut head = vec![format!(
            "Proposed by `guard learn {session}`, from {events} of what was refused or would have been."
        )];
        if self.events().is_empty() {
            head.push("There is nothing that a rule could let through.".to_owned());
        } else {
            head.extend(
                [
                    "Review it: a rule lets every command of a session do this, not only the one that did.",
                    "These rules have to be tried before those that they lift:",
                    "  guard run --policy THIS.yaml --policy YOURS.yaml -- COMMAND",
                ]
                .map(str::to_owned),
            );
        }
        if matches!(reach, Reach::Alike(_)) && !self.events().is_empty() {
            head.push(
                "A directory stands for all that is in it (/*) or below it (/**): `--exact` names each \
                 file instead."
                    .to_owned(),
            );
        }
        for (why, count) in self.left() {
            head.push(format!("Not in here: {}", left(*why, *count)));
        }
        if self.missing() > 0 {
            head.push(format!(
                "Incomplete: {} missing.",
                counted(self.missing(), "record is", "records are")
            ));
        }
        head
    }

    /// What a rule is made of.
    fn comments(&self, proposal: &Proposal) -> Vec<String> {
        let mut events = 0;
        let mut examples: Vec<String> = Vec::new();
        for event in self.events() {
            let found = examples_of(proposal, event);
            events += u64::from(!found.is_empty());
            let free = EXAMPLES.saturating_sub(examples.len());
            examples.extend(found.into_iter().take(free));
        }
        let cause = match &proposal.cause {
            Cause {
                source: Some(source),
                rule,
                because,
            } => {
                let rule = rule.as_deref().unwrap_or_default();
                let because = because
                    .as_ref()
                    .map_or_else(String::new, |it| format!(": {it}"));
                format!("lifts the rule {rule} ({source}){because}")
            }
            _ => "no rule was about it".to_owned(),
        };
        let mut comments = vec![format!("{}; {cause}", counted(events, "event", "events"))];
        comments.extend(examples.into_iter().map(|it| format!("  {it}")));
        comments
    }
}

/// The targets of an event that a rule is made of, for people.
fn examples_of(proposal: &Proposal, event: &Event) -> Vec<String> {
    let Body::Verdict(judged) = &event.body else {
        return Vec::new();
    };
    targets(judged)
        .filter(|target| proposal.is_of(judged, target))
        .map(|target| {
            let actor = &judged.actor;
            let target = named(target);
            let signal = judged
                .signal
                .as_deref()
                .map_or_else(String::new, |it| format!(" {it}"));
            let operation = judged.operation.name();
            format!(
                "{}[{}] {operation}{signal} → {target} ({})",
                actor.comm, actor.pid, event.id
            )
        })
        .collect()
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Why nothing is proposed for so many.
fn left(why: Left, count: u64) -> String {
    match why {
        Left::Never => format!(
            "{} that no policy lets through.",
            counted(count, "operation", "operations")
        ),
        Left::Limit => format!(
            "{} beyond the limit of a rule; how many it should let through is yours to say (at-most).",
            counted(count, "operation", "operations")
        ),
        Left::Nameless => format!(
            "{} that no rule can name (a place that can't be seen, a name that is not UTF-8).",
            counted(count, "target", "targets")
        ),
        Left::Unnamed => format!(
            "{} that events do not name, since they name so many of a burst only; learn once more \
             with these rules in force.",
            counted(count, "target", "targets")
        ),
    }
}
