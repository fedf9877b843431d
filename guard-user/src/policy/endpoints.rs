//! What stands for sockets without a file in the automaton: patterns of digits.
//!
//! [`guard_ebpf::socket`] says how the kernel writes such a socket. Addresses and ports are digits
//! there, so a prefix or a range of ports becomes patterns of digits, as few as will do.

use std::net::{IpAddr, Ipv6Addr};

use guard_ebpf::socket::digit;

use super::glob::Token;

/// The digits that a place of an address or a port can have, both included.
pub(crate) type Digits = (u8, u8);

/// Any digit.
const ANY: Digits = (0, 15);

/// How many digits an address has.
const ADDRESS: usize = 32;

/// How many digits a port has.
const PORT: usize = 4;

/// Some addresses: those that begin with these digits.
pub(crate) type Prefix = Vec<Digits>;

/// The beginning of the addresses that a text names. The error says what is wrong with it.
pub(crate) fn prefix(text: &str) -> Result<Prefix, String> {
    if text == "any" {
        return Ok(Vec::new());
    }
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        return Err(format!(
            "`{text}` is no address; write one such as `127.0.0.1`, `10.0.0.0/8` or `\"::1\"`, or \
             `any` (names of hosts are not looked up)"
        ));
    };
    let (bits, whole) = match address {
        IpAddr::V4(address) => (address.to_ipv6_mapped().to_bits(), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    };
    let length = match length {
        None => whole,
        Some(length) => match length.parse::<u32>() {
            Ok(length) if length <= whole => length,
            _ => {
                return Err(format!(
                    "`/{length}` is no length of a prefix of this address; it goes from 0 to {whole}"
                ));
            }
        },
    };
    // IPv4 lies behind 96 bits of IPv6.
    let length = length + 128 - whole;
    let kept = bits & u128::MAX.checked_shl(128 - length).unwrap_or(0);
    if kept != bits {
        let kept = Ipv6Addr::from_bits(kept);
        let kept = match address {
            IpAddr::V4(_) => kept.to_canonical(),
            IpAddr::V6(_) => IpAddr::V6(kept),
        };
        return Err(format!(
            "`{text}` has bits behind its prefix; write `{kept}/{}`",
            length + whole - 128
        ));
    }
    let digits = (0..length.div_ceil(4)).map(|place| {
        let first = (bits >> (124 - 4 * place)) as u8 & 15;
        let free = (4 * place + 4).saturating_sub(length);
        (first, first | ((1 << free) - 1))
    });
    Ok(digits.collect())
}

/// The patterns of the ports from one to another.
pub(crate) fn ports_between(first: u16, last: u16) -> Vec<Vec<Digits>> {
    let mut patterns = Vec::new();
    between(
        first.into(),
        last.into(),
        PORT,
        &mut Vec::new(),
        &mut patterns,
    );
    patterns
}

/// Adds the patterns of the numbers from one to another, of so many digits, behind `begun`.
fn between(
    first: u32,
    last: u32,
    digits: usize,
    begun: &mut Vec<Digits>,
    patterns: &mut Vec<Vec<Digits>>,
) {
    // How many numbers there are to each first digit.
    let size = 16_u32.pow(digits as u32);
    if first == 0 && last == size - 1 {
        let rest = std::iter::repeat_n(ANY, digits);
        patterns.push(begun.iter().copied().chain(rest).collect());
        return;
    }
    let size = size / 16;
    let (low, high) = (first / size, last / size);
    let mut deeper = |digit: u32, first, last| {
        begun.push((digit as u8, digit as u8));
        between(first, last, digits - 1, begun, patterns);
        begun.pop();
    };
    if low == high {
        deeper(low, first % size, last % size);
        return;
    }
    // Whole ranges in the middle, and what is left at the two ends.
    let whole_low = first.is_multiple_of(size);
    let whole_high = (last + 1).is_multiple_of(size);
    if !whole_low {
        deeper(low, first % size, size - 1);
    }
    if !whole_high {
        deeper(high, 0, last % size);
    }
    let low = if whole_low { low } else { low + 1 };
    let high = if whole_high { high } else { high - 1 };
    if low <= high {
        let rest = std::iter::repeat_n(ANY, digits - 1);
        let middle = std::iter::once((low as u8, high as u8)).chain(rest);
        patterns.push(begun.iter().copied().chain(middle).collect());
    }
}

/// What stands for the Internet sockets with these addresses and these ports.
pub(crate) fn endpoints(
    addresses: Option<&[Prefix]>,
    ports: Option<&[Vec<Digits>]>,
) -> Vec<Vec<Token>> {
    let every = [Prefix::new()];
    let mut patterns = Vec::new();
    for prefix in addresses.unwrap_or(&every) {
        let begun = std::iter::once(Token::Byte(b':')).chain(prefix.iter().copied().map(token));
        let Some(ports) = ports else {
            patterns.push(begun.chain([Token::AnyRun]).collect());
            continue;
        };
        for port in ports {
            // Digit by digit: what is counted cannot make the automaton large.
            let rest = std::iter::repeat_n(ANY, ADDRESS - prefix.len());
            let digits = rest.chain(port.iter().copied()).map(token);
            patterns.push(begun.clone().chain(digits).collect());
        }
    }
    patterns
}

/// What stands for the sockets of another family.
pub(crate) fn of_family(number: u16) -> Vec<Token> {
    let [_, low] = number.to_be_bytes();
    [b'#', digit(low >> 4), digit(low)].map(Token::Byte).into()
}

/// A digit in a range.
fn token((first, last): Digits) -> Token {
    if first == last {
        return Token::Byte(digit(first));
    }
    let range = |first: u8, last: u8| {
        (first <= last).then(|| (char::from(digit(first)), char::from(digit(last))))
    };
    let ranges = [range(first, last.min(9)), range(first.max(10), last)];
    Token::Class {
        negated: false,
        ranges: ranges.into_iter().flatten().collect(),
    }
}

#[cfg(test)]
mod tests {
    use guard_ebpf::socket::endpoint;
    use proptest::prelude::*;

    use super::super::matching::tests::matches_word;
    use super::*;
    use crate::system::families;

    fn matches(patterns: &[Vec<Token>], address: IpAddr, port: u16) -> bool {
        let address = match address {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        let text = endpoint(address.octets(), port);
        patterns.iter().any(|tokens| matches_word(tokens, &text))
    }

    #[test]
    fn ranges_of_ports_take_few_patterns() {
        assert_eq!(
            ports_between(5432, 5432),
            [[(1, 1), (5, 5), (3, 3), (8, 8)]]
        );
        assert_eq!(ports_between(0, u16::MAX), [[ANY; 4]]);
        assert_eq!(
            ports_between(8000, 8010),
            [[(1, 1), (15, 15), (4, 4), (0, 10)]],
            "0x1f40 to 0x1f4a"
        );
        assert_eq!(ports_between(1024, u16::MAX).len(), 2);
        assert_eq!(ports_between(1, u16::MAX - 1).len(), 7);
    }

    #[test]
    fn prefixes_end_where_they_say() {
        for (text, inside, outside) in [
            ("127.0.0.1", "127.0.0.1", "127.0.0.2"),
            ("127.0.0.0/8", "127.255.0.1", "128.0.0.0"),
            ("172.16.0.0/12", "172.31.255.255", "172.32.0.0"),
            ("10.128.0.0/9", "10.255.0.0", "10.127.255.255"),
            ("0.0.0.0/0", "8.8.8.8", "::1"),
            ("fe80::/10", "febf::1", "fec0::1"),
            ("::1", "::1", "::2"),
            ("fc00::/7", "fdff::", "fe00::"),
        ] {
            let prefix = [prefix(text).expect("good")];
            let patterns = endpoints(Some(&prefix), None);
            assert!(
                matches(&patterns, inside.parse().expect("good"), 1),
                "{text}"
            );
            assert!(
                !matches(&patterns, outside.parse().expect("good"), 1),
                "{text}"
            );
        }
        let everything = endpoints(None, None);
        assert!(matches(&everything, "1.2.3.4".parse().expect("good"), 1));
        assert_eq!(
            endpoints(Some(&[prefix("::/0").expect("good")]), None),
            everything
        );
    }

    #[test]
    fn other_families_are_numbers() {
        let vsock = of_family(families::number("vsock").expect("known"));
        assert!(matches_word(&vsock, b"#28"));
        assert!(!matches_word(&vsock, b"#2"));
    }

    proptest! {
        #[test]
        fn a_range_of_ports_is_what_it_says(
            first in 1_u16.., last in 1_u16.., near in prop::array::uniform8(-2_i32..3), any in any::<u16>(),
        ) {
            let (first, last) = (first.min(last), first.max(last));
            let patterns = endpoints(None, Some(&ports_between(first, last)));
            prop_assert!(patterns.len() <= 7, "{}", patterns.len());
            let ends = near.iter().flat_map(|by| [i32::from(first) + by, i32::from(last) + by]);
            for port in ends.filter_map(|port| u16::try_from(port).ok()).chain([any]) {
                prop_assert_eq!(
                    matches(&patterns, Ipv6Addr::LOCALHOST.into(), port),
                    (first..=last).contains(&port),
                    "{} in {} to {}", port, first, last
                );
            }
        }

        #[test]
        fn a_prefix_is_what_it_says(
            network in any::<u32>(), length in 0_u32..=32, other in any::<u32>(), shared in 0_u32..=32,
        ) {
            let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
            let network = network & mask;
            let text = format!("{}/{length}", std::net::Ipv4Addr::from_bits(network));
            let patterns = endpoints(Some(&[prefix(&text).expect("good")]), None);
            let common = u32::MAX.checked_shl(32 - shared).unwrap_or(0);
            let address = network & common | other & !common;
            let inside = matches(&patterns, std::net::Ipv4Addr::from_bits(address).into(), 80);
            prop_assert_eq!(inside, address & mask == network, "{} in {}", address, text);
        }
    }
}
