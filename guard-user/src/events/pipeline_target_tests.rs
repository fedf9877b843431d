//! Tests of the pipeline with sockets and the machine as targets.

use super::*;
use guard_ebpf::operation::Facility;

#[test]
fn connections_are_told_apart_by_where_they_lead() {
    let mut bench = Bench::new();
    let mut address = [0; 16];
    address[15] = 1;
    for port in [80, 80, 81, 82, 80] {
        bench.push(&testing::connection(10, address, port));
    }
    let event = only(bench.after(QUIET));
    let judged = judged(&event);
    assert_eq!((judged.count, judged.others), (5, 2));
    assert_eq!(judged.rule, None);
    let Target::Socket(socket) = &judged.target else {
        panic!("a socket");
    };
    assert_eq!(socket.address.as_deref(), Some("::1"));
    assert_eq!(socket.port, Some(80));
}

#[test]
fn a_facility_that_no_rule_is_about_has_a_name_and_a_reason() {
    let mut bench = Bench::new();
    bench.push(&testing::use_of(Facility::Time, 25));
    bench.push(&testing::use_of(Facility::Time, 25));
    bench.push(&testing::use_of(Facility::Reboot, 22));
    let mut file = testing::deletion(9, b"core_pattern/kernel/");
    file.header.operation = Operation::Machine as u8;
    file.header.detail = Facility::Settings as u8;
    bench.push(&file);
    let mut ruled = testing::use_of(Facility::Time, 25);
    ruled.header.reason = Reason::Rule as u8;
    ruled.header.rule = 3;
    bench.push(&ruled);
    let events = bench.after(QUIET);
    let told: Vec<_> = events
        .iter()
        .map(|event| {
            let judged = judged(event);
            let name = judged.rule.as_deref().unwrap_or_default();
            (name, judged.facility, judged.count)
        })
        .collect();
    assert_eq!(
        told,
        [
            ("machine/time", Some(Facility::Time), 2),
            ("machine/reboot", Some(Facility::Reboot), 1),
            ("machine/settings", Some(Facility::Settings), 1),
            ("photos", Some(Facility::Time), 1),
        ]
    );
    let time = judged(&events[0]);
    assert_eq!(time.because.as_deref(), Some(Facility::Time.because()));
    assert_eq!(
        time.instead.as_deref(),
        Some(
            "do this from outside the session, or have a rule allow `machine` with \
             `facilities: [time]`"
        )
    );
    let Target::Machine(machine) = &time.target else {
        panic!("the machine");
    };
    assert_eq!(machine.capability.as_deref(), Some("SYS_TIME"));
    assert!(matches!(judged(&events[2]).target, Target::File(_)));
    assert_eq!(
        judged(&events[3]).because.as_deref(),
        Some("photos exist once")
    );
}
