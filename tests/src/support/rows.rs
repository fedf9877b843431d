//! Rows of the report that a run of the tests ends with: what a test measured and saw, for people.
//! The test writes them to a file, from which init hands them on to the host.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::scripts::User;

/// The file, one JSON object a line.
const FILE: &str = "/run/guard-tests/rows";

/// A workload ran in a session. `without` is the time that it took without guard, where it ran so too.
pub fn workload(
    name: &str,
    user: User,
    without: Option<Duration>,
    with: Duration,
    refused: usize,
    in_name: usize,
) -> anyhow::Result<()> {
    add(&json!({
        "workload": name,
        "user": user.name(),
        "without": without.map(|took| took.as_secs_f64()),
        "with": with.as_secs_f64(),
        "refused": refused,
        "in_name": in_name,
    }))
}

/// The command of an incident ran without guard: what it did.
pub fn harm(incident: &str, harm: &str) -> anyhow::Result<()> {
    add(&json!({ "incident": incident, "harm": harm }))
}

/// The command of an incident ran in a session: whether nobody outside was harmed.
pub fn harmless(incident: &str, user: User, harmless: bool) -> anyhow::Result<()> {
    add(&json!({ "incident": incident, "user": user.name(), "harmless": harmless }))
}

/// The session had something of its own that had to end by the same command: whether it did.
pub fn twin(incident: &str, user: User, works: bool) -> anyhow::Result<()> {
    add(&json!({ "incident": incident, "user": user.name(), "twin": works }))
}

fn add(row: &Value) -> anyhow::Result<()> {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(FILE)
        .context(FILE)?;
    writeln!(file, "{row}")?;
    Ok(())
}

/// Takes the rows out of the file.
pub fn take() -> Vec<Value> {
    let text = fs::read_to_string(FILE).unwrap_or_default();
    let _ = fs::remove_file(FILE);
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}
