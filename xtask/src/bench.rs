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
        let mut tables = Tables::default();
        let machine = boot::prepare(&name, &kernel, &plan, &guest)?;
        let status = vm::status(&machine, |line| tables.take(line))?;
        println!("\n### Linux {}\n\n{}", kernel.version, tables.markdown());
        if status != 0 || tables.0.is_empty() {
            eprintln!("{name}: the measurements ended with status {status}");
            code = ExitCode::FAILURE;
        }
    }
    let size = std::fs::metadata(&guest.guard)?.len();
    println!("\nThe program `guard`, one file: {size} bytes.");
    Ok(code)
}

/// Tables by name, in the order of their first line.
#[derive(Debug, Default)]
struct Tables(Vec<(String, Table)>);

impl Tables {
    /// Takes in a line like
    /// `{"table":"calls","measure":"kill","case":"no guard","value":1453}`.
    fn take(&mut self, line: &Value) {
        let (Some(name), Some(measure), Some(case)) = (
            line["table"].as_str(),
            line["measure"].as_str(),
            line["case"].as_str(),
        ) else {
            return;
        };
        let at = self
            .0
            .iter()
            .position(|(known, _)| known == name)
            .unwrap_or_else(|| {
                self.0.push((name.to_owned(), Table::default()));
                self.0.len() - 1
            });
        let value = line["value"].as_u64().unwrap_or_default();
        self.0[at].1.put(measure, case, value);
    }

    fn markdown(&self) -> String {
        let tables = self.0.iter().map(|(name, table)| table.markdown(name));
        tables.collect::<Vec<_>>().join("\n\n")
    }
}

/// Figures by what was measured and in which case.
#[derive(Debug, Default)]
struct Table {
    /// In the order of their first line.
    cases: Vec<String>,
    /// In the order of their first line.
    rows: Vec<(String, BTreeMap<String, u64>)>,
}

impl Table {
    fn put(&mut self, measure: &str, case: &str, value: u64) {
        if !self.cases.iter().any(|known| known == case) {
            self.cases.push(case.to_owned());
        }
        if !self.rows.iter().any(|(known, _)| known == measure) {
            self.rows.push((measure.to_owned(), BTreeMap::new()));
        }
        for (_, values) in self.rows.iter_mut().filter(|(known, _)| known == measure) {
            values.insert(case.to_owned(), value);
        }
    }

    fn markdown(&self, name: &str) -> String {
        let mut lines = vec![
            format!("| {name} | {} |", self.cases.join(" | ")),
            format!("|---|{}", "---:|".repeat(self.cases.len())),
        ];
        for (measure, values) in &self.rows {
            let cells: Vec<_> = self
                .cases
                .iter()
                .map(|case| {
                    values
                        .get(case)
                        .map_or_else(String::new, |value| grouped(*value))
                })
                .collect();
            lines.push(format!("| {measure} | {} |", cells.join(" | ")));
        }
        lines.join("\n")
    }
}

/// A number with its thousands apart.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_a_table() {
        let mut tables = Tables::default();
        for (table, measure, case, value) in [
            ("calls", "kill", "none", 10),
            ("calls", "fork", "none", 90_000),
            ("calls", "kill", "guard", 12),
            ("guard", "start", "figure", 1_234_567),
        ] {
            tables
                .take(&json!({ "table": table, "measure": measure, "case": case, "value": value }));
        }
        tables.take(&json!({ "exit": 0 }));
        assert_eq!(
            tables.markdown(),
            "| calls | none | guard |\n|---|---:|---:|\n| kill | 10 | 12 |\n\
             | fork | 90,000 |  |\n\n| guard | figure |\n|---|---:|\n| start | 1,234,567 |"
        );
    }
}
