//! Families and types of sockets by name and number (`AF_…`, `SOCK_…`, socket(2)).

/// The families that events and policies call by a name.
const NAMES: [(u16, &str); 17] = [
    (1, "unix"),
    (2, "inet"),
    (6, "netrom"),
    (9, "x25"),
    (10, "inet6"),
    (16, "netlink"),
    (17, "packet"),
    (21, "rds"),
    (29, "can"),
    (30, "tipc"),
    (31, "bluetooth"),
    (35, "phonet"),
    (38, "alg"),
    (39, "nfc"),
    (40, "vsock"),
    (43, "smc"),
    (44, "xdp"),
];

/// `AF_UNIX`.
pub const UNIX: u16 = 1;

/// `AF_INET`.
pub const INET: u16 = 2;

/// `AF_INET6`.
pub const INET6: u16 = 10;

/// What a family is called; its number where it has no name.
#[must_use]
pub fn name(number: u16) -> String {
    NAMES
        .iter()
        .find(|(known, _)| *known == number)
        .map_or_else(|| number.to_string(), |(_, name)| (*name).to_owned())
}

/// The family of a name.
#[must_use]
pub fn number(name: &str) -> Option<u16> {
    NAMES
        .iter()
        .find(|(_, known)| *known == name)
        .map(|(number, _)| *number)
}

/// The names of the families whose sockets have neither a path nor an Internet address.
pub fn others() -> impl Iterator<Item = &'static str> {
    NAMES
        .iter()
        .filter(|(number, _)| ![UNIX, INET, INET6].contains(number))
        .map(|(_, name)| *name)
}

/// What a type of sockets is called; its number where it has no name.
#[must_use]
pub fn socktype(number: u16) -> String {
    match number {
        1 => "stream".to_owned(),
        2 => "dgram".to_owned(),
        3 => "raw".to_owned(),
        4 => "rdm".to_owned(),
        5 => "seqpacket".to_owned(),
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_have_the_kernels_numbers() {
        for (name, expected) in [
            ("unix", libc::AF_UNIX),
            ("inet", libc::AF_INET),
            ("netrom", libc::AF_NETROM),
            ("x25", libc::AF_X25),
            ("inet6", libc::AF_INET6),
            ("netlink", libc::AF_NETLINK),
            ("packet", libc::AF_PACKET),
            ("rds", libc::AF_RDS),
            ("can", libc::AF_CAN),
            ("tipc", libc::AF_TIPC),
            ("bluetooth", libc::AF_BLUETOOTH),
            ("phonet", libc::AF_PHONET),
            ("alg", libc::AF_ALG),
            ("nfc", libc::AF_NFC),
            ("vsock", libc::AF_VSOCK),
            ("xdp", libc::AF_XDP),
        ] {
            assert_eq!(number(name).map(i32::from), Some(expected), "{name}");
        }
        assert_eq!(number("smc"), Some(43));
        assert_eq!(number("AF_UNIX"), None);
    }

    #[test]
    fn types_have_the_kernels_numbers() {
        for (number, expected) in [
            (libc::SOCK_STREAM, "stream"),
            (libc::SOCK_DGRAM, "dgram"),
            (libc::SOCK_RAW, "raw"),
            (libc::SOCK_RDM, "rdm"),
            (libc::SOCK_SEQPACKET, "seqpacket"),
        ] {
            assert_eq!(socktype(number as u16), expected);
        }
        assert_eq!(socktype(10), "10");
    }

    #[test]
    fn names_lead_back_to_numbers() {
        for (known, known_name) in NAMES {
            assert_eq!(name(known), known_name);
        }
        assert_eq!(name(200), "200");
        assert!(others().all(|name| name != "inet6" && name != "unix"));
    }
}
