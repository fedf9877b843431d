//! A decision with what people are told of it.

use anyhow::{Result, bail};
use guard_ebpf::decision::Decision;
use guard_ebpf::grant::GrantKey;
use guard_ebpf::operation::{Facility, Operation, Reason, Verdict};

use super::grantable::{self, Subject};
use super::{Answer, Question};
use crate::events::reasons;
use crate::policy::compiled::RuleInfo;

/// A decision with what people are told besides.
pub(super) struct Told {
    pub decision: Decision,
    /// The operation that it came to: files by which the machine is controlled are the machine.
    pub operation: Operation,
    pub facility: Option<Facility>,
    pub target: String,
    pub whose: String,
    pub notes: Vec<String>,
    /// What a grant would be for.
    pub subject: Subject,
    /// Of what was granted: whether a rule refuses it.
    pub under_rule: bool,
    /// How often the rule that decides lets it through, in words.
    pub limit: Option<String>,
}

impl Told {
    /// The key of a grant for what is refused; why there is none.
    pub fn key(&self, question: &Question, rules: &[RuleInfo], session: u32) -> Result<GrantKey> {
        if !grantable::can_be_lifted(self.decision) {
            bail!("no policy and no person can lift what protects guard itself");
        }
        let done = (self.operation, question.signal, self.facility);
        grantable::key(session, done, self.decision, rules, &self.subject)
    }

    /// In words.
    pub fn worded(self, question: &Question, rules: &[RuleInfo]) -> Answer {
        let Decision {
            verdict,
            reason,
            rule,
            ..
        } = self.decision;
        let words = reasons::text(reason, self.operation, self.facility);
        let is_refused = verdict != Verdict::Allow;
        let words = words.filter(|_| is_refused || reason == Reason::Grant);
        let by_rule = match reason {
            Reason::Rule | Reason::Limit => true,
            Reason::Grant => self.under_rule,
            _ => false,
        };
        let info = by_rule.then(|| rules.get(usize::from(rule))).flatten();
        let free = (question.operation, reason, verdict);
        let because = match free {
            (Operation::Create, Reason::Default, Verdict::Allow) => {
                Some("new files are free where no rule says otherwise".to_owned())
            }
            (Operation::Connect, Reason::Default, Verdict::Allow) => {
                Some("other hosts are free where no rule says otherwise".to_owned())
            }
            _ => None,
        };
        Answer {
            verdict,
            reason,
            rule: info.map(|info| info.name.clone()).or_else(|| {
                let facility = self.facility.filter(|_| is_refused);
                reasons::name(reason, facility)
            }),
            source: info
                .and_then(|info| info.source.as_ref())
                .map(|(file, line)| format!("{file}:{line}")),
            because: words
                .as_ref()
                .map(|words| words.because.to_owned())
                .or_else(|| info.and_then(|info| info.because.clone()))
                .or(because),
            instead: words
                .filter(|_| is_refused)
                .map(|words| words.instead.into_owned())
                .or_else(|| reasons::instead(info?, self.operation, verdict)),
            limit: self.limit,
            target: self.target,
            whose: self.whose,
            notes: self.notes,
        }
    }
}
