//! `guard-tests bench`: measurements on a machine whose clock counts executed instructions.
//!
//! One JSON object a line: what was measured, in which case, and the figure. `cargo xtask bench`
//! boots the machine and makes tables of it. Calls are measured by a process of their own for
//! each case (`guard-tests bench calls`), so that all cases are alike but for what is loaded.

mod calls;
mod clock;
mod guarded;
mod landlock;
mod probe;
mod programs;
mod subject;

use std::thread::sleep;
use std::time::Duration;

use anyhow::bail;
use serde_json::json;

use crate::boot::Image;
use guarded::Server;
use subject::Outsider;

/// Runs what `guard-tests bench` was asked for.
pub fn main(arguments: &[&str]) -> anyhow::Result<()> {
    match arguments {
        ["calls", case, outsider] => calls::run(case, outsider.parse()?),
        ["landlock", case, outsider] => landlock::run(case, outsider.parse()?),
        ["programs", image, case] => programs::measure(image.parse()?, case),
        ["lenient", outsider] => calls::lenient(outsider.parse()?),
        ["refusals", outsider, count] => calls::refusals(outsider.parse()?, count.parse()?),
        // Which kernel it is, the host knows.
        [_boot, image] => machine(image.parse()?),
        _ => bail!("usage: guard-tests bench SERIES small|full"),
    }
}

/// Measures everything there is to measure on this boot.
fn machine(image: Image) -> anyhow::Result<()> {
    // What the kernel does in the background after its start has come to its end then.
    sleep(Duration::from_secs(10));
    subject::lie_still()?;
    subject::prepare()?;
    let outsider = Outsider::start()?;
    programs::warm_up(image)?;
    // First, and again at the end: the two bracket what the machine's own state does.
    programs::measure(image, "nothing loaded")?;
    calls::start("nothing loaded", &outsider)?;
    landlock::start("Landlock", &outsider)?;
    {
        let _programs = probe::attach(probe::Kind::Empty)?;
        calls::start("empty program", &outsider)?;
    }
    subject::wait_for_programs_to_go()?;
    {
        let _programs = probe::attach(probe::Kind::Label)?;
        calls::start("looks for a label", &outsider)?;
    }
    subject::wait_for_programs_to_go()?;
    {
        let server = Server::start()?;
        calls::start("guard, outside", &outsider)?;
        programs::measure(image, "guard, outside")?;
        calls::lay_out()?;
        server.in_session(&["calls", guarded::IN_SESSION, &outsider.to_string()])?;
        server.in_session(&["programs", image.name(), guarded::IN_SESSION])?;
        server.in_lenient_session(&["lenient", &outsider.to_string()])?;
        server.memory(&outsider)?;
    }
    subject::wait_for_programs_to_go()?;
    calls::start("nothing loaded, again", &outsider)?;
    programs::measure(image, "nothing loaded, again")
}

/// Hands a figure to the host.
fn line(table: &str, measure: &str, case: &str, value: u64, unit: &str) {
    println!(
        "{}",
        json!({ "table": table, "measure": measure, "case": case, "value": value, "unit": unit })
    );
}
