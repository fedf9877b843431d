//! A comparison for people: each difference in a few lines, in the width of their terminal.

use super::differences::{Difference, Report, Said};
use super::text::{BAD, DIM, GOOD, PLAIN, cause, done, put_first, put_places};
use crate::events::lines::{Lines, Look};
use crate::events::text::escaped;

impl Report {
    /// The report as lines.
    #[must_use]
    pub fn render(&self, look: Look) -> String {
        let mut text = self.head(look);
        for difference in &self.differences {
            text.push('\n');
            text.push_str(&difference.render(look));
        }
        text
    }

    /// What holds for all of it.
    fn head(&self, look: Look) -> String {
        let mut lines = Lines::new(look);
        lines.put(PLAIN, "guard:    ");
        let policy = escaped(self.policies.join(", ").as_bytes());
        let sum = |is_new: bool| -> u64 {
            let alike = self.differences.iter();
            let alike = alike.filter(|it| it.is_new_refusal() == is_new);
            alike.map(|it| it.count).sum()
        };
        match (sum(true), sum(false)) {
            (0, 0) => lines.put(GOOD, "no difference"),
            (0, less) => lines.put(GOOD, &operations(less, "comes", "come", "out milder")),
            (more, 0) => lines.put(BAD, &operations(more, "", "", "would be refused anew")),
            (more, less) => {
                lines.put(BAD, &operations(more, "", "", "would be refused anew"));
                let come = if less == 1 { "comes" } else { "come" };
                lines.put_wrapped(PLAIN, &format!(", {less} {come} out milder"));
            }
        }
        let since = self
            .since
            .map_or_else(String::new, |since| format!(", since {}", since.clock()));
        lines.put_wrapped(
            PLAIN,
            &format!(
                " under {policy}, of {} that were recorded in session {}{since}.",
                self.compared, self.session
            ),
        );
        for note in self.notes() {
            lines.next_line();
            lines.put_wrapped(DIM, &note);
        }
        lines.finish()
    }

    /// What to bear in mind.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.let_through == 0 {
            notes.push(
                "Not covered: what the policy in force lets through, which leaves no event. Write \
                 `record: everything` into it to have that recorded too."
                    .to_owned(),
            );
        }
        if self.otherwise_decided > 0 {
            let many = operations(
                self.otherwise_decided,
                "is",
                "are",
                "decided by another rule",
            );
            notes.push(format!("{many}, with the same verdict."));
        }
        if self.undecided > 0 {
            let many = operations(self.undecided, "", "", "can't be decided anew");
            notes.push(format!(
                "{many}: events tell too little of them, or a limit decides (at-most)."
            ));
        }
        if self.missing > 0 {
            notes.push(format!("Incomplete: {} records are missing.", self.missing));
        }
        notes
    }
}

/// So many operations, and what of them.
fn operations(count: u64, one: &str, many: &str, what: &str) -> String {
    let (noun, verb) = if count == 1 {
        ("operation", one)
    } else {
        ("operations", many)
    };
    let space = if verb.is_empty() { "" } else { " " };
    format!("{count} {noun}{space}{verb} {what}")
}

impl Difference {
    /// The difference as lines.
    #[must_use]
    pub fn render(&self, look: Look) -> String {
        let mut lines = Lines::new(look);
        lines.put(PLAIN, &format!("{:>8}  ", self.count));
        let done = done(self.operation, self.facility, &self.signals);
        lines.put_wrapped(PLAIN, &format!("{done}: {} → ", self.was.verdict.name()));
        let style = if self.is_new_refusal() { BAD } else { GOOD };
        lines.put_wrapped(style, self.next.verdict.name());
        put_places(&mut lines, &self.places, self.unnamed);
        for (when, said) in [("was ", &self.was), ("next", &self.next)] {
            lines.next_line();
            lines.put_wrapped(DIM, &format!("{when}  {}", because(said)));
        }
        put_first(&mut lines, &self.first);
        lines.finish()
    }
}

fn because(said: &Said) -> String {
    cause(
        said.rule.as_deref(),
        said.reason,
        said.source.as_deref(),
        said.because.as_deref(),
    )
}
