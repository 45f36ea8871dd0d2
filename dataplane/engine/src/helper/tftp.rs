//! TFTP (RFC 1350): the server answers a request from a port of its own choosing, to the port that asked.

use super::{Finding, Refusal, Speaker};
use crate::packet::protocol;

/// What a datagram of the client's opens: nothing, unless it is a request to read or to write.
///
/// The port is the one that the request came from, so it is no announcement: it may be below 1024.
pub(super) fn request(datagram: &[u8], speaker: Speaker, source_port: u16) -> Option<Finding> {
    let [0, 1 | 2, rest @ ..] = datagram else { return None };
    if is_sound(rest) {
        Some(Finding::Open { side: speaker.side, protocol: protocol::UDP, port: source_port })
    } else {
        Some(Finding::Refused(Refusal::Malformed))
    }
}

/// A file name and a mode, each with a zero byte behind it; options (RFC 2347) may follow.
fn is_sound(rest: &[u8]) -> bool {
    let mut parts = rest.split(|byte| *byte == 0);
    let (name, mode) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let is_mode = [&b"netascii"[..], b"octet", b"mail"].iter().any(|known| mode.eq_ignore_ascii_case(known));
    // The zero byte behind the mode leaves a part behind it.
    !name.is_empty() && is_mode && parts.next().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::Port;

    fn ask(datagram: &[u8]) -> Option<Finding> {
        let speaker = Speaker { address: [192, 0, 2, 10].into(), side: Port::Lan };
        request(datagram, speaker, 2000)
    }

    #[test]
    fn requests_open_the_port_that_asked() {
        let open = Some(Finding::Open { side: Port::Lan, protocol: 17, port: 2000 });
        assert_eq!(ask(b"\0\x01file\0octet\0"), open);
        assert_eq!(ask(b"\0\x02file\0NetASCII\0blksize\x001428\0"), open);
    }

    #[test]
    fn anything_else_opens_nothing() {
        for datagram in [&b""[..], b"\0", b"\0\x03\0\x01data", b"\0\x04\0\x01", b"\x01\x01file\0octet\0"] {
            assert_eq!(ask(datagram), None, "{datagram:?}");
        }
        for datagram in
            [&b"\0\x01"[..], b"\0\x01file", b"\0\x01file\0octet", b"\0\x01\0octet\0", b"\0\x02file\0zip\0"]
        {
            assert_eq!(ask(datagram), Some(Finding::Refused(Refusal::Malformed)), "{datagram:?}");
        }
    }
}
