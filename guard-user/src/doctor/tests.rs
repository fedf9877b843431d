//! Machines made of files, and what is said about them.

use super::checks::all;
use super::*;
use std::fs;

/// A machine on which all is well.
const WELL: [(&str, &str); 12] = [
    ("/proc/sys/kernel/osrelease", "6.12.1-amd64\n"),
    ("/sys/kernel/btf/vmlinux", "x\0bpf_lsm_task_kill\0y"),
    (
        "/sys/kernel/security/lsm",
        "lockdown,capability,apparmor,bpf",
    ),
    ("/proc/sys/net/core/bpf_jit_enable", "1\n"),
    ("/proc/sys/kernel/ftrace_enabled", "1\n"),
    (
        "/sys/kernel/security/lockdown",
        "[none] integrity confidentiality\n",
    ),
    (
        "/proc/self/mountinfo",
        "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n\
         2 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n\
         3 1 0:27 / /sys/fs/bpf rw - bpf bpf rw\n",
    ),
    ("/sys/fs/cgroup/cgroup.controllers", "cpu io memory pids\n"),
    (
        "/proc/self/status",
        "Uid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffff\n",
    ),
    ("/etc/os-release", "ID=debian\n"),
    ("/etc/default/grub", ""),
    ("/proc/cmdline", "root=/dev/sda1 ro"),
];

/// That machine with some files otherwise; without those that have no text.
fn machine(changes: &[(&str, Option<&str>)]) -> (tempfile::TempDir, Machine) {
    let root = tempfile::tempdir().unwrap();
    let machine = Machine::at(root.path());
    let mut files: Vec<(&str, &str)> = WELL.to_vec();
    for &(path, text) in changes {
        files.retain(|(other, _)| *other != path);
        files.extend(text.map(|text| (path, text)));
    }
    for (path, text) in files {
        let path = machine.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    (root, machine)
}

/// What isn't met: id, state, remedy.
fn unmet(changes: &[(&str, Option<&str>)]) -> Vec<(&'static str, State, String)> {
    let (_root, machine) = machine(changes);
    all(&machine)
        .into_iter()
        .filter(|check| check.state != State::Met)
        .map(|check| (check.id, check.state, check.remedy.unwrap_or_default()))
        .collect()
}

#[test]
fn a_machine_on_which_all_is_well_lacks_nothing() {
    assert_eq!(unmet(&[]), []);
}

#[test]
fn a_controller_that_is_missing_is_named_and_guard_works_without() {
    let unmet = unmet(&[("/sys/fs/cgroup/cgroup.controllers", Some("cpu io pids"))]);
    assert_eq!((unmet[0].0, unmet[0].1), ("controllers", State::Unknown));
    assert!(unmet[0].2.contains("cgroup_disable="), "{}", unmet[0].2);
}

#[test]
fn an_old_kernel_is_named_with_what_to_do() {
    for release in ["5.10.0-30-cloud-amd64", "6.0.19", "4.19"] {
        let unmet = unmet(&[("/proc/sys/kernel/osrelease", Some(release))]);
        assert_eq!(unmet.len(), 1, "{release}");
        assert_eq!((unmet[0].0, unmet[0].1), ("kernel", State::Missing));
    }
    for release in ["6.1.0", "6.12-rc1", "7.3.1", "10.0"] {
        assert_eq!(unmet(&[("/proc/sys/kernel/osrelease", Some(release))]), []);
    }
}

#[test]
fn the_remedy_for_the_list_is_that_of_the_distribution() {
    let list = (
        "/sys/kernel/security/lsm",
        Some("lockdown,capability,apparmor"),
    );
    let remedy = |os: &str, more: &[(&str, Option<&str>)]| {
        let mut changes = vec![list, ("/etc/os-release", Some(os))];
        changes.extend_from_slice(more);
        let unmet = unmet(&changes);
        assert_eq!(unmet.len(), 1);
        assert_eq!((unmet[0].0, unmet[0].1), ("lsm-list", State::Missing));
        assert!(unmet[0].2.contains("lockdown"), "{}", unmet[0].2);
        unmet[0].2.clone()
    };
    let ubuntu = remedy("ID=ubuntu\nID_LIKE=debian\n", &[]);
    assert!(
        ubuntu.contains("/etc/default/grub.d/60-guard.cfg"),
        "{ubuntu}"
    );
    assert!(
        ubuntu.contains("lsm=lockdown,capability,apparmor,bpf"),
        "{ubuntu}"
    );
    assert!(ubuntu.contains("sudo update-grub"), "{ubuntu}");
    let rocky = remedy("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", &[]);
    assert!(rocky.contains("sudo grubby --update-kernel=ALL"), "{rocky}");
    let arch = [
        ("/etc/default/grub", None),
        ("/boot/loader/entries/a.conf", Some("")),
    ];
    let arch = remedy("ID=arch\n", &arch);
    assert!(arch.contains("loader/entries/*.conf"), "{arch}");
    let nixos = remedy("ID=nixos\n", &[]);
    assert!(nixos.contains("\"apparmor\" \"bpf\" ]"), "{nixos}");
    let other = remedy("ID=buildroot\n", &[("/etc/default/grub", None)]);
    assert!(
        other.starts_with("Boot the kernel with the parameter lsm="),
        "{other}"
    );
    let set = remedy(
        "ID=debian\n",
        &[("/proc/cmdline", Some("ro lsm=lockdown quiet"))],
    );
    assert!(set.contains("takes the place of lsm=lockdown,"), "{set}");
}

#[test]
fn a_name_that_only_begins_like_bpf_is_not_bpf() {
    let unmet = unmet(&[("/sys/kernel/security/lsm", Some("capability,bpfx"))]);
    assert_eq!(unmet[0].0, "lsm-list");
}

#[test]
fn each_thing_that_is_missing_is_found() {
    for (path, text, id) in [
        ("/proc/sys/net/core/bpf_jit_enable", Some("0"), "jit"),
        ("/proc/sys/kernel/ftrace_enabled", Some("0"), "ftrace"),
        (
            "/sys/kernel/security/lockdown",
            Some("none integrity [confidentiality]"),
            "lockdown",
        ),
        ("/sys/kernel/btf/vmlinux", Some("nothing"), "bpf-lsm"),
        (
            "/proc/self/status",
            Some("Uid:\t0\t0\nCapEff:\t00000000a80425fb"),
            "capabilities",
        ),
    ] {
        let unmet = unmet(&[(path, text)]);
        assert_eq!(unmet.len(), 1, "{path}: {unmet:?}");
        assert_eq!((unmet[0].0, unmet[0].1), (id, State::Missing));
        assert!(!unmet[0].2.is_empty(), "{id} has no remedy");
    }
    let bare = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n";
    let unmet = unmet(&[("/proc/self/mountinfo", Some(bare))]);
    let ids: Vec<_> = unmet.iter().map(|(id, _, _)| *id).collect();
    assert_eq!(ids, ["cgroup2", "bpffs"]);
}

#[test]
fn without_btf_the_configuration_is_asked() {
    let config = ("/boot/config-6.12.1-amd64", Some("# x\nCONFIG_BPF_LSM=y\n"));
    let unmet = unmet(&[("/sys/kernel/btf/vmlinux", None), config]);
    let ids: Vec<_> = unmet.iter().map(|(id, _, _)| *id).collect();
    assert_eq!(ids, ["btf"]);
}

#[test]
fn what_cannot_be_read_is_not_taken_for_missing() {
    let status = "Uid:\t1000\t1000\nCapEff:\t0000000000000000";
    let unmet = unmet(&[
        ("/sys/kernel/security/lsm", None),
        ("/proc/self/status", Some(status)),
    ]);
    let found: Vec<_> = unmet.iter().map(|(id, state, _)| (*id, *state)).collect();
    assert_eq!(
        found,
        [
            ("lsm-list", State::Unknown),
            ("capabilities", State::Unknown)
        ]
    );
}

#[test]
fn a_session_is_refused_with_all_reasons_and_remedies() {
    let (_root, machine) = machine(&[
        ("/proc/sys/kernel/osrelease", Some("5.10.0-30-cloud-amd64")),
        ("/sys/kernel/security/lsm", Some("lockdown,capability")),
    ]);
    let failure = refuse(&all(&machine)).unwrap_err();
    assert_eq!(failure.exit, crate::cli::exit::Exit::Guard);
    assert_eq!(
        failure.message,
        "Guard can't enforce on this machine, so nothing was started.\n  \
         Linux 6.1 or newer: 5.10.0-30-cloud-amd64\n    \
         → Install a kernel of series 6.1 or newer from your distribution, and boot it.\n  \
         \"bpf\" among the active LSMs: lockdown,capability\n    \
         → sudo mkdir -p /etc/default/grub.d\n    \
         → echo 'GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX lsm=lockdown,capability,bpf\"' | sudo \
         tee /etc/default/grub.d/60-guard.cfg\n    \
         → sudo update-grub && sudo reboot\n  \
         `guard doctor` checks everything."
    );
    let (_root, well) = tests::machine(&[]);
    assert_eq!(refuse(&all(&well)), Ok(()));
}

#[test]
fn a_report_reads_well() {
    let (_root, machine) = machine(&[("/proc/sys/net/core/bpf_jit_enable", Some("0"))]);
    let text = Report::of(all(&machine)).to_string();
    let expected = "\
ok      Linux 6.1 or newer               6.12.1-amd64
ok      BPF LSM in the kernel            CONFIG_BPF_LSM=y
ok      \"bpf\" among the active LSMs      lockdown,capability,apparmor,bpf
ok      BTF of the kernel                /sys/kernel/btf/vmlinux
MISSING BPF compiled to machine code     off
        → sudo sysctl -w net.core.bpf_jit_enable=1
ok      tracing of kernel functions on   on
ok      lockdown lets BPF programs read  none
ok      cgroups of version 2             /sys/fs/cgroup
ok      cgroup controllers for limits    cpu io memory pids
ok      a BPF file system                /sys/fs/bpf
ok      capabilities of root             all that are needed

Guard can't enforce on this machine until what is missing is there.
";
    assert_eq!(text, expected);
}
