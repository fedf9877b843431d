//! A reader of the kernel's BTF: where fields lie, and what arguments hooks take.
//!
//! It goes over the raw bytes once, without building anything but an index of where types
//! begin and a list of the few names that it was asked for. (The format is the kernel's
//! `Documentation/bpf/btf.rst`.) What is malformed is an error, never a guess.

use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};

const MAGIC: u16 = 0xeb9f;

const KIND_INT: u32 = 1;
const KIND_PTR: u32 = 2;
const KIND_ARRAY: u32 = 3;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
const KIND_TYPEDEF: u32 = 8;
const KIND_VOLATILE: u32 = 9;
const KIND_CONST: u32 = 10;
const KIND_RESTRICT: u32 = 11;
const KIND_FUNC: u32 = 12;
const KIND_FUNC_PROTO: u32 = 13;
const KIND_VAR: u32 = 14;
const KIND_DATASEC: u32 = 15;
const KIND_DECL_TAG: u32 = 17;
const KIND_TYPE_TAG: u32 = 18;
const KIND_ENUM64: u32 = 19;

/// How deep anonymous structures and unions may lie in each other, and how many modifiers
/// a type may have. The kernel's own limit for both (`MAX_RESOLVE_DEPTH`) is 32.
const MAX_NESTING: u32 = 32;

/// An indexed BTF.
pub struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where each type begins, by its number less one.
    starts: Vec<u32>,
    /// The structures and functions that were asked for: (is a function, name) to number.
    named: HashMap<(bool, &'a str), u32>,
}

/// A type as it stands.
struct Type<'a> {
    name: u32,
    kind: u32,
    /// Number of members, parameters or values.
    count: u32,
    /// Whether members hold the size of a bit field.
    flag: bool,
    /// The size, or the type that it refers to.
    extent: u32,
    /// What follows.
    rest: &'a [u8],
}

impl Type<'_> {
    /// How many bytes follow a type's fixed part.
    fn length(&self) -> Result<usize> {
        let count = self.count as usize;
        Ok(match self.kind {
            KIND_INT | KIND_VAR | KIND_DECL_TAG => 4,
            KIND_ARRAY => 12,
            KIND_STRUCT | KIND_UNION | KIND_DATASEC | KIND_ENUM64 => 12 * count,
            KIND_ENUM | KIND_FUNC_PROTO => 8 * count,
            KIND_PTR | KIND_TYPEDEF | KIND_VOLATILE | KIND_CONST | KIND_RESTRICT | KIND_FUNC
            | 7 | 16 | KIND_TYPE_TAG => 0,
            kind => bail!("BTF has a type of the unknown kind {kind}"),
        })
    }
}

fn word(bytes: &[u8], at: usize) -> Result<u32> {
    let bytes = bytes
        .get(at..at + 4)
        .context("BTF ends in the middle of a word")?;
    Ok(u32::from_le_bytes(bytes.try_into().context("four bytes")?))
}

impl<'a> Btf<'a> {
    /// Indexes BTF. Structures and functions can be asked for later by the names that are
    /// given here.
    pub fn parse(data: &'a [u8], structures: &[&str], functions: &[&str]) -> Result<Self> {
        let magic = data.get(..2).context("BTF is empty")?;
        ensure!(
            u16::from_le_bytes([magic[0], magic[1]]) == MAGIC,
            "this is not BTF"
        );
        let header = word(data, 4)? as usize;
        let section = |offset: usize, length: usize| -> Result<&'a [u8]> {
            let start = header + word(data, offset)? as usize;
            let end = start + word(data, length)? as usize;
            data.get(start..end)
                .context("a section of BTF lies beyond its end")
        };
        let mut btf = Self {
            types: section(8, 12)?,
            strings: section(16, 20)?,
            starts: Vec::new(),
            named: HashMap::new(),
        };
        let mut at = 0;
        while at < btf.types.len() {
            btf.starts
                .push(u32::try_from(at).context("BTF is larger than 4 GiB")?);
            let this = btf.read(at)?;
            let wanted = match this.kind {
                KIND_STRUCT => Some((false, structures)),
                // Tracepoints are types of functions, with a name.
                KIND_FUNC | KIND_TYPEDEF => Some((true, functions)),
                _ => None,
            };
            if let Some((function, wanted)) = wanted {
                let name = btf.string(this.name)?;
                if wanted.contains(&name) {
                    let number = u32::try_from(btf.starts.len())?;
                    btf.named.entry((function, name)).or_insert(number);
                }
            }
            at += 12 + this.length()?;
        }
        Ok(btf)
    }

    fn read(&self, at: usize) -> Result<Type<'a>> {
        let info = word(self.types, at + 4)?;
        Ok(Type {
            name: word(self.types, at)?,
            kind: info >> 24 & 0x1f,
            count: info & 0xffff,
            flag: info >> 31 == 1,
            extent: word(self.types, at + 8)?,
            rest: &self.types[at + 12..],
        })
    }

    fn type_of(&self, number: u32) -> Result<Type<'a>> {
        let start = number
            .checked_sub(1)
            .and_then(|index| self.starts.get(index as usize))
            .with_context(|| format!("BTF has no type {number}"))?;
        self.read(*start as usize)
    }

    fn string(&self, offset: u32) -> Result<&'a str> {
        let rest = self
            .strings
            .get(offset as usize..)
            .context("a name lies beyond BTF's end")?;
        let end = rest
            .iter()
            .position(|&byte| byte == 0)
            .context("a name in BTF has no end")?;
        std::str::from_utf8(&rest[..end]).context("a name in BTF is no text")
    }

    /// The number of a function that was asked for.
    pub fn function(&self, name: &str) -> Option<u32> {
        self.named.get(&(true, name)).copied()
    }

    /// Where a field lies in a structure, in bytes, and whether it is a pointer. Looks into
    /// anonymous members as C does. None when the structure or the field isn't there.
    pub fn field(&self, structure: &str, field: &str) -> Result<Option<FieldAt>> {
        match self.named.get(&(false, structure)) {
            None => Ok(None),
            Some(&number) => self.member(number, field, 0, MAX_NESTING),
        }
    }

    fn member(&self, number: u32, field: &str, base: u32, depth: u32) -> Result<Option<FieldAt>> {
        let this = self.type_of(number)?;
        if !matches!(this.kind, KIND_STRUCT | KIND_UNION) {
            return Ok(None);
        }
        for index in 0..this.count as usize {
            let name = self.string(word(this.rest, index * 12)?)?;
            let member = word(this.rest, index * 12 + 4)?;
            let place = word(this.rest, index * 12 + 8)?;
            let bits = if this.flag {
                place & 0x00ff_ffff
            } else {
                place
            };
            let at = base + bits / 8;
            if name == field {
                ensure!(bits % 8 == 0, "{field} is a bit field");
                let pointer = self.resolve(member)?.kind == KIND_PTR;
                return Ok(Some(FieldAt {
                    offset: at,
                    pointer,
                }));
            }
            if name.is_empty()
                && let Some(depth) = depth.checked_sub(1)
                && let Some(found) = self.member(member, field, at, depth)?
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Follows names and modifiers to the type behind them.
    fn resolve(&self, number: u32) -> Result<Type<'a>> {
        let mut number = number;
        for _ in 0..MAX_NESTING {
            let this = self.type_of(number)?;
            match this.kind {
                KIND_TYPEDEF | KIND_VOLATILE | KIND_CONST | KIND_RESTRICT | KIND_TYPE_TAG => {
                    number = this.extent;
                }
                _ => return Ok(this),
            }
        }
        bail!("a type in BTF refers to itself")
    }

    /// The names of a function's arguments, in their order. None when the function isn't
    /// there.
    pub fn arguments(&self, function: &str) -> Result<Option<Vec<&'a str>>> {
        let Some(number) = self.function(function) else {
            return Ok(None);
        };
        let prototype = self.type_of(self.type_of(number)?.extent)?;
        ensure!(
            prototype.kind == KIND_FUNC_PROTO,
            "{function} has no prototype in BTF"
        );
        (0..prototype.count as usize)
            .map(|index| self.string(word(prototype.rest, index * 8)?))
            .collect::<Result<_>>()
            .map(Some)
    }
}

/// Where a field lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldAt {
    /// In bytes from the beginning of the structure.
    pub offset: u32,
    /// Whether it is a pointer.
    pub pointer: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Builds BTF for tests.
    #[derive(Default)]
    struct Builder {
        types: Vec<u8>,
        strings: Vec<u8>,
    }

    impl Builder {
        fn name(&mut self, name: &str) -> u32 {
            if self.strings.is_empty() {
                self.strings.push(0);
            }
            if name.is_empty() {
                return 0;
            }
            let at = self.strings.len() as u32;
            self.strings.extend(name.as_bytes());
            self.strings.push(0);
            at
        }

        fn push(&mut self, words: &[u32]) {
            for word in words {
                self.types.extend(word.to_le_bytes());
            }
        }

        fn entry(&mut self, name: &str, kind: u32, count: u32, size_or_type: u32) {
            let name = self.name(name);
            self.push(&[name, kind << 24 | count, size_or_type]);
        }

        fn member(&mut self, name: &str, number: u32, bits: u32) {
            let name = self.name(name);
            self.push(&[name, number, bits]);
        }

        fn finish(self) -> Vec<u8> {
            let mut data = Vec::new();
            data.extend(MAGIC.to_le_bytes());
            data.extend([1, 0]);
            for word in [
                24,
                0,
                self.types.len() as u32,
                self.types.len() as u32,
                self.strings.len() as u32,
            ] {
                data.extend(word.to_le_bytes());
            }
            data.extend(self.types);
            data.extend(self.strings);
            data
        }
    }

    fn sample() -> Vec<u8> {
        let mut btf = Builder::default();
        btf.entry("int", KIND_INT, 0, 4); // 1
        btf.push(&[32]);
        btf.entry("", KIND_PTR, 0, 1); // 2
        btf.entry("", KIND_UNION, 2, 8); // 3: anonymous
        btf.member("inner", 1, 0);
        btf.member("other", 2, 0);
        btf.entry("outer", KIND_STRUCT, 3, 24); // 4
        btf.member("first", 1, 0);
        btf.member("", 3, 64);
        btf.member("last", 2, 128);
        btf.entry("", KIND_FUNC_PROTO, 2, 0); // 5
        let (task, signal) = (btf.name("p"), btf.name("sig"));
        btf.push(&[task, 2, signal, 1]);
        btf.entry("bpf_lsm_hook", KIND_FUNC, 0, 5); // 6
        btf.finish()
    }

    #[test]
    fn fields_are_found_also_in_anonymous_members() {
        let data = sample();
        let btf = Btf::parse(&data, &["outer"], &[]).unwrap();
        let field = |name| btf.field("outer", name).unwrap();
        assert_eq!(
            field("first"),
            Some(FieldAt {
                offset: 0,
                pointer: false
            })
        );
        assert_eq!(
            field("inner"),
            Some(FieldAt {
                offset: 8,
                pointer: false
            })
        );
        assert_eq!(
            field("other"),
            Some(FieldAt {
                offset: 8,
                pointer: true
            })
        );
        assert_eq!(
            field("last"),
            Some(FieldAt {
                offset: 16,
                pointer: true
            })
        );
        assert_eq!(field("absent"), None);
        assert_eq!(btf.field("absent", "first").unwrap(), None);
    }

    #[test]
    fn arguments_have_their_names_in_order() {
        let data = sample();
        let btf = Btf::parse(&data, &[], &["bpf_lsm_hook"]).unwrap();
        assert_eq!(btf.function("bpf_lsm_hook"), Some(6));
        assert_eq!(
            btf.arguments("bpf_lsm_hook").unwrap(),
            Some(vec!["p", "sig"])
        );
        assert_eq!(btf.arguments("bpf_lsm_other").unwrap(), None);
    }

    proptest! {
        #[test]
        fn whatever_the_bytes_nothing_panics(
            flips in proptest::collection::vec((0_usize..400, any::<u8>()), 0..8),
            cut in 0_usize..400,
        ) {
            let mut data = sample();
            for (at, byte) in flips {
                if let Some(place) = data.get_mut(at) {
                    *place = byte;
                }
            }
            data.truncate(data.len().min(cut));
            if let Ok(btf) = Btf::parse(&data, &["outer"], &["bpf_lsm_hook"]) {
                let _ = btf.field("outer", "absent");
                let _ = btf.arguments("bpf_lsm_hook");
            }
        }
    }
}
