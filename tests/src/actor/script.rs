//! Attacks that are lists of system calls: most ways to do harm are one to four of them, so a
//! table can hold them and no program has to be written for each.
//!
//! A script is `NUMBER ARGUMENT… ; NUMBER ARGUMENT…`. It ends with the first call that fails, unless
//! a `?` stands before the number. An argument is:
//!
//! | form | what the call is given |
//! | --- | --- |
//! | `7`, `-100` | the number |
//! | `$2` | what the second call returned |
//! | `t:TEXT` | the address of the text, with a NUL behind it |
//! | `x:HEX` | the address of these bytes |
//! | `b:NAME:HEX` | the same; later calls that say `b:NAME` get the same bytes as they are then |
//! | `v:A,B` | the address of an array of words, each an argument |
//! | `f:FLAGS:PATH` | a descriptor of the file, opened now |
//! | `received` | a descriptor that the test sends |

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use nix::errno::Errno;
use nix::libc;

use super::{Attempt, Words, identity, ring};
use crate::support::raw::{self, call};

/// What no system call has a number for.
pub const STORE: i64 = -1;
/// New namespaces, with a user namespace around them where the attacker is not root.
pub const NAMESPACES: i64 = -2;
/// One operation of an `io_uring`: the operation, then the words of its entry.
pub const RING: i64 = -3;
/// Waits for so many milliseconds.
pub const PAUSE: i64 = -4;

/// Runs the script.
pub(super) fn run(words: &Words<'_>) -> anyhow::Result<Attempt> {
    let mut memory = Memory::default();
    let mut results = Vec::new();
    for step in words.0.split(|word| word == ";") {
        let (number, arguments) = step.split_first().context("a step is empty")?;
        let may_fail = number.starts_with('?');
        let number: i64 = number
            .trim_start_matches('?')
            .parse()
            .with_context(|| format!("{number} is no system call"))?;
        let mut values = Vec::new();
        for argument in arguments {
            match memory.value(argument, &results)? {
                Ok(value) => values.push(value),
                Err(errno) => return Ok(Err(errno)),
            }
        }
        let value = |at: usize| values.get(at).copied().unwrap_or(0);
        let result = match number {
            STORE => {
                // SAFETY: the script has mapped this address, or the attack ends here.
                unsafe { (value(0) as *mut u8).write_volatile(value(1) as u8) };
                Ok(0)
            }
            NAMESPACES => identity::own_namespaces(value(0) as i32),
            RING => ring::once(value(0) as u8, &values[1..])?,
            PAUSE => {
                std::thread::sleep(std::time::Duration::from_millis(value(0) as u64));
                Ok(0)
            }
            number => call(number as libc::c_long, &values),
        };
        match result {
            Ok(value) => results.push(value),
            Err(_) if may_fail => results.push(usize::MAX),
            Err(errno) => return Ok(Err(errno)),
        }
    }
    results.last().copied().map(Ok).context("an empty script")
}

/// What arguments point to. Boxes stay where they are when others come.
#[derive(Default)]
struct Memory {
    bytes: Vec<Box<[u8]>>,
    words: Vec<Box<[usize]>>,
    named: BTreeMap<String, usize>,
}

impl Memory {
    fn value(&mut self, argument: &str, results: &[usize]) -> anyhow::Result<Attempt> {
        if argument == "received" {
            return Ok(receive());
        }
        if let Some(step) = argument.strip_prefix('$') {
            let at: usize = step.parse()?;
            let result = at.checked_sub(1).and_then(|at| results.get(at));
            return Ok(Ok(*result.with_context(|| format!("no result {step}"))?));
        }
        let Some((kind, rest)) = argument.split_once(':') else {
            let number: i64 = argument
                .parse()
                .with_context(|| format!("the argument {argument:?}"))?;
            return Ok(Ok(number as usize));
        };
        Ok(Ok(match kind {
            "t" => {
                let mut text = rest.as_bytes().to_vec();
                text.push(0);
                self.keep(text)
            }
            "x" => self.keep(bytes(rest)?),
            "b" => match rest.split_once(':') {
                Some((name, hex)) => {
                    let address = self.keep(bytes(hex)?);
                    self.named.insert(name.to_owned(), address);
                    address
                }
                None => *self
                    .named
                    .get(rest)
                    .with_context(|| format!("no bytes are called {rest}"))?,
            },
            "v" => {
                let mut words = Vec::new();
                for word in rest.split(',') {
                    match self.value(word, results)? {
                        Ok(value) => words.push(value),
                        Err(errno) => return Ok(Err(errno)),
                    }
                }
                self.words.push(words.into_boxed_slice());
                self.words.last().map_or(0, |words| words.as_ptr() as usize)
            }
            "f" => {
                let (flags, path) = rest.split_once(':').context("a file without flags")?;
                return Ok(raw::open(path, flags.parse()?));
            }
            _ => bail!("there is no argument of the kind {kind}"),
        }))
    }

    fn keep(&mut self, bytes: Vec<u8>) -> usize {
        self.bytes.push(bytes.into_boxed_slice());
        self.bytes.last().map_or(0, |bytes| bytes.as_ptr() as usize)
    }
}

fn bytes(hex: &str) -> anyhow::Result<Vec<u8>> {
    (0..hex.len() / 2)
        .map(|at| Ok(u8::from_str_radix(&hex[2 * at..2 * at + 2], 16)?))
        .collect()
}

/// Takes a descriptor that the test sends over standard input. A message that comes without one
/// has lost it to a security module: the kernel does not say which error it was.
fn receive() -> Attempt {
    let mut byte = [0_u8; 1];
    let part = [byte.as_mut_ptr() as usize, byte.len()];
    // struct cmsghdr { size_t length; int level; int type; } and one descriptor.
    let mut control = [0_usize; 3];
    // struct msghdr: name, its length, parts, their number, control, its length, flags.
    let mut message = [
        0,
        0,
        part.as_ptr() as usize,
        1,
        control.as_mut_ptr() as usize,
        size_of_val(&control),
        0,
    ];
    call(libc::SYS_recvmsg, &[0, message.as_mut_ptr() as usize, 0])?;
    if message[5] == 0 || control[0] < 20 {
        return Err(Errno::EPERM);
    }
    Ok(control[2] & 0xffff_ffff)
}
