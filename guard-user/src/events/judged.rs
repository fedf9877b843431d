//! What is told of one verdict: what the kernel recorded, and the words for it.

use super::event::{Judged, Process, Target};
use super::pipeline::Names;
use super::reasons;
use super::record::What;
use crate::system::signals;
use guard_ebpf::operation::{Reason, Verdict};

/// A verdict on an operation that was tried once.
pub fn judged(what: &What, actor: Process, target: Target, names: &impl Names) -> Judged {
    // What a rule or nobody objects to needs no words.
    let is_free = what.verdict == Verdict::Allow && what.reason != Reason::Grant;
    let words = reasons::text(what.reason, what.operation, what.facility).filter(|_| !is_free);
    let by_rule = match what.reason {
        Reason::Rule | Reason::Limit => true,
        Reason::Grant => what.under_rule,
        _ => false,
    };
    let rule = by_rule.then(|| names.rule(what.policy, what.rule));
    let info = rule.flatten();
    Judged {
        verdict: what.verdict,
        would: (what.verdict == Verdict::Audit && !info.is_some_and(|info| info.audits))
            .then_some(Verdict::Deny),
        operation: what.operation,
        rule: rule
            .map(|info| info.map_or_else(|| format!("#{}", what.rule), |it| it.name.clone()))
            .or_else(|| reasons::name(what.reason, what.facility)),
        reason: what.reason,
        because: words
            .as_ref()
            .map(|words| words.because.to_owned())
            .or_else(|| info.and_then(|info| info.because.clone())),
        instead: words
            .map(|words| words.instead.into_owned())
            .or_else(|| reasons::instead(info?, what.operation, what.verdict)),
        source: info
            .and_then(|info| info.source.as_ref())
            .map(|(file, line)| format!("{file}:{line}")),
        groups: info.map_or_else(Vec::new, |info| info.groups.clone()),
        actor,
        target,
        signal: (what.signal != 0).then(|| signals::name(what.signal.into())),
        facility: what.facility,
        count: 1,
        until: None,
        others: 0,
        targets: Vec::new(),
    }
}
