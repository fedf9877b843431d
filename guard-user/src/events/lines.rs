//! Lines for a terminal in the making: in its width, broken between words.

use super::terminal::{MARGIN, PLAIN};
use super::text::{head, shortened, width};
use anstream::stream::RawStream;
use anstyle::Style;
use std::fmt::Write;
use std::os::fd::AsFd;

/// How events are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// In how many columns.
    pub width: usize,
    /// Whether paths and commands that don't fit stay whole, and reach beyond the columns.
    pub whole: bool,
    /// Whether in colours.
    pub colour: bool,
    /// Whether each event names its session.
    pub session: bool,
}

impl Look {
    /// What standard output is made for: as wide as the terminal, coloured on one that wants
    /// it (`NO_COLOR`, `CLICOLOR_FORCE`, `TERM`); elsewhere plain, in [`COLUMNS`], with whole names
    /// to be found by other programs.
    #[must_use]
    pub fn of_stdout() -> Self {
        Self::of(&std::io::stdout())
    }

    /// The same of another stream.
    #[must_use]
    pub fn of<Stream: RawStream + AsFd>(stream: &Stream) -> Self {
        let choice = anstream::AutoStream::choice(stream);
        let size = terminal_size::terminal_size_of(stream);
        Self {
            width: size.map_or(COLUMNS, |(terminal_size::Width(columns), _)| columns.into()),
            whole: size.is_none(),
            colour: !matches!(choice, anstream::ColorChoice::Never),
            session: true,
        }
    }

    /// What a file is made for: as many columns as people are used to.
    #[must_use]
    pub const fn of_file() -> Self {
        Self {
            width: COLUMNS,
            whole: true,
            colour: false,
            session: true,
        }
    }
}

/// How many columns there are where nobody says.
pub const COLUMNS: usize = 80;

/// Lines in the making.
pub struct Lines {
    text: String,
    /// The columns used of the current line.
    used: usize,
    look: Look,
}

impl Lines {
    /// None yet.
    pub const fn new(look: Look) -> Self {
        Self {
            text: String::new(),
            used: 0,
            look,
        }
    }

    /// How they are to look.
    pub const fn look(&self) -> Look {
        self.look
    }

    /// How many columns are left.
    pub const fn room(&self) -> usize {
        self.look.width.saturating_sub(self.used)
    }

    /// Adds escaped text.
    pub fn put(&mut self, style: Style, text: &str) {
        self.used += width(text);
        if self.look.colour && style != PLAIN {
            let _ = write!(self.text, "{style}{text}{style:#}");
        } else {
            self.text.push_str(text);
        }
    }

    /// Adds escaped text, as much as there is room for, where names don't stay whole.
    pub fn put_shortened(&mut self, style: Style, text: &str) {
        if self.look.whole {
            self.put(style, text);
        } else {
            self.put(style, &shortened(text, self.room()));
        }
    }

    /// Adds escaped text, broken between words, and within those that are wider than a line.
    pub fn put_wrapped(&mut self, style: Style, text: &str) {
        // What goes on the line at once, so that its style is written once.
        let mut piece = String::new();
        let room = |lines: &Self, piece: &str| lines.room().saturating_sub(width(piece));
        for (at, word) in text.split(' ').enumerate() {
            let space = usize::from(at > 0);
            let fits = space + width(word) <= room(self, &piece);
            if !fits && self.used + width(&piece) > MARGIN {
                self.put(style, &std::mem::take(&mut piece));
                self.next_line();
            } else if space > 0 {
                piece.push(' ');
            }
            let mut rest = word;
            while width(rest) > room(self, &piece) {
                let fits = head(rest, room(self, &piece));
                if fits.is_empty() {
                    break;
                }
                piece.push_str(fits);
                self.put(style, &std::mem::take(&mut piece));
                self.next_line();
                rest = &rest[fits.len()..];
            }
            piece.push_str(rest);
        }
        if !piece.is_empty() {
            self.put(style, &piece);
        }
    }

    /// Begins another.
    pub fn next_line(&mut self) {
        self.next_line_with(PLAIN, "");
    }

    /// Begins another with something in its margin.
    pub fn next_line_with(&mut self, style: Style, margin: &str) {
        self.text.push('\n');
        self.used = 0;
        self.put(style, margin);
        self.put(PLAIN, &" ".repeat(MARGIN.saturating_sub(width(margin))));
    }

    /// All of them.
    pub fn finish(mut self) -> String {
        self.text.push('\n');
        self.text
    }
}
