//! Which processor a machine gets: the host's own where a stock kernel runs on it. That
//! `/dev/kvm` exists says little, so a short boot finds out.

use std::fs::OpenOptions;

use serde_json::json;

use crate::build::Guest;
use crate::setup::Mirror;

use super::boot::{self, Name, Plan};
use super::machine::{End, Processor};

/// Seconds that the short boot may take; on a real processor it takes two.
const DEADLINE: u64 = 15;

/// KVM where it works, emulation elsewhere.
pub fn fastest(guest: &Guest, mirror: &Mirror) -> anyhow::Result<Processor> {
    let kvm = OpenOptions::new().read(true).write(true).open("/dev/kvm");
    if kvm.is_err() {
        return Ok(Processor::Emulated);
    }
    let name = Name {
        series: "6.12".to_owned(),
        nobpf: false,
    };
    let (name, kernel) = name.resolve(mirror)?;
    let plan = Plan {
        machine_deadline: DEADLINE,
        processor: Processor::Kvm,
        label: "-probe",
        ..Plan::new(json!({ "steps": { "steps": [{ "argv": ["/bin/true"] }] } }))
    };
    let mut worked = false;
    let end = boot::prepare(&name, &kernel, &plan, guest)?.run(|line| {
        worked |= line["exit"] == 0;
    });
    if worked && matches!(end, Ok(End::Off)) {
        Ok(Processor::Kvm)
    } else {
        println!("/dev/kvm is there, but a stock kernel does not run on it: emulation is used");
        Ok(Processor::Emulated)
    }
}
