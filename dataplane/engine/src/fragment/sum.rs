//! The Internet checksum of a datagram that came in pieces (RFC 1071): every piece but the last has an even length, so
//! that their sums add up.

use crate::packet::{Addresses, Facts, protocol};
use crate::reason::Reason;

/// A sum of 16-bit words over bytes that come part by part.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    total: u64,
    is_odd: bool,
}

impl Sum {
    /// Adds the bytes that come next.
    pub fn add(&mut self, bytes: &[u8]) {
        let bytes = match (self.is_odd, bytes.split_first()) {
            (true, Some((low, rest))) => {
                self.total += u64::from(*low);
                self.is_odd = false;
                rest
            }
            _ => bytes,
        };
        let (words, rest) = bytes.as_chunks::<2>();
        self.total += words.iter().map(|word| u64::from(u16::from_be_bytes(*word))).sum::<u64>();
        if let [high] = rest {
            self.total += u64::from(*high) << 8;
            self.is_odd = true;
        }
    }

    /// The sum in 16 bits, carries added.
    pub fn finish(self) -> u16 {
        fold(self.total)
    }
}

/// The sum of `bytes`.
pub fn sum(bytes: &[u8]) -> u16 {
    let mut sum = Sum::default();
    sum.add(bytes);
    sum.finish()
}

#[expect(clippy::cast_possible_truncation, reason = "the carries were added")]
fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}

/// Verifies the transport checksum of a whole datagram with these facts. `head` is what there is of its first fragment;
/// `pieces` is the sum of what all fragments carry, the headers before the transport header included, and these sum up
/// to `before`.
pub(super) fn verify(head: &[u8], facts: &Facts, pieces: u64, before: u16) -> Result<(), Reason> {
    let field = |at: usize| {
        let at = usize::from(facts.transport_at) + at;
        head.get(at..at + 2).map_or(0, |bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    };
    let is_v4 = facts.addresses.is_v4();
    let (fault, pseudo) = match facts.protocol {
        protocol::TCP => (Reason::TcpBadChecksum, true),
        // None was computed (RFC 768); IPv6 does not allow that (RFC 8200 section 8.1).
        protocol::UDP if field(6) == 0 => return if is_v4 { Ok(()) } else { Err(Reason::UdpBadChecksum) },
        // What lies behind the length of UDP is not under its checksum (RFC 9868), and the sum here is of everything.
        protocol::UDP if u32::from(field(4)) != facts.transport_len => return Ok(()),
        protocol::UDP => (Reason::UdpBadChecksum, true),
        protocol::ICMP if is_v4 => (Reason::IcmpBadChecksum, false),
        protocol::ICMPV6 if !is_v4 => (Reason::IcmpBadChecksum, true),
        _ => return Ok(()),
    };
    if pseudo && has_other_ends(head, facts) {
        return Ok(());
    }
    let pseudo = if pseudo { pseudo_header(facts) } else { 0 };
    // Of the two zeros of this arithmetic only one is a right checksum: where nothing is taken off, nothing is added.
    let less = if before == 0 { 0 } else { u64::from(!before) };
    let sum = fold(pieces + less + pseudo);
    if sum == 0xffff { Ok(()) } else { Err(fault) }
}

/// RFC 9293 section 3.1, RFC 8200 section 8.1.
fn pseudo_header(facts: &Facts) -> u64 {
    let ends = match facts.addresses {
        Addresses::V4 { source, destination } => {
            words(&source.to_be_bytes()) + words(&destination.to_be_bytes())
        }
        Addresses::V6 { source, destination } => {
            words(&source.to_be_bytes()) + words(&destination.to_be_bytes())
        }
        Addresses::None => 0,
    };
    ends + u64::from(facts.protocol) + u64::from(fold(u64::from(facts.transport_len)))
}

fn words(bytes: &[u8]) -> u64 {
    u64::from(sum(bytes))
}

/// Extension headers by which the checksum may be over other addresses than the header's: a routing header (RFC 8200
/// section 8.1), and the home address option among destination options (RFC 6275 section 11.3.2).
fn has_other_ends(head: &[u8], facts: &Facts) -> bool {
    const ROUTING: u8 = 43;
    const FRAGMENT: u8 = 44;
    const DESTINATION: u8 = 60;
    if facts.addresses.is_v4() {
        return false;
    }
    let at = usize::from(facts.network_at);
    let (mut next, mut at) = (head.get(at + 6).copied(), at + 40);
    while at < usize::from(facts.transport_at)
        && let Some(kind) = next
    {
        if matches!(kind, ROUTING | DESTINATION) {
            return true;
        }
        let len = if kind == FRAGMENT { 0 } else { head.get(at + 1).copied().unwrap_or(0) };
        next = head.get(at).copied();
        at += (usize::from(len) + 1) * 8;
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However the bytes are cut, the sum is the same.
        #[test]
        fn parts_sum_up_to_the_whole(bytes: Vec<u8>, cuts: Vec<prop::sample::Index>) {
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut parts = Sum::default();
            for cut in cuts.windows(2) {
                parts.add(&bytes[cut[0]..cut[1]]);
            }
            prop_assert_eq!(parts.finish(), sum(&bytes));
        }
    }

    /// The example of RFC 1071 section 3.
    #[test]
    fn the_sum_is_that_of_the_rfc() {
        assert_eq!(sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), 0xddf2);
        assert_eq!(sum(&[0x12]), 0x1200);
    }
}
