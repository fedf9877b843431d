//! Lines for a terminal in the making: in its width, broken between words.

use super::terminal::{Look, MARGIN, PLAIN};
use super::text::{shortened, width};
use anstyle::Style;
use std::fmt::Write;

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

    /// How many columns are left.
    pub fn room(&self) -> Option<usize> {
        self.look.width.map(|width| width.saturating_sub(self.used))
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

    /// Adds escaped text, as much as there is room for.
    pub fn put_shortened(&mut self, style: Style, text: &str) {
        match self.room() {
            Some(room) => self.put(style, &shortened(text, room)),
            None => self.put(style, text),
        }
    }

    /// Adds escaped text, broken between words.
    pub fn put_wrapped(&mut self, style: Style, text: &str) {
        for (at, word) in text.split(' ').enumerate() {
            let space = usize::from(at > 0);
            let fits = self.room().is_none_or(|room| space + width(word) <= room);
            if !fits && self.used > MARGIN {
                self.next_line();
            } else if space > 0 {
                self.put(style, " ");
            }
            self.put(style, word);
        }
    }

    /// Begins another.
    pub fn next_line(&mut self) {
        self.text.push('\n');
        self.used = 0;
        self.put(PLAIN, &" ".repeat(MARGIN));
    }

    /// All of them.
    pub fn finish(mut self) -> String {
        self.text.push('\n');
        self.text
    }
}
