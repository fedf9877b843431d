//! `cargo xtask bench`: what guard costs, in instructions that the guest executes.
//!
//! Under emulation seconds say nothing, so the machine's clock is tied to the instructions that
//! it has executed: a nanosecond of its clock is one instruction, on any host, at any load. What
//! is measured, and when it has settled, is the guest's business (`guard-tests bench`); here the
//! lines become the tables of the performance document.

use std::collections::BTreeMap;
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::build;
use crate::setup::{self, Mirror};
use crate::vm;
use crate::vm::boot::{self, Name, Plan};
use crate::vm::machine::{Processor, Terminal};

/// Measures in virtual machines that count instructions, and prints Markdown tables.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The kernels' series.
    #[arg(long, value_name = "SERIES", value_delimiter = ',', default_values = ["6.12", "newest"])]
    kernel: Vec<Name>,
    /// Debian as the root, for the measurements of whole programs.
    #[arg(long)]
    full: bool,
    /// Seconds for each machine.
    #[arg(long, default_value_t = 1800)]
    deadline: u64,
    #[command(flatten)]
    mirror: Mirror,
}

/// The task.
pub fn main(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    setup::for_build()?;
    setup::for_machines(&arguments.mirror)?;
    let root = arguments
        .full
        .then(|| setup::image::ensure(&arguments.mirror))
        .transpose()?;
    // The figures are those of the program that people get.
    let guest = build::bench()?;
    let image = if arguments.full { "full" } else { "small" };
    let mut code = ExitCode::SUCCESS;
    for name in &arguments.kernel {
        let (name, kernel) = name.resolve(&arguments.mirror)?;
        let line = format!("exec guard-tests bench {name} {image} > /dev/ttyS1");
        let plan = Plan {
            deadline: arguments.deadline,
            machine_deadline: arguments.deadline + 60,
            root: root.clone(),
            processor: Processor::Counting,
            terminal: Terminal::Output,
            label: "-bench",
            ..Plan::new(json!({ "steps": { "steps": [{ "argv": ["/bin/sh", "-c", line] }] } }))
        };
        let mut table = Table::default();
        let machine = boot::prepare(&name, &kernel, &plan, &guest)?;
        let status = vm::status(&machine, |line| table.take(line))?;
        println!("\n### Linux {}\n\n{}", kernel.version, table.markdown());
        if status != 0 || table.rows.is_empty() {
            eprintln!("{name}: the measurements ended with status {status}");
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

/// Figures by what was measured and in which case.
#[derive(Debug, Default)]
struct Table {
    /// In the order of their first line.
    cases: Vec<String>,
    /// In the order of their first line.
    rows: Vec<(String, BTreeMap<String, String>)>,
}

impl Table {
    /// Takes in a line like `{"measure":"kill","case":"no guard","value":1453,"unit":"ns"}`.
    fn take(&mut self, line: &Value) {
        let (Some(measure), Some(case)) = (line["measure"].as_str(), line["case"].as_str()) else {
            return;
        };
        let unit = line["unit"].as_str().unwrap_or("instructions");
        let value = match unit {
            "instructions" => line["value"].to_string(),
            unit => format!("{} {unit}", line["value"]),
        };
        if !self.cases.iter().any(|known| known == case) {
            self.cases.push(case.to_owned());
        }
        if !self.rows.iter().any(|(known, _)| known == measure) {
            self.rows.push((measure.to_owned(), BTreeMap::new()));
        }
        for (_, values) in self.rows.iter_mut().filter(|(known, _)| known == measure) {
            values.insert(case.to_owned(), value.clone());
        }
    }

    fn markdown(&self) -> String {
        let mut lines = vec![
            format!("| instructions | {} |", self.cases.join(" | ")),
            format!("|---|{}", "---:|".repeat(self.cases.len())),
        ];
        for (measure, values) in &self.rows {
            let cells: Vec<_> = self
                .cases
                .iter()
                .map(|case| values.get(case).map_or("", String::as_str))
                .collect();
            lines.push(format!("| {measure} | {} |", cells.join(" | ")));
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_a_table() {
        let mut table = Table::default();
        for (measure, case, value) in [
            ("kill", "none", 10),
            ("fork", "none", 90),
            ("kill", "guard", 12),
        ] {
            table.take(&json!({ "measure": measure, "case": case, "value": value }));
        }
        table.take(&json!({ "exit": 0 }));
        assert_eq!(
            table.markdown(),
            "| instructions | none | guard |\n|---|---:|---:|\n| kill | 10 | 12 |\n| fork | 90 |  |"
        );
    }
}
