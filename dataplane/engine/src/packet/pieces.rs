//! The checksum of a datagram that comes in fragments: each is summed when it comes, and the sums add up to that of the
//! whole, in whatever order they came.
//!
//! Every fragment but the last carries a multiple of eight bytes, so that the words of the Internet checksum (RFC 1071)
//! are never cut. A CRC of parts is put together by what their lengths do to it: shifting a CRC past so many bytes is a
//! multiplication of polynomials.

use super::checksum::{
    CRC_POLYNOMIAL, Crc32c, DeviceChecksum, Found, Stated, Sum, each_part, pseudo_header, stated,
};
use super::ipv6::{DESTINATION, HOP_BY_HOP, ROUTING};
use super::{Facts, be32, protocol};
use crate::reason::Reason;

/// Length of the common header of SCTP, and where its checksum stands in it.
const SCTP_HEADER: u16 = 12;
const SCTP_CHECKSUM_AT: usize = 8;

/// The sums of what one fragment carries of its datagram, from the transport header on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PieceSum {
    /// The Internet checksum's sum, in network byte order.
    words: u16,
    /// The CRC32c register, begun with zero, where the datagram may be one of SCTP.
    crc: Option<u32>,
}

/// Sums what the fragment with these facts carries. `segments` are the bytes of its frame, head first; `None` if they are
/// not all there, or the fragment is malformed.
pub fn sum_piece<'f>(facts: &Facts, segments: impl IntoIterator<Item = &'f [u8]>) -> Option<PieceSum> {
    let fragment = facts.fragment.filter(|_| facts.fault.is_none())?;
    let mut segments = segments.into_iter();
    let head = segments.next()?;
    let (mut sum, mut crc) = (Sum::default(), Crc32c::begun_with(0));
    let with_crc = may_be_sctp(facts);
    let (mut at, mut left) = (facts.transport_at, facts.transport_len);
    if with_crc && fragment.offset == 0 {
        // RFC 9260 section 6.8: the sum counts its own field as zero.
        let header: &[u8; SCTP_HEADER as usize] = head.get(usize::from(at)..)?.first_chunk()?;
        sum.add(header);
        crc.add(&header[..SCTP_CHECKSUM_AT]);
        crc.add(&[0; 4]);
        (at, left) = (at + SCTP_HEADER, left.checked_sub(u32::from(SCTP_HEADER))?);
    }
    let is_whole = each_part(head, segments, at, left, |part| {
        sum.add(part);
        if with_crc {
            crc.add(part);
        }
    });
    is_whole.then(|| PieceSum { words: sum.folded(), crc: with_crc.then(|| crc.register()) })
}

/// Whether the fragment's datagram may be one of SCTP. A first fragment says so itself; what a later one of IPv6 names may
/// be an extension header before that.
fn may_be_sctp(facts: &Facts) -> bool {
    let is_later = facts.fragment.is_some_and(|fragment| fragment.offset > 0);
    facts.protocol == protocol::SCTP
        || is_later
            && !facts.addresses.is_v4()
            && matches!(facts.protocol, HOP_BY_HOP | ROUTING | DESTINATION)
}

/// What is wrong with the checksum of a whole datagram with these facts, of which `head` are the first bytes; `pieces`
/// are the sums of its fragments in the order of the datagram, each with its length in bytes. A piece that has none was not
/// all there: then nobody can tell.
pub(crate) fn fault_of_whole(
    facts: &Facts,
    head: &[u8],
    pieces: impl Iterator<Item = (Option<PieceSum>, u32)>,
) -> Option<Reason> {
    let Stated { field, len, reason, may_be_partial } = match stated(facts, DeviceChecksum::NotChecked, head)
    {
        Found::Stated(stated) => stated,
        Found::Crc => return crc_fault(facts, head, pieces),
        Found::Fault(fault) => return fault,
    };
    let pseudo = pseudo_header(facts, head, len);
    // What lies behind the end of a UDP datagram was summed with the rest. Its own checksum (RFC 9868 section 9) is made
    // so that this comes out right; without one nobody can tell, and nobody sends it in fragments.
    let mut sum = pseudo_header(facts, head, facts.transport_len);
    for (piece, _) in pieces {
        sum.add_words(piece?.words);
    }
    if sum.folded() == 0xffff {
        return None;
    }
    Some(if may_be_partial && field == pseudo.folded() { Reason::ChecksumPartial } else { reason })
}

fn crc_fault(
    facts: &Facts,
    head: &[u8],
    pieces: impl Iterator<Item = (Option<PieceSum>, u32)>,
) -> Option<Reason> {
    let mut register = u32::MAX;
    for (piece, len) in pieces {
        // Of a datagram whose fragments name different protocols nothing was summed that could be right.
        let Some(crc) = piece?.crc else { return Some(Reason::SctpBadChecksum) };
        register = shifted(register, len) ^ crc;
    }
    let at = usize::from(facts.transport_at) + SCTP_CHECKSUM_AT;
    let stated = be32(head, at)?.swap_bytes();
    (!register != stated).then_some(Reason::SctpBadChecksum)
}

/// The register of a CRC after `bytes` zeros, which are fewer than 65,536.
fn shifted(register: u32, bytes: u32) -> u32 {
    (0..POWERS.len())
        .filter(|bit| bytes >> bit & 1 == 1)
        .fold(register, |sum, bit| multiply(sum, POWERS[bit]))
}

/// Eight times two to the power of the index bits further: x to that power, modulo the polynomial.
static POWERS: [u32; 16] = powers();

const fn powers() -> [u32; 16] {
    // x^1, then x^2, x^4 and x^8, which is one byte; bits are reversed, the highest is x^0.
    let mut power = 1 << 30;
    let mut squared = 0;
    while squared < 3 {
        power = multiply(power, power);
        squared += 1;
    }
    let mut powers = [0; 16];
    let mut index = 0;
    while index < powers.len() {
        powers[index] = power;
        power = multiply(power, power);
        index += 1;
    }
    powers
}

/// The product of two polynomials over GF(2), modulo that of CRC32c.
const fn multiply(a: u32, mut b: u32) -> u32 {
    let (mut product, mut bit) = (0, 0);
    while bit < 32 {
        if a & 0x8000_0000 >> bit != 0 {
            product ^= b;
        }
        b = if b & 1 == 1 { b >> 1 ^ CRC_POLYNOMIAL } else { b >> 1 };
        bit += 1;
    }
    product
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small numbers")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_crc_of_parts_is_that_of_the_whole(
            bytes in prop::collection::vec(any::<u8>(), 0..5000),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut register = u32::MAX;
            for ends in cuts.windows(2) {
                let mut part = Crc32c::begun_with(0);
                part.add(&bytes[ends[0]..ends[1]]);
                register = shifted(register, (ends[1] - ends[0]) as u32) ^ part.register();
            }
            let mut whole = Crc32c::default();
            whole.add(&bytes);
            prop_assert_eq!(!register, whole.value());
        }

        #[test]
        fn the_words_of_parts_are_those_of_the_whole(
            bytes in prop::collection::vec(any::<u8>(), 0..5000),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1) / 8 * 8).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let (mut whole, mut parts) = (Sum::default(), Sum::default());
            whole.add(&bytes);
            for ends in cuts.windows(2) {
                let mut part = Sum::default();
                part.add(&bytes[ends[0]..ends[1]]);
                parts.add_words(part.folded());
            }
            prop_assert_eq!(parts.folded(), whole.folded());
        }
    }

    #[test]
    fn a_shift_is_so_many_zeros() {
        for zeros in [0usize, 1, 2, 3, 255, 256, 1480, 65_535] {
            let mut crc = Crc32c::begun_with(0x1234_5678);
            crc.add(&vec![0; zeros]);
            assert_eq!(shifted(0x1234_5678, zeros as u32), crc.register(), "{zeros}");
        }
    }
}
