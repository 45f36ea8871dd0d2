//! SCTP (RFC 9260): the common header, and the chunks behind it as far as an association is told by them.
//!
//! Every chunk that is at hand is walked, its length checked before it is believed. Of a frame in several segments that
//! is what lies in the first; control chunks come before data (RFC 9260 section 6.10).

use super::{Facts, be16, be32};
use crate::reason::Reason;

/// Length of the common header.
const HEADER: usize = 12;
/// Length of INIT and INIT ACK before their parameters (RFC 9260 sections 3.3.2 and 3.3.3).
const INIT_LEN: usize = 20;
/// Addresses that a side may list and is remembered by, beside the one that it sends from.
pub(crate) const ADDRESSES_MAX: usize = 4;

/// Chunk types (IANA registry), as far as they move an association.
mod kind {
    pub(super) const INIT: u8 = 1;
    pub(super) const INIT_ACK: u8 = 2;
    pub(super) const ABORT: u8 = 6;
    pub(super) const SHUTDOWN: u8 = 7;
    pub(super) const SHUTDOWN_ACK: u8 = 8;
    pub(super) const ERROR: u8 = 9;
    pub(super) const COOKIE_ECHO: u8 = 10;
    pub(super) const COOKIE_ACK: u8 = 11;
    pub(super) const SHUTDOWN_COMPLETE: u8 = 14;
}

/// Which chunks a packet holds, a bit each.
pub(crate) mod chunks {
    pub(crate) const INIT: u16 = 1;
    pub(crate) const INIT_ACK: u16 = 2;
    pub(crate) const COOKIE_ECHO: u16 = 4;
    pub(crate) const COOKIE_ACK: u16 = 8;
    pub(crate) const SHUTDOWN: u16 = 16;
    pub(crate) const SHUTDOWN_ACK: u16 = 32;
    pub(crate) const SHUTDOWN_COMPLETE: u16 = 64;
    pub(crate) const ABORT: u16 = 128;
    pub(crate) const ERROR: u16 = 256;
    /// Data, its acknowledgements, heartbeats, and whatever else an association carries.
    pub(crate) const OTHER: u16 = 512;
}

/// What a packet says of its association.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Packet<'p> {
    /// Verification tag: the one that its receiver chose.
    pub(crate) tag: u32,
    /// Bits of [`chunks`].
    pub(crate) chunks: u16,
    /// An ABORT or SHUTDOWN COMPLETE whose sender has no association, and gives back the tag that it was sent.
    pub(crate) reflects: bool,
    /// INIT and INIT ACK: the tag that its sender chose.
    pub(crate) initiate_tag: u32,
    /// INIT and INIT ACK: their parameters.
    pub(crate) parameters: &'p [u8],
}

impl<'p> Packet<'p> {
    /// What the packet with these facts, which is sound, says.
    pub(crate) fn of(facts: &Facts, head: &'p [u8]) -> Self {
        let at = usize::from(facts.transport_at);
        let len = usize::try_from(facts.transport_len).unwrap_or(0);
        let packet = head.get(at..).unwrap_or_default();
        read(&packet[..packet.len().min(len)], len).unwrap_or_default()
    }

    /// Whether it holds one of these chunks.
    pub(crate) const fn has(&self, chunks: u16) -> bool {
        self.chunks & chunks != 0
    }

    /// The addresses that an INIT or INIT ACK lists (RFC 9260 section 3.3.2.1), IPv4 mapped into IPv6. Lists are as
    /// long as their chunk; who takes them decides how many.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = u128> + use<'p> {
        const IPV4: u16 = 5;
        const IPV6: u16 = 6;
        let mut rest = self.parameters;
        core::iter::from_fn(move || {
            let (kind, len) = (be16(rest, 0)?, usize::from(be16(rest, 2)?));
            if len < 4 {
                return None;
            }
            let value = rest.get(4..len)?;
            rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
            Some(match (kind, value.len()) {
                (IPV4, 4) => be32(value, 0).map(mapped),
                (IPV6, 16) => value.first_chunk().map(|bytes| u128::from_be_bytes(*bytes)),
                _ => None,
            })
        })
        .flatten()
    }
}

/// An IPv4 address within those of IPv6 (RFC 4291 section 2.5.5.2).
pub(crate) const fn mapped(v4: u32) -> u128 {
    0xffff_0000_0000 | v4 as u128
}

/// Checks the packet of `len` bytes, of which `packet` are at hand.
pub(super) fn check(packet: &[u8], len: usize) -> Result<(), Reason> {
    let packet = read(packet, len)?;
    // RFC 9260 sections 8.5 and 8.5.1: an INIT has no tag yet, and nothing else goes without.
    if packet.has(chunks::INIT) == (packet.tag == 0) { Ok(()) } else { Err(Reason::SctpBadTag) }
}

fn read(packet: &[u8], len: usize) -> Result<Packet<'_>, Reason> {
    let mut said = Packet { tag: be32(packet, 4).ok_or(Reason::TransportTruncated)?, ..Packet::default() };
    let (mut at, mut count) = (HEADER, 0u32);
    while at < len {
        let Some(header) = packet.get(at..at + 4) else {
            // Beyond the head of a long frame, or a packet that ends within a chunk's header.
            if packet.len() < len && at + 4 <= len {
                break;
            }
            return Err(Reason::SctpMalformed);
        };
        let chunk_len = usize::from(be16(header, 2).unwrap_or(0));
        // RFC 9260 section 3.2: the length counts its own four bytes of header, and no padding.
        if chunk_len < 4 || at + chunk_len > len {
            return Err(Reason::SctpMalformed);
        }
        let value = packet.get(at + 4..packet.len().min(at + chunk_len)).unwrap_or_default();
        chunk(&mut said, header[0], header[1], chunk_len, value)?;
        at += chunk_len.next_multiple_of(4);
        count += 1;
    }
    // RFC 9260 section 6.10.
    let is_alone = said.has(chunks::INIT | chunks::INIT_ACK | chunks::SHUTDOWN_COMPLETE);
    if count == 0 || is_alone && count > 1 { Err(Reason::SctpMalformed) } else { Ok(said) }
}

fn chunk<'p>(
    said: &mut Packet<'p>,
    kind: u8,
    flags: u8,
    chunk_len: usize,
    value: &'p [u8],
) -> Result<(), Reason> {
    const REFLECTED: u8 = 1;
    let (bit, len_min) = match kind {
        kind::INIT => (chunks::INIT, INIT_LEN),
        kind::INIT_ACK => (chunks::INIT_ACK, INIT_LEN),
        kind::COOKIE_ECHO => (chunks::COOKIE_ECHO, 4),
        kind::COOKIE_ACK => (chunks::COOKIE_ACK, 4),
        kind::SHUTDOWN => (chunks::SHUTDOWN, 8),
        kind::SHUTDOWN_ACK => (chunks::SHUTDOWN_ACK, 4),
        kind::SHUTDOWN_COMPLETE => (chunks::SHUTDOWN_COMPLETE, 4),
        kind::ABORT => (chunks::ABORT, 4),
        kind::ERROR => (chunks::ERROR, 4),
        _ => (chunks::OTHER, 4),
    };
    if chunk_len < len_min {
        return Err(Reason::SctpMalformed);
    }
    said.chunks |= bit;
    said.reflects |= bit & (chunks::ABORT | chunks::SHUTDOWN_COMPLETE) != 0 && flags & REFLECTED != 0;
    if bit & (chunks::INIT | chunks::INIT_ACK) != 0 {
        said.initiate_tag = be32(value, 0).ok_or(Reason::SctpMalformed)?;
        said.parameters = value.get(INIT_LEN - 4..).unwrap_or_default();
        // RFC 9260 sections 3.3.2 and 3.3.3: a tag of zero is refused by its receiver.
        if said.initiate_tag == 0 {
            return Err(Reason::SctpMalformed);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(tag: u32, chunks: &[&[u8]]) -> Vec<u8> {
        let mut bytes = vec![0, 7, 0, 9];
        bytes.extend(tag.to_be_bytes());
        bytes.extend([0; 4]);
        chunks.iter().for_each(|chunk| bytes.extend(*chunk));
        bytes
    }

    const COOKIE_ACK: &[u8] = &[11, 0, 0, 4];
    const DATA: &[u8] = &[0, 3, 0, 17, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, b'x', 0, 0, 0];

    fn init(kind: u8, tag: u32, parameters: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind, 0, 0, 20 + u8::try_from(parameters.len()).unwrap()];
        bytes.extend(tag.to_be_bytes());
        bytes.extend([0, 1, 0, 0, 0, 10, 0, 10, 0, 0, 0, 1]);
        bytes.extend(parameters);
        bytes
    }

    #[test]
    fn all_chunks_are_seen() {
        let bytes = packet(5, &[COOKIE_ACK, DATA, &[6, 1, 0, 4]]);
        let said = read(&bytes, bytes.len()).unwrap();
        assert_eq!((said.tag, said.reflects), (5, true));
        assert_eq!(said.chunks, chunks::COOKIE_ACK | chunks::OTHER | chunks::ABORT);
        assert_eq!(check(&bytes, bytes.len()), Ok(()));
    }

    #[test]
    fn a_last_chunk_may_go_without_padding() {
        let bytes = packet(5, &[&DATA[..17]]);
        assert_eq!(check(&bytes, bytes.len()), Ok(()));
    }

    #[test]
    fn lengths_are_checked() {
        let wrong: [&[&[u8]]; 6] = [
            &[],
            &[&[0, 0, 0, 3]],
            &[&[0, 0, 0, 5]],
            &[COOKIE_ACK, &[0, 0]],
            &[&[7, 0, 0, 4]],
            &[&[1, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1]],
        ];
        for chunks in wrong {
            let bytes = packet(5, chunks);
            assert_eq!(check(&bytes, bytes.len()), Err(Reason::SctpMalformed), "{chunks:?}");
        }
    }

    #[test]
    fn rfc9260_8_5_1_an_init_is_alone_and_has_no_tag() {
        let alone = init(1, 7, &[]);
        let check = |tag, chunks: &[&[u8]]| {
            let bytes = packet(tag, chunks);
            check(&bytes, bytes.len())
        };
        assert_eq!(check(0, &[&alone]), Ok(()));
        assert_eq!(check(1, &[&alone]), Err(Reason::SctpBadTag));
        assert_eq!(check(0, &[&alone, DATA]), Err(Reason::SctpMalformed));
        assert_eq!(check(0, &[DATA]), Err(Reason::SctpBadTag));
        assert_eq!(check(0, &[&init(1, 0, &[])]), Err(Reason::SctpMalformed));
        assert_eq!(check(5, &[&[14, 0, 0, 4], COOKIE_ACK]), Err(Reason::SctpMalformed));
    }

    #[test]
    fn listed_addresses_are_found_among_other_parameters() {
        let mut parameters = vec![0, 12, 0, 6, 0, 5, 0, 0, 0, 5, 0, 8, 192, 0, 2, 7, 0, 6, 0, 20];
        parameters.extend([9; 16]);
        let bytes = packet(0, &[&init(1, 7, &parameters)]);
        let said = read(&bytes, bytes.len()).unwrap();
        let listed: Vec<u128> = said.addresses().collect();
        assert_eq!(listed, [mapped(0xc000_0207), u128::from_be_bytes([9; 16])]);
    }

    proptest! {
        #[test]
        fn no_bytes_lead_astray(bytes in prop::collection::vec(any::<u8>(), 0..200), beyond in 0usize..300) {
            if let Ok(said) = read(&bytes, bytes.len() + beyond) {
                prop_assert!(said.addresses().count() <= bytes.len());
            }
        }
    }
}
