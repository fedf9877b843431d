//! The names of signals, as events and people write them: without `SIG`.

/// Names in the order of their numbers, from 1. The same on every architecture that Guard
/// runs on.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// The first real-time signal that programs can use; the C library keeps 32 and 33.
const RTMIN: u8 = 34;

/// A signal's name: `KILL`, `RTMIN+3`; its number when it has none. `None` for 0.
#[must_use]
pub fn name(signal: u8) -> Option<String> {
    match signal {
        0 => None,
        1..=31 => Some(NAMES[usize::from(signal) - 1].to_owned()),
        RTMIN => Some("RTMIN".to_owned()),
        RTMIN..=64 => Some(format!("RTMIN+{}", signal - RTMIN)),
        _ => Some(signal.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_at_their_numbers() {
        let named = |signal: i32| name(signal as u8).expect("a name");
        assert_eq!(named(libc::SIGHUP), "HUP");
        assert_eq!(named(libc::SIGKILL), "KILL");
        assert_eq!(named(libc::SIGUSR2), "USR2");
        assert_eq!(named(libc::SIGTERM), "TERM");
        assert_eq!(named(libc::SIGCHLD), "CHLD");
        assert_eq!(named(libc::SIGSTOP), "STOP");
        assert_eq!(named(libc::SIGWINCH), "WINCH");
        assert_eq!(named(libc::SIGIO), "IO");
        assert_eq!(named(libc::SIGSYS), "SYS");
        assert_eq!(named(libc::SIGRTMIN()), "RTMIN");
        assert_eq!(named(libc::SIGRTMAX()), "RTMIN+30");
        assert_eq!(name(33).as_deref(), Some("33"));
        assert_eq!(name(0), None);
    }
}
