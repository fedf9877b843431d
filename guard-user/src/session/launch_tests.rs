//! Launches of harmless commands.

use super::*;
use nix::sys::wait::{WaitStatus, waitpid};

fn plan(program: &str, arguments: &[&str]) -> Plan {
    Plan::new(
        program.into(),
        arguments.iter().map(OsString::from).collect(),
        vec![("PATH".into(), "/usr/bin:/bin".into())],
        None,
    )
    .unwrap()
}

fn status_of(plan: Plan) -> WaitStatus {
    let command = plan.fork().unwrap().release(None, None, None).unwrap();
    waitpid(command.pid, None).unwrap()
}

#[test]
fn the_command_runs_with_its_arguments_and_environment_only() {
    let status = status_of(plan(
        "/bin/sh",
        &[
            "sh",
            "-c",
            "test \"$PATH\" = /usr/bin:/bin && test -z \"$HOME\" && exit 7",
        ],
    ));
    assert!(matches!(status, WaitStatus::Exited(_, 7)), "{status:?}");
}

#[test]
fn the_command_finds_its_session_in_its_environment() {
    let name = Name::new(&"n".repeat(crate::session::name::MAX_LENGTH)).unwrap();
    let script = format!("test \"$GUARD_SESSION$GUARD_RUNTIME\" = {name}/run/x && exit 7");
    let held = plan("/bin/sh", &["sh", "-c", &script]).fork().unwrap();
    let runtime = Some(Path::new("/run/x"));
    let command = held.release(None, Some(&name), runtime).unwrap();
    let status = waitpid(command.pid, None).unwrap();
    assert!(matches!(status, WaitStatus::Exited(_, 7)), "{status:?}");
}

#[test]
fn a_command_that_cannot_be_executed_says_so() {
    let failure = plan("/nowhere/none", &["none"])
        .fork()
        .unwrap()
        .release(None, None, None)
        .unwrap_err();
    assert_eq!(failure.exit, Exit::NotFound);
    let failure = plan("/etc/passwd", &["passwd"])
        .fork()
        .unwrap()
        .release(None, None, None)
        .unwrap_err();
    assert_eq!(failure.exit, Exit::NotExecutable);
}

#[test]
fn a_script_without_an_interpreter_line_goes_to_the_shell() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("script");
    std::fs::write(&script, "exit $1\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let status = status_of(plan(script.to_str().unwrap(), &["script", "9"]));
    assert!(matches!(status, WaitStatus::Exited(_, 9)), "{status:?}");
}

#[test]
fn nothing_runs_before_the_gate_opens_or_when_it_never_does() {
    let directory = tempfile::tempdir().unwrap();
    let mark = directory.path().join("ran");
    let script = format!("touch {}", mark.display());
    let held = plan("/bin/sh", &["sh", "-c", &script]).fork().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert!(!mark.exists());
    held.abandon();
    assert!(!mark.exists());
}

#[test]
fn a_guard_that_lets_the_forbidden_signal_through_is_found_out() {
    // Nobody refuses this signal here: the process is a harmless one of our own.
    let mut canary = std::process::Command::new("/bin/sleep")
        .arg("60")
        .spawn()
        .unwrap();
    let pid = Pid::from_raw(canary.id() as i32);
    let failure = plan("/bin/true", &["true"])
        .fork()
        .unwrap()
        .release(Some(pid), None, None)
        .unwrap_err();
    canary.kill().unwrap();
    canary.wait().unwrap();
    assert_eq!(failure.exit, Exit::Guard);
    assert!(failure.message.contains("does not enforce"), "{failure}");
}

#[test]
fn descriptors_beyond_the_standard_ones_stay_behind() {
    // One that an exec would not close.
    let stray = nix::unistd::dup(io::stdin()).unwrap();
    let status = status_of(plan(
        "/bin/sh",
        &["sh", "-c", "set -- /proc/$$/fd/*; exit $#"],
    ));
    drop(stray);
    // Three, and the one by which the shell reads the directory.
    assert!(matches!(status, WaitStatus::Exited(_, 3 | 4)), "{status:?}");
}

#[test]
fn the_command_gets_the_credentials_it_is_to_have() {
    if !Uid::effective().is_root() {
        return;
    }
    let plan = Plan::new(
        "/bin/sh".into(),
        [
            "sh",
            "-c",
            "test \"$(id -u):$(id -g):$(id -G)\" = '65534:65533:65533 65532'",
        ]
        .map(OsString::from)
        .to_vec(),
        vec![("PATH".into(), "/usr/bin:/bin".into())],
        Some(Credentials {
            uid: Uid::from_raw(65534),
            gid: Gid::from_raw(65533),
            groups: vec![Gid::from_raw(65532)],
        }),
    )
    .unwrap();
    let status = status_of(plan);
    assert!(matches!(status, WaitStatus::Exited(_, 0)), "{status:?}");
}
