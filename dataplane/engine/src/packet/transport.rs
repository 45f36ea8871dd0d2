//! What comes behind IP: TCP (RFC 9293), UDP (RFC 768), ICMP (RFC 792), ICMPv6 (RFC 4443), SCTP (RFC 9260),
//! GRE (RFC 2784, 2890), ESP (RFC 4303), AH (RFC 4302).

use super::{Facts, Fragment, Tcp, be16, be32, protocol, sctp};
use crate::reason::Reason;

/// TCP flags, as they stand in byte 13 of the header.
pub mod tcp_flags {
    #![allow(missing_docs, reason = "the names are those of RFC 9293")]
    pub const FIN: u8 = 0x01;
    pub const SYN: u8 = 0x02;
    pub const RST: u8 = 0x04;
    pub const PSH: u8 = 0x08;
    pub const ACK: u8 = 0x10;
    pub const URG: u8 = 0x20;
    pub const ECE: u8 = 0x40;
    pub const CWR: u8 = 0x80;
}

/// ICMP types (IANA registry).
pub mod icmp {
    #![allow(missing_docs, reason = "the names are those of the registry")]
    pub const ECHO_REPLY: u8 = 0;
    pub const UNREACHABLE: u8 = 3;
    pub const REDIRECT: u8 = 5;
    pub const ECHO: u8 = 8;
    pub const ROUTER_ADVERTISEMENT: u8 = 9;
    pub const ROUTER_SOLICITATION: u8 = 10;
    pub const TIME_EXCEEDED: u8 = 11;
    pub const PARAMETER_PROBLEM: u8 = 12;
    pub const TIMESTAMP: u8 = 13;
    pub const TIMESTAMP_REPLY: u8 = 14;
    pub const INFORMATION: u8 = 15;
    pub const INFORMATION_REPLY: u8 = 16;
    pub const ADDRESS_MASK: u8 = 17;
    pub const ADDRESS_MASK_REPLY: u8 = 18;
    pub const EXTENDED_ECHO: u8 = 42;
    pub const EXTENDED_ECHO_REPLY: u8 = 43;
}

/// ICMPv6 types (IANA registry).
pub mod icmpv6 {
    #![allow(missing_docs, reason = "the names are those of the registry")]
    pub const UNREACHABLE: u8 = 1;
    pub const PACKET_TOO_BIG: u8 = 2;
    pub const TIME_EXCEEDED: u8 = 3;
    pub const PARAMETER_PROBLEM: u8 = 4;
    pub const ECHO: u8 = 128;
    pub const ECHO_REPLY: u8 = 129;
    pub const MLD_QUERY: u8 = 130;
    pub const MLD_REPORT: u8 = 131;
    pub const MLD_DONE: u8 = 132;
    pub const ROUTER_SOLICITATION: u8 = 133;
    pub const ROUTER_ADVERTISEMENT: u8 = 134;
    pub const NEIGHBOUR_SOLICITATION: u8 = 135;
    pub const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
    pub const REDIRECT: u8 = 137;
    pub const INVERSE_SOLICITATION: u8 = 141;
    pub const INVERSE_ADVERTISEMENT: u8 = 142;
    pub const MLD2_REPORT: u8 = 143;
    pub const HOME_AGENT_DISCOVERY: u8 = 144;
    pub const HOME_AGENT_DISCOVERY_REPLY: u8 = 145;
    pub const MOBILE_PREFIX_SOLICITATION: u8 = 146;
    pub const MOBILE_PREFIX_ADVERTISEMENT: u8 = 147;
    pub const CERTIFICATION_PATH_SOLICITATION: u8 = 148;
    pub const CERTIFICATION_PATH_ADVERTISEMENT: u8 = 149;
    pub const MULTICAST_ROUTER_ADVERTISEMENT: u8 = 151;
    pub const MULTICAST_ROUTER_SOLICITATION: u8 = 152;
    pub const MULTICAST_ROUTER_TERMINATION: u8 = 153;
    pub const EXTENDED_ECHO: u8 = 160;
    pub const EXTENDED_ECHO_REPLY: u8 = 161;
}

/// What answers to what: each query of ICMP, and its reply. Both have an identifier in their fifth and sixth byte.
const ICMP_QUERIES: [(u8, u8); 5] = [
    (icmp::ECHO, icmp::ECHO_REPLY),
    (icmp::TIMESTAMP, icmp::TIMESTAMP_REPLY),
    (icmp::INFORMATION, icmp::INFORMATION_REPLY),
    (icmp::ADDRESS_MASK, icmp::ADDRESS_MASK_REPLY),
    (icmp::EXTENDED_ECHO, icmp::EXTENDED_ECHO_REPLY),
];
/// The same of ICMPv6: RFC 4443, the mobility of RFC 6275, RFC 8335.
const ICMPV6_QUERIES: [(u8, u8); 4] = [
    (icmpv6::ECHO, icmpv6::ECHO_REPLY),
    (icmpv6::HOME_AGENT_DISCOVERY, icmpv6::HOME_AGENT_DISCOVERY_REPLY),
    (icmpv6::MOBILE_PREFIX_SOLICITATION, icmpv6::MOBILE_PREFIX_ADVERTISEMENT),
    (icmpv6::EXTENDED_ECHO, icmpv6::EXTENDED_ECHO_REPLY),
];

/// The part that an ICMP or ICMPv6 message has in a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// It asks.
    Query,
    /// It answers the query of this type.
    Reply(u8),
}

/// The part that a message of this type has in a query; `None`: none.
pub(crate) fn part_in_query(is_v4: bool, kind: u8) -> Option<Part> {
    let queries: &[(u8, u8)] = if is_v4 { &ICMP_QUERIES } else { &ICMPV6_QUERIES };
    queries.iter().find_map(|(query, reply)| match kind {
        kind if kind == *query => Some(Part::Query),
        kind if kind == *reply => Some(Part::Reply(*query)),
        _ => None,
    })
}

/// Parses the header at `facts.transport_at`.
pub(super) fn parse(head: &[u8], facts: &mut Facts) -> Result<(), Reason> {
    let len = usize::try_from(facts.transport_len).map_err(|_| Reason::TransportTruncated)?;
    header(head, len, facts)
}

/// Parses the header at `facts.transport_at`, of a packet that has `len` bytes from there on in all its fragments.
fn header(head: &[u8], len: usize, facts: &mut Facts) -> Result<(), Reason> {
    let here = usize::try_from(facts.transport_len).map_err(|_| Reason::TransportTruncated)?;
    let packet = head.get(usize::from(facts.transport_at)..).ok_or(Reason::TransportTruncated)?;
    // The padding of a short frame is not part of the packet.
    let packet = &packet[..packet.len().min(here)];
    match facts.protocol {
        protocol::TCP => tcp(packet, len, facts),
        protocol::UDP => udp(packet, len, facts),
        protocol::ICMP if facts.addresses.is_v4() => icmp_any(packet, facts),
        protocol::ICMPV6 if !facts.addresses.is_v4() => icmp_any(packet, facts),
        // The protocol of the other family's ICMP: nobody speaks that.
        protocol::ICMP | protocol::ICMPV6 => Err(Reason::IcmpType),
        // RFC 3376 section 4, RFC 2236: no message is shorter.
        protocol::IGMP if packet.len() < 8 => Err(Reason::TransportTruncated),
        protocol::SCTP => sctp_any(packet, len, facts),
        protocol::GRE => gre(packet, facts),
        protocol::ESP => esp(packet, facts),
        protocol::AH => ah(packet, len, facts),
        _ => Ok(()),
    }
}

/// The longest packet, behind its headers.
const LEN_MAX: u16 = u16::MAX;

/// Checks a fragment; `unfragmentable` bytes of headers before what it carries count towards the 65,535 of the datagram.
/// A first fragment must hold the whole transport header (RFC 1858 section 3, RFC 7112 section 5).
pub(super) fn fragment(head: &[u8], facts: &mut Facts, unfragmentable: usize) -> Result<(), Reason> {
    let Some(Fragment { offset, more, len, .. }) = facts.fragment else { return Ok(()) };
    let ragged = more && !len.is_multiple_of(8);
    let too_far = usize::from(offset) + usize::from(len) + unfragmentable > usize::from(LEN_MAX);
    if len == 0 || ragged || too_far {
        return Err(Reason::FragmentMalformed);
    }
    if offset > 0 {
        // RFC 3128 section 4: it could only go on where no header has ended.
        let within_header = facts.protocol == protocol::TCP && offset < 20;
        return if within_header { Err(Reason::FragmentTiny) } else { Ok(()) };
    }
    header(head, usize::from(LEN_MAX), facts).map_err(|reason| match reason {
        Reason::TransportTruncated => Reason::FragmentTiny,
        reason => reason,
    })
}

fn tcp(packet: &[u8], len: usize, facts: &mut Facts) -> Result<(), Reason> {
    let fixed: &[u8; 20] = packet.first_chunk().ok_or(Reason::TransportTruncated)?;
    ports(fixed, facts);
    let header_len = (fixed[12] >> 4) * 4;
    if header_len < 20 || usize::from(header_len) > len {
        return Err(Reason::TcpBadHeader);
    }
    if packet.len() < usize::from(header_len) {
        return Err(Reason::TransportTruncated);
    }
    facts.tcp = Tcp {
        sequence: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
        acknowledgement: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
        window: u16::from_be_bytes([fixed[14], fixed[15]]),
        flags: fixed[13],
        header_len,
        data_len: facts.transport_len - u32::from(header_len),
    };
    ports_not_zero(facts)?;
    if flags_possible(fixed[13]) { Ok(()) } else { Err(Reason::TcpBadFlags) }
}

/// SYN, SYN+ACK, RST, RST+ACK, ACK, FIN+ACK, each with or without PSH and the congestion bits; URG where it can be.
pub(super) const fn flags_possible(flags: u8) -> bool {
    use tcp_flags::{ACK, FIN, RST, SYN, URG};
    const SYN_URG: u8 = SYN | URG;
    const SYN_ACK: u8 = SYN | ACK;
    const RST_ACK: u8 = RST | ACK;
    const FIN_ACK: u8 = FIN | ACK;
    const FIN_ACK_URG: u8 = FIN | ACK | URG;
    const ACK_URG: u8 = ACK | URG;
    matches!(
        flags & (FIN | SYN | RST | ACK | URG),
        SYN | SYN_URG | SYN_ACK | RST | RST_ACK | ACK | ACK_URG | FIN_ACK | FIN_ACK_URG
    )
}

fn udp(packet: &[u8], len: usize, facts: &mut Facts) -> Result<(), Reason> {
    let fixed: &[u8; 8] = packet.first_chunk().ok_or(Reason::TransportTruncated)?;
    ports(fixed, facts);
    let claimed = usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
    if claimed < 8 || claimed > len {
        return Err(Reason::UdpBadLength);
    }
    ports_not_zero(facts)
}

fn icmp_any(packet: &[u8], facts: &mut Facts) -> Result<(), Reason> {
    let fixed: &[u8; 4] = packet.first_chunk().ok_or(Reason::TransportTruncated)?;
    facts.destination_port = u16::from_be_bytes([fixed[0], fixed[1]]);
    if part_in_query(facts.addresses.is_v4(), fixed[0]).is_some() {
        facts.source_port = be16(packet, 4).ok_or(Reason::TransportTruncated)?;
    }
    // Every message, query, error or neighbour discovery, has at least 8 bytes (RFC 792, RFC 4443, RFC 4861).
    if packet.len() < 8 { Err(Reason::TransportTruncated) } else { Ok(()) }
}

fn sctp_any(packet: &[u8], len: usize, facts: &mut Facts) -> Result<(), Reason> {
    let fixed: &[u8; 12] = packet.first_chunk().ok_or(Reason::TransportTruncated)?;
    ports(fixed, facts);
    ports_not_zero(facts)?;
    facts.tcp.sequence = be32(fixed, 4).unwrap_or(0);
    sctp::check(packet, len)
}

/// In the place of the upper half of a GRE key: the lower one is the call of enhanced GRE, in one direction.
pub(crate) const ENHANCED_GRE: u16 = u16::MAX;

fn gre(packet: &[u8], facts: &mut Facts) -> Result<(), Reason> {
    let flags = be16(packet, 0).ok_or(Reason::TransportTruncated)?;
    let (version, has_routing) = (flags & 7, flags & 0x4000 != 0);
    // Version 1 is the enhanced GRE of PPTP (RFC 2637). Routing (RFC 1701) is a source route, gone since RFC 2784.
    if version > 1 || has_routing {
        return Err(Reason::GreMalformed);
    }
    let (has_checksum, has_key, has_sequence) =
        (flags & 0x8000 != 0, flags & 0x2000 != 0, flags & 0x1000 != 0);
    // RFC 2637 section 4.1: always with a key, never with a checksum.
    if version == 1 && (!has_key || has_checksum) {
        return Err(Reason::GreMalformed);
    }
    let has_acknowledgement = version == 1 && flags & 0x0080 != 0;
    let optional = [has_checksum, has_key, has_sequence, has_acknowledgement];
    let len = 4 + 4 * optional.iter().filter(|present| **present).count();
    if packet.len() < len {
        return Err(Reason::TransportTruncated);
    }
    gre_number(packet, facts);
    Ok(())
}

/// The key of a GRE packet (RFC 2890), or the call of an enhanced one (RFC 2637 section 4.1), if it is at hand.
pub(super) fn gre_number(packet: &[u8], facts: &mut Facts) -> Option<()> {
    const HAS_CHECKSUM: u16 = 0x8000;
    const HAS_KEY: u16 = 0x2000;
    let flags = be16(packet, 0)?;
    (facts.source_port, facts.destination_port) = (0, 0);
    if flags & HAS_KEY != 0 {
        let at = if flags & HAS_CHECKSUM == 0 { 4 } else { 8 };
        let is_enhanced = flags & 7 == 1;
        facts.source_port = if is_enhanced { ENHANCED_GRE } else { be16(packet, at)? };
        facts.destination_port = be16(packet, at + 2)?;
    }
    Some(())
}

fn esp(packet: &[u8], facts: &mut Facts) -> Result<(), Reason> {
    let fixed: &[u8; 8] = packet.first_chunk().ok_or(Reason::TransportTruncated)?;
    ports(fixed, facts);
    Ok(())
}

fn ah(packet: &[u8], len: usize, facts: &mut Facts) -> Result<(), Reason> {
    let fixed: &[u8; 12] = packet.first_chunk().ok_or(Reason::TransportTruncated)?;
    // RFC 4302 section 2.2: length in 32-bit words, less two.
    let claimed = (usize::from(fixed[1]) + 2) * 4;
    if claimed < 12 || claimed > len {
        return Err(Reason::AhMalformed);
    }
    ports(&fixed[4..], facts);
    Ok(())
}

fn ports(header: &[u8], facts: &mut Facts) {
    let both = be32(header, 0).unwrap_or(0).to_be_bytes();
    facts.source_port = u16::from_be_bytes([both[0], both[1]]);
    facts.destination_port = u16::from_be_bytes([both[2], both[3]]);
}

fn ports_not_zero(facts: &Facts) -> Result<(), Reason> {
    if facts.source_port == 0 || facts.destination_port == 0 { Err(Reason::PortZero) } else { Ok(()) }
}
