//! Exit statuses and failures: how a run of `guard` ends. Documented in `docs/exit-codes.md`.

use std::fmt;

/// How `guard` ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All went well.
    Success,
    /// `guard doctor` found something missing, `guard stop` could not end everything, or `guard why`
    /// found nothing.
    Unmet,
    /// A mistake in the policy or on the command line. Nothing was started.
    Usage,
    /// Guard itself failed, or cannot enforce on this machine. Nothing was started.
    Guard,
    /// The command is there and can't be executed.
    NotExecutable,
    /// There is no such command.
    NotFound,
    /// The command's own status.
    Command(u8),
    /// The command died of this signal, and so does `guard run`.
    Signal(i32),
}

impl Exit {
    /// The exit status; for [`Exit::Signal`] what a shell makes of it.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Unmet => 1,
            Self::Usage => 2,
            Self::Guard => 125,
            Self::NotExecutable => 126,
            Self::NotFound => 127,
            Self::Command(status) => status,
            Self::Signal(signal) => 128_u8.saturating_add(u8::try_from(signal).unwrap_or(127)),
        }
    }
}

/// Why a verb could not do what it was asked for: what people read, and how `guard` ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// How `guard` ends.
    pub exit: Exit,
    /// Whole sentences: what happened, to what, what to do.
    pub message: String,
}

impl Failure {
    /// A mistake of the caller's: status 2.
    pub fn usage(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Usage,
            message: message.into(),
        }
    }

    /// A failure of guard, or of what it needs: status 125.
    pub fn guard(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Guard,
            message: message.into(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl From<anyhow::Error> for Failure {
    /// Errors that nobody has put into words for people are guard's own.
    fn from(error: anyhow::Error) -> Self {
        Self::guard(format!("{error:#}"))
    }
}

/// Whether an error only says that whoever read our output has stopped reading: no failure.
#[must_use]
pub fn is_broken_pipe(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::BrokenPipe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_those_of_the_document() {
        let document = include_str!("../../../docs/exit-codes.md");
        for exit in [
            Exit::Success,
            Exit::Unmet,
            Exit::Usage,
            Exit::Guard,
            Exit::NotExecutable,
            Exit::NotFound,
        ] {
            let row = format!("| {} |", exit.code());
            assert!(document.contains(&row), "docs/exit-codes.md lacks {row}");
        }
    }

    #[test]
    fn a_signal_is_what_a_shell_makes_of_it() {
        assert_eq!(Exit::Signal(9).code(), 137);
        assert_eq!(Exit::Signal(64).code(), 192);
    }
}
