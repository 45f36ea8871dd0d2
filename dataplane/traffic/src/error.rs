//! ICMP errors: what a router of the WAN side says about a packet that the LAN side sent.

use crate::config::{Family, Side};
use crate::session::Ends;
use crate::template::{ETHERNET, FRAME_MAX, HEAD_V4, HEAD_V6, checksum, halves, headers, put16, put32, sum};

/// The message before what it quotes.
const MESSAGE: usize = 8;
/// What is quoted of the packet behind its IP header, as RFC 792 has it.
const QUOTED: usize = 8;

/// An error of one version of IP about UDP or TCP, and the sums over what never changes in it.
#[derive(Clone, Debug)]
pub(crate) struct ErrorTemplate {
    family: Family,
    tcp: bool,
    bytes: Box<[u8; FRAME_MAX]>,
    len: usize,
    ip_sum: u32,
    quoted_ip_sum: u32,
    message_sum: u32,
}

impl ErrorTemplate {
    pub(crate) fn new(family: Family, tcp: bool) -> Self {
        let (ip, protocol, kind) = match family {
            // Port unreachable.
            Family::V4 => (20, 1, [3, 3]),
            Family::V6 => (40, 58, [1, 4]),
        };
        let message = MESSAGE + ip + QUOTED;
        let at = ETHERNET + ip;
        let len = at + message;
        let mut bytes = Box::new([0; FRAME_MAX]);
        // The packet that is quoted was a frame of its own, of which the IP header comes behind the message.
        let mut quoted = [0; FRAME_MAX];
        let (quoted_protocol, quoted_len) = if tcp { (6, 20) } else { (17, 26) };
        let _ = headers(family, Side::Lan, 0, 0, quoted_protocol, quoted_len, &mut quoted);
        let pseudo = headers(family, Side::Wan, 0, 0, protocol, message, bytes.as_mut_slice());
        bytes[at..at + 2].copy_from_slice(&kind);
        bytes[at + MESSAGE..at + MESSAGE + ip].copy_from_slice(&quoted[ETHERNET..ETHERNET + ip]);
        if family == Family::V4 {
            // Checksums of addresses that are nobody's.
            bytes[24..26].fill(0);
            bytes[at + MESSAGE + 10..at + MESSAGE + 12].fill(0);
        }
        let (ip_sum, quoted_ip_sum) = match family {
            Family::V4 => (sum(&bytes[ETHERNET..at]), sum(&bytes[at + MESSAGE..at + MESSAGE + ip])),
            Family::V6 => (0, 0),
        };
        // RFC 792 sums the message alone, RFC 4443 its addresses as well.
        let message_sum = sum(&bytes[at..len]) + if family == Family::V6 { pseudo } else { 0 };
        let [ip_sum, quoted_ip_sum, message_sum] = [ip_sum, quoted_ip_sum, message_sum].map(halves);
        Self { family, tcp, bytes, len, ip_sum, quoted_ip_sum, message_sum }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Writes the error of `router` about the data that the LAN end of a session sends.
    pub(crate) fn write(&self, router: u32, ends: &Ends, out: &mut [u8]) {
        match self.family {
            Family::V4 => self.write_as::<HEAD_V4>(router, ends, out),
            Family::V6 => self.write_as::<HEAD_V6>(router, ends, out),
        }
    }

    #[inline(always)]
    fn write_as<const HEAD: usize>(&self, router: u32, ends: &Ends, out: &mut [u8]) {
        let Some(frame) = out.get_mut(..self.len) else { return };
        frame.copy_from_slice(&self.bytes[..self.len]);
        let is_v4 = HEAD == HEAD_V4;
        let ip = if is_v4 { 20 } else { 40 };
        // The last four bytes of each address, from the end of its header.
        let (source, destination) = if is_v4 { (12, 16) } else { (20, 36) };
        let (at, quoted) = (ETHERNET + ip, ETHERNET + ip + MESSAGE);
        put32(frame, ETHERNET + source, router);
        put32(frame, ETHERNET + destination, ends.lan);
        put32(frame, quoted + source, ends.lan);
        put32(frame, quoted + destination, ends.wan);
        let ports = u32::from(ends.lan_port) << 16 | u32::from(ends.wan_port);
        let fourth = if self.tcp { ends.isn[0].wrapping_add(1) } else { 26 << 16 };
        put32(frame, quoted + ip, ports);
        put32(frame, quoted + ip + 4, fourth);
        let outer = halves(router) + halves(ends.lan);
        let inner = halves(ends.lan) + halves(ends.wan);
        let mut message = self.message_sum + inner + halves(ports) + halves(fourth);
        if is_v4 {
            put16(frame, ETHERNET + 10, checksum(self.ip_sum + outer));
            let quoted_sum = checksum(self.quoted_ip_sum + inner);
            put16(frame, quoted + 10, quoted_sum);
            message += u32::from(quoted_sum);
        } else {
            message += outer;
        }
        put16(frame, at + 2, checksum(message));
    }
}
