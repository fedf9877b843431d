//! `limits:` in a policy: what the session may take of the machine.

use super::reader::{Entry, Reader};
use super::tree::Node;
use crate::session::limits::{BadValue, Limit, Limits, weight};

/// The keys below `limits`.
pub(super) const LIMITS: [&str; 5] = ["memory", "swap", "processes", "cpu", "weight"];

impl Reader<'_> {
    /// Reads `limits:`.
    pub(super) fn limits(&mut self, node: &Node) -> Limits {
        let mut limits = Limits::default();
        for Entry { key, value, .. } in self.fields(node, "`limits` is a mapping", &LIMITS) {
            let Some(text) = self.word(value, "a limit is a word") else {
                continue;
            };
            let taken: Result<(), BadValue> = (|| {
                match key {
                    "memory" => {
                        let limit = Limit::amount(text)?;
                        if limit.is_zero() {
                            return Err(BadValue::NO_MEMORY);
                        }
                        limits.memory = Some(limit);
                    }
                    "swap" => limits.swap = Some(Limit::amount(text)?),
                    "processes" => limits.processes = Some(Limit::count(text)?),
                    "cpu" => limits.cpu = Some(Limit::processors(text)?),
                    _ => limits.weight = Some(weight(text)?),
                }
                Ok(())
            })();
            if let Err(error) = taken {
                self.mistake(value.span, error.to_string());
            }
        }
        limits
    }
}
