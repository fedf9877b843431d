//! What a session may take of the machine, so that it can't starve the rest: its values, and
//! what they come to on this machine. `cgroup.rs` and `scope.rs` put them in force.
//!
//! Memory is left to the rest rather than divided: sessions come and go, and one that is alone
//! should be able to build something large. Where the sum of all is too much nonetheless, the
//! kernel ends processes of sessions before any other (`oom.rs`).
//!
//! When a session reaches its limit of memory, the kernel ends the one process in it that takes
//! most, and not all of them (`memory.oom.group` stays 0): an agent whose test takes too much is
//! told that the test was killed, and goes on. To end the agent with it would destroy its work.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A limit as a policy says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// Bytes, or processes.
    Number(u64),
    /// A share, in percent: of the machine's memory, of its swap, of one processor.
    Percent(u64),
    /// No limit.
    Unlimited,
}

/// The limits that a policy sets; what it doesn't set is as in [`Limits::DEFAULT`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Memory: bytes, or a share of the machine's.
    pub memory: Option<Limit>,
    /// Swap: bytes, or a share of the machine's.
    pub swap: Option<Limit>,
    /// Processes, each thread counted.
    pub processes: Option<Limit>,
    /// Processor time, in percent of one processor.
    pub cpu: Option<Limit>,
    /// The part that the session gets of processors and disks that others want too. Each
    /// session has 100 by itself.
    pub weight: Option<u16>,
}

/// The word for no limit.
const UNLIMITED: &str = "unlimited";

/// The period over which processor time is counted: 100 ms, the kernel's default.
pub const CPU_PERIOD_MICROSECONDS: u64 = 100_000;

/// What `cpu.weight` and `io.weight` take.
const WEIGHTS: std::ops::RangeInclusive<u16> = 1..=10_000;

impl Limits {
    /// What is in force where no policy says otherwise.
    ///
    /// Memory: three quarters; a quarter keeps services answering, and the page cache warm. Swap:
    /// half, or a leak would fill it and slow down everybody first. Processes: a tenth of the
    /// smallest `pid_max` of today's machines (32,768), and more than large builds have been
    /// seen to need. Processors: all, as long as nobody else wants them.
    pub const DEFAULT: Self = Self {
        memory: Some(Limit::Percent(75)),
        swap: Some(Limit::Percent(50)),
        processes: Some(Limit::Number(4096)),
        cpu: Some(Limit::Unlimited),
        weight: None,
    };

    /// These limits, and for those that are not set the others.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            memory: self.memory.or(other.memory),
            swap: self.swap.or(other.swap),
            processes: self.processes.or(other.processes),
            cpu: self.cpu.or(other.cpu),
            weight: self.weight.or(other.weight),
        }
    }

    /// What the limits come to on a machine, the defaults included.
    #[must_use]
    pub fn on(self, machine: Machine) -> Numbers {
        let Self {
            memory,
            swap,
            processes,
            cpu,
            weight,
        } = self.or(Self::DEFAULT);
        let share = |limit: Option<Limit>, whole: u64| match limit? {
            Limit::Number(number) => Some(number),
            Limit::Percent(percent) => Some((u128::from(whole) * u128::from(percent) / 100) as u64),
            Limit::Unlimited => None,
        };
        Numbers {
            memory: share(memory, machine.memory),
            swap: share(swap, machine.swap),
            processes: share(processes, 0),
            cpu: share(cpu, CPU_PERIOD_MICROSECONDS),
            weight,
        }
    }
}

/// Limits in the kernel's units; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Bytes of swap.
    pub swap: Option<u64>,
    /// Processes and threads.
    pub processes: Option<u64>,
    /// Microseconds of processor time in each [`CPU_PERIOD_MICROSECONDS`].
    pub cpu: Option<u64>,
    /// Weight among the sessions; `None` is the kernel's own, 100.
    pub weight: Option<u16>,
}

/// How much a machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes of swap.
    pub swap: u64,
}

impl Machine {
    /// This machine, from `/proc/meminfo`.
    pub fn this() -> std::io::Result<Self> {
        let text = std::fs::read_to_string("/proc/meminfo")?;
        Self::parse(&text).ok_or_else(|| std::io::Error::other("/proc/meminfo has no MemTotal"))
    }

    fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
            Some(kibibytes * 1024)
        };
        Some(Self {
            memory: field("MemTotal:")?,
            swap: field("SwapTotal:").unwrap_or(0),
        })
    }
}

/// Why a value is none: a clause that says what is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadValue(&'static str);

impl BadValue {
    /// Memory of which there is none.
    pub const NO_MEMORY: Self = Self("no process runs without memory");
}

impl fmt::Display for BadValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

impl fmt::Display for Limit {
    /// As a policy says it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(formatter, "{number}"),
            Self::Percent(percent) => write!(formatter, "{percent}%"),
            Self::Unlimited => formatter.write_str(UNLIMITED),
        }
    }
}

impl Limit {
    /// An amount of memory or swap: `4G` (K, M, G and T are powers of 1024), `50%`,
    /// `unlimited`.
    pub fn amount(text: &str) -> Result<Self, BadValue> {
        const ASKED: BadValue = BadValue(
            "an amount is like `4G` or `512M`, a share of the machine's like `50%`, or `unlimited`",
        );
        if text == UNLIMITED {
            return Ok(Self::Unlimited);
        }
        if let Some(percent) = text.strip_suffix('%') {
            return match number(percent) {
                Some(percent @ 0..=100) => Ok(Self::Percent(percent)),
                _ => Err(BadValue("a share of the machine's is from `0%` to `100%`")),
            };
        }
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let shift = match &text[digits.len()..] {
            "" => 0,
            "K" => 10,
            "M" => 20,
            "G" => 30,
            "T" => 40,
            _ => return Err(ASKED),
        };
        let bytes = number(digits).and_then(|number| number.checked_mul(1 << shift));
        bytes.map(Self::Number).ok_or(ASKED)
    }

    /// A number of processes: `4096`, `unlimited`.
    pub fn count(text: &str) -> Result<Self, BadValue> {
        if text == UNLIMITED {
            return Ok(Self::Unlimited);
        }
        match number(text) {
            Some(number) if number > 0 => Ok(Self::Number(number)),
            _ => Err(BadValue(
                "a number of processes is like `4096`, or `unlimited`",
            )),
        }
    }

    /// Processor time in percent of one processor: `200%` is two of them; `unlimited`.
    pub fn processors(text: &str) -> Result<Self, BadValue> {
        if text == UNLIMITED {
            return Ok(Self::Unlimited);
        }
        match text.strip_suffix('%').and_then(number) {
            Some(percent) if (1..=1_000_000).contains(&percent) => Ok(Self::Percent(percent)),
            _ => Err(BadValue(
                "processor time is in percent of one processor, like `200%`, or `unlimited`",
            )),
        }
    }

    /// Whether it leaves room for anything.
    #[must_use]
    pub fn is_zero(self) -> bool {
        matches!(self, Self::Number(0) | Self::Percent(0))
    }
}

/// A weight: from 1 to 10000.
pub fn weight(text: &str) -> Result<u16, BadValue> {
    let weight = number(text).and_then(|number| u16::try_from(number).ok());
    weight
        .filter(|weight| WEIGHTS.contains(weight))
        .ok_or(BadValue(
            "a weight is from 1 to 10000; each session has 100",
        ))
}

/// Digits and nothing else.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_units_shares_and_no_end() {
        for (text, limit) in [
            ("4G", Limit::Number(4 << 30)),
            ("512M", Limit::Number(512 << 20)),
            ("8K", Limit::Number(8 << 10)),
            ("1T", Limit::Number(1 << 40)),
            ("4096", Limit::Number(4096)),
            ("0", Limit::Number(0)),
            ("50%", Limit::Percent(50)),
            ("unlimited", Limit::Unlimited),
        ] {
            assert_eq!(Limit::amount(text), Ok(limit), "{text}");
        }
        for text in [
            "",
            "G",
            "4g",
            "4 G",
            "4GB",
            "4.5G",
            "-1",
            "101%",
            "%",
            "1e3",
            "max",
            "+4G",
            "99999999999999T",
            "４G",
            "5%%",
        ] {
            assert!(Limit::amount(text).is_err(), "{text}");
        }
    }

    #[test]
    fn processes_and_processors_have_their_own_forms() {
        assert_eq!(Limit::count("4096"), Ok(Limit::Number(4096)));
        assert_eq!(Limit::count("unlimited"), Ok(Limit::Unlimited));
        assert_eq!(Limit::processors("250%"), Ok(Limit::Percent(250)));
        assert_eq!(Limit::processors("unlimited"), Ok(Limit::Unlimited));
        assert_eq!(weight("10000"), Ok(10_000));
        for text in ["0", "4K", "50%", ""] {
            assert!(Limit::count(text).is_err(), "{text}");
        }
        for text in ["2", "0%", "-1%", "99999999%"] {
            assert!(Limit::processors(text).is_err(), "{text}");
        }
        for text in ["0", "10001", "70000", "idle"] {
            assert!(weight(text).is_err(), "{text}");
        }
    }

    #[test]
    fn limits_come_to_numbers_of_the_machine() {
        let machine = Machine::parse("MemTotal:  1000 kB\nMemFree: 1 kB\nSwapTotal: 10 kB\n");
        let machine = machine.unwrap();
        let numbers = Limits::default().on(machine);
        assert_eq!(numbers.memory, Some(750 << 10));
        assert_eq!(numbers.swap, Some(5 << 10));
        assert_eq!(numbers.processes, Some(4096));
        assert_eq!((numbers.cpu, numbers.weight), (None, None));
        let limits = Limits {
            memory: Some(Limit::Unlimited),
            cpu: Some(Limit::Percent(250)),
            weight: Some(20),
            ..Limits::default()
        };
        let numbers = limits.on(machine);
        assert_eq!((numbers.memory, numbers.cpu), (None, Some(250_000)));
        assert_eq!(numbers.weight, Some(20));
        assert_eq!(Machine::parse(""), None);
        assert!(Machine::this().unwrap().memory > 0);
    }

    #[test]
    fn what_comes_first_is_kept() {
        let first = Limits {
            memory: Some(Limit::Number(1)),
            ..Limits::default()
        };
        let second = Limits {
            memory: Some(Limit::Number(2)),
            swap: Some(Limit::Number(3)),
            ..Limits::default()
        };
        let both = first.or(second);
        assert_eq!(both.memory, Some(Limit::Number(1)));
        assert_eq!(both.swap, Some(Limit::Number(3)));
    }
}
