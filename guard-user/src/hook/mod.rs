//! Agents' hooks: what an agent runs before and after each call of a tool, so that it learns what was
//! refused during the call.
//!
//! Claude Code and Codex hand their hooks the same JSON on standard input and read the same JSON from
//! standard output; what differs is where they are configured ([`install`]). Before a call the hook
//! marks its beginning at the server; after it, it asks for the refusals since then. Nothing is said
//! where nothing was refused: the answer rests on the server's receipts alone, never on what the tool
//! printed.

pub mod install;

use std::fmt::Write;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::events::event::{Body, Event};
use crate::events::receipt::{TEXT, render};

/// How many receipts an agent is given whole; the last ones.
const WHOLE: usize = 5;

/// What an agent hands to its hooks, as far as it is needed.
#[derive(Debug, Deserialize)]
pub struct Payload {
    hook_event_name: String,
    session_id: Option<String>,
    tool_name: Option<String>,
    tool_use_id: Option<String>,
}

/// What a hook has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A call of this name begins.
    Begins(String),
    /// It has ended; the answer is to name this event.
    Ended(String, String),
    /// Nothing: the event is about something else.
    Nothing,
}

impl Payload {
    /// Reads what an agent says.
    pub fn read(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// What is to be done.
    #[must_use]
    pub fn step(&self) -> Step {
        match self.hook_event_name.as_str() {
            "PreToolUse" => Step::Begins(self.call()),
            event @ ("PostToolUse" | "PostToolUseFailure") => {
                Step::Ended(self.call(), event.to_owned())
            }
            _ => Step::Nothing,
        }
    }

    /// What the call is named: versions of the agents that do not number calls make one of a tool at a
    /// time.
    fn call(&self) -> String {
        self.tool_use_id.clone().unwrap_or_else(|| {
            let part = |part: &Option<String>| part.clone().unwrap_or_default();
            format!("{}/{}", part(&self.session_id), part(&self.tool_name))
        })
    }
}

/// What a hook answers; none where nothing was refused.
#[must_use]
pub fn answer(event: &str, receipts: &[Event]) -> Option<Value> {
    let text = text(receipts)?;
    Some(json!({
        "hookSpecificOutput": {
            "hookEventName": event,
            "additionalContext": text,
        }
    }))
}

fn text(receipts: &[Event]) -> Option<String> {
    if receipts.is_empty() {
        return None;
    }
    let counted = receipts.iter().map(|event| match &event.body {
        Body::Verdict(judged) => judged.count,
        _ => 0,
    });
    let times = match counted.sum() {
        1 => "one operation".to_owned(),
        count => format!("{count} operations"),
    };
    let mut text = format!(
        "guard, which keeps this session from destroying what it did not make, refused {times} while \
         this tool call ran. The kernel refused: neither retrying nor another way to do the same will \
         help. Do what `instead` says, or leave it and tell the user.\n"
    );
    let left_out = receipts.len().saturating_sub(WHOLE);
    for event in &receipts[left_out..] {
        text.push('\n');
        text.push_str(&render(event, TEXT));
    }
    if left_out > 0 {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "\nand {left_out} earlier ones");
    }
    Some(text)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
