//! The packet that an ICMP or ICMPv6 error quotes: cut short, and what its sender said of lengths is beside the point.

use super::ipv6::{DESTINATION, FRAGMENT, HOP_BY_HOP, ROUTING};
use super::{Addresses, Class, Facts, Tcp, be16, be32, icmp, icmpv6, part_in_query, protocol, transport};

/// Bytes of the error before the quote (RFC 792, RFC 4443).
const ERROR_HEADER: usize = 8;
/// Extension headers that are walked in a quoted IPv6 packet.
const CHAIN_MAX: usize = 5;

/// The facts of the packet that the error in `head` quotes, as far as sessions are told by them: addresses, protocol,
/// ports or identifier, the sequence number of TCP, and where its transport header lies in `head`. `None` where that much is not there.
pub(crate) fn quoted(head: &[u8], error: &Facts) -> Option<Facts> {
    let at = usize::from(error.transport_at);
    let message = head.get(at..)?;
    let message = message.get(..message.len().min(usize::try_from(error.transport_len).ok()?))?;
    let quote = message.get(ERROR_HEADER..)?;
    let quote = quote.get(..stated_len(error, message)).unwrap_or(quote);
    let mut facts = Facts { class: Class::Ip, tcp: Tcp::default(), fragment: None, fault: None, ..*error };
    let rest = if error.addresses.is_v4() { v4(quote, &mut facts)? } else { v6(quote, &mut facts)? };
    facts.transport_at = u16::try_from(at + ERROR_HEADER + quote.len() - rest.len()).ok()?;
    match facts.protocol {
        protocol::TCP | protocol::UDP | protocol::SCTP => {
            facts.source_port = be16(rest, 0)?;
            facts.destination_port = be16(rest, 2)?;
            facts.tcp.sequence = be32(rest, 4)?;
            // Of an INIT, which has no verification tag, the tag that it offers.
            let is_init = facts.protocol == protocol::SCTP && rest.get(12) == Some(&1);
            facts.tcp.acknowledgement = if is_init { be32(rest, 16).unwrap_or(0) } else { 0 };
        }
        protocol::ICMP | protocol::ICMPV6 => {
            facts.destination_port = be16(rest, 0)?;
            facts.source_port = be16(rest, 4)?;
            // Errors about errors do not exist (RFC 1122 section 3.2.2).
            part_in_query(facts.addresses.is_v4(), facts.icmp_type())?;
        }
        protocol::GRE => transport::gre_number(rest, &mut facts)?,
        protocol::ESP | protocol::AH => {
            let at = if facts.protocol == protocol::ESP { 0 } else { 4 };
            (facts.source_port, facts.destination_port) = (be16(rest, at)?, be16(rest, at + 2)?);
        }
        _ => (facts.source_port, facts.destination_port) = (0, 0),
    }
    Some(facts)
}

/// How much of what follows is the quote (RFC 4884 section 4); behind it there are extensions.
fn stated_len(error: &Facts, message: &[u8]) -> usize {
    let (at, unit, is_extensible) = match error.addresses.is_v4() {
        true => (5, 4, true),
        false => (4, 8, matches!(error.icmp_type(), icmpv6::UNREACHABLE | icmpv6::TIME_EXCEEDED)),
    };
    match message.get(at) {
        Some(words) if is_extensible && *words > 0 => usize::from(*words) * unit,
        _ => usize::MAX,
    }
}

/// The MTU that a fragmentation-needed or packet-too-big tells; `None` for other errors.
pub(crate) fn stated_mtu(head: &[u8], error: &Facts) -> Option<u32> {
    const FRAGMENTATION_NEEDED: u8 = 4;
    let message = head.get(usize::from(error.transport_at)..)?;
    match (error.addresses.is_v4(), error.icmp_type()) {
        (true, icmp::UNREACHABLE) if message.get(1) == Some(&FRAGMENTATION_NEEDED) => {
            be16(message, 6).map(u32::from)
        }
        (false, icmpv6::PACKET_TOO_BIG) => be32(message, 4),
        _ => None,
    }
}

fn v4<'q>(quote: &'q [u8], facts: &mut Facts) -> Option<&'q [u8]> {
    let fixed: &[u8; 20] = quote.first_chunk()?;
    let header_len = usize::from(fixed[0] & 0xf) * 4;
    let is_later_fragment = be16(fixed, 6)? & 0x1fff != 0;
    if fixed[0] >> 4 != 4 || header_len < 20 || is_later_fragment {
        return None;
    }
    facts.addresses = Addresses::V4 { source: be32(fixed, 12)?, destination: be32(fixed, 16)? };
    facts.protocol = fixed[9];
    quote.get(header_len..)
}

fn v6<'q>(quote: &'q [u8], facts: &mut Facts) -> Option<&'q [u8]> {
    let fixed: &[u8; 40] = quote.first_chunk()?;
    if fixed[0] >> 4 != 6 {
        return None;
    }
    let address = |at: usize| fixed.get(at..at + 16)?.first_chunk().map(|bytes| u128::from_be_bytes(*bytes));
    facts.addresses = Addresses::V6 { source: address(8)?, destination: address(24)? };
    let (mut next, mut rest) = (fixed[6], &quote[40..]);
    for _ in 0..CHAIN_MAX {
        let len = match next {
            HOP_BY_HOP | DESTINATION | ROUTING => (usize::from(*rest.get(1)?) + 1) * 8,
            FRAGMENT if be16(rest, 2)? & 0xfff8 == 0 => 8,
            FRAGMENT => return None,
            _ => break,
        };
        next = *rest.first()?;
        rest = rest.get(len..)?;
    }
    facts.protocol = next;
    Some(rest)
}
