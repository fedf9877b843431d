//! An answer for people.

use std::fmt;

use guard_ebpf::operation::Verdict;

use super::Answer;

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Allow => "allowed",
            Verdict::Deny => "refused",
            Verdict::Audit => "allowed, and recorded",
        };
        writeln!(f, "{verdict}: {}", self.target)?;
        let rule = match (&self.rule, &self.source) {
            (Some(rule), Some(source)) => format!("{rule} ({source})"),
            (Some(rule), None) => rule.clone(),
            (None, _) => "none".to_owned(),
        };
        let lines = [
            ("rule", Some(&rule)),
            ("limit", self.limit.as_ref()),
            ("because", self.because.as_ref()),
            ("instead", self.instead.as_ref()),
            ("whose", Some(&self.whose)),
        ];
        for (word, text) in lines {
            if let Some(text) = text {
                writeln!(f, "  {word:8} {text}")?;
            }
        }
        for note in &self.notes {
            writeln!(f, "  {:8} {note}", "note")?;
        }
        Ok(())
    }
}
