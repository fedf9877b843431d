//! Sockets as the automaton sees them.
//!
//! A socket that has a file is matched by the file's path, like any file. All others are
//! matched by what stands for them here, from [`crate::policy::Policy::socket_start`] on, so
//! that one automaton serves all rules:
//!
//! - a Unix socket of the abstract name space: `@` and its name, up to the first NUL;
//! - an Internet socket: `:`, the 16 bytes of the address in hexadecimal digits (IPv4 mapped
//!   into IPv6), and the two bytes of the port: 36 digits;
//! - others (`AF_VSOCK`, …): `#` and the family's number in two hexadecimal digits.

/// How long what stands for an Internet socket is, the `:` included.
pub const ENDPOINT: usize = 1 + 2 * (16 + 2);

/// The digit of a value below 16.
#[must_use]
#[inline(always)]
pub const fn digit(value: u8) -> u8 {
    let value = value & 15;
    if value < 10 {
        b'0' + value
    } else {
        b'a' + value - 10
    }
}

/// What stands for an Internet socket.
#[must_use]
pub fn endpoint(address: [u8; 16], port: u16) -> [u8; ENDPOINT] {
    let mut text = [b':'; ENDPOINT];
    let [high, low] = port.to_be_bytes();
    let bytes = address.into_iter().chain([high, low]);
    for (place, byte) in bytes.enumerate() {
        text[1 + 2 * place] = digit(byte >> 4);
        text[2 + 2 * place] = digit(byte);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_written_in_digits() {
        let mut address = [0; 16];
        address[10..].copy_from_slice(&[0xff, 0xff, 127, 0, 0, 1]);
        assert_eq!(
            &endpoint(address, 5432),
            b":00000000000000000000ffff7f0000011538"
        );
    }
}
