//! Signals by name and number.
//!
//! The numbers are those of x86-64 and `AArch64` (signal(7)); MIPS, Alpha and SPARC differ.

use guard_ebpf::abi::MAX_SIGNAL;

/// The names of the signals 1 to 31, without `SIG`.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// Other names that are in use.
const ALIASES: [(&str, u32); 3] = [("IOT", 6), ("CLD", 17), ("POLL", 29)];

/// The first real-time signal that programs may use: the C library keeps 32 and 33.
const RTMIN: u32 = 34;

/// The names of the ordinary signals, without `SIG`.
pub fn names() -> impl Iterator<Item = &'static str> {
    NAMES.into_iter()
}

/// What a signal is called, without `SIG`; its number where it has no name.
#[must_use]
pub fn name(number: u32) -> String {
    let ordinary = (number as usize)
        .checked_sub(1)
        .and_then(|index| NAMES.get(index));
    match ordinary {
        Some(name) => (*name).to_owned(),
        None if number == RTMIN => "RTMIN".to_owned(),
        None if number > RTMIN && number <= MAX_SIGNAL => format!("RTMIN+{}", number - RTMIN),
        None => number.to_string(),
    }
}

/// The signal of a name (`TERM`, `SIGTERM`, `RTMIN+1`, in any case) or number (1 to 64).
#[must_use]
pub fn number(name: &str) -> Option<u32> {
    if let Ok(number) = name.parse() {
        return (1..=MAX_SIGNAL).contains(&number).then_some(number);
    }
    let upper = name.to_ascii_uppercase();
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(index) = NAMES.iter().position(|known| *known == bare) {
        return Some(index as u32 + 1);
    }
    if let Some((_, number)) = ALIASES.iter().find(|(known, _)| *known == bare) {
        return Some(*number);
    }
    let number = if let Some(rest) = bare.strip_prefix("RTMIN") {
        let offset = match rest.strip_prefix('+') {
            Some(offset) => offset.parse().ok()?,
            None if rest.is_empty() => 0,
            None => return None,
        };
        RTMIN.checked_add(offset)?
    } else {
        let rest = bare.strip_prefix("RTMAX")?;
        let offset = match rest.strip_prefix('-') {
            Some(offset) => offset.parse().ok()?,
            None if rest.is_empty() => 0,
            None => return None,
        };
        MAX_SIGNAL.checked_sub(offset)?
    };
    (RTMIN..=MAX_SIGNAL).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_the_kernels_numbers() {
        for (name, expected) in [
            ("KILL", 9),
            ("sigterm", 15),
            ("SIGINT", 2),
            ("USR2", 12),
            ("CONT", 18),
            ("STOP", 19),
            ("SYS", 31),
            ("POLL", 29),
            ("9", 9),
            ("64", 64),
            ("RTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("RTMAX-1", 63),
        ] {
            assert_eq!(number(name), Some(expected), "{name}");
        }
        for name in [
            "0", "65", "-1", "TREM", "SIG", "RTMIN+31", "RTMAX-31", "RTMINX", "",
        ] {
            assert_eq!(number(name), None, "{name}");
        }
    }

    #[test]
    fn names_lead_back_to_numbers() {
        for signal in 1..=MAX_SIGNAL {
            assert_eq!(number(&name(signal)), Some(signal));
        }
        assert_eq!(name(0), "0");
    }
}
