//! Which events a follower wants. The client sends it, the server applies it.

use super::event::{Body, Event, Level};
use super::names;
use super::time::Time;
use guard_ebpf::operation::{Operation, Verdict};
use serde::{Deserialize, Serialize};

/// Which events a follower wants. The default lets everything through.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Only this session; what concerns the whole host comes through all the same.
    pub session: Option<String>,
    /// Only these operations; all when empty.
    #[serde(with = "names::list")]
    pub operations: Vec<Operation>,
    /// Only these verdicts; all when empty.
    #[serde(with = "names::list")]
    pub verdicts: Vec<Verdict>,
    /// Only what these rules decided, by name; all when empty.
    pub rules: Vec<String>,
    /// Only what rules decided that are about one of these groups or sets of paths; all when empty.
    pub groups: Vec<String>,
    /// Only what happened at this time or later.
    pub since: Option<Time>,
    /// Only what began at this time or before.
    pub until: Option<Time>,
}

impl Filter {
    /// Whether a follower wants an event.
    ///
    /// Whoever asks for operations, verdicts, rules or groups wants no news of policies and sessions, but
    /// has to know when an answer is incomplete: losses that may concern them and errors
    /// come through.
    #[must_use]
    pub fn wants(&self, event: &Event) -> bool {
        if let (Some(wanted), Some(session)) = (&self.session, &event.session)
            && wanted != session
        {
            return false;
        }
        if self.since.is_some_and(|since| event.latest() < since) {
            return false;
        }
        if self.until.is_some_and(|until| event.time > until) {
            return false;
        }
        let wants_all = self.operations.is_empty()
            && self.verdicts.is_empty()
            && self.rules.is_empty()
            && self.groups.is_empty();
        match &event.body {
            Body::Verdict(judged) => {
                self.wants_operation(judged.operation)
                    && (self.verdicts.is_empty() || self.verdicts.contains(&judged.verdict))
                    && is_among(&self.rules, judged.rule.iter())
                    && is_among(&self.groups, judged.groups.iter())
            }
            Body::Lost(loss) => loss
                .operation
                .is_none_or(|operation| self.wants_operation(operation)),
            Body::Notice(notice) => wants_all || notice.level == Level::Error,
            Body::Policy(_) | Body::Session(_) => wants_all,
        }
    }

    fn wants_operation(&self, operation: Operation) -> bool {
        self.operations.is_empty() || self.operations.contains(&operation)
    }
}

/// Whether one of the names is wanted; each is where none is.
fn is_among<'names>(wanted: &[String], mut names: impl Iterator<Item = &'names String>) -> bool {
    wanted.is_empty() || names.any(|name| wanted.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::samples;

    fn wanted(filter: &Filter) -> Vec<&'static str> {
        samples::all()
            .into_iter()
            .filter(|(_, event)| filter.wants(event))
            .map(|(name, _)| name)
            .collect()
    }

    #[test]
    fn without_conditions_everything_comes_through() {
        let all: Vec<_> = samples::all().into_iter().map(|(name, _)| name).collect();
        assert_eq!(wanted(&Filter::default()), all);
    }

    #[test]
    fn an_operation_brings_what_may_be_missing_of_it_along() {
        let mut filter = Filter {
            operations: vec![Operation::Delete],
            ..Filter::default()
        };
        assert_eq!(wanted(&filter), ["delete", "audit-mode", "lost-log"]);
        filter.operations.push(Operation::Signal);
        filter.verdicts.push(Verdict::Deny);
        assert_eq!(
            wanted(&filter),
            ["signal", "delete", "lost-records", "lost-log"]
        );
    }

    #[test]
    fn a_session_keeps_what_concerns_the_host() {
        let filter = Filter {
            session: Some("other".into()),
            ..Filter::default()
        };
        assert_eq!(wanted(&filter), ["notice"]);
    }

    #[test]
    fn a_burst_that_went_on_until_the_given_time_counts() {
        let filter = Filter {
            since: Some(Time::parse("2026-11-22T14:03:12.700Z").expect("a time")),
            operations: vec![Operation::Signal],
            ..Filter::default()
        };
        assert_eq!(wanted(&filter), ["signal", "lost-records", "lost-log"]);
    }

    #[test]
    fn rules_and_groups_are_found_by_their_names() {
        let filter = |rules: &[&str], groups: &[&str]| {
            wanted(&Filter {
                rules: rules.iter().map(|&name| name.to_owned()).collect(),
                groups: groups.iter().map(|&name| name.to_owned()).collect(),
                ..Filter::default()
            })
        };
        assert_eq!(
            filter(&["photos", "machine/time"], &[]),
            [
                "delete",
                "audit-mode",
                "machine",
                "lost-records",
                "lost-log"
            ]
        );
        assert_eq!(
            filter(&[], &["pictures"]),
            ["delete", "audit-mode", "lost-records", "lost-log"]
        );
        assert_eq!(
            filter(&["machine/time"], &["pictures"]),
            ["lost-records", "lost-log"]
        );
    }

    #[test]
    fn what_began_after_the_end_does_not_count() {
        let filter = Filter {
            until: Some(Time::parse("2026-11-22T14:03:12.600Z").expect("a time")),
            ..Filter::default()
        };
        assert_eq!(wanted(&filter), ["signal", "started"]);
    }

    #[test]
    fn a_filter_crosses_the_socket() {
        let filter = Filter {
            session: Some("work".into()),
            operations: vec![Operation::Delete],
            verdicts: vec![Verdict::Audit],
            rules: vec!["photos".into()],
            groups: Vec::new(),
            since: Some(Time::parse("2026-11-22T14:03:12Z").expect("a time")),
            until: None,
        };
        let json = serde_json::to_string(&filter).expect("JSON");
        assert_eq!(
            json,
            "{\"session\":\"work\",\"operations\":[\"delete\"],\"verdicts\":[\"audit\"],\
             \"rules\":[\"photos\"],\"groups\":[],\"since\":\"2026-11-22T14:03:12.000Z\",\"until\":null}"
        );
        assert_eq!(serde_json::from_str::<Filter>(&json).expect("back"), filter);
        let wrong = json.replace("delete", "destroy");
        let error = serde_json::from_str::<Filter>(&wrong).expect_err("no such operation");
        assert!(
            error
                .to_string()
                .starts_with("there is no operation \"destroy\""),
            "{error}"
        );
    }
}
