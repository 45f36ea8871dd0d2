//! Checksums behind the IP header: the Internet checksum of TCP, UDP, ICMP and ICMPv6 (RFC 1071), CRC32c of SCTP
//! (RFC 9260 appendix A).
//!
//! An end drops a packet of a wrong checksum without a word; a firewall that believed it would follow what never
//! happened. So [`verify`] comes before any session is touched. Where a device has looked at a sum already and found it
//! right, nothing is summed again.

use super::{Addresses, Class, Facts, be16, be32, protocol};
use crate::reason::Reason;

/// What a device found of the checksum of a frame's TCP segment or UDP datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceChecksum {
    /// It did not look, or could not tell.
    NotChecked,
    /// It is right.
    Good,
    /// It is wrong. Devices err here (a UDP checksum of zero, padding), so this is looked at again.
    Bad,
}

/// UDP ports of tunnels that may leave the checksum out over IPv6 (RFC 6935 and 6936, and what names them): GTP-U, AMT
/// (RFC 7450), LISP (RFC 9300), GRE (RFC 8086), VXLAN and VXLAN-GPE (RFC 7348), Geneve (RFC 8926), MPLS (RFC 7510).
const TUNNEL_PORTS: [u16; 8] = [2152, 2268, 4341, 4754, 4789, 4790, 6081, 6635];

/// Whether what is sent to this UDP port is, or may be, a tunnel's.
#[inline]
pub(super) fn is_tunnel(port: u16) -> bool {
    // All are compared at once, without a branch for each.
    TUNNEL_PORTS.iter().fold(false, |is_one, tunnel| is_one | (*tunnel == port))
}

/// Judges the checksum of the packet with these facts, and says so in [`Facts::fault`] if it is wrong.
///
/// `segments` are the bytes of the whole frame, its head first. What is malformed already, fragments, and frames of
/// which less is at hand than the packet's length says are left alone.
pub fn verify<'f>(facts: &mut Facts, device: DeviceChecksum, segments: impl IntoIterator<Item = &'f [u8]>) {
    if facts.fault.is_none() && facts.class == Class::Ip && facts.fragment.is_none() {
        facts.fault = fault_of(facts, device, segments);
    }
}

fn fault_of<'f>(
    facts: &Facts,
    device: DeviceChecksum,
    segments: impl IntoIterator<Item = &'f [u8]>,
) -> Option<Reason> {
    let mut segments = segments.into_iter();
    let head = segments.next()?;
    let Stated { field, len, reason, may_be_partial } = match stated(facts, device, head) {
        Found::Stated(stated) => stated,
        Found::Crc => return sctp(facts, head, segments),
        Found::Fault(fault) => return fault,
    };
    let pseudo = pseudo_header(facts, head, len);
    let mut sum = pseudo;
    let is_whole = each_part(head, segments, facts.transport_at, len, |part| sum.add(part));
    if !is_whole || sum.folded() == 0xffff {
        return None;
    }
    // What a stack leaves in the field for a device to finish: the sum of the pseudo-header.
    Some(if may_be_partial && field == pseudo.folded() { Reason::ChecksumPartial } else { reason })
}

/// A checksum that a packet states.
pub(super) struct Stated {
    /// What stands there.
    pub(super) field: u16,
    /// Bytes that it is over, from the transport header on.
    pub(super) len: u32,
    /// What a wrong one is called.
    pub(super) reason: Reason,
    /// A stack may leave it to a device.
    pub(super) may_be_partial: bool,
}

pub(super) enum Found {
    Stated(Stated),
    /// The CRC32c of SCTP.
    Crc,
    /// It is found out already.
    Fault(Option<Reason>),
}

/// The checksum that the packet states, where there is one to be looked at.
pub(super) fn stated(facts: &Facts, device: DeviceChecksum, head: &[u8]) -> Found {
    let packet = head.get(usize::from(facts.transport_at)..).unwrap_or_default();
    let is_good = device == DeviceChecksum::Good;
    let (at, len, reason) = match facts.protocol {
        protocol::TCP if is_good => return Found::Fault(None),
        protocol::TCP => (16, Some(facts.transport_len), Reason::TcpBadChecksum),
        protocol::UDP => {
            let is_tunnel = is_tunnel(facts.destination_port);
            if be16(packet, 6) == Some(0) {
                // RFC 768: none was made. RFC 8200 section 8.1: IPv6 has no other, tunnels excepted.
                let is_missing = !facts.addresses.is_v4() && !is_tunnel;
                return Found::Fault(is_missing.then_some(Reason::UdpZeroChecksum));
            }
            // Of a tunnel's packet the device may have looked at the inner one.
            if is_good && !is_tunnel {
                return Found::Fault(None);
            }
            (6, be16(packet, 4).map(u32::from), Reason::UdpBadChecksum)
        }
        protocol::ICMP | protocol::ICMPV6 | protocol::IGMP => {
            (2, Some(facts.transport_len), Reason::IcmpBadChecksum)
        }
        protocol::SCTP => return Found::Crc,
        _ => return Found::Fault(None),
    };
    let may_be_partial = matches!(facts.protocol, protocol::TCP | protocol::UDP);
    match (be16(packet, at), len) {
        (Some(field), Some(len)) => Found::Stated(Stated { field, len, reason, may_be_partial }),
        _ => Found::Fault(None),
    }
}

pub(super) fn pseudo_header(facts: &Facts, head: &[u8], len: u32) -> Sum {
    match facts.protocol {
        protocol::ICMP | protocol::IGMP => Sum::default(),
        number => Sum::of_pseudo_header(&ends(facts, head), number, len),
    }
}

/// The addresses that the pseudo-header counts (RFC 8200 section 8.1): the final destination where a routing header still
/// leads elsewhere, and the home address of a mobile sender (RFC 6275 section 11.3.1).
fn ends(facts: &Facts, head: &[u8]) -> Addresses {
    let Addresses::V6 { mut source, mut destination } = facts.addresses else { return facts.addresses };
    let address = |at: u16| match at {
        0 => None,
        at => head.get(usize::from(at)..)?.first_chunk().map(|bytes| u128::from_be_bytes(*bytes)),
    };
    if let Some(last) = address(facts.final_at) {
        destination = last;
    }
    if let Some(home) = address(facts.home_at) {
        source = home;
    }
    Addresses::V6 { source, destination }
}

/// Calls `each` with the bytes of the frame from `at` on, `len` of them; whether so many are there.
pub(super) fn each_part<'f>(
    head: &'f [u8],
    segments: impl Iterator<Item = &'f [u8]>,
    at: u16,
    len: u32,
    mut each: impl FnMut(&'f [u8]),
) -> bool {
    let (mut skip, mut left) = (usize::from(at), len as usize);
    for segment in core::iter::once(head).chain(segments) {
        let part = segment.get(skip..).unwrap_or_default();
        let part = &part[..part.len().min(left)];
        skip = skip.saturating_sub(segment.len());
        each(part);
        left -= part.len();
        if left == 0 {
            return true;
        }
    }
    false
}

/// RFC 9260 section 6.8: the sum counts its own field as zero, and stands there with the low byte first.
fn sctp<'f>(facts: &Facts, head: &'f [u8], segments: impl Iterator<Item = &'f [u8]>) -> Option<Reason> {
    const HEADER: u16 = 12;
    let header: &[u8; HEADER as usize] = head.get(usize::from(facts.transport_at)..)?.first_chunk()?;
    let mut crc = Crc32c::default();
    crc.add(&header[..8]);
    crc.add(&[0; 4]);
    let body = facts.transport_len.checked_sub(u32::from(HEADER))?;
    let is_whole = each_part(head, segments, facts.transport_at + HEADER, body, |part| crc.add(part));
    let stated = be32(header, 8)?.swap_bytes();
    (is_whole && crc.value() != stated).then_some(Reason::SctpBadChecksum)
}

/// A one's complement sum of 16-bit words under way (RFC 1071), over any number of parts of any length.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    /// Words of the parts as the machine reads them: the sum does not depend on the order of bytes until its end.
    native: u64,
    /// Words in network byte order.
    network: u64,
    /// So far an odd number of bytes came.
    is_odd: bool,
}

impl Sum {
    /// The sum of a pseudo-header (RFC 9293 section 3.1, RFC 8200 section 8.1) for `len` bytes of `protocol`.
    pub fn of_pseudo_header(addresses: &Addresses, protocol: u8, len: u32) -> Self {
        let halves = |word: u32| u64::from(word >> 16) + u64::from(word & 0xffff);
        let words = |address: u128| {
            let [a, b, c, d] = [96, 64, 32, 0].map(|shift| address >> shift & 0xffff_ffff);
            [a, b, c, d].iter().map(|word| u32::try_from(*word).map_or(0, halves)).sum::<u64>()
        };
        let ends = match *addresses {
            Addresses::V4 { source, destination } => halves(source) + halves(destination),
            Addresses::V6 { source, destination } => words(source) + words(destination),
            Addresses::None => 0,
        };
        Self { network: ends + u64::from(protocol) + halves(len), ..Self::default() }
    }

    /// Adds the next bytes.
    #[inline]
    pub fn add(&mut self, bytes: &[u8]) {
        let sum = sum_native(bytes);
        // Behind an odd number of bytes each is in the other half of its word.
        self.native += if self.is_odd { u64::from(fold(sum).swap_bytes()) } else { sum };
        self.is_odd ^= !bytes.len().is_multiple_of(2);
    }

    /// Adds the sum of what comes next, as [`Sum::folded`] gives it; an even number of bytes came before.
    pub(super) fn add_words(&mut self, sum: u16) {
        self.network += u64::from(sum);
    }

    /// The sum so far, with the carries added; the checksum is its complement. Over what holds its right checksum it is
    /// 0xffff.
    #[inline]
    pub fn folded(&self) -> u16 {
        fold(self.network + u64::from(fold(self.native).to_be()))
    }
}

/// The sum of 32-bit words, in lanes that do not wait for each other; far from an overflow for any frame.
#[inline]
fn sum_native(bytes: &[u8]) -> u64 {
    const LANES: usize = 4;
    let (blocks, rest) = bytes.as_chunks::<{ 8 * LANES }>();
    let (mut low, mut high) = ([0u64; LANES], [0u64; LANES]);
    for block in blocks {
        let (words, _) = block.as_chunks::<8>();
        for lane in 0..LANES {
            let word = u64::from_ne_bytes(words[lane]);
            low[lane] += word & 0xffff_ffff;
            high[lane] += word >> 32;
        }
    }
    let mut sum: u64 = low.iter().sum::<u64>() + high.iter().sum::<u64>();
    let (words, rest) = rest.as_chunks::<8>();
    for word in words {
        let word = u64::from_ne_bytes(*word);
        sum += (word & 0xffff_ffff) + (word >> 32);
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let word = u64::from_ne_bytes(last);
    sum + (word & 0xffff_ffff) + (word >> 32)
}

#[expect(clippy::cast_possible_truncation, reason = "the carries were added")]
fn fold(mut sum: u64) -> u16 {
    sum = (sum >> 32) + (sum & 0xffff_ffff);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    sum as u16
}

/// A CRC32c (Castagnoli) under way, eight bytes a step.
#[derive(Clone, Copy, Debug)]
pub struct Crc32c(u32);

impl Default for Crc32c {
    fn default() -> Self {
        Self(u32::MAX)
    }
}

impl Crc32c {
    /// A sum whose register begins with another value.
    pub(super) const fn begun_with(register: u32) -> Self {
        Self(register)
    }

    /// The register, before the last step.
    pub(super) const fn register(&self) -> u32 {
        self.0
    }

    /// Adds the next bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        let (blocks, rest) = bytes.as_chunks::<8>();
        let mut crc = self.0;
        for block in blocks {
            let word = u64::from_le_bytes(*block) ^ u64::from(crc);
            crc = 0;
            for (place, byte) in word.to_le_bytes().into_iter().enumerate() {
                crc ^= CRC_TABLES[7 - place][usize::from(byte)];
            }
        }
        for byte in rest {
            crc = crc >> 8 ^ CRC_TABLES[0][usize::from(crc.to_le_bytes()[0] ^ byte)];
        }
        self.0 = crc;
    }

    /// The sum of all that came.
    pub const fn value(&self) -> u32 {
        !self.0
    }
}

/// The polynomial of CRC32c, its bits reversed.
pub(super) const CRC_POLYNOMIAL: u32 = 0x82f6_3b78;

/// For each byte what it adds to the sum, by how many bytes follow it in its step.
static CRC_TABLES: [[u32; 256]; 8] = crc_tables();

#[expect(clippy::cast_possible_truncation, reason = "an index of a table of 256")]
const fn crc_tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ CRC_POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        tables[0][index] = crc;
        index += 1;
    }
    let mut place = 1;
    while place < 8 {
        index = 0;
        while index < 256 {
            let before: u32 = tables[place - 1][index];
            tables[place][index] = before >> 8 ^ tables[0][(before & 0xff) as usize];
            index += 1;
        }
        place += 1;
    }
    tables
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small numbers")]
mod tests;
