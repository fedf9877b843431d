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
    /// Only what happened at this time or later.
    pub since: Option<Time>,
}

impl Filter {
    /// Whether a follower wants an event.
    ///
    /// Whoever asks for operations or verdicts wants no news of policies and sessions, but
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
        let wants_all = self.operations.is_empty() && self.verdicts.is_empty();
        match &event.body {
            Body::Verdict(judged) => {
                self.wants_operation(judged.operation)
                    && (self.verdicts.is_empty() || self.verdicts.contains(&judged.verdict))
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
        assert_eq!(wanted(&filter), ["delete", "lost-log"]);
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
    fn a_filter_crosses_the_socket() {
        let filter = Filter {
            session: Some("work".into()),
            operations: vec![Operation::Delete],
            verdicts: vec![Verdict::Audit],
            since: Some(Time::parse("2026-11-22T14:03:12Z").expect("a time")),
        };
        let json = serde_json::to_string(&filter).expect("JSON");
        assert_eq!(
            json,
            "{\"session\":\"work\",\"operations\":[\"delete\"],\"verdicts\":[\"audit\"],\
             \"since\":\"2026-11-22T14:03:12.000Z\"}"
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
