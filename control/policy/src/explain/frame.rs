//! The frame that a question is about, as a host would send it, for the engine to inspect.

use std::net::IpAddr;

use etherparse::{IpHeaders, IpNumber, Ipv4Header, Ipv6Header, PacketBuilder, VlanId};

use super::query::ExplainQuery;
use crate::text::protocol;

/// Locally administered addresses: no rule looks at them.
const SOURCE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const DESTINATION_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// The frame of a first packet.
pub(super) fn frame(query: &ExplainQuery) -> Vec<u8> {
    let payload = payload(query);
    let ip = ip_headers(query, payload.len());
    let ethernet = PacketBuilder::ethernet2(SOURCE_MAC, DESTINATION_MAC);
    let builder = match VlanId::try_new(query.vlan) {
        Ok(vlan) if query.vlan > 0 => ethernet.single_vlan(vlan).ip(ip),
        _ => ethernet.ip(ip),
    };
    let mut frame = Vec::new();
    let [kind, code] = query.selector.to_be_bytes();
    // Of an ICMP query: its identifier.
    let [high, low] = query.source_port.to_be_bytes();
    let written = match query.protocol {
        protocol::TCP => {
            builder.tcp(query.source_port, query.selector, 1, u16::MAX).syn().write(&mut frame, &[])
        }
        protocol::UDP => builder.udp(query.source_port, query.selector).write(&mut frame, &[]),
        protocol::ICMP if query.source.is_ipv4() => {
            builder.icmpv4_raw(kind, code, [high, low, 0, 0]).write(&mut frame, &payload)
        }
        protocol::ICMPV6 if query.source.is_ipv6() => {
            builder.icmpv6_raw(kind, code, [high, low, 0, 0]).write(&mut frame, &payload)
        }
        number => builder.write(&mut frame, IpNumber(number), &payload),
    };
    written.expect("a vector takes everything, and the payload is short");
    frame
}

fn ip_headers(query: &ExplainQuery, payload_len: usize) -> IpHeaders {
    // Neighbour discovery is believed only with the hop limit of its own link (RFC 4861 section 7.1).
    const HOP_LIMIT: u8 = 255;
    let number = IpNumber(query.protocol);
    match (query.source, query.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let len = u16::try_from(payload_len).unwrap_or(0);
            let header = Ipv4Header::new(len, HOP_LIMIT, number, source.octets(), destination.octets());
            IpHeaders::Ipv4(header.expect("a short payload fits"), Default::default())
        }
        (source, destination) => {
            let octets = |address: IpAddr| match address {
                IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
                IpAddr::V6(address) => address.octets(),
            };
            let header = Ipv6Header {
                source: octets(source),
                destination: octets(destination),
                hop_limit: HOP_LIMIT,
                next_header: number,
                ..Default::default()
            };
            IpHeaders::Ipv6(header, Default::default())
        }
    }
}

/// The least that each protocol's header needs to be believed.
fn payload(query: &ExplainQuery) -> Vec<u8> {
    match query.protocol {
        protocol::TCP | protocol::UDP => Vec::new(),
        protocol::SCTP => {
            // Common header and an INIT chunk, RFC 9260 section 3.3.2.
            let mut header = Vec::from(query.source_port.to_be_bytes());
            header.extend(query.selector.to_be_bytes());
            header.extend([0; 8]);
            header.extend([1, 0, 0, 20]);
            // The tag that it offers is not 0.
            header.extend([1; 16]);
            header
        }
        // An AH of three words without a check value, before "no next header".
        51 => vec![59, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1],
        // GRE that carries IPv4.
        47 => vec![0, 0, 8, 0],
        _ => vec![0; 20],
    }
}
