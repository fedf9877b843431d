//! The tests in virtual machines: every boot with the tests that it has to run.
//!
//! What has to run is asked of the test program on the host. A test that is listed and has no
//! result has failed, whatever the reason.

use std::collections::{BTreeMap, VecDeque};
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::build::Guest;
use crate::setup::kernels::Kernel;
use crate::shell;
use crate::vm::boot::{self, Name, Plan};
use crate::vm::machine::read;
use crate::vm::machine::{End, Machine, Processor, Terminal};

use super::{Arguments, Tally};

/// Lines of a console that are shown for a failure.
const SHOWN: usize = 40;

/// How often a boot's remaining tests are tried after one took the machine down.
const BOOTS: usize = 6;

/// Seconds for a machine's own start and end.
const OVERHEAD: u64 = 120;

/// The longest that one machine may take, in seconds.
const LONGEST: u64 = 1200;

/// One boot and what it has to run.
struct Work {
    name: Name,
    kernel: Kernel,
    tests: Vec<String>,
}

/// Runs the boots, some at a time, and counts.
pub fn run(names: &[Name], guest: &Guest, arguments: &Arguments) -> anyhow::Result<Tally> {
    let mut queue = VecDeque::new();
    for name in names {
        let (name, kernel) = name.resolve(&arguments.mirror)?;
        let tests = listed(guest, &name, &arguments.names)?;
        if !tests.is_empty() {
            queue.push_back(Work {
                name,
                kernel,
                tests,
            });
        }
    }
    if queue.is_empty() {
        bail!("no test of these boots has such a name; `guard-tests list` has them all");
    }
    println!(
        "tests in virtual machines: {}",
        queue
            .iter()
            .map(|work| format!("{} ({})", work.name, work.tests.len()))
            .collect::<Vec<_>>()
            .join(", ")
    );
    let queue = Mutex::new(queue);
    let tally = Mutex::new(Tally::default());
    thread::scope(|scope| {
        let workers: Vec<_> = (0..arguments.jobs.max(1))
            .map(|_| {
                scope.spawn(|| -> anyhow::Result<()> {
                    loop {
                        let Some(work) = queue.lock().expect("no worker panics").pop_front() else {
                            return Ok(());
                        };
                        let counted = one(&work, guest, arguments)
                            .with_context(|| format!("failed to test on {}", work.name))?;
                        *tally.lock().expect("no worker panics") += counted;
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.join().expect("no worker panics")?;
        }
        anyhow::Ok(())
    })?;
    Ok(tally.into_inner().expect("no worker panics"))
}

/// The tests that a boot has to run, as the test program says.
fn listed(guest: &Guest, name: &Name, filters: &[String]) -> anyhow::Result<Vec<String>> {
    let list = shell::output(
        Command::new(&guest.tests)
            .args(["list", "--image", "small", "--kernel"])
            .arg(name.to_string()),
    )?;
    Ok(list
        .lines()
        .filter(|test| filters.is_empty() || filters.iter().any(|part| test.contains(part)))
        .map(str::to_owned)
        .collect())
}

/// What has come in from a machine.
#[derive(Default)]
struct Heard {
    results: BTreeMap<String, Value>,
    running: Option<String>,
    broken: Option<String>,
    done: bool,
}

/// One boot, and more of it when a test takes the machine down: the others still run.
fn one(work: &Work, guest: &Guest, arguments: &Arguments) -> anyhow::Result<Tally> {
    let boot = &work.name;
    let mut tally = Tally::default();
    let mut left = work.tests.clone();
    let mut excused = false;
    for attempt in 1..=BOOTS {
        let machine = machine(work, &left, attempt, guest, arguments)?;
        let mut heard = Heard::default();
        let end = machine.run(|line| take(boot, &line, &mut heard, &mut tally))?;
        left.retain(|test| !heard.results.contains_key(test));
        for (test, result) in &heard.results {
            if result["outcome"] == "failed" {
                show(boot, test, &machine);
            }
        }
        if left.is_empty() && heard.done {
            return Ok(tally);
        }
        if !excused && is_emulators_fault(&machine) {
            excused = true;
            println!("{boot:11} retry   the emulator's stray int3 in __schedule took it down");
            continue;
        }
        let why = match (&heard.broken, end) {
            (Some(why), _) => why.clone(),
            (None, End::Deadline) => {
                format!(
                    "the machine was ended after {} s",
                    machine.deadline.as_secs()
                )
            }
            (None, End::Failed(status)) => format!("qemu ended with {status}"),
            (None, End::Off) => "the machine went down".to_owned(),
        };
        let culprit = heard.running.filter(|test| left.contains(test));
        show(boot, culprit.as_deref().unwrap_or("init"), &machine);
        let Some(culprit) = culprit else {
            println!("{boot:11} FAILED  {why} before any of its tests ran");
            break;
        };
        println!("{boot:11} FAILED  {culprit}: {why}");
        tally.failed += 1;
        left.retain(|test| *test != culprit);
        if left.is_empty() {
            return Ok(tally);
        }
    }
    for test in &left {
        println!("{boot:11} FAILED  {test}: it did not run");
    }
    tally.failed += left.len();
    Ok(tally)
}

fn machine(
    work: &Work,
    tests: &[String],
    attempt: usize,
    guest: &Guest,
    arguments: &Arguments,
) -> anyhow::Result<Machine> {
    let plan = Plan {
        mode: json!({ "tests": { "names": tests } }),
        deadline: arguments.deadline,
        machine_deadline: (OVERHEAD + arguments.deadline * tests.len() as u64).min(LONGEST),
        add: Vec::new(),
        environment: BTreeMap::new(),
        root: None,
        processor: Processor::Emulated,
        terminal: Terminal::None,
        memory: 1024,
        label: "",
    };
    let mut machine = boot::prepare(&work.name, &work.kernel, &plan, guest)?;
    if attempt > 1 {
        machine.name = format!("{}-{attempt}", machine.name);
    }
    Ok(machine)
}

/// Takes in one line of the machine's.
fn take(boot: &Name, line: &Value, heard: &mut Heard, tally: &mut Tally) {
    if let Some(test) = line["running"].as_str() {
        heard.running = Some(test.to_owned());
    } else if let Some(why) = line["broken"].as_str() {
        heard.broken = Some(format!("the machine could not do its job: {why}"));
    } else if !line["done"].is_null() {
        heard.done = true;
    } else if let Some(test) = line["test"].as_str() {
        let why = line["why"].as_str().unwrap_or_default();
        let seconds = line["seconds"].as_f64().unwrap_or_default();
        match line["outcome"].as_str() {
            Some("passed") => {
                tally.passed += 1;
                println!("{boot:11} ok      {test} ({seconds:.1} s)");
            }
            Some("skipped") => {
                tally.skipped += 1;
                println!("{boot:11} skipped {test}: {why}");
            }
            _ => {
                tally.failed += 1;
                println!("{boot:11} FAILED  {test}: {why}");
            }
        }
        heard.results.insert(test.to_owned(), line.clone());
    }
}

/// With several processors, and once in a while with one, emulation trips over a kernel that
/// patches its own text: a breakpoint that should be gone, hit in the scheduler.
fn is_emulators_fault(machine: &Machine) -> bool {
    let console = read(&machine.console());
    console.contains("int3") && console.contains("__schedule")
}

/// Shows the end of what a test wrote to the console, with what the kernel said meanwhile.
fn show(boot: &Name, test: &str, machine: &Machine) {
    let console = machine.console();
    let text = read(&console);
    let end = format!("=== {test}: ");
    let lines: Vec<_> = text
        .lines()
        .skip_while(|line| *line != format!("=== {test}"))
        .take_while(|line| !line.starts_with(&end))
        .collect();
    // A test that never began: the machine's end is what there is.
    let lines = if lines.is_empty() {
        text.lines().collect()
    } else {
        lines
    };
    println!(
        "--- {boot} {test}: the last {SHOWN} lines in {}\n{}\n---",
        console.display(),
        lines[lines.len().saturating_sub(SHOWN)..].join("\n")
    );
}
