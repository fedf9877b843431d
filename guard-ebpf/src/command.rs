//! Command lines, as they are kept of the processes that were executed since they are asked for, and
//! of those that ran before.

use crate::abi::COMMAND_LEN;

/// A command line: in the storage of a process's leader (`COMMANDS`), in a table by its address before
/// 6.2 (`COMMAND_TABLE`), or, of those that have run since before command lines were kept, in `EARLIER`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    /// Odd while it is being written; another number afterwards than before.
    pub sequence: u64,
    /// How many bytes of the text count.
    pub length: u32,
    /// How many arguments there are. When the text does not have the ends of as many, it is cut.
    pub arguments: u32,
    /// The arguments, each ended by a NUL. What stands behind the last one means nothing.
    pub text: [u8; COMMAND_LEN],
}

impl Command {
    /// Nothing that is known.
    pub const UNKNOWN: Self = Self {
        sequence: 0,
        length: 0,
        arguments: u32::MAX,
        text: [0; COMMAND_LEN],
    };

    /// One in a form that can be matched: the arguments with a space between them, without those that
    /// are empty. None when it is cut. (The programs do the same, `guard-ebpf/src/walk/text.rs`.)
    pub fn joined(&self) -> Option<impl Iterator<Item = u8> + '_> {
        let text = self.text.get(..self.length as usize)?;
        let mut ends = text.iter().enumerate().filter(|(_, byte)| **byte == 0);
        let (end, _) = match self.arguments {
            0 => (0, &0),
            arguments => ends.nth(arguments as usize - 1)?,
        };
        let mut arguments = text[..end].split(|&byte| byte == 0);
        let mut started = false;
        let mut rest: &[u8] = &[];
        Some(core::iter::from_fn(move || {
            while rest.is_empty() {
                rest = arguments.next()?;
                if !rest.is_empty() && core::mem::replace(&mut started, true) {
                    return Some(b' ');
                }
            }
            let (first, others) = rest.split_first()?;
            rest = others;
            Some(*first)
        }))
    }
}

/// The key of `EARLIER`: a process that has not executed anything since command lines are kept.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EarlierKey {
    /// Its number in the first pid namespace.
    pub pid: u32,
    /// Zero.
    pub reserved: u32,
    /// When it started, in clock ticks since boot.
    pub start: u64,
}

const _: () = {
    assert!(size_of::<Command>() == 16 + COMMAND_LEN);
    assert!(COMMAND_LEN.is_power_of_two());
    assert!(size_of::<EarlierKey>() == 16);
};

#[cfg(test)]
mod tests {
    use super::*;

    fn command(text: &[u8], arguments: u32) -> Command {
        let mut command = Command {
            length: text.len() as u32,
            arguments,
            ..Command::UNKNOWN
        };
        command.text[..text.len()].copy_from_slice(text);
        command
    }

    fn joined(text: &[u8], arguments: u32) -> Option<Vec<u8>> {
        command(text, arguments).joined().map(Iterator::collect)
    }

    #[test]
    fn arguments_are_joined_without_empty_ones() {
        assert_eq!(joined(b"node\0a.js\0", 2), Some(b"node a.js".to_vec()));
        assert_eq!(
            joined(b"\0node\0\0\0a.js\0\0", 6),
            Some(b"node a.js".to_vec())
        );
        assert_eq!(joined(b"", 0), Some(Vec::new()));
        assert_eq!(joined(b"\0", 1), Some(Vec::new()));
    }

    #[test]
    fn what_stands_behind_the_last_argument_does_not_count() {
        assert_eq!(joined(b"a\0b\0SECRET=1\0", 2), Some(b"a b".to_vec()));
    }

    #[test]
    fn of_what_is_cut_nothing_is_known() {
        assert_eq!(joined(b"a\0b", 2), None);
        assert!(Command::UNKNOWN.joined().is_none());
    }
}
