//! What verbs write: to standard output, where a reader that goes away is no error, and to
//! standard error, in guard's name.

use std::io::{self, Write};

use super::exit::{Failure, is_broken_pipe};
use crate::events::text::harmless;

/// Writes to standard output. Whether anybody still reads.
pub fn print(text: &str) -> Result<bool, Failure> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Ok(()) => Ok(true),
        Err(error) if is_broken_pipe(&error) => Ok(false),
        Err(error) => Err(Failure::guard(format!(
            "Standard output can't be written: {error}."
        ))),
    }
}

/// Says something on standard error.
pub fn say(message: &str) {
    // Nobody is left to be told when this fails.
    let _ = writeln!(io::stderr(), "guard: {}", harmless(message));
}

/// Says something that is one line, whatever the names in it hold.
pub fn say_line(message: &str) {
    say(&one_line(message));
}

fn one_line(message: &str) -> String {
    message.replace('\n', "\\n")
}

/// JSON for people and programs alike: indented, with a newline at the end.
pub fn json(value: &impl serde::Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("every report has a JSON form");
    text.push('\n');
    text
}

/// Lines up columns. What a guarded program can choose must have been escaped before.
#[must_use]
pub fn table(rows: &[Vec<String>]) -> String {
    use crate::events::text::width;
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| width(cell)).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, &room) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.push_str(&" ".repeat(room - width(cell) + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Makes a sentence of a fragment: errors are fragments, and people read sentences.
#[must_use]
pub fn sentence(fragment: &str) -> String {
    let mut characters = fragment.trim_end().chars();
    let mut text: String = characters
        .next()
        .into_iter()
        .flat_map(char::to_uppercase)
        .collect();
    text.extend(characters);
    if !text.ends_with(['.', '!', '?']) {
        text.push('.');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_become_sentences() {
        assert_eq!(sentence("the disk is full"), "The disk is full.");
        assert_eq!(sentence("Why?"), "Why?");
        assert_eq!(sentence(""), ".");
    }

    #[test]
    fn what_is_said_can_not_steer_a_terminal() {
        let message = "`/srv/\x1b[2J\u{202e}x` is\nodd: \\x1b";
        assert_eq!(
            harmless(message),
            "`/srv/\\u{1b}[2J\\u{202e}x` is\nodd: \\x1b"
        );
        assert_eq!(one_line(message).lines().count(), 1);
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            vec!["a".into(), "b".into()],
            vec!["日本".into(), "c".into()],
        ];
        assert_eq!(table(&rows), "a     b\n日本  c\n");
    }
}
