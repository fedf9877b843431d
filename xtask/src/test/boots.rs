//! The tests in virtual machines: every boot with the tests that it has to run.
//!
//! What has to run is asked of the test program on the host. A test that is listed and has no
//! result has failed, whatever the reason.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use serde_json::{Value, json};

use crate::build::Guest;
use crate::setup::image;
use crate::setup::kernels::Kernel;
use crate::shell;
use crate::vm::boot::{self, Name, Plan};
use crate::vm::machine::read;
use crate::vm::machine::{End, Machine};

use super::report::Report;
use super::{Arguments, Tally};

/// Lines of a console that are shown for a failure.
const SHOWN: usize = 40;

/// How often a boot's remaining tests are tried after one took the machine down.
const BOOTS: usize = 6;

/// Seconds for a machine's own start and end.
const OVERHEAD: u64 = 120;

/// The longest that one machine may take, in seconds.
const LONGEST: u64 = 3600;

/// Variables of the environment that tests in the machines go by.
const HANDED: &[&str] = &["GUARD_ALL", "GUARD_EDITS", "GUARD_PAIRS"];

/// The image that is an initramfs.
const SMALL: &str = "small";

/// The full image with systemd as its first process.
const SYSTEMD: &str = "systemd";

/// The images, as the test program calls them.
const IMAGES: [&str; 3] = [SMALL, "full", SYSTEMD];

/// One boot and what it has to run.
struct Work {
    name: Name,
    kernel: Kernel,
    image: &'static str,
    /// The disk of the full image, where the tests want it.
    root: Option<PathBuf>,
    tests: Vec<String>,
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Padded as a whole, for columns.
        match self.image {
            SMALL => f.pad(&self.name.to_string()),
            image => f.pad(&format!("{}+{image}", self.name)),
        }
    }
}

/// Runs the boots, some at a time, counts, and prints what they report.
pub fn run(names: &[Name], guest: &Guest, arguments: &Arguments) -> anyhow::Result<Tally> {
    let mut queue = VecDeque::new();
    for name in names {
        let (name, kernel) = name.resolve(&arguments.mirror)?;
        for image in IMAGES {
            let tests = listed(guest, &name, image, &arguments.names)?;
            if tests.is_empty() {
                continue;
            }
            queue.push_back(Work {
                name: name.clone(),
                kernel: kernel.clone(),
                image,
                root: (image != SMALL)
                    .then(|| image::ensure(&arguments.mirror))
                    .transpose()?,
                tests,
            });
        }
    }
    // What takes longest first, so that nothing long is left when all else is done.
    queue
        .make_contiguous()
        .sort_by_key(|work| work.root.is_none());
    if queue.is_empty() {
        println!("tests in virtual machines: none of these boots has one of such a name");
        return Ok(Tally::default());
    }
    println!(
        "tests in virtual machines: {}",
        queue
            .iter()
            .map(|work| format!("{work} ({})", work.tests.len()))
            .collect::<Vec<_>>()
            .join(", ")
    );
    let queue = Mutex::new(queue);
    let tally = Mutex::new(Tally::default());
    let report = Mutex::new(Report::default());
    thread::scope(|scope| {
        let workers: Vec<_> = (0..arguments.jobs.max(1))
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let Some(work) = queue.lock().expect("no worker panics").pop_front() else {
                            return;
                        };
                        let counted = one(&work, guest, arguments, &report);
                        *tally.lock().expect("no worker panics") += counted;
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.join().expect("no worker panics");
        }
    });
    print!("{}", report.into_inner().expect("no worker panics"));
    Ok(tally.into_inner().expect("no worker panics"))
}

/// The tests that a boot has to run, as the test program says.
fn listed(
    guest: &Guest,
    name: &Name,
    image: &str,
    filters: &[String],
) -> anyhow::Result<Vec<String>> {
    let list = shell::output(
        Command::new(&guest.tests)
            .args(["list", "--image", image, "--kernel"])
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
fn one(work: &Work, guest: &Guest, arguments: &Arguments, report: &Mutex<Report>) -> Tally {
    let mut tally = Tally::default();
    let mut left = work.tests.clone();
    let mut excused = false;
    for attempt in 1..=BOOTS {
        let mut heard = Heard::default();
        let ran = machine(work, &left, attempt, guest, arguments).and_then(|machine| {
            let end = machine.run(|line| {
                if line["row"].is_object() {
                    let mut report = report.lock().expect("no worker panics");
                    report.take(&work.name.to_string(), &line["row"]);
                } else {
                    take(work, &line, &mut heard, &mut tally);
                }
            })?;
            Ok((machine, end))
        });
        let (machine, end) = match ran {
            Ok(ran) => ran,
            Err(error) => {
                println!("{work:15} FAILED  the machine could not be run: {error:#}");
                break;
            }
        };
        left.retain(|test| !heard.results.contains_key(test));
        for (test, result) in &heard.results {
            if result["outcome"] == "failed" {
                show(work, test, &machine);
            }
        }
        if left.is_empty() && heard.done {
            return tally;
        }
        if !excused && is_emulators_fault(&machine) {
            excused = true;
            println!("{work:15} retry   the emulator's stray int3 in __schedule took it down");
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
            (None, End::Failed(status, said)) => {
                format!("qemu ended with {status}: {}", said.trim_end())
            }
            (None, End::Off) => "the machine went down".to_owned(),
        };
        let culprit = heard.running.filter(|test| left.contains(test));
        show(work, culprit.as_deref().unwrap_or("init"), &machine);
        let Some(culprit) = culprit else {
            println!("{work:15} FAILED  {why} while none of its tests ran");
            if left.is_empty() {
                // After the last one: its tests have been counted, this has not.
                tally.failed += 1;
            }
            break;
        };
        println!("{work:15} FAILED  {culprit}: {why}");
        tally.failed += 1;
        left.retain(|test| *test != culprit);
        if left.is_empty() {
            return tally;
        }
    }
    for test in &left {
        println!("{work:15} FAILED  {test}: it did not run");
    }
    tally.failed += left.len();
    tally
}

fn machine(
    work: &Work,
    tests: &[String],
    attempt: usize,
    guest: &Guest,
    arguments: &Arguments,
) -> anyhow::Result<Machine> {
    let plan = Plan {
        deadline: arguments.deadline,
        machine_deadline: (OVERHEAD + arguments.deadline * tests.len() as u64).min(LONGEST),
        root: work.root.clone(),
        environment: HANDED
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)))
            .collect(),
        systemd: work.image == SYSTEMD,
        label: match work.image {
            SMALL => "",
            SYSTEMD => "-systemd",
            _ => "-full",
        },
        ..Plan::new(json!({ "tests": { "names": tests } }))
    };
    let mut machine = boot::prepare(&work.name, &work.kernel, &plan, guest)?;
    if attempt > 1 {
        machine.name = format!("{}-{attempt}", machine.name);
    }
    Ok(machine)
}

/// Takes in one line of the machine's.
fn take(work: &Work, line: &Value, heard: &mut Heard, tally: &mut Tally) {
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
                println!("{work:15} ok      {test} ({seconds:.1} s)");
            }
            Some("skipped") => {
                tally.skipped += 1;
                println!("{work:15} skipped {test}: {why}");
            }
            _ => {
                tally.failed += 1;
                println!("{work:15} FAILED  {test}: {why}");
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
fn show(work: &Work, test: &str, machine: &Machine) {
    let console = machine.console();
    let all = read(&console);
    let end = format!("=== {test}: ");
    let lines: Vec<_> = all
        .lines()
        .skip_while(|line| *line != format!("=== {test}"))
        .take_while(|line| !line.starts_with(&end))
        .collect();
    // A test that never began: the machine's end is what there is.
    let lines = if lines.is_empty() {
        all.lines().collect()
    } else {
        lines
    };
    println!(
        "--- {work} {test}: the last {SHOWN} lines in {}\n{}\n---",
        console.display(),
        lines[lines.len().saturating_sub(SHOWN)..].join("\n")
    );
}
